//! Which of the two texts a scraper reads.

use axum::http::{HeaderMap, header::ACCEPT};
use prometheus_client::encoding::prometheus_text;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    OpenMetrics,
    Prometheus,
}

impl Format {
    /// OpenMetrics where it is named, and liked as much as the plain text if that is named too.
    pub(super) fn asked(headers: &HeaderMap) -> Self {
        let values = headers
            .get_all(ACCEPT)
            .into_iter()
            .filter_map(|value| value.to_str().ok());
        let ranges: Vec<&str> = values.flat_map(|value| value.split(',')).collect();
        let liking = |kind: &str| {
            ranges
                .iter()
                .filter_map(|range| quality(range, kind))
                .reduce(f64::max)
        };
        let open = liking("application/openmetrics-text").unwrap_or(0.0);
        match open > 0.0 && open >= liking("text/plain").unwrap_or(0.0) {
            true => Self::OpenMetrics,
            false => Self::Prometheus,
        }
    }

    pub(super) fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Prometheus => prometheus_text::CONTENT_TYPE,
        }
    }
}

/// How much this range likes that kind, if it is about it.
fn quality(range: &str, kind: &str) -> Option<f64> {
    let mut parts = range.split(';').map(str::trim);
    if !parts.next()?.eq_ignore_ascii_case(kind) {
        return None;
    }
    let quality =
        parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
    Some(quality.map_or(1.0, |quality| quality.trim().parse().unwrap_or(0.0)))
}

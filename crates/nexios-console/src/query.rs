//! What an address asks for: the same for a page and for its JSON.

use std::time::Duration;

use axum::http::Uri;
use serde::Deserialize;

use crate::model::Bucket;

/// A part of the address below the console's own, from 0. Not by axum's `Path`: that has the captures of all routers around ours
/// too, some of which may have the same name.
pub(crate) fn part(address: &Uri, index: usize) -> &str {
    address.path().split('/').nth(index + 1).unwrap_or_default()
}

/// `?view=flat&name=&kind=&state=&older=2s&page=2`. Fields of a form that are left empty ask for nothing.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct RunningQuery {
    pub(crate) view: ViewOf,
    /// Part of the name, in whatever case.
    pub(crate) name: String,
    /// A `WorkKind` in words.
    pub(crate) kind: String,
    /// A `State` in words.
    pub(crate) state: String,
    /// A time span such as `500ms`, `2s`, `1.5m`, `1h`; a number alone is of seconds.
    pub(crate) older: String,
    /// From 1.
    pub(crate) page: String,
}

impl RunningQuery {
    /// From 1; None if the text is no number.
    pub(crate) fn page_number(&self) -> Option<usize> {
        match self.page.trim() {
            "" => Some(1),
            page => page.parse().ok().filter(|page| *page > 0),
        }
    }

    /// The least age that is asked for; None if the text is no time span.
    pub(crate) fn older_than(&self) -> Option<Duration> {
        let text = self.older.trim();
        if text.is_empty() {
            return Some(Duration::ZERO);
        }
        let units = [
            ("ms", 0.001),
            ("s", 1.0),
            ("m", 60.0),
            ("h", 3600.0),
            ("", 1.0),
        ];
        let (number, unit) = units
            .into_iter()
            .find_map(|(name, unit)| Some((text.strip_suffix(name)?, unit)))?;
        let number: f64 = number.trim_end().parse().ok()?;
        Duration::try_from_secs_f64(number * unit).ok()
    }
}

/// `?kind=send%20newsletter&state=dead&before=4711`: which jobs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(default)]
pub(crate) struct JobsQuery {
    /// The name of a kind of jobs.
    pub(crate) kind: String,
    /// One of [`JOB_STATES`].
    pub(crate) state: String,
    /// The number of a job: those that were enqueued before it.
    pub(crate) before: String,
}

/// Three groups of states, and the states.
pub(crate) const JOB_STATES: [&str; 10] = [
    "running",
    "waiting",
    "scheduled",
    "ready",
    "retrying",
    "ended",
    "completed",
    "failed",
    "cancelled",
    "dead",
];

impl JobsQuery {
    /// What is wrong with it, in words.
    pub(crate) fn fault(&self) -> Option<&'static str> {
        let is_state = self.state.is_empty() || JOB_STATES.contains(&self.state.as_str());
        let is_number = self.before.bytes().all(|byte| byte.is_ascii_digit());
        if !is_state {
            return Some("`state` is running, waiting, ended, or one state of jobs");
        }
        (!is_number).then_some("`before` is the number of a job")
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ViewOf {
    Flat,
    #[default]
    #[serde(other)]
    Tree,
}

/// `?route=GET%20/dashboard&bucket=lt50ms`: one cell of the grid, where both are there.
#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct CellQuery {
    pub(crate) route: Option<String>,
    pub(crate) bucket: Option<Bucket>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_is_a_number_with_a_unit() {
        let older = |text: &str| {
            RunningQuery {
                older: text.into(),
                ..Default::default()
            }
            .older_than()
        };
        let texts = [
            "", "2", "2s", "500ms", "1.5m", "1 h", "-1s", "soon", "1e400s", "NaN", "s",
        ];
        let millis = texts.map(|text| older(text).map(|older| older.as_millis()));
        let none = None;
        assert_eq!(
            millis,
            [
                Some(0),
                Some(2000),
                Some(2000),
                Some(500),
                Some(90_000),
                Some(3_600_000),
                none,
                none,
                none,
                none,
                none
            ]
        );
    }
}

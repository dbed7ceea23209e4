use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue};

/// A header that says how long its sender will wait. All of them are durations: clocks need not agree.
///
/// # Examples
///
/// ```
/// use nexios_axum::{DeadlineHeader, RequestLayer};
///
/// // Only what our own Envoy says shortens a deadline.
/// let layer = RequestLayer::new().deadline_headers([DeadlineHeader::EnvoyExpectedTimeoutMs]);
/// # let _ = layer;
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DeadlineHeader {
    /// `grpc-timeout`: 1 to 8 digits and a unit, one of `H M S m u n`, as gRPC's protocol says.
    GrpcTimeout,
    /// `connect-timeout-ms`: 1 to 10 digits, milliseconds, as Connect's protocol says.
    ConnectTimeoutMs,
    /// `x-envoy-expected-rq-timeout-ms`: milliseconds; Envoy sends it to the service behind it.
    EnvoyExpectedTimeoutMs,
}

static GRPC: HeaderName = HeaderName::from_static("grpc-timeout");
static CONNECT: HeaderName = HeaderName::from_static("connect-timeout-ms");
static ENVOY: HeaderName = HeaderName::from_static("x-envoy-expected-rq-timeout-ms");

/// gRPC's units, the smallest first, and how many nanoseconds each has.
const UNITS: [(char, u128); 6] = [
    ('n', 1),
    ('u', 1_000),
    ('m', 1_000_000),
    ('S', 1_000_000_000),
    ('M', 60_000_000_000),
    ('H', 3_600_000_000_000),
];

const MOST_GRPC_DIGITS: usize = 8;
const MOST_CONNECT_DIGITS: usize = 10;
/// As many as always fit into 64 bits.
const MOST_ENVOY_DIGITS: usize = 19;

impl DeadlineHeader {
    /// All of them.
    ///
    /// # Examples
    ///
    /// ```
    /// use nexios_axum::DeadlineHeader;
    ///
    /// let names = DeadlineHeader::ALL.map(|header| header.name().as_str());
    /// assert_eq!(names, ["grpc-timeout", "connect-timeout-ms", "x-envoy-expected-rq-timeout-ms"]);
    /// ```
    pub const ALL: [DeadlineHeader; 3] = [
        DeadlineHeader::GrpcTimeout,
        DeadlineHeader::ConnectTimeoutMs,
        DeadlineHeader::EnvoyExpectedTimeoutMs,
    ];

    /// The name of the header, in lower case.
    ///
    /// # Examples
    ///
    /// ```
    /// use nexios_axum::DeadlineHeader;
    ///
    /// assert_eq!(DeadlineHeader::GrpcTimeout.name(), "grpc-timeout");
    /// ```
    #[must_use]
    pub fn name(self) -> &'static HeaderName {
        match self {
            DeadlineHeader::GrpcTimeout => &GRPC,
            DeadlineHeader::ConnectTimeoutMs => &CONNECT,
            DeadlineHeader::EnvoyExpectedTimeoutMs => &ENVOY,
        }
    }

    /// Reads a value; [`None`] if it is malformed.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use axum::http::HeaderValue;
    /// use nexios_axum::DeadlineHeader;
    ///
    /// let read = |text| DeadlineHeader::GrpcTimeout.parse(&HeaderValue::from_static(text));
    /// assert_eq!(read("5S"), Some(Duration::from_secs(5)));
    /// assert_eq!(read("1500m"), Some(Duration::from_millis(1500)));
    /// assert_eq!(read("5 s"), None);
    /// ```
    #[must_use]
    pub fn parse(self, value: &HeaderValue) -> Option<Duration> {
        let text = value.to_str().ok()?;
        match self {
            DeadlineHeader::GrpcTimeout => {
                let unit = text.chars().next_back()?;
                let (_, nanoseconds) = UNITS.into_iter().find(|(name, _)| *name == unit)?;
                let count = digits(&text[..text.len() - 1], MOST_GRPC_DIGITS)?;
                let nanoseconds = u128::from(count) * nanoseconds;
                Some(Duration::new(
                    u64::try_from(nanoseconds / 1_000_000_000).ok()?,
                    u32::try_from(nanoseconds % 1_000_000_000).ok()?,
                ))
            }
            DeadlineHeader::ConnectTimeoutMs => {
                digits(text, MOST_CONNECT_DIGITS).map(Duration::from_millis)
            }
            DeadlineHeader::EnvoyExpectedTimeoutMs => {
                digits(text, MOST_ENVOY_DIGITS).map(Duration::from_millis)
            }
        }
    }

    /// Writes a value, rounded down: nobody is promised more time than there is.
    ///
    /// What does not fit becomes the greatest value that does.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use nexios_axum::DeadlineHeader;
    ///
    /// let left = Duration::from_micros(1_500_700);
    /// assert_eq!(DeadlineHeader::ConnectTimeoutMs.encode(left), "1500");
    /// assert_eq!(DeadlineHeader::GrpcTimeout.encode(left), "1500700u");
    /// ```
    #[must_use]
    pub fn encode(self, time: Duration) -> HeaderValue {
        let milliseconds = |most: u32| time.as_millis().min(10_u128.pow(most) - 1);
        match self {
            DeadlineHeader::GrpcTimeout => {
                let most = 10_u128.pow(MOST_GRPC_DIGITS as u32) - 1;
                let nanoseconds = time.as_nanos();
                let fits = |(_, size): &(char, u128)| nanoseconds / size <= most;
                let (unit, size) = UNITS.into_iter().find(fits).unwrap_or(UNITS[5]);
                text(&format!("{}{unit}", (nanoseconds / size).min(most)))
            }
            DeadlineHeader::ConnectTimeoutMs => {
                text(&milliseconds(MOST_CONNECT_DIGITS as u32).to_string())
            }
            DeadlineHeader::EnvoyExpectedTimeoutMs => {
                text(&milliseconds(MOST_ENVOY_DIGITS as u32).to_string())
            }
        }
    }

    /// The shortest time that any of `headers` gives, and those that are malformed, once for each value.
    pub(crate) fn earliest(
        headers: &[DeadlineHeader],
        map: &HeaderMap,
    ) -> (Option<(Duration, DeadlineHeader)>, Vec<DeadlineHeader>) {
        let mut earliest: Option<(Duration, DeadlineHeader)> = None;
        let mut malformed = Vec::new();
        // Most requests have none of them and few others: comparing names is cheaper than three look-ups.
        for (name, value) in map {
            let Some(&header) = headers.iter().find(|header| header.name() == name) else {
                continue;
            };
            match header.parse(value) {
                Some(time) if earliest.is_none_or(|(shortest, _)| time < shortest) => {
                    earliest = Some((time, header));
                }
                Some(_) => {}
                None => malformed.push(header),
            }
        }
        (earliest, malformed)
    }
}

/// Reads 1 to `most` ASCII digits and nothing else.
fn digits(text: &str, most: usize) -> Option<u64> {
    let plain = (1..=most).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    if plain { text.parse().ok() } else { None }
}

/// Digits and letters are always a value.
fn text(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static("0"))
}

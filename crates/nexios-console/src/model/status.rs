//! The header of every page.

use serde::Serialize;

use super::Redact;

#[derive(Debug, Clone, Serialize)]
pub(crate) struct Status {
    pub(crate) service: String,
    /// Of the service's life; `ready` where it has none.
    pub(crate) phase: &'static str,
    pub(crate) uptime_ms: f64,
    /// Requests.
    pub(crate) in_flight: usize,
    /// Of the requests of the last minute, to the next bound of a histogram.
    pub(crate) p50_ms: Option<f64>,
    pub(crate) p99_ms: Option<f64>,
    /// Requests of the last minute that were cancelled.
    pub(crate) cancelled_per_minute: u64,
    /// Pool jobs of the last minute that were refused, and requests that were turned away for a pool.
    pub(crate) shed_per_minute: u64,
    pub(crate) lints: usize,
    /// Pieces of work since the console was built.
    pub(crate) observed: u64,
    /// Pieces of work that were not kept, as there was no room.
    pub(crate) dropped_spans: u64,
}

impl Redact for Status {
    fn hide(&mut self) {}
}

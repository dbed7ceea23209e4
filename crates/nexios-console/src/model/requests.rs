//! The grid of routes and buckets, and what one of its cells keeps.

use nexios::CancelReason;
use serde::Serialize;

use super::{Bucket, Counts, Redact, State, work::reason};

#[derive(Debug, Clone, Serialize)]
pub(crate) struct Requests {
    pub(crate) buckets: [Bucket; Bucket::ALL.len()],
    /// By name.
    pub(crate) routes: Vec<Route>,
}

#[derive(Debug, Clone, Serialize)]
pub(crate) struct Route {
    /// Method and route.
    pub(crate) route: String,
    pub(crate) running: usize,
    /// The samples that are kept in each bucket.
    pub(crate) counts: Counts,
    /// All that have ended.
    pub(crate) total: u64,
}

#[derive(Debug, Clone, Serialize)]
pub(crate) struct Samples {
    /// Newest first.
    pub(crate) samples: Vec<Sample>,
}

#[derive(Debug, Clone, Serialize)]
pub(crate) struct Sample {
    pub(crate) id: u64,
    pub(crate) route: String,
    /// 499 for a client that left.
    pub(crate) status: Option<u16>,
    pub(crate) state: State,
    #[serde(serialize_with = "reason")]
    pub(crate) reason: Option<CancelReason>,
    pub(crate) started_unix_ms: u64,
    pub(crate) duration_ms: f64,
}

impl Redact for Requests {
    fn hide(&mut self) {}
}

impl Redact for Samples {
    fn hide(&mut self) {}
}

//! The thread pools.

use serde::Serialize;

use super::Redact;

#[derive(Debug, Clone, Serialize)]
pub(crate) struct Pools {
    /// In the order of their first job.
    pub(crate) pools: Vec<Pool>,
}

#[derive(Debug, Clone, Serialize)]
pub(crate) struct Pool {
    pub(crate) id: u64,
    pub(crate) name: String,
    pub(crate) state: PoolState,
    pub(crate) threads: usize,
    pub(crate) running: usize,
    pub(crate) queued: usize,
    pub(crate) wait_p50_ms: f64,
    pub(crate) wait_p95_ms: f64,
    pub(crate) completed: u64,
    pub(crate) shed: u64,
    pub(crate) cancelled: u64,
    pub(crate) oldest_running_ms: Option<f64>,
    /// The job that runs for longest, where it is observed.
    pub(crate) oldest_running: Option<PoolJob>,
    /// The last two minutes, oldest first: time, running, queued.
    pub(crate) history: Vec<(u64, usize, usize)>,
}

#[derive(Debug, Clone, Serialize)]
pub(crate) struct PoolJob {
    pub(crate) id: u64,
    /// The place of the call.
    pub(crate) name: String,
    /// The request that it is part of, and its route.
    pub(crate) request: Option<u64>,
    pub(crate) route: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum PoolState {
    Free,
    /// All threads have a job.
    Busy,
    /// Callers are shed or wait for a place in the queue, or it is less than 10 s since.
    Saturated,
}

impl PoolState {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Free => "free",
            Self::Busy => "busy",
            Self::Saturated => "saturated",
        }
    }
}

impl Redact for Pools {
    fn hide(&mut self) {}
}

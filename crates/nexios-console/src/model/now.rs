//! What the service is at right now.

use nexios::{CancelReason, observe::WorkKind};

use super::{Lazy, State};

#[derive(Debug, Clone, Default)]
pub(crate) struct Now {
    /// Most first.
    pub(crate) stays: Vec<Stay>,
    pub(crate) other_stays: usize,
    /// Lazy values that went wrong in the last minute and have no later value, latest first.
    pub(crate) failing: Vec<Lazy>,
    /// Of the last minute, most first.
    pub(crate) cancelled: Vec<CancelledRequests>,
    /// What the service has to wait for before it can end, oldest first.
    pub(crate) left: Vec<LeftOver>,
    pub(crate) other_left: usize,
}

/// Pieces of work that wait for the same, or have been at the same for a while.
#[derive(Debug, Clone)]
pub(crate) struct Stay {
    /// Else it runs.
    pub(crate) waits: bool,
    /// In words.
    pub(crate) what: String,
    pub(crate) count: usize,
    pub(crate) oldest_unix_ms: u64,
    /// Those with the most of them.
    pub(crate) routes: Vec<(String, usize)>,
}

/// Requests of one route that were cancelled for one reason.
#[derive(Debug, Clone)]
pub(crate) struct CancelledRequests {
    pub(crate) route: String,
    pub(crate) reason: CancelReason,
    pub(crate) count: u32,
    /// Until they were cancelled, on average.
    pub(crate) mean_ms: f64,
}

#[derive(Debug, Clone)]
pub(crate) struct LeftOver {
    pub(crate) id: u64,
    pub(crate) kind: WorkKind,
    pub(crate) name: String,
    pub(crate) state: State,
    pub(crate) made_unix_ms: u64,
}

//! The lazy values.

use nexios::LazyState;
use serde::{Serialize, Serializer};

use super::{Redact, State};

#[derive(Debug, Clone, Serialize)]
pub(crate) struct Lazies {
    /// In the order of their first computation.
    pub(crate) lazies: Vec<Lazy>,
}

#[derive(Debug, Clone, Serialize)]
pub(crate) struct Lazy {
    pub(crate) id: u64,
    pub(crate) name: String,
    #[serde(serialize_with = "state")]
    pub(crate) state: LazyState,
    pub(crate) is_map: bool,
    pub(crate) age_ms: Option<f64>,
    pub(crate) fresh_for_ms: Option<f64>,
    pub(crate) hits: u64,
    pub(crate) waits: u64,
    pub(crate) misses: u64,
    pub(crate) stale: u64,
    pub(crate) computations: u64,
    pub(crate) failures: u64,
    pub(crate) last_error: Option<LazyError>,
}

/// How the last computation that did not succeed ended, and when. Its text is not known: errors need not have one.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct LazyError {
    pub(crate) state: State,
    pub(crate) ended_unix_ms: u64,
}

impl Lazy {
    /// `empty`, `computing`, `fresh`, `stale` or `failed`.
    pub(crate) fn state_name(&self) -> &'static str {
        name(self.state)
    }
}

impl Redact for Lazies {
    fn hide(&mut self) {}
}

fn state<S: Serializer>(state: &LazyState, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(name(*state))
}

fn name(state: LazyState) -> &'static str {
    match state {
        LazyState::Computing => "computing",
        LazyState::Fresh => "fresh",
        LazyState::Stale => "stale",
        LazyState::Failed => "failed",
        _ => "empty",
    }
}

//! A request in Chrome's trace-event format, which Perfetto reads.

use serde::Serialize;

use super::{Redact, State};

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Trace {
    pub(crate) trace_events: Vec<TraceEvent>,
    pub(crate) display_time_unit: &'static str,
}

/// A complete event. Times are microseconds since the request's start.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct TraceEvent {
    pub(crate) name: String,
    pub(crate) cat: &'static str,
    pub(crate) ph: &'static str,
    pub(crate) ts: f64,
    pub(crate) dur: f64,
    pub(crate) pid: u32,
    /// A track: on one of them, events follow or hold each other.
    pub(crate) tid: u64,
    pub(crate) args: TraceArguments,
}

#[derive(Debug, Clone, Serialize)]
pub(crate) struct TraceArguments {
    pub(crate) id: u64,
    pub(crate) state: State,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) owner: Option<String>,
}

impl Redact for Trace {
    fn hide(&mut self) {}
}

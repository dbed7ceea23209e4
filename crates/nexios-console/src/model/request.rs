//! One request as a waterfall.

use nexios::{CancelReason, observe::WorkKind};
use serde::Serialize;

use super::{
    Redact, Sensitive, State,
    work::{kind, reason},
};

#[derive(Debug, Clone, Serialize)]
pub(crate) struct Request {
    pub(crate) id: u64,
    pub(crate) route: String,
    pub(crate) uri: Option<Sensitive>,
    /// 499 for a client that left; none while it runs.
    pub(crate) status: Option<u16>,
    pub(crate) state: State,
    #[serde(serialize_with = "reason")]
    pub(crate) reason: Option<CancelReason>,
    pub(crate) error: Option<Sensitive>,
    pub(crate) started_unix_ms: u64,
    /// To its answer, to the moment it was cancelled, or until now.
    pub(crate) duration_ms: f64,
    /// What a cancelled one took from then on.
    pub(crate) cleanup_ms: Option<f64>,
    /// From its start.
    pub(crate) deadline_ms: Option<f64>,
    /// Of the answer's body, without what was not sent any more.
    pub(crate) response_bytes: Option<u64>,
    pub(crate) dropped_spans: u64,
    /// In the order of their starts, children after parents.
    pub(crate) spans: Vec<Span>,
}

/// A piece of work of the request. Times count from the request's start.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Span {
    pub(crate) id: u64,
    pub(crate) parent: u64,
    #[serde(serialize_with = "kind")]
    pub(crate) kind: WorkKind,
    pub(crate) name: String,
    /// The pool, lazy value, hedge or registry by name.
    pub(crate) owner: Option<String>,
    pub(crate) state: State,
    #[serde(serialize_with = "reason")]
    pub(crate) reason: Option<CancelReason>,
    pub(crate) error: Option<Sensitive>,
    pub(crate) made_ms: f64,
    /// None while it waits, and for what never started.
    pub(crate) started_ms: Option<f64>,
    /// None while it lives.
    pub(crate) ended_ms: Option<f64>,
    /// Whether the request waited for it, and not for something beside it.
    pub(crate) critical: bool,
    /// Of a race or hedge: who won it.
    pub(crate) winner: Option<u64>,
    /// Of a loser: how much longer it had run by what it took when it won, where that is known.
    pub(crate) saved_ms: Option<f64>,
    /// It ended after the request's answer.
    pub(crate) after_answer: bool,
}

impl Redact for Request {
    fn hide(&mut self) {
        self.uri.hide();
        self.error.hide();
        self.spans.hide();
    }
}

impl Redact for Span {
    fn hide(&mut self) {
        self.error.hide();
    }
}

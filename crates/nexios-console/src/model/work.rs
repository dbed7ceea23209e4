//! One piece of work that lives, or has just ended.

use nexios::{CancelReason, observe::WorkKind};
use serde::{Serialize, Serializer};

use super::{Redact, Sensitive, State};

#[derive(Debug, Clone, Serialize)]
pub(crate) struct Work {
    pub(crate) id: u64,
    /// Whose part it is, if that lives.
    pub(crate) parent: Option<u64>,
    /// What caused it, and does not hold it.
    pub(crate) link: Option<u64>,
    #[serde(serialize_with = "kind")]
    pub(crate) kind: WorkKind,
    pub(crate) name: String,
    /// The pool, lazy value, hedge or registry by name.
    pub(crate) owner: Option<String>,
    pub(crate) state: State,
    pub(crate) made_unix_ms: u64,
    pub(crate) age_ms: f64,
    /// From the time it was made to its start, or until now; while it waits for a lazy value, for so long.
    pub(crate) waited_ms: f64,
    /// Since when it waits, if that is later than it was made. The page counts on from there.
    #[serde(skip)]
    pub(crate) waits_since_unix_ms: Option<u64>,
    /// In words.
    pub(crate) waiting_for: Option<String>,
    pub(crate) progress: Option<Progress>,
    pub(crate) attempt: u32,
    #[serde(serialize_with = "reason")]
    pub(crate) reason: Option<CancelReason>,
    pub(crate) error: Option<Sensitive>,
    /// Whether there is a door to cancel it by; who may is another question.
    pub(crate) can_cancel: bool,
}

#[derive(Debug, Clone, Serialize)]
pub(crate) struct Progress {
    pub(crate) done: Option<u64>,
    pub(crate) total: Option<u64>,
    pub(crate) message: Option<Sensitive>,
}

impl Redact for Work {
    fn hide(&mut self) {
        self.progress.hide();
        self.error.hide();
    }
}

impl Redact for Progress {
    fn hide(&mut self) {
        self.message.hide();
    }
}

pub(super) fn kind<S: Serializer>(kind: &WorkKind, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(kind.as_str())
}

pub(super) fn reason<S: Serializer>(
    reason: &Option<CancelReason>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    reason.map(CancelReason::as_str).serialize(serializer)
}

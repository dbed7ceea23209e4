//! What is wrong right now.

use serde::Serialize;

use super::Redact;

#[derive(Debug, Clone, Serialize)]
pub(crate) struct Lints {
    pub(crate) lints: Vec<Lint>,
}

#[derive(Debug, Clone, Serialize)]
pub(crate) struct Lint {
    pub(crate) lint: LintKind,
    /// In plain words, with the place; names and numbers alone.
    pub(crate) text: String,
    pub(crate) work: Option<u64>,
    /// That the work is, or is part of.
    pub(crate) request: Option<u64>,
    /// The pool or lazy value by name.
    pub(crate) owner: Option<String>,
    pub(crate) since_unix_ms: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum LintKind {
    DeadlinePassed,
    IgnoresCancel,
    SlowPoll,
    QueueTooLong,
    RecomputesTooOften,
}

impl LintKind {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::DeadlinePassed => "deadline-passed",
            Self::IgnoresCancel => "ignores-cancel",
            Self::SlowPoll => "slow-poll",
            Self::QueueTooLong => "queue-too-long",
            Self::RecomputesTooOften => "recomputes-too-often",
        }
    }
}

impl Redact for Lints {
    fn hide(&mut self) {}
}

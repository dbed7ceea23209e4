//! A part of a request, as it is kept.

use std::time::Duration;

use nexios::{
    CancelReason,
    observe::{Outcome, WorkId, WorkKind},
};

use super::{
    moment::Moment,
    text::{LINE, bounded},
};
use crate::model::State;

/// A piece of work that has ended.
#[derive(Debug, Clone)]
pub(super) struct Span {
    pub(super) id: WorkId,
    pub(super) parent: Option<WorkId>,
    pub(super) kind: WorkKind,
    pub(super) name: Box<str>,
    pub(super) owner: Option<Box<str>>,
    pub(super) made: Moment,
    pub(super) started: Option<Moment>,
    /// None while it lives: of one that was copied out of the living.
    pub(super) ended: Option<Moment>,
    pub(super) end: End,
}

/// How work ended, or how far it is.
#[derive(Debug, Clone)]
pub(super) struct End {
    pub(super) state: State,
    pub(super) reason: Option<CancelReason>,
    pub(super) error: Option<Box<str>>,
}

impl End {
    pub(super) fn new(outcome: &Outcome<'_>, cancelling: Option<CancelReason>) -> Self {
        let (reason, error) = match outcome {
            Outcome::Cancelled(reason) => (Some(*reason), None),
            Outcome::Failed(text) => (None, *text),
            Outcome::Panicked(text) => (None, Some(*text)),
            _ => (None, None),
        };
        let error = error
            .filter(|text| !text.is_empty())
            .map(|text| bounded(text, LINE));
        Self {
            state: outcome.into(),
            reason: reason.or(cancelling),
            error,
        }
    }
}

impl Span {
    pub(super) fn took(&self) -> Duration {
        self.ended.unwrap_or(self.made).since(self.made)
    }

    pub(super) fn bytes(&self) -> usize {
        let texts: usize = [&self.owner, &self.end.error]
            .into_iter()
            .flatten()
            .map(|text| text.len())
            .sum();
        size_of::<Self>() + self.name.len() + texts
    }
}

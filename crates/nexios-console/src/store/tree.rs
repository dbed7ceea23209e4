//! A request with what was part of it.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use nexios::{
    CancelReason,
    observe::{Outcome, WorkId, WorkKind},
};

use super::{
    live::Live,
    memory::Memory,
    moment::Moment,
    text::{LINE, bounded},
};
use crate::model::{Bucket, State};

/// So many parts of a request are kept.
pub(super) const SPANS: usize = 64;

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
    pub(super) fn ended(id: WorkId, live: Live, end: End, ended: Moment) -> Self {
        let Live {
            parent,
            kind,
            name,
            owner,
            made,
            started,
            ..
        } = live;
        Self {
            id,
            parent,
            kind,
            name,
            owner,
            made,
            started,
            ended: Some(ended),
            end,
        }
    }

    pub(super) fn living(id: WorkId, live: Live) -> Self {
        let end = End {
            state: live.state(),
            reason: live.cancelling.map(|(reason, _)| reason),
            error: None,
        };
        let Live {
            parent,
            kind,
            name,
            owner,
            made,
            started,
            ..
        } = live;
        Self {
            id,
            parent,
            kind,
            name,
            owner,
            made,
            started,
            ended: None,
            end,
        }
    }

    fn took(&self) -> Duration {
        self.ended.unwrap_or(self.made).since(self.made)
    }

    fn bytes(&self) -> usize {
        let texts: usize = [&self.owner, &self.end.error]
            .into_iter()
            .flatten()
            .map(|text| text.len())
            .sum();
        size_of::<Self>() + self.name.len() + texts
    }
}

/// A request: what is known of it, and the parts of it that have ended. It stays with its last sample, and takes in what ends
/// after the answer.
#[derive(Debug)]
pub(super) struct Tree {
    pub(super) root: WorkId,
    pub(super) route: Box<str>,
    pub(super) made: Moment,
    /// The console's own; it is neither shown nor filed.
    disregarded: AtomicBool,
    kept: Mutex<Kept>,
    memory: Arc<Memory>,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Kept {
    pub(super) facts: Facts,
    /// None while it runs.
    pub(super) answer: Option<Answer>,
    pub(super) spans: Vec<Span>,
    pub(super) dropped: u64,
}

/// What a request says of itself.
#[derive(Debug, Clone, Default)]
pub(super) struct Facts {
    pub(super) status: Option<u16>,
    pub(super) uri: Option<Box<str>>,
    pub(super) deadline: Option<Duration>,
}

/// How a request ended.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    pub(super) ended: Moment,
    pub(super) end: End,
    /// When it was cut off, and not only asked to end.
    pub(super) cancelled: Option<Moment>,
}

impl Answer {
    /// To the answer, or to the moment it was cancelled.
    pub(super) fn took(&self, made: Moment) -> Duration {
        self.cancelled.unwrap_or(self.ended).since(made)
    }

    pub(super) fn status(&self, facts: &Facts) -> Option<u16> {
        match (self.end.state, self.end.reason) {
            (State::Cancelled, Some(CancelReason::ClientDisconnected)) => Some(499),
            _ => facts.status,
        }
    }

    /// An outcome wins over a time.
    pub(super) fn bucket(&self, facts: &Facts, made: Moment) -> Bucket {
        let failed = matches!(
            self.end.state,
            State::Failed | State::Panicked | State::TimedOut
        );
        if failed || self.status(facts).is_some_and(|status| status >= 500) {
            Bucket::Failed
        } else if self.end.state == State::Cancelled {
            Bucket::Cancelled
        } else {
            Bucket::by_time(self.took(made))
        }
    }
}

impl Tree {
    pub(super) fn new(root: WorkId, route: Box<str>, made: Moment, memory: Arc<Memory>) -> Self {
        let tree = Self {
            root,
            route,
            made,
            disregarded: AtomicBool::new(false),
            kept: Mutex::default(),
            memory,
        };
        tree.memory.take(tree.bytes());
        tree
    }

    /// Learns something of the request.
    pub(super) fn know(&self, learn: impl FnOnce(&mut Facts)) {
        let mut kept = self.lock();
        let before = kept.facts.bytes();
        learn(&mut kept.facts);
        let after = kept.facts.bytes();
        drop(kept);
        self.memory.take(after);
        self.memory.give_back(before);
    }

    /// Takes in a part that has ended, and tells whether one was dropped for it. The shortest goes: a parent lasts longer than
    /// its parts, and what took long is what people look for.
    pub(super) fn keep(&self, span: Span) -> bool {
        let mut kept = self.lock();
        if kept.spans.len() < SPANS {
            self.memory.take(span.bytes());
            kept.spans.push(span);
            return false;
        }
        kept.dropped += 1;
        let shortest = kept
            .spans
            .iter_mut()
            .min_by_key(|span| (span.took(), std::cmp::Reverse(span.id)));
        if let Some(shortest) = shortest.filter(|shortest| shortest.took() < span.took()) {
            self.memory.take(span.bytes());
            self.memory.give_back(shortest.bytes());
            *shortest = span;
        }
        true
    }

    /// A part was not taken in at all.
    pub(super) fn miss(&self) {
        self.lock().dropped += 1;
    }

    pub(super) fn disregard(&self) {
        // Relaxed: it guards nothing, and the request that is disregarded asks for it itself.
        self.disregarded.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_disregarded(&self) -> bool {
        self.disregarded.load(Ordering::Relaxed)
    }

    /// The request has ended: the bucket that it belongs to, unless it is disregarded.
    pub(super) fn answered(&self, answer: Answer) -> Option<Bucket> {
        let mut kept = self.lock();
        self.memory
            .take(answer.end.error.as_ref().map_or(0, |text| text.len()));
        let bucket = answer.bucket(&kept.facts, self.made);
        kept.answer = Some(answer);
        (!self.is_disregarded()).then_some(bucket)
    }

    /// A copy of what is kept.
    pub(super) fn kept(&self) -> Kept {
        self.lock().clone()
    }

    /// Looks at it without the copy of its parts.
    pub(super) fn look<R>(&self, look: impl FnOnce(&Kept) -> R) -> R {
        look(&self.lock())
    }

    /// Itself, without what `Kept` has.
    fn bytes(&self) -> usize {
        size_of::<Self>() + self.route.len()
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Facts {
    fn bytes(&self) -> usize {
        self.uri.as_ref().map_or(0, |uri| uri.len())
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        let kept = self.lock();
        let spans: usize = kept.spans.iter().map(Span::bytes).sum();
        let error = kept
            .answer
            .as_ref()
            .and_then(|answer| answer.end.error.as_ref())
            .map_or(0, |text| text.len());
        let facts = kept.facts.bytes();
        drop(kept);
        self.memory.give_back(self.bytes() + spans + facts + error);
    }
}

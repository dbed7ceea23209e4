//! A request with what was part of it.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use nexios::{CancelReason, observe::WorkId};

use super::{
    memory::Memory,
    moment::Moment,
    span::{End, Span},
};
use crate::model::{Bucket, State};

/// So many parts of a request are kept.
pub(super) const SPANS: usize = 64;

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
    pub(super) response_bytes: Option<u64>,
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

//! What the pool knows of a job, whatever its closure and result.

use std::sync::OnceLock;

use tokio::time::Instant;

use super::{PoolError, lanes::NOWHERE, lineage::Lineage, shared::Shared};
use crate::{
    CancelReason, CancelToken,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
};

/// A job without its types.
pub(super) trait Work: Send + Sync {
    fn head(&self) -> &Head;

    /// Runs the closure on this thread and hands the outcome to the caller.
    ///
    /// `finish` is called once, after the closure has ended and before the caller can see it.
    fn execute(&self, pool: &Shared, finish: &mut dyn FnMut(Ending));

    /// Drops the closure of a job that was taken out of the queue, and gives its caller the error.
    fn refuse(&self, error: PoolError);

    /// Has the caller's future polled once more.
    fn nudge(&self);
}

/// How a job that was handed to a thread ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// The closure returned or panicked.
    Completed,
    /// The caller went away after a thread came for it and before the closure began.
    Cancelled,
    /// Its time limit had passed before the closure began.
    TooLate,
}

/// The part of a job that does not depend on its types.
pub(super) struct Head {
    /// Index of the job's node in the pool's lanes. Written and read under the pool's lock only.
    place: AtomicUsize,
    /// Set when a thread was free for the job at once: no time limit applies. Written under the pool's
    /// lock before a thread can take the job.
    limitless: AtomicBool,
    /// When the closure began, on the caller's clock.
    started: OnceLock<Instant>,
    /// What the closure of `run_with` watches.
    token: Option<CancelToken>,
    /// Which pools have a thread that waits for this job.
    pub(super) lineage: Lineage,
}

impl Head {
    pub(super) fn new(token: Option<CancelToken>) -> Self {
        Self {
            place: AtomicUsize::new(NOWHERE),
            limitless: AtomicBool::new(false),
            started: OnceLock::new(),
            token,
            lineage: Lineage::new(),
        }
    }

    // Relaxed in these four: the pool's lock orders them.
    pub(super) fn place(&self) -> usize {
        self.place.load(Ordering::Relaxed)
    }

    pub(super) fn set_place(&self, place: usize) {
        self.place.store(place, Ordering::Relaxed);
    }

    pub(super) fn is_limitless(&self) -> bool {
        self.limitless.load(Ordering::Relaxed)
    }

    pub(super) fn set_limitless(&self) {
        self.limitless.store(true, Ordering::Relaxed);
    }

    pub(super) fn started(&self) -> Option<Instant> {
        self.started.get().copied()
    }

    pub(super) fn set_started(&self, now: Instant) {
        // A job starts once; a second write would change nothing.
        let _ = self.started.set(now);
    }

    /// Tells the closure, if it asked for a token, that it may stop.
    pub(super) fn cancel(&self, reason: CancelReason) {
        if let Some(token) = &self.token {
            token.cancel(reason);
        }
    }
}

use std::time::Duration;

use crate::sync::atomic::{AtomicU64, Ordering};

/// What a [`Hedge`](crate::Hedge) has done so far.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct HedgeStats {
    /// Calls that began to run.
    pub calls: u64,
    /// Attempts after the first of their call that started, whether for a delay or a failure.
    pub hedges_started: u64,
    /// Calls that such an attempt won.
    pub hedges_won: u64,
    /// Hedges that did not start at their time because the budget was used up.
    pub hedges_suppressed: u64,
    /// The delay before the next attempt as it is now; `None` while only a failure starts one.
    pub current_delay: Option<Duration>,
}

// Relaxed but for `won`: statistics, nobody synchronises through them.
#[derive(Debug, Default)]
pub(super) struct Counters {
    calls: AtomicU64,
    started: AtomicU64,
    won: AtomicU64,
    suppressed: AtomicU64,
}

impl Counters {
    pub(super) fn called(&self) {
        self.calls.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn hedged(&self) {
        self.started.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn suppressed(&self) {
        self.suppressed.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts the winner of a call; only a later attempt is a hedge.
    pub(super) fn won(&self, index: usize) {
        if index > 0 {
            // Release: who sees the win sees the start before it.
            self.won.fetch_add(1, Ordering::Release);
        }
    }

    pub(super) fn snapshot(&self, current_delay: Option<Duration>) -> HedgeStats {
        // Acquire, and before the starts are read: there are never more wins than starts.
        let hedges_won = self.won.load(Ordering::Acquire);
        HedgeStats {
            calls: self.calls.load(Ordering::Relaxed),
            hedges_started: self.started.load(Ordering::Relaxed),
            hedges_won,
            hedges_suppressed: self.suppressed.load(Ordering::Relaxed),
            current_delay,
        }
    }
}

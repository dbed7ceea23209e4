//! Polls that hold their thread for so long that the tasks beside them wait.

use std::{cell::Cell, time::Duration};

use tokio::time::Instant;

/// A thousand times as long as a poll should take; whoever waits on the same thread can feel it.
const SLOW: Duration = Duration::from_millis(100);

thread_local! {
    /// When a slow poll was last told on this thread.
    static TOLD: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// Takes the time of one poll.
pub(super) struct Stopwatch(Instant);

impl Stopwatch {
    pub(super) fn begin() -> Self {
        Self(Instant::now())
    }

    /// How long the poll took, if it was slow. Of polls within each other the innermost hears of it.
    pub(super) fn end(self) -> Option<Duration> {
        let took = self.0.elapsed();
        if took < SLOW {
            return None;
        }
        // A thread that ends may have lost it, and then says one too many.
        let told = TOLD
            .try_with(|told| told.replace(Some(Instant::now())))
            .ok()
            .flatten();
        told.is_none_or(|told| told < self.0).then_some(took)
    }
}

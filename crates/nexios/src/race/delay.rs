//! When a contender with a delay starts.

use std::time::Duration;

use tokio::time::Instant;

/// The delay that runs: that of the first contender that has not started.
#[derive(Debug, Default)]
pub(super) struct StartDelay {
    /// Its end. `None`: none runs, or it is beyond the end of the clock and never ends.
    pub(super) due: Option<Instant>,
}

impl StartDelay {
    /// Whether the next contender is due; `follows` if the one before it starts right now, and the delay with it.
    pub(super) fn is_over(&mut self, delay: Duration, follows: bool, now: Instant) -> bool {
        if follows {
            self.due = now.checked_add(delay);
        }
        self.due.is_some_and(|due| due <= now)
    }

    /// The contender starts.
    pub(super) fn end(&mut self) {
        self.due = None;
    }
}

//! Times in eight bytes.

use std::{
    num::NonZeroU64,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use tokio::time::Instant;

/// A time since the store was made, to the nanosecond.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Moment(NonZeroU64);

impl Moment {
    pub(super) const FIRST: Self = Self(NonZeroU64::MIN);

    pub(super) fn after(elapsed: Duration) -> Self {
        // A u64 of nanoseconds is good for 584 years.
        let nanoseconds = u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX);
        Self(NonZeroU64::MIN.saturating_add(nanoseconds))
    }

    /// From `earlier` to this; nothing if it was later: threads may look at the clock in another order than they write.
    pub(super) fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.get().saturating_sub(earlier.0.get()))
    }

    pub(super) fn plus(self, span: Duration) -> Self {
        Self::after(self.since(Self::FIRST).saturating_add(span))
    }

    /// Whole seconds since the store was made.
    pub(super) fn second(self) -> u64 {
        self.since(Self::FIRST).as_secs()
    }
}

/// What time it is, and what that is for the world.
#[derive(Debug)]
pub(super) struct Clock {
    made: Instant,
    made_unix: Duration,
}

impl Clock {
    pub(super) fn new() -> Self {
        let made_unix = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Self {
            made: Instant::now(),
            made_unix,
        }
    }

    /// Another time for the world.
    #[cfg(test)]
    pub(super) fn set(&mut self, made_unix: Duration) {
        self.made_unix = made_unix;
    }

    pub(super) fn now(&self) -> Moment {
        Moment::after(self.made.elapsed())
    }

    /// Milliseconds since 1970, by the clock as it was when the store was made: no later setting of it reorders anything.
    pub(super) fn unix_ms(&self, moment: Moment) -> u64 {
        let unix = self.made_unix + moment.since(Moment::FIRST);
        u64::try_from(unix.as_millis()).unwrap_or(u64::MAX)
    }
}

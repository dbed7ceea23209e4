//! Times in eight bytes.

use std::{
    num::NonZeroU64,
    sync::atomic::{AtomicU64, Ordering},
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
    /// Milliseconds since 1970, by the world's clock as it was when it last went another way than ours.
    made_unix_ms: AtomicU64,
    /// Whether it is held, whatever the world says.
    #[cfg(test)]
    held: bool,
}

/// How far the world's clock may be from ours: it is set now and then, and goes on while a machine sleeps and ours does not. Less than
/// that is not worth another time in each row.
const AWAY_MS: u64 = 1_000;

impl Clock {
    pub(super) fn new() -> Self {
        Self {
            made: Instant::now(),
            made_unix_ms: AtomicU64::new(whole_milliseconds(world())),
            #[cfg(test)]
            held: false,
        }
    }

    /// Another time for the world.
    #[cfg(test)]
    pub(super) fn set(&mut self, made_unix: Duration) {
        self.made_unix_ms = AtomicU64::new(whole_milliseconds(made_unix));
        self.held = true;
    }

    pub(super) fn now(&self) -> Moment {
        Moment::after(self.made.elapsed())
    }

    /// Milliseconds since 1970. When the world's clock is set, all moments move together: nothing is reordered.
    pub(super) fn unix_ms(&self, moment: Moment) -> u64 {
        self.made_unix_ms()
            .saturating_add(whole_milliseconds(moment.since(Moment::FIRST)))
    }

    fn made_unix_ms(&self) -> u64 {
        // Relaxed: a number; whoever is a moment late sees the old one.
        let kept = self.made_unix_ms.load(Ordering::Relaxed);
        #[cfg(test)]
        if self.held {
            return kept;
        }
        let now = whole_milliseconds(world().saturating_sub(self.made.elapsed()));
        if now.abs_diff(kept) <= AWAY_MS {
            return kept;
        }
        self.made_unix_ms.store(now, Ordering::Relaxed);
        now
    }
}

/// Since 1970, by the world's clock.
fn world() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}

fn whole_milliseconds(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_that_has_slept_knows_what_time_it_is() {
        const SOON: u64 = 10_000;
        let clock = Clock::new();
        let away = |clock: &Clock| {
            let now = clock.unix_ms(clock.now());
            now.abs_diff(whole_milliseconds(world()))
        };
        let kept = clock.unix_ms(Moment::FIRST);
        assert!(away(&clock) <= SOON);
        // Ours stood still for three hours.
        let slept = 3 * 3_600_000;
        clock.made_unix_ms.fetch_sub(slept, Ordering::Relaxed);
        assert!(away(&clock) <= SOON);
        assert!(clock.unix_ms(Moment::FIRST).abs_diff(kept) <= SOON);
    }
}

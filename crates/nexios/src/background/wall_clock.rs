//! The time of day as a schedule sees it.

use std::time::{Duration, Instant, SystemTime};

use tokio::time;

/// What the system's two clocks show at one moment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reading {
    /// The time of day, which people and programs set.
    pub(super) day: SystemTime,
    /// The clock that only goes on, and stands still while the machine is suspended.
    pub(super) steady: Instant,
}

impl Reading {
    fn of_the_system() -> Self {
        Self { day: SystemTime::now(), steady: Instant::now() }
    }

    /// What the time of day was set forward since `start`, in nanoseconds; negative if it was set back.
    fn jump_since(&self, start: &Self) -> i128 {
        nanos(self.day) - nanos(start.day) - between(start.steady, self.steady)
    }
}

/// The time of day: where it stood at the start, moved on by tokio's clock, and by every jump since.
///
/// While tokio's clock runs, this is the system's time of day. While it is paused, time passes as tokio says.
pub(super) struct WallClock {
    read: Box<dyn Fn() -> Reading + Send>,
    /// What the system's clocks showed at the start.
    start: Reading,
    /// The start on tokio's clock.
    began: time::Instant,
}

impl WallClock {
    /// The system's clock.
    pub(super) fn system() -> Self {
        Self::reading(Reading::of_the_system)
    }

    /// A clock that asks `read` instead of the system.
    pub(super) fn reading(read: impl Fn() -> Reading + Send + 'static) -> Self {
        Self { start: read(), began: time::Instant::now(), read: Box::new(read) }
    }

    /// Nanoseconds since 1970 in UTC.
    pub(super) fn now(&self) -> i128 {
        let passed = signed(self.began.elapsed());
        nanos(self.start.day) + passed + (self.read)().jump_since(&self.start)
    }
}

/// Nanoseconds since 1970 in UTC.
pub(super) fn nanos(day: SystemTime) -> i128 {
    match day.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(after) => signed(after),
        Err(before) => -signed(before.duration()),
    }
}

fn between(from: Instant, to: Instant) -> i128 {
    signed(to.saturating_duration_since(from))
}

fn signed(duration: Duration) -> i128 {
    i128::try_from(duration.as_nanos()).unwrap_or(i128::MAX)
}

//! The time of day as schedules and the list see it.

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
        Self {
            day: SystemTime::now(),
            steady: Instant::now(),
        }
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
    read: Box<dyn Fn() -> Reading + Send + Sync>,
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
    pub(super) fn reading(read: impl Fn() -> Reading + Send + Sync + 'static) -> Self {
        Self {
            start: read(),
            began: time::Instant::now(),
            read: Box::new(read),
        }
    }

    /// Now, in nanoseconds since 1970 in UTC.
    #[cfg(feature = "cron")]
    pub(super) fn now(&self) -> i128 {
        let passed = signed(self.began.elapsed());
        nanos(self.start.day) + passed + (self.read)().jump_since(&self.start)
    }

    /// Looks at the clock once, to tell what time of day several moments were.
    pub(super) fn look(&self) -> TimeOfDay {
        let jump = (self.read)().jump_since(&self.start);
        // Whole seconds: two clocks cannot be read at the same moment, and the answer should not tremble.
        let seconds = u64::try_from(jump.unsigned_abs() / 1_000_000_000).unwrap_or(0);
        let seconds = Duration::from_secs(seconds);
        let start = self.start.day;
        let day = if jump < 0 {
            start.checked_sub(seconds)
        } else {
            start.checked_add(seconds)
        };
        TimeOfDay {
            day: day.unwrap_or(start),
            began: self.began,
        }
    }
}

/// How the time of day goes with tokio's clock, as the system's clock is set at one moment.
#[derive(Debug, Clone, Copy)]
pub(super) struct TimeOfDay {
    day: SystemTime,
    began: time::Instant,
}

impl TimeOfDay {
    /// The time of day at `instant`.
    pub(super) fn at(&self, instant: time::Instant) -> SystemTime {
        self.day
            .checked_add(instant.saturating_duration_since(self.began))
            .unwrap_or(self.day)
    }
}

/// Nanoseconds since 1970 in UTC.
pub(super) fn nanos(day: SystemTime) -> i128 {
    match day.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(after) => signed(after),
        Err(before) => -signed(before.duration()),
    }
}

/// The time of day so many milliseconds after 1970; none where the system has none.
pub(super) fn day_of(milliseconds: i128) -> Option<SystemTime> {
    let length = u64::try_from(milliseconds.unsigned_abs()).ok()?;
    let length = Duration::from_millis(length);
    if milliseconds < 0 {
        SystemTime::UNIX_EPOCH.checked_sub(length)
    } else {
        SystemTime::UNIX_EPOCH.checked_add(length)
    }
}

/// A time in milliseconds since 1970, to the second and in UTC, as in RFC 3339; as a number where that has no words for it,
/// and in a build without calendars.
pub(super) fn utc_text(milliseconds: i128) -> String {
    let seconds = milliseconds.div_euclid(1_000);
    calendar_text(seconds).unwrap_or_else(|| format!("{seconds} s since 1970"))
}

#[cfg(feature = "cron")]
fn calendar_text(seconds: i128) -> Option<String> {
    let seconds = i64::try_from(seconds).ok()?;
    Some(jiff::Timestamp::from_second(seconds).ok()?.to_string())
}

#[cfg(not(feature = "cron"))]
fn calendar_text(_seconds: i128) -> Option<String> {
    None
}

fn between(from: Instant, to: Instant) -> i128 {
    signed(to.saturating_duration_since(from))
}

fn signed(duration: Duration) -> i128 {
    i128::try_from(duration.as_nanos()).unwrap_or(i128::MAX)
}

/// Here and not with the other tests, as it is private to the crate.
#[cfg(test)]
mod tests {
    use super::utc_text;

    #[cfg(feature = "cron")]
    #[test]
    fn a_time_is_written_as_in_rfc_3339() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (-1, "1969-12-31T23:59:59Z"),
            (253_402_300_800, "253402300800 s since 1970"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (951_868_800, "2000-03-01T00:00:00Z"),
            (1_795_869_296, "2026-11-28T12:34:56Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(utc_text(seconds * 1_000 + 999), text);
        }
    }

    #[cfg(not(feature = "cron"))]
    #[test]
    fn a_time_is_a_number_without_calendars() {
        assert_eq!(utc_text(1_795_869_296_999), "1795869296 s since 1970");
    }
}

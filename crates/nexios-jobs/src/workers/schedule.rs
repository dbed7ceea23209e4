//! Cron texts and their times, by the rules of `nexios::Background::cron`. Times are milliseconds since 1970 in UTC.

use cronexpr::{Crontab, FallbackTimezoneOption, MakeTimestamp, ParseOptions, parse_crontab_with};

use crate::error::JobsError;

/// A clock set back further than this was wrong before, from cron(8) of Debian; and times that are so long past when they
/// are found are left out.
pub(super) const CORRECTION: i64 = 3 * 60 * 60 * 1000;

const NANOS: i128 = 1_000_000;

#[derive(Debug)]
pub(super) struct Schedule {
    crontab: Crontab,
}

impl Schedule {
    /// Reads a text that names a time after `now`.
    pub(super) fn read(text: &str, now: i64) -> Result<Self, JobsError> {
        let fault = |reason: String| JobsError::Schedule {
            text: text.to_owned(),
            reason,
        };
        let mut options = ParseOptions::default();
        options.fallback_timezone_option = FallbackTimezoneOption::UTC;
        let crontab =
            parse_crontab_with(text, options).map_err(|error| fault(error.to_string()))?;
        // cronexpr 1.7 takes no day of December for its last one: that of January is not greater.
        let mut fields = text.split_ascii_whitespace();
        let days = [fields.nth(2), fields.nth(1)];
        if days.into_iter().flatten().any(|days| days.contains('L')) {
            return Err(fault("`L`, the last day, is not supported".to_owned()));
        }
        let schedule = Self { crontab };
        match schedule.after(now) {
            Some(_) => Ok(schedule),
            None => Err(fault("it names no time within four years".to_owned())),
        }
    }

    /// The first of its times after `now`; none within four years.
    pub(super) fn after(&self, now: i64) -> Option<i64> {
        let now = MakeTimestamp::from_nanosecond(i128::from(now) * NANOS).ok()?;
        let next = self.crontab.find_next(now).ok()?;
        i64::try_from(next.timestamp().as_nanosecond() / NANOS).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cronexpr::jiff::Timestamp;

    fn at(text: &str) -> i64 {
        text.parse::<Timestamp>().expect("a time").as_millisecond()
    }

    fn after(schedule: &str, now: &str) -> String {
        let schedule = Schedule::read(schedule, at(now)).expect("a schedule");
        let next = schedule.after(at(now)).expect("a time");
        Timestamp::from_millisecond(next)
            .expect("in range")
            .to_string()
    }

    #[test]
    fn times_are_in_utc_unless_told_otherwise() {
        let now = "2026-11-24T00:00:00Z";
        assert_eq!(after("0 3 * * *", now), "2026-11-24T03:00:00Z");
        assert_eq!(
            after("0 9 * * 1 Europe/Berlin", now),
            "2026-11-30T08:00:00Z"
        );
    }

    /// The clocks of Berlin go from 02:00 to 03:00 on 29 March 2026.
    #[test]
    fn a_time_that_the_clocks_skip_does_not_come_that_day() {
        let next = after("30 2 * * * Europe/Berlin", "2026-03-28T12:00:00Z");
        assert_eq!(next, "2026-03-30T00:30:00Z");
    }

    /// They go from 03:00 back to 02:00 on 25 October 2026.
    #[test]
    fn a_time_that_the_clocks_repeat_comes_twice() {
        let text = "30 2 * * * Europe/Berlin";
        assert_eq!(after(text, "2026-10-25T00:00:00Z"), "2026-10-25T00:30:00Z");
        assert_eq!(after(text, "2026-10-25T00:30:00Z"), "2026-10-25T01:30:00Z");
    }

    #[test]
    fn a_text_that_is_no_schedule_says_why() {
        for (text, why) in [
            ("60 0 * * *", "0..=59"),
            ("0 0 L * *", "`L`"),
            ("0 0 30 2 *", "four years"),
            ("0 0 * * * Mars/Olympus", "Mars/Olympus"),
        ] {
            let error = Schedule::read(text, 0).expect_err(text).to_string();
            assert!(error.contains(why) && error.contains(text), "{error}");
        }
    }
}

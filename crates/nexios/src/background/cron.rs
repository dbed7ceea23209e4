//! Cron texts, and when the next of their times comes. All times are nanoseconds since 1970 in UTC.

use std::{error::Error, fmt, time::Duration};

use cronexpr::{Crontab, FallbackTimezoneOption, MakeTimestamp, ParseOptions, parse_crontab_with};

/// How often a schedule looks at the clock, which may have been set.
pub(super) const LOOK_AGAIN: Duration = Duration::from_secs(60);

/// A clock set back further than this was wrong before. From cron(8) of Debian.
const CORRECTION: i128 = 3 * 60 * 60 * 1_000_000_000;

/// Why a text is no schedule; its `Display` shows the place.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use nexios::{Background, BackgroundError};
///
/// let never = Background::new().cron("tidy up", "0 0 30 2 *", |_cx| async {});
/// let Err(BackgroundError::BadSchedule(_, error)) = never else {
///     return Err("February has 30 days".into());
/// };
/// assert_eq!(error.to_string(), "the schedule names no time within four years");
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct CronError {
    cause: CronFault,
}

#[derive(Debug, Clone)]
enum CronFault {
    Text(cronexpr::Error),
    LastDay,
    Never,
}

impl fmt::Display for CronError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.cause {
            CronFault::Text(error) => error.fmt(f),
            CronFault::LastDay => f.write_str("`L`, the last day, is not supported in a schedule"),
            CronFault::Never => f.write_str("the schedule names no time within four years"),
        }
    }
}

impl Error for CronError {}

impl From<CronFault> for CronError {
    fn from(cause: CronFault) -> Self {
        Self { cause }
    }
}

/// The times of one schedule.
#[derive(Debug)]
pub(super) struct Times {
    crontab: Crontab,
    /// No time up to this one will be asked for any more.
    past: i128,
    /// The first time after `past`; none within four years.
    next: Option<i128>,
}

impl Times {
    /// Reads `text`; its first time is one after `now`.
    pub(super) fn read(text: &str, now: i128) -> Result<Self, CronError> {
        let mut options = ParseOptions::default();
        options.fallback_timezone_option = FallbackTimezoneOption::UTC;
        let crontab = parse_crontab_with(text, options).map_err(CronFault::Text)?;
        // cronexpr 1.7 takes no day of December for its last one: that of January is not greater.
        let mut fields = text.split_ascii_whitespace();
        if [fields.nth(2), fields.nth(1)]
            .into_iter()
            .flatten()
            .any(|days| days.contains('L'))
        {
            return Err(CronFault::LastDay.into());
        }
        let mut times = Self {
            crontab,
            past: now,
            next: None,
        };
        times.go_on(now);
        if times.next.is_none() {
            return Err(CronFault::Never.into());
        }
        Ok(times)
    }

    /// Leaves behind what a run has taken up, but for a time that comes just now. A clock that was set back brings
    /// nothing again.
    pub(super) fn skip_until(&mut self, now: i128) {
        let before = now - 1;
        if before > self.past || self.was_wrong(before) {
            self.go_on(before);
        }
    }

    /// Whether `past` was read on a clock that has been corrected since.
    fn was_wrong(&self, now: i128) -> bool {
        self.past.saturating_sub(now) > CORRECTION
    }

    /// The time that comes next; none within four years.
    pub(super) fn next(&self) -> Option<i128> {
        self.next
    }

    /// Leaves everything up to `now` behind.
    fn go_on(&mut self, now: i128) {
        self.past = now;
        let next = MakeTimestamp::from_nanosecond(now).and_then(|now| self.crontab.find_next(now));
        self.next = next.ok().map(|next| next.timestamp().as_nanosecond());
    }

    /// How long to wait before the next look at the clock, or none if it is time; that time has then been.
    pub(super) fn pause(&mut self, now: i128) -> Option<Duration> {
        if self.was_wrong(now) {
            self.go_on(now);
        } else if self.next.is_none() {
            self.go_on(now.max(self.past));
        }
        let Some(next) = self.next else {
            return Some(LOOK_AGAIN);
        };
        if next <= now {
            self.go_on(now);
            return None;
        }
        let left = u64::try_from(next - now).map_or(LOOK_AGAIN, Duration::from_nanos);
        Some(left.min(LOOK_AGAIN))
    }
}

/// Here and not with the other tests, as the arithmetic is private to the crate.
#[cfg(test)]
mod tests {
    use cronexpr::jiff::Timestamp;

    use super::*;

    fn at(text: &str) -> i128 {
        text.parse::<Timestamp>().expect("a time").as_nanosecond()
    }

    /// The first `count` times of `schedule` after `now`, each asked for at the one before.
    fn times(schedule: &str, now: &str, count: usize) -> Vec<String> {
        let mut times = Times::read(schedule, at(now)).expect("a schedule");
        let next = |_| {
            let next = times.next.expect("a next time");
            assert_eq!(times.pause(next), None);
            Timestamp::from_nanosecond(next)
                .expect("in range")
                .to_string()
        };
        (0..count).map(next).collect()
    }

    #[test]
    fn times_are_exact_and_in_utc_unless_told_otherwise() {
        let midnights = ["2026-11-25T00:00:00Z", "2026-11-26T00:00:00Z"];
        assert_eq!(
            times("0 0 * * *", "2026-11-24T23:59:59.999999999Z", 2),
            midnights
        );
        assert_eq!(
            times("0 0 * * *", "2026-11-24T00:00:00Z", 2),
            midnights,
            "later, not at that time"
        );
        assert_eq!(
            times("*/20 8,20 * * *", "2026-12-31T08:30:00Z", 5),
            [
                "2026-12-31T08:40:00Z",
                "2026-12-31T20:00:00Z",
                "2026-12-31T20:20:00Z",
                "2026-12-31T20:40:00Z",
                "2027-01-01T08:00:00Z"
            ]
        );
        assert_eq!(
            times("0 9 * * mon-FRI", "2026-11-27T10:00:00Z", 1),
            ["2026-11-30T09:00:00Z"]
        );
        assert_eq!(
            times("30 6 29 2 *", "2026-11-27T10:00:00Z", 1),
            ["2028-02-29T06:30:00Z"]
        );
        assert_eq!(
            times("0 0 * * * Asia/Kolkata", "2026-11-24T00:00:00Z", 1),
            ["2026-11-24T18:30:00Z"]
        );
        assert_eq!(
            times("0 0 * * * +02:00", "2026-11-24T00:00:00Z", 1),
            ["2026-11-24T22:00:00Z"]
        );
    }

    /// Both day fields: either, unless one begins with a star.
    #[test]
    fn days_match_as_in_vixie_cron() {
        let thirteenth = ["2026-11-27T00:00:00Z", "2026-12-04T00:00:00Z"];
        assert_eq!(times("0 0 13 * 5", "2026-11-24T00:00:00Z", 2), thirteenth);
        assert_eq!(
            times("0 0 */13 * 5", "2026-11-24T00:00:00Z", 1),
            ["2026-11-27T00:00:00Z"]
        );
        assert_eq!(
            times("0 0 */13 * 5", "2026-11-27T00:00:00Z", 1),
            ["2027-01-01T00:00:00Z"]
        );
    }

    /// The clocks of Berlin go from 02:00 to 03:00 on 29 March 2026.
    #[test]
    fn a_time_that_the_clocks_skip_does_not_come_that_day() {
        let daily = ["2026-03-28T01:30:00Z", "2026-03-30T00:30:00Z"];
        assert_eq!(
            times("30 2 * * * Europe/Berlin", "2026-03-28T00:00:00Z", 2),
            daily
        );
        let often = [
            "2026-03-29T00:40:00Z",
            "2026-03-29T01:00:00Z",
            "2026-03-29T01:20:00Z",
        ];
        assert_eq!(
            times("*/20 * * * * Europe/Berlin", "2026-03-29T00:30:00Z", 3),
            often
        );
        // In Santiago it is midnight that is skipped, on 6 September 2026.
        let midnights = ["2026-09-05T04:00:00Z", "2026-09-07T03:00:00Z"];
        assert_eq!(
            times("0 0 * * * America/Santiago", "2026-09-05T00:00:00Z", 2),
            midnights
        );
    }

    /// They go from 03:00 back to 02:00 on 25 October 2026.
    #[test]
    fn a_time_that_the_clocks_repeat_comes_twice() {
        let daily = [
            "2026-10-24T00:30:00Z",
            "2026-10-25T00:30:00Z",
            "2026-10-25T01:30:00Z",
            "2026-10-26T01:30:00Z",
        ];
        assert_eq!(
            times("30 2 * * * Europe/Berlin", "2026-10-24T00:00:00Z", 4),
            daily
        );
    }

    #[test]
    fn a_text_that_is_no_schedule_says_why() {
        for (text, why) in [
            ("", "empty"),
            ("0 0 * *", "day"),
            ("60 0 * * *", "0..=59"),
            ("* * * * * *", "timezone"),
            ("0 0 * * * Mars/Olympus", "Mars/Olympus"),
            ("@daily", "malformed"),
            ("é 0 * * *", "malformed"),
            ("*/0 * * * *", "step"),
            ("0 0 L * *", "`L`"),
            ("0 0 * * 5L", "`L`"),
            ("0 0 30 2 *", "four years"),
        ] {
            let error = Times::read(text, at("2026-11-24T00:00:00Z"))
                .expect_err(text)
                .to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
        assert!(
            Times::read("0 0 * JUL *", 0).is_ok(),
            "an L in a name of a month is none"
        );
    }

    /// No leap year between 2096 and 2104: the next time is too far to be found, and found later.
    #[test]
    fn a_time_that_is_out_of_sight_comes_in_sight() {
        let mut times = Times::read("0 0 29 2 *", at("2096-01-01T00:00:00Z")).expect("a schedule");
        times.go_on(at("2096-02-29T00:00:00Z"));
        assert_eq!(times.pause(at("2097-01-01T00:00:00Z")), Some(LOOK_AGAIN));
        assert_eq!(
            times.pause(at("2104-02-28T23:59:30Z")),
            Some(Duration::from_secs(30))
        );
        assert_eq!(times.pause(at("2104-02-29T00:00:00Z")), None);
    }
}

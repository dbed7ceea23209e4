//! A schedule by the clock on the wall.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use super::super::{Background, BackgroundTask, attempts::AnyValue, wall_clock::Reading};
use super::*;

/// A clock that says it is 10:00:00 in the beginning, until it is set.
#[derive(Clone)]
struct SettableClock {
    reading: Arc<Mutex<Reading>>,
    began: Instant,
    /// The second, as tokio counts, at which each run began.
    runs: Arc<Mutex<Vec<u64>>>,
}

const HOUR: Duration = Duration::from_secs(3600);

impl SettableClock {
    fn at_ten() -> Self {
        let day = SystemTime::UNIX_EPOCH + HOUR * 24 * 20_000 + HOUR * 10;
        let reading = Reading {
            day,
            steady: std::time::Instant::now(),
        };
        Self {
            reading: Arc::new(Mutex::new(reading)),
            began: Instant::now(),
            runs: Arc::default(),
        }
    }

    fn set(&self, change: impl FnOnce(SystemTime) -> SystemTime) {
        let mut reading = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
        reading.day = change(reading.day);
    }

    /// Starts a schedule whose runs take `long`.
    fn start(&self, background: &Background, schedule: &str, long: Duration) -> BackgroundTask<()> {
        let reading = self.reading.clone();
        let clock =
            WallClock::reading(move || *reading.lock().unwrap_or_else(PoisonError::into_inner));
        let (runs, began) = (self.runs.clone(), self.began);
        let run = move |_cx| {
            runs.lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(began.elapsed().as_secs());
            tokio::time::sleep(long)
        };
        background
            .cron_by::<AnyValue, _, _, _>(clock, "cron", schedule, run)
            .expect("admitted")
    }

    fn runs(&self) -> Vec<u64> {
        self.runs
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

const HOURLY: &str = "0 * * * *";

#[tokio::test(start_paused = true)]
async fn a_cron_runs_at_its_times_without_drift() {
    let clock = SettableClock::at_ten();
    let _task = clock.start(&Background::new(), "*/15 * * * *", Duration::from_secs(100));
    sleep(HOUR * 24 * 7).await;
    let quarters: Vec<_> = (1..=4 * 24 * 7).map(|quarter| quarter * 900).collect();
    assert_eq!(
        clock.runs(),
        quarters[..quarters.len() - 1],
        "the last one is due just now"
    );
}

#[tokio::test(start_paused = true)]
async fn runs_of_a_cron_do_not_overlap_and_times_they_take_up_are_skipped() {
    let clock = SettableClock::at_ten();
    let _task = clock.start(&Background::new(), "* * * * *", Duration::from_secs(150));
    sleep(Duration::from_secs(599)).await;
    assert_eq!(clock.runs(), [60, 240, 420]);
}

/// Two hours are passed over, at 10:30, and one run is made for both.
#[tokio::test(start_paused = true)]
async fn a_clock_that_is_set_forward_brings_one_run_within_a_minute() {
    let clock = SettableClock::at_ten();
    let _task = clock.start(&Background::new(), HOURLY, Duration::ZERO);
    sleep(HOUR / 2).await;
    clock.set(|day| day + HOUR * 2);
    sleep(HOUR * 2).await;
    let [made_up, on_time, next] = clock.runs()[..] else {
        panic!("{:?}", clock.runs())
    };
    assert!((1800..=1860).contains(&made_up), "{made_up}");
    assert_eq!((on_time, next), (3600, 7200));
}

/// At 11:30 it is 10:50 again: 11:00 was there before.
#[tokio::test(start_paused = true)]
async fn a_clock_that_is_set_back_a_little_repeats_nothing() {
    let clock = SettableClock::at_ten();
    let _task = clock.start(&Background::new(), HOURLY, Duration::ZERO);
    sleep(HOUR * 3 / 2).await;
    assert_eq!(clock.runs(), [3600]);
    clock.set(|day| day - Duration::from_secs(40 * 60));
    sleep(HOUR * 2).await;
    assert_eq!(
        clock.runs(),
        [3600, 3600 * 2 + 40 * 60],
        "next is 12:00 by the new time"
    );
}

/// At 11:30 it turns out to be 05:50 on the day before.
#[tokio::test(start_paused = true)]
async fn a_clock_that_is_corrected_counts_at_once() {
    let clock = SettableClock::at_ten();
    let _task = clock.start(&Background::new(), HOURLY, Duration::ZERO);
    sleep(HOUR * 3 / 2).await;
    clock.set(|day| day - HOUR * 24 - Duration::from_secs(340 * 60));
    sleep(HOUR).await;
    assert_eq!(clock.runs(), [3600, 5400 + 600], "06:00 by the new time");
}

/// The runs of one schedule within `total`; what `set` does to the clock, it does in a run, ten minutes after
/// 11:00.
async fn runs_of(
    schedule: &str,
    long: Duration,
    total: Duration,
    set: fn(SystemTime) -> SystemTime,
) -> Vec<u64> {
    let clock = SettableClock::at_ten();
    let _task = clock.start(&Background::new(), schedule, long);
    sleep(HOUR + Duration::from_secs(600)).await;
    clock.set(set);
    sleep(total - clock.began.elapsed()).await;
    clock.runs()
}

const MINUTE: Duration = Duration::from_secs(60);

/// 11:10 becomes 10:50, in a run that ends before 11:00 or after it.
#[tokio::test(start_paused = true)]
async fn a_clock_that_is_set_back_during_a_run_repeats_nothing() {
    let back = |day| day - MINUTE * 20;
    for long in [MINUTE * 12, MINUTE * 20, MINUTE * 40] {
        assert_eq!(
            runs_of(HOURLY, long, HOUR * 3, back).await,
            [3600, 8400],
            "a run of {long:?}"
        );
    }
    // At 13:59 it is 12:59 again: 13:00 came during the run.
    let clock = SettableClock::at_ten();
    let _task = clock.start(&Background::new(), HOURLY, HOUR * 3 + MINUTE);
    sleep(HOUR * 3 + MINUTE * 59).await;
    clock.set(|day| day - HOUR);
    sleep(HOUR * 2).await;
    assert_eq!(
        clock.runs(),
        [3600, 3600 * 5],
        "next is 14:00 by the new time"
    );
}

/// Over three hours are a correction: 11:10 was 06:40 in truth, and 07:00 comes next.
#[tokio::test(start_paused = true)]
async fn a_clock_that_is_corrected_during_a_run_counts_at_once() {
    let corrected = |day| day - MINUTE * 270;
    let runs = runs_of(HOURLY, MINUTE * 12, HOUR * 3, corrected).await;
    assert_eq!(runs, [3600, 3600 + 1800, 3600 * 2 + 1800]);
    let three_hours = |day| day - HOUR * 3;
    let runs = runs_of(HOURLY, MINUTE * 12, HOUR * 6, three_hours).await;
    assert_eq!(
        runs,
        [3600, 3600 * 5],
        "three hours are none: next is 12:00 by the new time"
    );
}

/// 11:10 becomes 13:10: the run has taken up 12:00 and 13:00.
#[tokio::test(start_paused = true)]
async fn times_that_are_passed_over_during_a_run_are_skipped() {
    let forward = |day| day + HOUR * 2;
    assert_eq!(
        runs_of(HOURLY, MINUTE * 12, HOUR * 3, forward).await,
        [3600, 7200]
    );
}

#[tokio::test(start_paused = true)]
async fn a_time_that_comes_as_a_run_ends_is_not_lost() {
    let clock = SettableClock::at_ten();
    let _task = clock.start(&Background::new(), "* * * * *", MINUTE);
    sleep(MINUTE * 5 - Duration::from_secs(1)).await;
    assert_eq!(clock.runs(), [60, 120, 180, 240]);
    let clock = SettableClock::at_ten();
    let _task = clock.start(&Background::new(), "* * * * *", MINUTE * 2);
    sleep(MINUTE * 8 - Duration::from_secs(1)).await;
    assert_eq!(clock.runs(), [60, 180, 300, 420]);
}

/// Though it is time for the next one.
#[tokio::test(start_paused = true)]
async fn no_run_begins_as_one_ends_once_the_schedule_is_cancelled() {
    let clock = SettableClock::at_ten();
    let background = Background::new();
    let task = clock.start(&background, "* * * * *", MINUTE);
    sleep(MINUTE + Duration::from_secs(30)).await;
    task.cancel();
    assert!(task.await.is_err());
    assert_eq!(clock.runs(), [60]);
}

/// In Berlin it is 03:00 instead of 02:00 on 29 March 2026, and 02:00 instead of 03:00 on 25 October.
#[tokio::test(start_paused = true)]
async fn the_change_to_summer_time_during_a_run_is_no_correction() {
    let hourly = "0 * * * * Europe/Berlin";
    for day in ["2026-03-28T23:00:00Z", "2026-10-24T22:00:00Z"] {
        let clock = SettableClock::at_ten();
        let day: cronexpr::jiff::Timestamp = day.parse().expect("a time");
        clock.set(|_| SystemTime::from(day));
        let _task = clock.start(&Background::new(), hourly, MINUTE * 30);
        sleep(HOUR * 4 + MINUTE).await;
        assert_eq!(clock.runs(), [3600, 7200, 10_800, 14_400]);
    }
}

/// Time that tokio's clock lets pass is seen on the clock, a jump is not mistaken for it.
#[tokio::test(start_paused = true)]
async fn the_wall_clock_adds_jumps_to_the_time_that_passed() {
    let clock = SettableClock::at_ten();
    let reading = clock.reading.clone();
    let wall = WallClock::reading(move || *reading.lock().unwrap_or_else(PoisonError::into_inner));
    let start = wall.now();
    sleep(HOUR).await;
    assert_eq!(wall.now() - start, 3_600_000_000_000);
    clock.set(|day| day - HOUR / 4);
    assert_eq!(wall.now() - start, 2_700_000_000_000);
    // As it is on a clock that runs: both clocks of the system go on together.
    {
        let mut reading = clock.reading.lock().unwrap_or_else(PoisonError::into_inner);
        reading.day += HOUR;
        reading.steady += HOUR;
    }
    assert_eq!(wall.now() - start, 2_700_000_000_000);
}

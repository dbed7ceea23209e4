//! Tasks that run again and again: one live task for each schedule, which runs the closure itself, so two
//! runs never overlap.

use std::{future::Future, panic::AssertUnwindSafe, pin::pin, sync::Arc, time::Duration};

use futures_util::{
    FutureExt,
    future::{Either, select},
};
#[cfg(feature = "cron")]
use tokio::time::sleep;
use tokio::time::{Instant, sleep_until};

use crate::cancel::TokenSource;

use super::{
    clock::later,
    context::TaskContext,
    driver::Work,
    info::TaskState,
    outcome::{Outcome, panic_text},
    record::Record,
    registry::Registry,
    report,
};
#[cfg(feature = "cron")]
use super::{cron::Times, wall_clock::WallClock};

/// Runs `closure` every `period`, at whole periods after the first poll; periods that a run takes up are
/// skipped.
pub(super) fn every<F, Fut>(
    registry: &Arc<Registry>,
    record: &Arc<Record>,
    period: Duration,
    closure: F,
) -> Work<()>
where
    F: FnMut(TaskContext) -> Fut + Send + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    let mut runs = Runs { registry: registry.clone(), record: record.clone(), closure, run: 0 };
    Box::pin(async move {
        let mut next = later(Instant::now(), period);
        loop {
            if let Some(end) = runs.wait(sleep_until(next)).await {
                return end;
            }
            runs.start().await;
            next = following(next, period, Instant::now());
        }
    })
}

/// Runs `closure` whenever `clock` shows one of `times`.
#[cfg(feature = "cron")]
pub(super) fn cron<F, Fut>(
    registry: &Arc<Registry>,
    record: &Arc<Record>,
    clock: WallClock,
    mut times: Times,
    closure: F,
) -> Work<()>
where
    F: FnMut(TaskContext) -> Fut + Send + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    let mut runs = Runs { registry: registry.clone(), record: record.clone(), closure, run: 0 };
    Box::pin(async move {
        loop {
            while let Some(pause) = times.pause(clock.now()) {
                if let Some(end) = runs.wait(sleep(pause)).await {
                    return end;
                }
            }
            runs.start().await;
            times.go_on(clock.now());
        }
    })
}

/// The first whole period after `last` that is still to come at `now`.
///
/// tokio's `Interval` cannot do this: it makes up for missed ticks with one at once, off the grid.
fn following(last: Instant, period: Duration, now: Instant) -> Instant {
    let into_period = now.saturating_duration_since(last).as_nanos() % period.as_nanos();
    later(now, period - Duration::from_nanos(u64::try_from(into_period).unwrap_or(u64::MAX)))
}

/// The runs of one schedule.
struct Runs<F> {
    registry: Arc<Registry>,
    record: Arc<Record>,
    closure: F,
    /// The number of the latest run.
    run: u32,
}

impl<F, Fut> Runs<F>
where
    F: FnMut(TaskContext) -> Fut + Send,
    Fut: Future<Output = ()> + Send,
{
    /// Waits for the time of the next run; the outcome of the task if it ends instead.
    async fn wait<R>(&mut self, tick: impl Future<Output = R>) -> Option<Outcome<()>> {
        let token = self.record.token();
        let cancelled = pin!(token.cancelled());
        let closing = pin!(self.registry.closing().cancelled());
        match select(select(cancelled, closing), pin!(tick)).await {
            Either::Left((Either::Left(_), _)) => Some(Outcome::Cancelled),
            // Between two runs there is nothing to cut off: a shutdown is its proper end.
            Either::Left((Either::Right(_), _)) => Some(Outcome::Completed(())),
            Either::Right(_) => None,
        }
    }

    /// Runs the closure once; a panic ends this run only.
    async fn start(&mut self) {
        self.run = self.run.saturating_add(1);
        self.record.set_attempt(self.run);
        let context = TaskContext::new(self.record.clone(), self.run);
        let closure = &mut self.closure;
        let work = async move { closure(context).await };
        if let Err(payload) = AssertUnwindSafe(work).catch_unwind().await {
            self.registry.count_panicked_run(&self.record, panic_text(payload));
            report::failure(
                &self.registry,
                &super::TaskInfo { state: TaskState::Panicked, ..self.registry.info(&self.record) },
            );
            self.registry.reported();
        }
    }
}

/// Here and not with the other tests, as the clock is private to the crate.
#[cfg(all(test, feature = "cron"))]
mod tests {
    use std::{
        sync::{Mutex, PoisonError},
        time::{Duration, SystemTime},
    };

    use super::super::{Background, BackgroundTask, wall_clock::Reading};
    use super::*;

    /// A clock that says it is 10:00:00 in the beginning, until it is set.
    #[derive(Clone)]
    struct Clock {
        reading: Arc<Mutex<Reading>>,
        began: Instant,
        /// The second, as tokio counts, at which each run began.
        runs: Arc<Mutex<Vec<u64>>>,
    }

    const HOUR: Duration = Duration::from_secs(3600);

    impl Clock {
        fn at_ten() -> Self {
            let day = SystemTime::UNIX_EPOCH + HOUR * 24 * 20_000 + HOUR * 10;
            let reading = Reading { day, steady: std::time::Instant::now() };
            Self { reading: Arc::new(Mutex::new(reading)), began: Instant::now(), runs: Arc::default() }
        }

        fn set(&self, change: impl FnOnce(SystemTime) -> SystemTime) {
            let mut reading = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
            reading.day = change(reading.day);
        }

        /// Starts a schedule whose runs take `long`.
        fn start(&self, background: &Background, schedule: &str, long: Duration) -> BackgroundTask<()> {
            let reading = self.reading.clone();
            let clock = WallClock::reading(move || *reading.lock().unwrap_or_else(PoisonError::into_inner));
            let (runs, began) = (self.runs.clone(), self.began);
            let run = move |_cx| {
                runs.lock().unwrap_or_else(PoisonError::into_inner).push(began.elapsed().as_secs());
                tokio::time::sleep(long)
            };
            background.cron_by(clock, "cron", schedule, run).expect("admitted")
        }

        fn runs(&self) -> Vec<u64> {
            self.runs.lock().unwrap_or_else(PoisonError::into_inner).clone()
        }
    }

    const HOURLY: &str = "0 * * * *";

    #[tokio::test(start_paused = true)]
    async fn a_cron_runs_at_its_times_without_drift() {
        let clock = Clock::at_ten();
        let _task = clock.start(&Background::new(), "*/15 * * * *", Duration::from_secs(100));
        sleep(HOUR * 24 * 7).await;
        let quarters: Vec<_> = (1..=4 * 24 * 7).map(|quarter| quarter * 900).collect();
        assert_eq!(clock.runs(), quarters[..quarters.len() - 1], "the last one is due just now");
    }

    #[tokio::test(start_paused = true)]
    async fn runs_of_a_cron_do_not_overlap_and_times_they_take_up_are_skipped() {
        let clock = Clock::at_ten();
        let _task = clock.start(&Background::new(), "* * * * *", Duration::from_secs(150));
        sleep(Duration::from_secs(599)).await;
        assert_eq!(clock.runs(), [60, 240, 420]);
    }

    /// Two hours are passed over, at 10:30, and one run is made for both.
    #[tokio::test(start_paused = true)]
    async fn a_clock_that_is_set_forward_brings_one_run_within_a_minute() {
        let clock = Clock::at_ten();
        let _task = clock.start(&Background::new(), HOURLY, Duration::ZERO);
        sleep(HOUR / 2).await;
        clock.set(|day| day + HOUR * 2);
        sleep(HOUR * 2).await;
        let [made_up, on_time, next] = clock.runs()[..] else { panic!("{:?}", clock.runs()) };
        assert!((1800..=1860).contains(&made_up), "{made_up}");
        assert_eq!((on_time, next), (3600, 7200));
    }

    /// At 11:30 it is 10:50 again: 11:00 was there before.
    #[tokio::test(start_paused = true)]
    async fn a_clock_that_is_set_back_a_little_repeats_nothing() {
        let clock = Clock::at_ten();
        let _task = clock.start(&Background::new(), HOURLY, Duration::ZERO);
        sleep(HOUR * 3 / 2).await;
        assert_eq!(clock.runs(), [3600]);
        clock.set(|day| day - Duration::from_secs(40 * 60));
        sleep(HOUR * 2).await;
        assert_eq!(clock.runs(), [3600, 3600 * 2 + 40 * 60], "next is 12:00 by the new time");
    }

    /// At 11:30 it turns out to be 05:50 on the day before.
    #[tokio::test(start_paused = true)]
    async fn a_clock_that_is_corrected_counts_at_once() {
        let clock = Clock::at_ten();
        let _task = clock.start(&Background::new(), HOURLY, Duration::ZERO);
        sleep(HOUR * 3 / 2).await;
        clock.set(|day| day - HOUR * 24 - Duration::from_secs(340 * 60));
        sleep(HOUR).await;
        assert_eq!(clock.runs(), [3600, 5400 + 600], "06:00 by the new time");
    }

    /// Time that tokio's clock lets pass is seen on the clock, a jump is not mistaken for it.
    #[tokio::test(start_paused = true)]
    async fn the_wall_clock_adds_jumps_to_the_time_that_passed() {
        let clock = Clock::at_ten();
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
}

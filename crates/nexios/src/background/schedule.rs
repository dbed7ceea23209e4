//! Tasks that run again and again.
//!
//! # Invariants
//!
//! 1. A schedule is one live task, which runs the closure itself, so two runs never overlap.
//! 2. No time comes twice, and none is lost but those that a run takes up.
//! 3. No run begins once the task is cancelled or a drain has begun.
//! 4. A panic and an error end their run only.
//! 5. Before each wait it says when the next run begins, if that is news; and of each run that it begins. So whoever listens knows
//!    whether a run is under way.

use std::{future::Future, panic::AssertUnwindSafe, pin::pin, sync::Arc, time::Duration};

use futures_util::{
    FutureExt,
    future::{BoxFuture, Either, select},
};
#[cfg(feature = "cron")]
use tokio::time::sleep;
use tokio::time::{Instant, sleep_until};

use crate::{cancel::TokenSource, punctual::punctual, work::concurrent::Saying};

use super::{
    attempts::Judge,
    context::TaskContext,
    driver::EndGuard,
    exit::{Exit, panic_text},
    info::{TaskInfo, TaskState},
    notices,
    record::Record,
    registry::{Registry, Shown},
    runtime::later,
    wall_clock::{day_of, nanos, utc_text},
};
#[cfg(feature = "cron")]
use super::{
    cron::{LOOK_AGAIN, Times},
    wall_clock::WallClock,
};

/// Runs `closure` every `period`, at whole periods after the first poll; periods that a run takes up are
/// skipped.
pub(super) fn every<J, R, F, Fut>(
    end: &EndGuard,
    period: Duration,
    closure: F,
) -> BoxFuture<'static, Exit<()>>
where
    J: Judge<R>,
    F: FnMut(TaskContext) -> Fut + Send + 'static,
    Fut: Future<Output = R> + Send + 'static,
{
    let mut runs = Runs::new(end, closure);
    Box::pin(async move {
        // From the first poll: a schedule may have waited for its slot.
        let mut next = later(Instant::now(), period);
        loop {
            let day = runs.registry.clock().look();
            runs.say_next(nanos(day.at(next)));
            if let Some(end) = runs.wait(sleep_until(next)).await {
                return end;
            }
            runs.start::<J, _, _>().await;
            // From the time at which it was due and not from the end of the run, which would drift.
            next = following(next, period, Instant::now());
        }
    })
}

/// Runs `closure` whenever `clock` shows one of `times`.
#[cfg(feature = "cron")]
pub(super) fn cron<J, R, F, Fut>(
    end: &EndGuard,
    clock: WallClock,
    mut times: Times,
    closure: F,
) -> BoxFuture<'static, Exit<()>>
where
    J: Judge<R>,
    F: FnMut(TaskContext) -> Fut + Send + 'static,
    Fut: Future<Output = R> + Send + 'static,
{
    let mut runs = Runs::new(end, closure);
    Box::pin(async move {
        loop {
            // No timer tells of a clock that is set: after each pause, a minute at the most, it is looked at again.
            while let Some(pause) = times.pause(clock.now()) {
                if let Some(next) = times.next() {
                    runs.say_next(next);
                }
                if let Some(end) = runs.wait(sleep(pause)).await {
                    return end;
                }
            }
            // It may be time already as a run ends.
            if let Some(end) = runs.wait(std::future::ready(())).await {
                return end;
            }
            let mut run = pin!(runs.start::<J, _, _>());
            // The clock may be set during a run, and what it has shown does not come again.
            while let Either::Right(_) =
                select(run.as_mut(), pin!(punctual(sleep(LOOK_AGAIN)))).await
            {
                times.skip_until(clock.now());
            }
            // What came since the last look is taken up by the run as well.
            times.skip_until(clock.now());
        }
    })
}

/// The first whole period after `last` that has not begun before `now`.
///
/// tokio's `Interval` cannot do this: it makes up for missed ticks with one at once, off the grid.
fn following(last: Instant, period: Duration, now: Instant) -> Instant {
    let passed = now.saturating_duration_since(last).as_nanos();
    if passed == 0 {
        return later(last, period);
    }
    let into_period = passed % period.as_nanos();
    let left = if into_period == 0 {
        0
    } else {
        period.as_nanos() - into_period
    };
    later(
        now,
        Duration::from_nanos(u64::try_from(left).unwrap_or(u64::MAX)),
    )
}

/// The runs of one schedule.
struct Runs<F> {
    registry: Arc<Registry>,
    record: Arc<Record>,
    closure: F,
    /// The number of the latest run.
    run: u32,
}

impl<F> Runs<F> {
    fn new(end: &EndGuard, closure: F) -> Self {
        Self {
            registry: end.registry.clone(),
            record: end.record.clone(),
            closure,
            run: 0,
        }
    }

    /// Says when the next run begins, in nanoseconds since 1970; nothing after one in which it was cancelled.
    fn say_next(&self, next: i128) {
        if self.run > 0 && self.record.is_cancelled() {
            return;
        }
        let next = next.div_euclid(1_000_000);
        let work = &self.record.work;
        if !self.record.set_next_run(day_of(next)) || !work.is_observed() {
            return;
        }
        work.said(|| Saying::Message(format!("next run at {}", utc_text(next))));
        work.said(|| Saying::Attribute {
            name: "next_unix_ms",
            value: next.to_string(),
        });
    }

    /// Waits for the time of the next run; the outcome of the task if it ends instead.
    async fn wait<R>(&mut self, tick: impl Future<Output = R>) -> Option<Exit<()>> {
        // Before the time: a run that is due as the task is cancelled, or as a drain begins, does not begin.
        let token = self.record.token();
        let cancelled = pin!(token.cancelled());
        let closing = pin!(self.registry.closing().cancelled());
        match select(select(cancelled, closing), pin!(punctual(tick))).await {
            Either::Left((Either::Left(_), _)) => Some(Exit::Cancelled),
            // Between two runs there is nothing to cut off: a shutdown is its proper end.
            Either::Left((Either::Right(_), _)) => Some(Exit::Completed(())),
            Either::Right(_) => None,
        }
    }

    /// Runs the closure once; a panic and an error end this run only.
    async fn start<J, R, Fut>(&mut self)
    where
        J: Judge<R>,
        F: FnMut(TaskContext) -> Fut,
        Fut: Future<Output = R>,
    {
        self.run = self.run.saturating_add(1);
        self.record.set_attempt(self.run);
        let context = TaskContext::new(self.record.clone(), self.run);
        let closure = &mut self.closure;
        // Called within what is caught: the closure may panic before there is a future, and so may the end of its value.
        let work = async move {
            match J::judge(closure(context).await) {
                Exit::Failed(_, error) => Some(error),
                _ => None,
            }
        };
        let (state, error) = match AssertUnwindSafe(work).catch_unwind().await {
            Ok(None) => return,
            // As with any task, an error after the cancel is no failure.
            Ok(Some(_)) if self.record.is_cancelled() => return,
            Ok(Some(error)) => (TaskState::Failed, error),
            Err(payload) => (TaskState::Panicked, panic_text(payload)),
        };
        self.record.set_error(error);
        // Before the hook: a drain waits until it has returned.
        self.registry.count_failed_run(state);
        // The run has failed; the task itself goes on.
        let task = self.registry.info(Shown::Live(self.record.clone()));
        notices::failure(
            &self.registry.hook,
            &TaskInfo {
                state,
                cancelling: None,
                ..task
            },
        );
        self.registry.gone();
    }
}

/// Here and not with the other tests, as the clock is private to the crate.
#[cfg(all(test, feature = "cron"))]
mod tests;

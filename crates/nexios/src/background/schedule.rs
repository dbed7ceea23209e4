//! Tasks that run again and again: one live task for each schedule, which runs the closure itself, so two
//! runs never overlap.

use std::{future::Future, panic::AssertUnwindSafe, pin::pin, sync::Arc, time::Duration};

use futures_util::{
    FutureExt,
    future::{Either, select},
};
use tokio::time::{Instant, sleep_until};

use crate::{CancelScope, cancel::TokenSource};

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
    let scope = CancelScope::on_demand(record.clone(), None);
    Box::pin(scope.run(async move {
        let mut next = later(Instant::now(), period);
        loop {
            if let Some(end) = runs.wait(sleep_until(next)).await {
                return end;
            }
            runs.start().await;
            next = following(next, period, Instant::now());
        }
    }))
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
                &super::TaskInfo { state: TaskState::Panicked, ..self.record.info() },
            );
            self.registry.reported();
        }
    }
}

//! How a model is run.

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    sync::{PoisonError, RwLock},
    task::Poll,
};

use shuttle::{
    Config, Runner,
    scheduler::{PctScheduler, RandomScheduler, Scheduler},
};

/// Schedules of each kind.
const SCHEDULES: usize = 1000;
/// How many places of a schedule the second kind picks to change to another thread.
const SWITCHES: usize = 3;

/// Who observes hears of all models at once, and changes what they do: they are not run beside it.
static OBSERVED: RwLock<()> = RwLock::new(());

/// Runs a model that observes, and no other meanwhile.
pub(crate) fn check_observed(model: fn()) {
    let _alone = OBSERVED.write().unwrap_or_else(PoisonError::into_inner);
    run_all(model);
}

/// Runs `model` under random schedules, and under ones that seldom change the thread.
pub(crate) fn check(model: fn()) {
    let _beside_others = OBSERVED.read().unwrap_or_else(PoisonError::into_inner);
    run_all(model);
}

fn run_all(model: fn()) {
    run(RandomScheduler::new(SCHEDULES), model);
    run(PctScheduler::new(SWITCHES, SCHEDULES), model);
}

fn run(scheduler: impl Scheduler + 'static, model: fn()) {
    let mut config = Config::new();
    // An unoptimised build with a panic on its way needs more than the 32 KiB of the default.
    config.stack_size = 256 * 1024;
    Runner::new(scheduler, config).run(model);
}

/// Polls a future once; its waker is told nothing any more when it is dropped.
pub(crate) async fn poll_once<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
    poll_fn(|cx| match Pin::new(&mut *future).poll(cx) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}

//! How a model is run.

use std::{
    future::{Future, poll_fn},
    pin::Pin,
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

/// Runs `model` under random schedules, and under ones that seldom change the thread.
pub(crate) fn check(model: fn()) {
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

//! Who runs the tasks, and by which clock: tokio, or in a build with `--cfg nexios_shuttle` the model checker. The clock
//! stands still there: a limit of zero has passed, and any other never does.

use std::{future::Future, time::Duration};

use tokio::time::Instant;

#[cfg(nexios_shuttle)]
pub(super) use shuttle::future::{JoinHandle, spawn};
#[cfg(not(nexios_shuttle))]
pub(super) use tokio::{spawn, task::JoinHandle};

/// Stands for "no limit": as far away as tokio's own clock looks.
const FAR_AWAY: Duration = Duration::from_secs(60 * 60 * 24 * 365 * 30);

/// Panics as `spawn` does if this is no place to call it.
#[track_caller]
pub(super) fn require() {
    // In a task there is a runtime, and a handle of it is not for nothing.
    #[cfg(not(nexios_shuttle))]
    if tokio::task::try_id().is_none() {
        drop(tokio::runtime::Handle::current());
    }
}

/// Panics where there is no clock to wait for.
pub(super) fn require_clock() {
    #[cfg(not(nexios_shuttle))]
    drop(tokio::time::sleep(Duration::ZERO));
}

/// A place where a model may change the thread; tokio's own parts, which come next, have none.
pub(super) fn others_may_go_on() {
    #[cfg(nexios_shuttle)]
    shuttle::sync::atomic::AtomicBool::new(false).load(std::sync::atomic::Ordering::SeqCst);
}

/// `instant` plus `duration`, or a moment that never comes.
pub(super) fn later(instant: Instant, duration: Duration) -> Instant {
    instant
        .checked_add(duration.min(FAR_AWAY))
        .unwrap_or(instant)
}

pub(super) fn now() -> Instant {
    #[cfg(nexios_shuttle)]
    {
        static NOW: std::sync::LazyLock<Instant> = std::sync::LazyLock::new(Instant::now);
        *NOW
    }
    #[cfg(not(nexios_shuttle))]
    Instant::now()
}

/// Waits for `change`, but not longer than until `limit`.
pub(super) async fn wait_until(limit: Instant, change: impl Future<Output = ()>) {
    if cfg!(nexios_shuttle) {
        change.await;
    } else {
        let _ = crate::punctual::punctual(tokio::time::timeout_at(limit, change)).await;
    }
}

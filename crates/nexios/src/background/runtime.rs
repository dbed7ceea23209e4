//! Who runs the drivers: tokio, or the model checker in a build with `--cfg nexios_shuttle`.

#[cfg(nexios_shuttle)]
pub(super) use shuttle::future::{JoinHandle, spawn};
#[cfg(not(nexios_shuttle))]
pub(super) use tokio::{spawn, task::JoinHandle};

/// Panics as `spawn` does if this is no place to call it.
#[track_caller]
pub(super) fn require() {
    // In a task there is a runtime, and a handle of it is not for nothing.
    #[cfg(not(nexios_shuttle))]
    if tokio::task::try_id().is_none() {
        drop(tokio::runtime::Handle::current());
    }
}

/// A place where a model may change the thread; tokio's own parts, which come next, have none.
pub(super) fn others_may_go_on() {
    #[cfg(nexios_shuttle)]
    shuttle::sync::atomic::AtomicBool::new(false).load(std::sync::atomic::Ordering::SeqCst);
}

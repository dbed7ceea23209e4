//! Whose code runs on this thread.

use std::cell::Cell;

use crate::sync::thread_local;

use super::info::TaskId;

/// The task that is being polled or dropped here.
type Current = Cell<Option<TaskId>>;

#[cfg(not(nexios_shuttle))]
thread_local! {
    static CURRENT: Current = const { Cell::new(None) };
}

// The model checker's macro takes no const block.
#[cfg(nexios_shuttle)]
thread_local! {
    static CURRENT: Current = Cell::new(None);
}

/// Calls `f`, which must not panic, as code of the task `id`.
pub(super) fn enter<R>(id: TaskId, f: impl FnOnce() -> R) -> R {
    // A thread that ends may have lost it, and then nobody looks.
    let outer = CURRENT
        .try_with(|current| current.replace(Some(id)))
        .unwrap_or_default();
    let result = f();
    let _ = CURRENT.try_with(|current| current.set(outer));
    result
}

/// The task whose code calls this, if it is one's.
pub(super) fn task() -> Option<TaskId> {
    CURRENT.try_with(Cell::get).ok().flatten()
}

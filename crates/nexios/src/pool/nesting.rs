//! Which pools' jobs run on this thread. What is awaited here must not wait for a thread that may be this one.

use std::cell::RefCell;

use crate::sync::thread_local;

thread_local! {
    #[allow(clippy::missing_const_for_thread_local, reason = "the model checker's macro takes no const block")]
    /// The pool of each job that runs on this thread, the innermost last.
    static RUNNING: RefCell<Vec<u64>> = RefCell::new(Vec::new());
}

/// Calls `run` as a job of a pool.
pub(super) fn running<R>(pool: u64, run: impl FnOnce() -> R) -> R {
    struct Pop;
    impl Drop for Pop {
        fn drop(&mut self) {
            RUNNING.with(|running| running.borrow_mut().pop());
        }
    }
    RUNNING.with(|running| running.borrow_mut().push(pool));
    let _pop = Pop;
    run()
}

/// Whether this thread runs a job of any pool.
pub(super) fn is_pool_thread() -> bool {
    // The list is gone when the thread ends.
    RUNNING
        .try_with(|running| !running.borrow().is_empty())
        .unwrap_or(false)
}

/// How many jobs of this pool run on this thread.
pub(super) fn running_here(pool: u64) -> usize {
    RUNNING
        .try_with(|running| running.borrow().iter().filter(|id| **id == pool).count())
        .unwrap_or(0)
}

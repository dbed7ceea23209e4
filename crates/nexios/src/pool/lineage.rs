//! Who waits for whom: finds the jobs that a pool's own threads are blocked on.
//!
//! A future of a pool job that is polled on a pool thread is a wait of the job that runs there. The job
//! polled then inherits the pools of that job: if one of them is its own pool, it must not stay in a queue
//! that only blocked threads could serve. A job inherits through other pools as well, and hands on what it
//! inherits later to the jobs that it already waits for.
//!
//! # Invariants
//!
//! 1. A wait is noted and the waiter's pools are read under one lock, and the other way round when pools
//!    are added; so whichever comes second sees the first.
//! 2. No two lineage locks are held at once, and none together with a pool's lock.

use std::{
    cell::RefCell,
    sync::{Arc, PoisonError, Weak},
};

use super::{shared::Shared, work::Work};
use crate::sync::{Mutex, MutexGuard, thread_local};

thread_local! {
    /// The jobs that run on this thread, the innermost last.
    #[allow(clippy::missing_const_for_thread_local, reason = "the model checker's macro takes no const block")]
    static RUNNING: RefCell<Vec<(u64, Arc<dyn Work>)>> = RefCell::new(Vec::new());
}

/// What one job knows of waits.
pub(super) struct Lineage {
    waits: Mutex<Waits>,
}

#[derive(Default)]
struct Waits {
    /// Pools with a thread that is blocked until this job ends, directly or through other jobs.
    pools: Vec<u64>,
    /// Unfinished jobs whose futures were polled by this one.
    jobs: Vec<(Weak<Shared>, Weak<dyn Work>)>,
}

impl Lineage {
    pub(super) fn new() -> Self {
        Self { waits: Mutex::new(Waits::default()) }
    }

    fn lock(&self) -> MutexGuard<'_, Waits> {
        // Nothing of the user's runs under this lock, so poisoned lists are still whole.
        self.waits.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs `call` with `job` noted as the one that this thread runs.
pub(super) fn running<R>(pool: u64, job: Arc<dyn Work>, call: impl FnOnce() -> R) -> R {
    struct Pop;
    impl Drop for Pop {
        fn drop(&mut self) {
            let popped = RUNNING.with(|running| running.borrow_mut().pop());
            drop(popped);
        }
    }
    RUNNING.with(|running| running.borrow_mut().push((pool, job)));
    let _pop = Pop;
    call()
}

/// Whether this thread runs a job of any pool.
pub(super) fn is_pool_thread() -> bool {
    RUNNING.try_with(|running| running.try_borrow().is_ok_and(|running| !running.is_empty())).unwrap_or(false)
}

/// How many jobs of this pool run on this thread.
pub(super) fn running_here(pool: u64) -> usize {
    RUNNING.with(|running| running.borrow().iter().filter(|(id, _)| *id == pool).count())
}

/// Whether a thread of this pool is blocked until the current job ends.
pub(super) fn is_inside(pool: u64) -> bool {
    let Some((own, current)) = RUNNING.with(|running| running.borrow().last().cloned()) else {
        return false;
    };
    own == pool || current.head().lineage.lock().pools.contains(&pool)
}

/// Notes that the current job waits for `job`; true if a thread of the job's pool is blocked by that.
pub(super) fn wait_for(pool: &Arc<Shared>, job: &Arc<dyn Work>) -> bool {
    let Some((own, current)) = RUNNING.with(|running| running.borrow().last().cloned()) else {
        return false;
    };
    let pools = {
        let mut waits = current.head().lineage.lock();
        let known = Arc::downgrade(job);
        waits.jobs.retain(|(_, job)| job.strong_count() > 0 && !job.ptr_eq(&known));
        waits.jobs.push((Arc::downgrade(pool), known));
        let mut pools = waits.pools.clone();
        if !pools.contains(&own) {
            pools.push(own);
        }
        pools
    };
    let nested = pools.contains(&pool.id);
    let mut heirs = inherit(job, &pools);
    while let Some((pool, job)) = heirs.pop() {
        let more = inherit(&job, &pools);
        if pools.contains(&pool.id) {
            pool.promote_elsewhere(&job);
        }
        heirs.extend(more);
    }
    nested || job.head().lineage.lock().pools.contains(&pool.id)
}

/// Adds `pools` to a job; returns the jobs it waits for if that was news.
fn inherit(job: &Arc<dyn Work>, pools: &[u64]) -> Vec<(Arc<Shared>, Arc<dyn Work>)> {
    let mut waits = job.head().lineage.lock();
    let before = waits.pools.len();
    for id in pools {
        if !waits.pools.contains(id) {
            waits.pools.push(*id);
        }
    }
    if waits.pools.len() == before {
        return Vec::new();
    }
    waits.jobs.iter().filter_map(|(pool, job)| Some((pool.upgrade()?, job.upgrade()?))).collect()
}

use std::borrow::Cow;

use crate::{
    background::{self, BackgroundStats, TaskId},
    hedge::{self, HedgeStats},
    lazy::{self, LazyStats},
    pool::{self, PoolStats},
    work::{
        alive::{Census, LongLived},
        cancellable,
        identity::WorkId,
    },
};

/// Everything long-lived that is alive and has worked at least once, whether anybody observed it or not: [`snapshot`].
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Snapshot {
    /// The thread pools.
    pub pools: Vec<Living<PoolStats>>,
    /// The lazy values, and maps of them.
    pub lazies: Vec<Living<LazyStats>>,
    /// The hedges.
    pub hedges: Vec<Living<HedgeStats>>,
    /// The registries of background tasks.
    pub backgrounds: Vec<Living<BackgroundStats>>,
}

/// A long-lived thing in a [`Snapshot`].
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Living<S> {
    /// Its number, from the same counter as those of work.
    pub id: WorkId,
    /// The given name, else where it was made as `file:line:column`. Several things may have the same.
    pub name: Cow<'static, str>,
    /// What it says of itself.
    pub stats: S,
}

/// Looks at everything long-lived, in the order of its first work.
///
/// ```
/// use nexios::observe;
///
/// # #[tokio::main]
/// # async fn main() {
/// nexios::run_in_threadpool(|| 1 + 1).await;
/// let pools = observe::snapshot().pools;
/// assert!(pools.iter().any(|pool| pool.stats.completed > 0));
/// # }
/// ```
#[must_use]
pub fn snapshot() -> Snapshot {
    Snapshot {
        pools: look(&pool::ALIVE),
        lazies: look(&lazy::ALIVE),
        hedges: look(&hedge::ALIVE),
        backgrounds: look(&background::ALIVE),
    }
}

fn look<T: LongLived + ?Sized>(census: &Census<T>) -> Vec<Living<T::Stats>> {
    let things = census.all().into_iter();
    things
        .map(|(id, thing)| Living {
            id,
            name: thing.name(),
            stats: thing.stats(),
        })
        .collect()
}

/// Cancels a live background task of whatever registry, as its handle would, and other work that says how:
/// [`CustomWork::cancellable`](crate::observe::CustomWork::cancellable). False if there is none with this number.
///
/// ```
/// use nexios::observe::{self, WorkId};
///
/// assert!(!observe::cancel(WorkId(u64::MAX)));
/// ```
pub fn cancel(task: WorkId) -> bool {
    let tasks = background::ALIVE.all();
    tasks.iter().any(|(_, tasks)| tasks.cancel(TaskId(task.0))) || cancellable::cancel(task)
}

/// Resets the lazy value, or all values of the map, with this number; false if there is none.
///
/// ```
/// use nexios::observe::{self, WorkId};
///
/// assert!(!observe::reset(WorkId(u64::MAX)));
/// ```
pub fn reset(lazy: WorkId) -> bool {
    lazy::ALIVE.get(lazy).is_some_and(|lazy| {
        lazy.reset();
        true
    })
}

/// Starts a refresh of the lazy value with this number in the background, on the runtime of the caller; false if there is
/// none, or if it is a map.
///
/// ```
/// use nexios::observe::{self, WorkId};
///
/// assert!(!observe::refresh(WorkId(u64::MAX)));
/// ```
pub fn refresh(lazy: WorkId) -> bool {
    lazy::ALIVE.get(lazy).is_some_and(|lazy| lazy.refresh())
}

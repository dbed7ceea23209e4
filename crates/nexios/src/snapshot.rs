use std::borrow::Cow;

use crate::{
    background::{self, BackgroundStats, TaskId, TaskInfo},
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
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use nexios::{AsyncLazy, ThreadPool, observe};
///
/// let pool = ThreadPool::builder().name("pictures").build();
/// let rates = AsyncLazy::builder(|| async { Ok::<_, std::io::Error>(1.08) }).name("rates").build();
/// pool.run(|| ()).await?;
/// rates.get().await?;
/// let snapshot = observe::snapshot();
/// assert_eq!((&*snapshot.pools[0].name, &*snapshot.lazies[0].name), ("pictures", "rates"));
/// # Ok(())
/// # }
/// ```
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
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), nexios::LazyError<std::io::Error>> {
/// use nexios::{AsyncLazy, observe};
///
/// let rates = AsyncLazy::builder(|| async { Ok::<_, std::io::Error>(1.08) }).name("rates").build();
/// rates.get().await?;
/// let living = &observe::snapshot().lazies[0];
/// assert_eq!((&*living.name, living.stats.computations), ("rates", 1));
/// assert!(observe::reset(living.id)); // what an operator presses
/// assert!(rates.peek().is_none());
/// # Ok(())
/// # }
/// ```
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

/// A background task, and whose it is: [`tasks_before`].
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// use nexios::{Background, observe::{self, WorkId}};
///
/// let mails = Background::builder().name("mails").build();
/// let task = mails.spawn_future("send newsletter", std::future::pending::<()>());
/// let tasks = observe::tasks_before(WorkId(task.id().0 + 1));
/// let found = tasks.iter().find(|found| found.task.id == task.id()).map(|found| &*found.registry);
/// assert_eq!(found, Some("mails"));
/// # }
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RegisteredTask {
    /// The name of its registry, else where that was made as `file:line:column`.
    pub registry: Cow<'static, str>,
    /// What there is to be seen of it.
    pub task: TaskInfo,
}

/// The background tasks of all registries that are alive whose numbers are smaller than `number`, those that have ended and are
/// remembered among them; in the order of their numbers.
///
/// For who begins to observe when there are tasks already, and is told nothing of those: they are before its
/// [`since`](crate::observe::Observing::since). There are as many as the registries admit and remember, and none where somebody
/// observes from the beginning, which costs a look at each entry of the registries.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// use std::sync::Arc;
/// use nexios::{Background, observe::{self, Observer}};
///
/// struct Quiet;
/// impl Observer for Quiet {}
///
/// let background = Background::new();
/// let early = background.spawn_future("early", std::future::pending::<()>());
/// let observing = observe::observe(Arc::new(Quiet));
/// let late = background.spawn_future("late", std::future::pending::<()>());
/// let ids: Vec<_> = observe::tasks_before(observing.since()).iter().map(|found| found.task.id).collect();
/// assert!(ids.contains(&early.id()) && !ids.contains(&late.id()));
/// # }
/// ```
#[must_use]
pub fn tasks_before(number: WorkId) -> Vec<RegisteredTask> {
    let registries = background::ALIVE.all().into_iter();
    let mut tasks: Vec<_> = registries
        .flat_map(|(_, registry)| {
            let tasks = registry.tasks_before(TaskId(number.0)).into_iter();
            let registry = registry.name();
            tasks.map(move |task| RegisteredTask {
                registry: registry.clone(),
                task,
            })
        })
        .collect();
    tasks.sort_unstable_by_key(|found| found.task.id);
    tasks
}

/// Cancels a live background task of whatever registry, as its handle would, and other work that says how:
/// [`CustomWork::cancellable`](crate::observe::CustomWork::cancellable). False if there is none with this number.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// use nexios::{Background, BackgroundFailure, observe::{self, WorkId}};
///
/// let task = Background::new().spawn_future("poll", std::future::pending::<()>());
/// assert!(observe::cancel(WorkId(task.id().0)));
/// assert_eq!(task.await, Err(BackgroundFailure::Cancelled));
/// assert!(!observe::cancel(WorkId(u64::MAX)));
/// # }
/// ```
pub fn cancel(task: WorkId) -> bool {
    let tasks = background::ALIVE.all();
    tasks.iter().any(|(_, tasks)| tasks.cancel(TaskId(task.0))) || cancellable::cancel(task)
}

/// Resets the lazy value, or all values of the map, with this number; false if there is none.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), nexios::LazyError<std::io::Error>> {
/// use nexios::{AsyncLazy, observe::{self, WorkId}};
///
/// let rates = AsyncLazy::new(|| async { Ok::<_, std::io::Error>(1.08) });
/// rates.get().await?;
/// let id = observe::snapshot().lazies[0].id;
/// assert!(observe::reset(id));
/// assert!(rates.peek().is_none());
/// assert!(!observe::reset(WorkId(u64::MAX)));
/// # Ok(())
/// # }
/// ```
pub fn reset(lazy: WorkId) -> bool {
    lazy::ALIVE.get(lazy).is_some_and(|lazy| {
        lazy.reset();
        true
    })
}

/// Starts a refresh of the lazy value with this number in the background, on the runtime of the caller; false if there is
/// none, if it is a map, or without a runtime.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), nexios::LazyError<std::io::Error>> {
/// use std::{io, sync::atomic::{AtomicU32, Ordering}, time::Duration};
/// use nexios::{AsyncLazy, observe};
///
/// static VERSION: AtomicU32 = AtomicU32::new(1);
/// let flags = AsyncLazy::new(|| async { Ok::<_, io::Error>(VERSION.fetch_add(1, Ordering::Relaxed)) });
/// assert_eq!(*flags.get().await?, 1);
/// let id = observe::snapshot().lazies[0].id;
/// assert!(observe::refresh(id));
/// tokio::time::sleep(Duration::from_millis(1)).await; // it is computed meanwhile
/// assert_eq!(*flags.get().await?, 2);
/// # Ok(())
/// # }
/// ```
pub fn refresh(lazy: WorkId) -> bool {
    lazy::ALIVE.get(lazy).is_some_and(|lazy| lazy.refresh())
}

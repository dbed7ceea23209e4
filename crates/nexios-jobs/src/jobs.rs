use std::{borrow::Cow, fmt, sync::Arc};

use nexios::AsyncLazy;
use serde::Serialize;

use crate::{
    engine::{Added, Engine},
    enqueue::JobBuilder,
    error::JobsError,
    filter::Filter,
    handle::JobHandle,
    id::JobId,
    info::{JobInfo, JobPage},
    kind::Kind,
    origin::{self, Traceparent},
    payload,
    signal::Signal,
    transaction::JobTransaction,
    workers::builder::WorkersBuilder,
};

/// A store of jobs. Clones are the same store; it needs no worker in this process.
///
/// Every call waits for a database that is locked or away at most for the store's
/// [patience](crate::JobsBuilder::patience), then it is [`JobsError::Unavailable`]. A change that was begun is done, or not done, as
/// a whole, also when the future is dropped.
///
/// # Examples
///
/// ```
/// use nexios_jobs::{Jobs, Kind, Policy};
///
/// const GREET: Kind<String, String> = Kind::new("greet");
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let jobs = Jobs::memory(); // or Jobs::open("sqlite:newsroom-data/jobs.db").await?
/// let greet = |name: String, _job| async move { Ok::<_, String>(format!("Hello, {name}")) };
/// let _workers = jobs.workers().handle(GREET, Policy::new(), greet).start().await?;
///
/// let job = jobs.enqueue(GREET, &"Ada".to_owned()).await?;
/// assert_eq!(job.wait().await?, "Hello, Ada");
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Jobs {
    engine: Arc<dyn Engine>,
    /// Asked for each job that is enqueued.
    traceparent: Option<Traceparent>,
}

impl fmt::Debug for Jobs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Jobs").field(&self.engine).finish()
    }
}

impl Jobs {
    /// The largest payload: JSON of arguments or output, in bytes.
    ///
    /// # Examples
    ///
    /// ```
    /// use nexios_jobs::{Jobs, JobsError, Kind};
    ///
    /// const STORE: Kind<String> = Kind::new("store");
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// assert_eq!(Jobs::MAX_PAYLOAD, 1024 * 1024);
    /// let picture = "x".repeat(Jobs::MAX_PAYLOAD); // hand over where it is, not what it is
    /// let refused = Jobs::memory().enqueue(STORE, &picture).await;
    /// assert!(matches!(refused, Err(JobsError::PayloadTooLarge { .. })));
    /// # Ok(())
    /// # }
    /// ```
    pub const MAX_PAYLOAD: usize = payload::LIMIT;

    pub(crate) fn with(engine: Arc<dyn Engine>, traceparent: Option<Traceparent>) -> Self {
        Self {
            engine,
            traceparent,
        }
    }

    /// Enqueues a job; it is durable when this returns.
    ///
    /// # Examples
    ///
    /// ```
    /// use nexios_jobs::{Jobs, Kind, Policy};
    ///
    /// const GREET: Kind<String, String> = Kind::new("greet");
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let jobs = Jobs::memory();
    /// let job = jobs.enqueue(GREET, &"Ada".to_owned()).await?; // kept until somebody works
    ///
    /// let greet = |name: String, _job| async move { Ok::<_, String>(format!("Hello, {name}")) };
    /// jobs.workers().handle(GREET, Policy::new(), greet).start().await?;
    /// assert_eq!(job.wait().await?, "Hello, Ada");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Arguments that are no JSON or too large, and those of the database.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it returns, the job may be there or not.
    pub async fn enqueue<A, O>(&self, kind: Kind<A, O>, args: &A) -> Result<JobHandle<O>, JobsError>
    where
        A: Serialize + Sync,
    {
        self.task(kind).enqueue(args).await
    }

    /// Enqueues many jobs, all or none, in one round trip; the handles are in the order of `args`.
    ///
    /// # Examples
    ///
    /// ```
    /// use nexios_jobs::{Jobs, Kind, Policy};
    ///
    /// const SQUARE: Kind<u64, u64> = Kind::new("square");
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let jobs = Jobs::memory();
    /// let square = |number: u64, _job| async move { Ok::<_, String>(number * number) };
    /// jobs.workers().handle(SQUARE, Policy::new(), square).start().await?;
    /// let mut squares = Vec::new();
    /// for job in jobs.enqueue_many(SQUARE, &[1, 2, 3]).await? {
    ///     squares.push(job.wait().await?);
    /// }
    /// assert_eq!(squares, [1, 4, 9]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`enqueue`](Self::enqueue); then none is there.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it returns, all may be there or none.
    pub async fn enqueue_many<A, O>(
        &self,
        kind: Kind<A, O>,
        args: &[A],
    ) -> Result<Vec<JobHandle<O>>, JobsError>
    where
        A: Serialize + Sync,
    {
        let origin = origin::current(self.traceparent);
        let jobs = args
            .iter()
            .map(|args| self.task(kind).new_job(args, origin.clone()))
            .collect::<Result<Vec<_>, JobsError>>()?;
        if jobs.is_empty() {
            return Ok(Vec::new());
        }
        let added = self.engine.add(jobs).await?;
        Ok(added
            .into_iter()
            .map(|added| JobHandle::new(self.engine.clone(), kind.name(), added))
            .collect())
    }

    /// Enqueues a job in the caller's own transaction: it is there if that commits, and never if it does not.
    ///
    /// # Examples
    ///
    /// ```
    /// use nexios_jobs::{Jobs, Kind};
    ///
    /// const SHIP: Kind<u64> = Kind::new("ship");
    ///
    /// # #[cfg(feature = "sqlite")]
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// # let url = format!("sqlite:{}/shop.db?mode=rwc", folder.path().display());
    /// # let pool = sqlx::SqlitePool::connect(&url).await?;
    /// # sqlx::query("CREATE TABLE orders (id INTEGER)").execute(&pool).await?;
    /// let jobs = Jobs::sqlite(pool.clone()).await?;
    /// let mut tx = pool.begin().await?;
    /// sqlx::query("INSERT INTO orders (id) VALUES (7)").execute(&mut *tx).await?;
    /// let job = jobs.enqueue_in(&mut tx, SHIP, &7).await?;
    /// tx.rollback().await?;
    /// assert!(job.status().await?.is_none()); // neither the order nor its job
    /// # Ok(())
    /// # }
    /// # #[cfg(not(feature = "sqlite"))]
    /// # fn main() {}
    /// ```
    ///
    /// # Errors
    ///
    /// As [`enqueue`](Self::enqueue), and [`JobsError::WrongDatabase`] for a transaction of another engine.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it returns, the job may be part of the transaction or not.
    pub async fn enqueue_in<T, A, O>(
        &self,
        transaction: &mut T,
        kind: Kind<A, O>,
        args: &A,
    ) -> Result<JobHandle<O>, JobsError>
    where
        T: JobTransaction,
        A: Serialize + Sync,
    {
        self.task(kind).enqueue_in(transaction, args).await
    }

    /// Sets up one job: a unique key, a time, a priority.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use nexios_jobs::{Jobs, Kind};
    ///
    /// const REMIND: Kind<String> = Kind::new("remind");
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let jobs = Jobs::memory();
    /// let hour = Duration::from_secs(3600);
    /// let job = jobs.task(REMIND).unique("ada").delay(hour).priority(5).enqueue(&"Ada".to_owned()).await?;
    /// let info = job.status().await?.expect("it waits for its time");
    /// assert_eq!((info.key.as_deref(), info.priority), (Some("ada"), 5));
    /// # Ok(())
    /// # }
    /// ```
    pub fn task<A, O>(&self, kind: Kind<A, O>) -> JobBuilder<'_, A, O> {
        JobBuilder::new(&self.engine, self.traceparent, kind)
    }

    /// The handle of a job that was enqueued elsewhere; asks nothing yet.
    ///
    /// # Examples
    ///
    /// ```
    /// use nexios_jobs::{JobId, Jobs, Kind, Policy};
    ///
    /// const GREET: Kind<String, String> = Kind::new("greet");
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let jobs = Jobs::memory();
    /// let greet = |name: String, _job| async move { Ok::<_, String>(format!("Hello, {name}")) };
    /// jobs.workers().handle(GREET, Policy::new(), greet).start().await?;
    /// let answer = jobs.enqueue(GREET, &"Ada".to_owned()).await?.id().to_string();
    ///
    /// let id: JobId = answer.parse()?; // it came with the next request
    /// assert_eq!(jobs.job(GREET, id).wait().await?, "Hello, Ada");
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn job<A, O>(&self, kind: Kind<A, O>, id: JobId) -> JobHandle<O> {
        let was_new = false;
        JobHandle::new(self.engine.clone(), kind.name(), Added { id, was_new })
    }

    /// One job; `None` if there is none with this number.
    ///
    /// # Examples
    ///
    /// ```
    /// use nexios_jobs::{JobState, Jobs, Kind};
    ///
    /// const GREET: Kind<String> = Kind::new("greet");
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let jobs = Jobs::memory();
    /// let id = jobs.enqueue(GREET, &"Ada".to_owned()).await?.id();
    /// let info = jobs.get(id).await?.expect("there is one");
    /// assert_eq!((info.kind.as_str(), info.state), ("greet", JobState::Ready));
    /// assert!(jobs.get("4711".parse()?).await?.is_none());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Those of the database.
    ///
    /// # Cancel safety
    ///
    /// Safe: it only reads.
    pub async fn get(&self, id: JobId) -> Result<Option<JobInfo>, JobsError> {
        self.engine.get(id).await
    }

    /// One page of jobs, newest first.
    ///
    /// # Examples
    ///
    /// ```
    /// use nexios_jobs::{Filter, JobState, Jobs, Kind};
    ///
    /// const GREET: Kind<String> = Kind::new("greet");
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let jobs = Jobs::memory();
    /// jobs.enqueue(GREET, &"Ada".to_owned()).await?;
    /// let waiting = jobs.list(Filter::new().kind(GREET).state(JobState::Ready)).await?;
    /// assert_eq!(waiting.jobs.len(), 1);
    /// assert!(waiting.next.is_none()); // that was the last page
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Those of the database.
    ///
    /// # Cancel safety
    ///
    /// Safe: it only reads.
    pub async fn list(&self, filter: Filter) -> Result<JobPage, JobsError> {
        self.engine.list(filter).await
    }

    /// Cancels a job; `false` if it has ended or is unknown.
    ///
    /// A waiting job ends at once. A running one hears of it within a second, wherever it runs; a value that it still
    /// returns is its output, anything else ends it as `Cancelled`, without another attempt.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use nexios_jobs::{JobContext, JobFailure, Jobs, Kind, Policy};
    ///
    /// const SYNC: Kind<()> = Kind::new("sync");
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let jobs = Jobs::memory();
    /// let sync = |(), job: JobContext| async move {
    ///     job.cancelled().await; // ... and goes on until then ...
    ///     Err::<(), _>("stopped")
    /// };
    /// jobs.workers().handle(SYNC, Policy::new(), sync).start().await?;
    /// let job = jobs.enqueue(SYNC, &()).await?;
    /// tokio::time::sleep(Duration::from_secs(60)).await; // it runs
    /// assert!(jobs.cancel(job.id()).await?);
    /// assert!(matches!(job.wait().await, Err(JobFailure::Cancelled)));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Those of the database.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it returns, the job may be cancelled or not.
    pub async fn cancel(&self, id: JobId) -> Result<bool, JobsError> {
        self.engine.cancel(id).await
    }

    /// Runs a `Dead`, `Failed` or `Cancelled` job again with all its attempts, and a waiting one now. `false` for a
    /// running and a completed one, an unknown one, and one whose key another living job has.
    ///
    /// Its attempts [know](crate::JobContext::last_progress) how far it had said that it was.
    ///
    /// # Examples
    ///
    /// ```
    /// use nexios_jobs::{JobError, JobFailure, JobState, Jobs, Kind, Policy};
    ///
    /// const SEND: Kind<String> = Kind::new("send");
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let jobs = Jobs::memory();
    /// let send = |_to: String, _job| async { Err::<(), _>(JobError::discard("no such mailbox")) };
    /// jobs.workers().handle(SEND, Policy::new(), send).start().await?;
    /// let job = jobs.enqueue(SEND, &"ada@example.org".to_owned()).await?;
    /// assert!(matches!(job.wait().await, Err(JobFailure::Failed { .. })));
    ///
    /// assert!(jobs.retry(job.id()).await?); // the mailbox was made meanwhile
    /// assert!(!job.status().await?.is_some_and(|info| info.state == JobState::Failed));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Those of the database.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it returns, it may be done or not.
    pub async fn retry(&self, id: JobId) -> Result<bool, JobsError> {
        self.engine.retry(id).await
    }

    /// Deletes a job; `false` for a running and an unknown one.
    ///
    /// # Examples
    ///
    /// ```
    /// use nexios_jobs::{JobFailure, Jobs, Kind};
    ///
    /// const GREET: Kind<String> = Kind::new("greet");
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let jobs = Jobs::memory();
    /// let job = jobs.enqueue(GREET, &"Ada".to_owned()).await?;
    /// assert!(jobs.delete(job.id()).await?);
    /// assert!(matches!(job.wait().await, Err(JobFailure::Gone)));
    /// assert!(!jobs.delete(job.id()).await?);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Those of the database.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it returns, the job may be deleted or not.
    pub async fn delete(&self, id: JobId) -> Result<bool, JobsError> {
        self.engine.delete(id).await
    }

    /// Deletes the ended jobs whose [time to keep](crate::Policy::keep) is over, and says how many. Workers do it by
    /// themselves now and then.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use nexios::Drain;
    /// use nexios_jobs::{Jobs, Kind, Policy};
    ///
    /// const GREET: Kind<String> = Kind::new("greet");
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let jobs = Jobs::memory();
    /// let greet = |_name: String, _job| async { Ok::<_, String>(()) };
    /// let policy = Policy::new().keep(Duration::from_secs(60));
    /// let workers = jobs.workers().handle(GREET, policy, greet).start().await?;
    /// jobs.enqueue(GREET, &"Ada".to_owned()).await?.wait().await?;
    /// workers.drain(Drain { wait: Duration::ZERO, cancel: Duration::ZERO }).await; // from now on nobody does it by himself
    ///
    /// assert_eq!(jobs.prune().await?, 0);
    /// tokio::time::sleep(Duration::from_secs(61)).await;
    /// assert_eq!(jobs.prune().await?, 1);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Those of the database; some may be deleted then.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it returns, some may be deleted.
    pub async fn prune(&self) -> Result<u64, JobsError> {
        let mut pruned = 0;
        loop {
            match self.engine.prune().await? {
                0 => return Ok(pruned),
                more => pruned += more,
            }
        }
    }

    /// No process starts jobs of this kind until [`resume`](Self::resume), also after a restart; running ones go on.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use nexios_jobs::{JobState, Jobs, Kind, Policy};
    ///
    /// const SEND: Kind<String> = Kind::new("send");
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let jobs = Jobs::memory();
    /// let send = |_to: String, _job| async { Ok::<_, String>(()) };
    /// jobs.workers().handle(SEND, Policy::new(), send).start().await?;
    /// jobs.pause(SEND).await?; // the mail server is being moved
    /// let job = jobs.enqueue(SEND, &"ada@example.org".to_owned()).await?;
    /// tokio::time::sleep(Duration::from_secs(60)).await;
    /// assert!(job.status().await?.is_some_and(|info| info.state == JobState::Ready));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Those of the database.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it returns, the kind may be paused or not.
    pub async fn pause(&self, kind: impl Into<Cow<'static, str>> + Send) -> Result<(), JobsError> {
        self.engine.set_paused(kind.into(), true).await
    }

    /// Jobs of this kind are started again.
    ///
    /// # Examples
    ///
    /// ```
    /// use nexios_jobs::{Jobs, Kind, Policy};
    ///
    /// const SEND: Kind<String> = Kind::new("send");
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let jobs = Jobs::memory();
    /// let send = |_to: String, _job| async { Ok::<_, String>(()) };
    /// jobs.workers().handle(SEND, Policy::new(), send).start().await?;
    /// jobs.pause(SEND).await?;
    /// let job = jobs.enqueue(SEND, &"ada@example.org".to_owned()).await?;
    /// jobs.resume(SEND).await?; // and "send", such as from a URL, does as well
    /// job.wait().await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Those of the database.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it returns, the kind may be paused still or not.
    pub async fn resume(&self, kind: impl Into<Cow<'static, str>> + Send) -> Result<(), JobsError> {
        self.engine.set_paused(kind.into(), false).await
    }

    /// Sets up the workers of this process.
    ///
    /// # Examples
    ///
    /// ```
    /// use nexios_jobs::{Jobs, Kind, Policy};
    ///
    /// const GREET: Kind<String, String> = Kind::new("greet");
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let jobs = Jobs::memory();
    /// let greet = |name: String, _job| async move { Ok::<_, String>(format!("Hello, {name}")) };
    /// let workers = jobs.workers().handle(GREET, Policy::new().concurrency(2), greet).start().await?;
    /// jobs.enqueue(GREET, &"Ada".to_owned()).await?.wait().await?;
    /// assert_eq!(workers.stats().completed, 1);
    /// # Ok(())
    /// # }
    /// ```
    pub fn workers(&self) -> WorkersBuilder {
        WorkersBuilder::new(self.engine.clone())
    }

    /// Calls every listener of this name in every process, this one too: within a second on SQLite, within 100 ms on
    /// Postgres.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use nexios_jobs::Jobs;
    ///
    /// let jobs = Jobs::memory();
    /// let (told, mut heard) = tokio::sync::mpsc::unbounded_channel();
    /// jobs.on_signal("configuration changed", move || drop(told.send("reload"))).await?;
    /// jobs.signal("configuration changed").await?; // from any process
    /// assert_eq!(heard.recv().await, Some("reload"));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Those of the database.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it returns, the signal may be sent or not.
    pub async fn signal(&self, name: impl Into<Cow<'static, str>> + Send) -> Result<(), JobsError> {
        self.engine.signal(name.into()).await
    }

    /// Calls `listener` for each signal sent after this has returned; signals in quick succession may be one call, and
    /// after the connection was lost there is one call in any case.
    ///
    /// It is called in a task of the runtime that this is called on. One that panics is logged, and called again.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use std::sync::Arc;
    /// use nexios_jobs::Jobs;
    /// use tokio::sync::Notify;
    ///
    /// let jobs = Jobs::memory();
    /// let reload = Arc::new(Notify::new());
    /// let listener = jobs.on_signal("configuration changed", {
    ///     let reload = reload.clone();
    ///     move || reload.notify_one() // short: what takes time belongs into a task that waits for it
    /// }).await?;
    /// listener.send().await?;
    /// reload.notified().await;
    /// listener.stop();
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Those of the database.
    ///
    /// # Panics
    ///
    /// Panics if called outside a tokio runtime.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it returns, nobody listens.
    pub async fn on_signal(
        &self,
        name: impl Into<Cow<'static, str>> + Send,
        listener: impl Fn() + Send + Sync + 'static,
    ) -> Result<Signal, JobsError> {
        Signal::listen(self.engine.clone(), name.into(), Box::new(listener)).await
    }

    /// [`on_signal`](Self::on_signal) with `lazy.reset()`: [`Signal::send`] resets the value on all machines.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::{convert::Infallible, sync::{LazyLock, atomic::{AtomicU64, Ordering}}, time::Duration};
    /// use nexios::AsyncLazy;
    /// use nexios_jobs::Jobs;
    ///
    /// static READ: AtomicU64 = AtomicU64::new(0);
    /// static PRICES: LazyLock<AsyncLazy<u64, Infallible>> =
    ///     LazyLock::new(|| AsyncLazy::new(|| async { Ok(READ.fetch_add(1, Ordering::Relaxed)) }));
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let jobs = Jobs::memory();
    /// let changed = jobs.reset_everywhere(&PRICES, "prices changed").await?;
    /// assert_eq!(*PRICES.get().await?, 0);
    /// assert_eq!(*PRICES.get().await?, 0);
    /// changed.send().await?; // who writes prices
    /// tokio::time::sleep(Duration::from_secs(1)).await;
    /// assert_eq!(*PRICES.get().await?, 1);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Those of the database.
    ///
    /// # Panics
    ///
    /// Panics if called outside a tokio runtime.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it returns, nobody listens.
    pub async fn reset_everywhere<T, E>(
        &self,
        lazy: &'static AsyncLazy<T, E>,
        name: impl Into<Cow<'static, str>> + Send,
    ) -> Result<Signal, JobsError>
    where
        T: Send + Sync + 'static,
        E: Send + Sync + 'static,
    {
        self.on_signal(name, || lazy.reset()).await
    }
}

use std::{borrow::Cow, fmt, sync::Arc};

use nexios::AsyncLazy;
use serde::Serialize;

use crate::{
    builder::{JobsBuilder, Traceparent},
    engine::{Added, Engine, NewJob},
    enqueue::JobBuilder,
    error::JobsError,
    filter::Filter,
    handle::JobHandle,
    id::JobId,
    info::{JobInfo, JobPage},
    kind::Kind,
    payload::{self, PayloadFault},
    signal::Signal,
    transaction::JobTransaction,
    workers::builder::WorkersBuilder,
};

/// A store of jobs. Clones are the same store; it needs no worker in this process.
///
/// Every call waits for a database that is locked or away at most for the store's
/// [patience](JobsBuilder::patience), then it is [`JobsError::Unavailable`]. A change that was begun is done, or not done, as
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
    pub(crate) engine: Arc<dyn Engine>,
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
    pub const MAX_PAYLOAD: usize = payload::LIMIT;

    pub(crate) fn with(engine: Arc<dyn Engine>, traceparent: Option<Traceparent>) -> Self {
        Self {
            engine,
            traceparent,
        }
    }

    /// Opens the store at `sqlite:path` or `sqlite://path`, which is made when missing, with its folder, or at
    /// `postgres://…`; with the defaults of [`JobsBuilder`].
    ///
    /// # Errors
    ///
    /// A URL that cannot be read or whose engine is not built in, tables of a newer version, a database that is not there.
    pub async fn open(url: &str) -> Result<Self, JobsError> {
        Self::builder().open(url).await
    }

    /// A store in the SQLite file of this pool. It opens connections of its own, with the pool's options; only
    /// [`enqueue_in`](Self::enqueue_in) uses the caller's.
    ///
    /// # Errors
    ///
    /// A database in memory, which other connections do not see; tables of a newer version; a database that is not there.
    #[cfg(feature = "sqlite")]
    pub async fn sqlite(pool: sqlx::SqlitePool) -> Result<Self, JobsError> {
        Self::builder().sqlite(pool).await
    }

    /// A store in the Postgres database of this pool. It opens connections of its own, with the pool's options, five at most;
    /// only [`enqueue_in`](Self::enqueue_in) uses the caller's.
    ///
    /// # Errors
    ///
    /// Tables of a newer version; a database that is not there.
    #[cfg(feature = "postgres")]
    pub async fn postgres(pool: sqlx::PgPool) -> Result<Self, JobsError> {
        Self::builder().postgres(pool).await
    }

    /// A store in the memory of this process, for tests: the same semantics, and gone with the process. Its clock is
    /// tokio's, so that a paused one is paused here.
    #[must_use]
    pub fn memory() -> Self {
        Self::builder().memory()
    }

    /// Sets up a store.
    pub fn builder() -> JobsBuilder {
        JobsBuilder::new()
    }

    /// Enqueues a job; it is durable when this returns.
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
        let origin = self.origin();
        let job = |args| {
            let mut job = self.task(kind).new_job(args)?;
            job.origin.clone_from(&origin);
            Ok(job)
        };
        let jobs = args
            .iter()
            .map(job)
            .collect::<Result<Vec<_>, JobsError>>()?;
        let added = self.add(jobs).await?;
        Ok(added
            .into_iter()
            .map(|added| self.handle(kind, added))
            .collect())
    }

    /// Enqueues a job in the caller's own transaction: it is there if that commits, and never if it does not.
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
    pub fn task<A, O>(&self, kind: Kind<A, O>) -> JobBuilder<'_, A, O> {
        JobBuilder::new(self, kind)
    }

    /// The handle of a job that was enqueued elsewhere; asks nothing yet.
    #[must_use]
    pub fn job<A, O>(&self, kind: Kind<A, O>, id: JobId) -> JobHandle<O> {
        JobHandle::new(self.clone(), kind.name(), id, false)
    }

    /// One job; `None` if there is none with this number.
    ///
    /// # Errors
    ///
    /// Those of the database.
    pub async fn get(&self, id: JobId) -> Result<Option<JobInfo>, JobsError> {
        self.engine.get(id).await
    }

    /// One page of jobs, newest first.
    ///
    /// # Errors
    ///
    /// Those of the database.
    pub async fn list(&self, filter: Filter) -> Result<JobPage, JobsError> {
        self.engine.list(filter).await
    }

    /// Cancels a job; `false` if it has ended or is unknown.
    ///
    /// A waiting job ends at once. A running one hears of it within a second, wherever it runs; a value that it still
    /// returns is its output, anything else ends it as `Cancelled`, without another attempt.
    ///
    /// # Errors
    ///
    /// Those of the database.
    pub async fn cancel(&self, id: JobId) -> Result<bool, JobsError> {
        self.engine.cancel(id).await
    }

    /// Runs a `Dead`, `Failed` or `Cancelled` job again with all its attempts, and a waiting one now. `false` for a
    /// running and a completed one, an unknown one, and one whose key another living job has.
    ///
    /// # Errors
    ///
    /// Those of the database.
    pub async fn retry(&self, id: JobId) -> Result<bool, JobsError> {
        self.engine.retry(id).await
    }

    /// Deletes a job; `false` for a running and an unknown one.
    ///
    /// # Errors
    ///
    /// Those of the database.
    pub async fn delete(&self, id: JobId) -> Result<bool, JobsError> {
        self.engine.delete(id).await
    }

    /// Deletes the ended jobs whose [time to keep](crate::Policy::keep) is over, and says how many. Workers do it by
    /// themselves now and then.
    ///
    /// # Errors
    ///
    /// Those of the database; some may be deleted then.
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
    /// # Errors
    ///
    /// Those of the database.
    pub async fn pause(&self, kind: impl Into<Cow<'static, str>> + Send) -> Result<(), JobsError> {
        self.engine.set_paused(kind.into(), true).await
    }

    /// Jobs of this kind are started again.
    ///
    /// # Errors
    ///
    /// Those of the database.
    pub async fn resume(&self, kind: impl Into<Cow<'static, str>> + Send) -> Result<(), JobsError> {
        self.engine.set_paused(kind.into(), false).await
    }

    /// Sets up the workers of this process.
    pub fn workers(&self) -> WorkersBuilder {
        WorkersBuilder::new(self.clone())
    }

    /// Calls every listener of this name in every process, this one too: within a second on SQLite, within 100 ms on
    /// Postgres.
    ///
    /// # Errors
    ///
    /// Those of the database.
    pub async fn signal(&self, name: impl Into<Cow<'static, str>> + Send) -> Result<(), JobsError> {
        self.engine.signal(name.into()).await
    }

    /// Calls `listener` for each signal sent after this has returned; signals in quick succession may be one call, and
    /// after the connection was lost there is one call in any case.
    ///
    /// It is called in a task of the runtime that this is called on. One that panics is logged, and called again.
    ///
    /// # Errors
    ///
    /// Those of the database.
    ///
    /// # Panics
    ///
    /// Panics if called outside a tokio runtime.
    pub async fn on_signal(
        &self,
        name: impl Into<Cow<'static, str>> + Send,
        listener: impl Fn() + Send + Sync + 'static,
    ) -> Result<Signal, JobsError> {
        Signal::listen(self.clone(), name.into(), Box::new(listener)).await
    }

    /// [`on_signal`](Self::on_signal) with `lazy.reset()`: [`Signal::send`] resets the value on all machines.
    ///
    /// # Errors
    ///
    /// Those of the database.
    ///
    /// # Panics
    ///
    /// Panics if called outside a tokio runtime.
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

    pub(crate) async fn add(&self, jobs: Vec<NewJob>) -> Result<Vec<Added>, JobsError> {
        if jobs.is_empty() {
            return Ok(Vec::new());
        }
        self.engine.add(jobs).await
    }

    pub(crate) fn handle<A, O>(&self, kind: Kind<A, O>, added: Added) -> JobHandle<O> {
        JobHandle::new(self.clone(), kind.name(), added.id, added.was_new)
    }

    /// Who enqueues right now.
    pub(crate) fn origin(&self) -> Option<String> {
        crate::origin::current(self.traceparent.and_then(|traceparent| traceparent()))
    }
}

/// Arguments as JSON.
pub(crate) fn written(args: &impl Serialize) -> Result<String, JobsError> {
    payload::write(args).map_err(|fault| match fault {
        PayloadFault::NotJson(error) => JobsError::Arguments {
            reason: error.to_string(),
        },
        PayloadFault::TooLarge { bytes } => JobsError::PayloadTooLarge {
            bytes,
            limit: payload::LIMIT,
        },
    })
}

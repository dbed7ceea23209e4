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
    pub const MAX_PAYLOAD: usize = payload::LIMIT;

    pub(crate) fn with(engine: Arc<dyn Engine>, traceparent: Option<Traceparent>) -> Self {
        Self {
            engine,
            traceparent,
        }
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
        JobBuilder::new(&self.engine, self.traceparent, kind)
    }

    /// The handle of a job that was enqueued elsewhere; asks nothing yet.
    #[must_use]
    pub fn job<A, O>(&self, kind: Kind<A, O>, id: JobId) -> JobHandle<O> {
        let was_new = false;
        JobHandle::new(self.engine.clone(), kind.name(), Added { id, was_new })
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
        WorkersBuilder::new(self.engine.clone())
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
        Signal::listen(self.engine.clone(), name.into(), Box::new(listener)).await
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
}

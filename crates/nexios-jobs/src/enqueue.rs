use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use serde::Serialize;

use crate::{
    engine::{Engine, NewJob, When},
    error::{DatabaseError, JobsError},
    handle::JobHandle,
    kind::Kind,
    origin::{self, Traceparent},
    payload::write_arguments,
    transaction::JobTransaction,
};

/// The longest key: an index of Postgres takes no more than some 2,700 bytes.
const LONGEST_KEY: usize = 1024;

/// Settings of one job.
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
/// # async fn main() -> Result<(), nexios_jobs::JobsError> {
/// let jobs = Jobs::memory();
/// let tomorrow = Duration::from_secs(24 * 60 * 60);
/// let first = jobs.task(REMIND).unique("ada").delay(tomorrow).enqueue(&"Ada".to_owned()).await?;
/// let second = jobs.task(REMIND).unique("ada").enqueue(&"Ada".to_owned()).await?;
/// assert_eq!(first.id(), second.id());
/// assert!(first.was_new() && !second.was_new());
/// # Ok(())
/// # }
/// ```
#[must_use]
pub struct JobBuilder<'a, Args, Output> {
    engine: &'a Arc<dyn Engine>,
    traceparent: Option<Traceparent>,
    kind: Kind<Args, Output>,
    key: Option<String>,
    when: When,
    priority: i16,
}

impl<'a, A, O> JobBuilder<'a, A, O> {
    pub(crate) fn new(
        engine: &'a Arc<dyn Engine>,
        traceparent: Option<Traceparent>,
        kind: Kind<A, O>,
    ) -> Self {
        Self {
            engine,
            traceparent,
            kind,
            key: None,
            when: When::After(Duration::ZERO),
            priority: 0,
        }
    }
}

impl<A: Serialize + Sync, O> JobBuilder<'_, A, O> {
    /// While a job of this kind with this key lives, that one is returned, as it is. The key is free again when that has
    /// ended. A NUL in it is taken for `␀`; one that is longer than 1 KiB is [`JobsError::PayloadTooLarge`] when the job is
    /// enqueued.
    pub fn unique(mut self, key: impl Into<String>) -> Self {
        let key = key.into();
        // Postgres keeps no NUL.
        self.key = Some(key.replace('\0', "\u{2400}"));
        self
    }

    /// Starts it at this time on the database's clock, or at once if that is past. Default: at once.
    pub fn run_at(mut self, time: SystemTime) -> Self {
        self.when = When::At(time);
        self
    }

    /// Starts it after this time, from now on the database's clock. The last of `run_at` and `delay` holds.
    pub fn delay(mut self, delay: Duration) -> Self {
        self.when = When::After(delay);
        self
    }

    /// The smallest number is first, as in graphile-worker. Default: 0.
    pub fn priority(mut self, priority: i16) -> Self {
        self.priority = priority;
        self
    }

    /// Enqueues the job; it is durable when this returns.
    ///
    /// # Errors
    ///
    /// As [`Jobs::enqueue`](crate::Jobs::enqueue).
    ///
    /// # Cancel safety
    ///
    /// Dropped before it returns, the job may be there or not.
    pub async fn enqueue(self, args: &A) -> Result<JobHandle<O>, JobsError> {
        let job = self.new_job(args, origin::current(self.traceparent))?;
        let added = self.engine.add(vec![job]).await?;
        match added.into_iter().next() {
            Some(added) => Ok(JobHandle::new(self.engine.clone(), self.kind.name(), added)),
            None => Err(JobsError::Database(DatabaseError::new(
                "no number was returned",
            ))),
        }
    }

    /// Enqueues the job in the caller's own transaction.
    ///
    /// # Errors
    ///
    /// As [`Jobs::enqueue_in`](crate::Jobs::enqueue_in).
    ///
    /// # Cancel safety
    ///
    /// Dropped before it returns, the job may be part of the transaction or not.
    pub async fn enqueue_in<T: JobTransaction>(
        self,
        transaction: &mut T,
        args: &A,
    ) -> Result<JobHandle<O>, JobsError> {
        let job = self.new_job(args, origin::current(self.traceparent))?;
        let added = self.engine.add_in(transaction.connection(), job).await?;
        Ok(JobHandle::new(self.engine.clone(), self.kind.name(), added))
    }

    /// As it is written, with who enqueues it.
    pub(crate) fn new_job(&self, args: &A, origin: Option<String>) -> Result<NewJob, JobsError> {
        if let Some(bytes) = self
            .key
            .as_ref()
            .map(String::len)
            .filter(|bytes| *bytes > LONGEST_KEY)
        {
            return Err(JobsError::PayloadTooLarge {
                bytes,
                limit: LONGEST_KEY,
            });
        }
        Ok(NewJob {
            kind: self.kind.into(),
            args: write_arguments(args)?,
            key: self.key.clone(),
            when: self.when,
            priority: self.priority,
            origin,
        })
    }
}

impl<A, O> Clone for JobBuilder<'_, A, O> {
    fn clone(&self) -> Self {
        Self {
            key: self.key.clone(),
            ..*self
        }
    }
}

impl<A, O> fmt::Debug for JobBuilder<'_, A, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JobBuilder")
            .field("kind", &self.kind)
            .field("key", &self.key)
            .field("when", &self.when)
            .field("priority", &self.priority)
            .finish_non_exhaustive()
    }
}

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
    nul::without_nul,
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
    /// While a job of this kind with this key lives, that one is returned as it is, and [`JobHandle::was_new`] is false:
    /// the arguments are not compared, and others than its own are dropped. Where each set of them is to have a job of its own, put
    /// them into the key, or if they are long a digest that all versions of the program agree on, such as the SHA-256 of their JSON.
    ///
    /// The key is free again when its job has ended. A NUL in it is taken for `␀`; one that is longer than 1 KiB is
    /// [`JobsError::PayloadTooLarge`] when the job is enqueued.
    ///
    /// # Examples
    ///
    /// ```
    /// use nexios_jobs::{Jobs, Kind};
    ///
    /// const INDEX: Kind<String> = Kind::new("index");
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let jobs = Jobs::memory();
    /// let index = jobs.task(INDEX).unique("cities");
    /// let job = index.clone().enqueue(&"cities.csv".to_owned()).await?;
    /// let same = index.clone().enqueue(&"cities.csv".to_owned()).await?; // asked twice, done once
    /// assert_eq!(job.id(), same.id());
    ///
    /// // Its arguments are not looked at: of towns.csv nobody hears.
    /// assert!(!index.clone().enqueue(&"towns.csv".to_owned()).await?.was_new());
    /// let file = "towns.csv".to_owned();
    /// assert!(jobs.task(INDEX).unique(format!("cities {file}")).enqueue(&file).await?.was_new());
    ///
    /// job.cancel().await?; // it has ended, and the key is free
    /// assert!(index.enqueue(&"cities.csv".to_owned()).await?.was_new());
    /// # Ok(())
    /// # }
    /// ```
    pub fn unique(mut self, key: impl Into<String>) -> Self {
        self.key = Some(without_nul(&key.into()));
        self
    }

    /// Starts it at this time on the database's clock, or at once if that is past. Default: at once.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::{Duration, SystemTime};
    /// use nexios_jobs::{JobState, Jobs, Kind};
    ///
    /// const PUBLISH: Kind<u64> = Kind::new("publish");
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let jobs = Jobs::memory();
    /// let tonight = SystemTime::now() + Duration::from_secs(8 * 60 * 60);
    /// let job = jobs.task(PUBLISH).run_at(tonight).enqueue(&7).await?;
    /// assert!(job.status().await?.is_some_and(|info| info.state == JobState::Scheduled));
    /// # Ok(())
    /// # }
    /// ```
    pub fn run_at(mut self, time: SystemTime) -> Self {
        self.when = When::At(time);
        self
    }

    /// Starts it after this time, from now on the database's clock. The last of `run_at` and `delay` holds.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use nexios_jobs::{Jobs, Kind, Policy};
    /// use tokio::time::Instant;
    ///
    /// const REMIND: Kind<String> = Kind::new("remind");
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let jobs = Jobs::memory();
    /// let remind = |_text: String, _job| async { Ok::<_, String>(()) };
    /// jobs.workers().handle(REMIND, Policy::new(), remind).start().await?;
    /// let asked = Instant::now();
    /// jobs.task(REMIND).delay(Duration::from_secs(600)).enqueue(&"tea".to_owned()).await?.wait().await?;
    /// assert!(asked.elapsed() >= Duration::from_secs(600));
    /// # Ok(())
    /// # }
    /// ```
    pub fn delay(mut self, delay: Duration) -> Self {
        self.when = When::After(delay);
        self
    }

    /// The smallest number is first, as in graphile-worker. Default: 0.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::sync::Mutex;
    /// use nexios_jobs::{Jobs, Kind, Policy};
    ///
    /// const MAIL: Kind<String> = Kind::new("mail");
    /// static SENT: Mutex<Vec<String>> = Mutex::new(Vec::new());
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let jobs = Jobs::memory();
    /// let newsletter = jobs.task(MAIL).priority(10).enqueue(&"newsletter".to_owned()).await?;
    /// jobs.task(MAIL).priority(-10).enqueue(&"password".to_owned()).await?;
    ///
    /// let mail = |what| async move { Ok::<_, String>(SENT.lock().unwrap().push(what)) };
    /// let one_at_a_time = Policy::new().concurrency(1);
    /// jobs.workers().handle(MAIL, one_at_a_time, move |what, _job| mail(what)).start().await?;
    /// newsletter.wait().await?;
    /// assert_eq!(*SENT.lock().unwrap(), ["password", "newsletter"]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn priority(mut self, priority: i16) -> Self {
        self.priority = priority;
        self
    }

    /// Enqueues the job; it is durable when this returns.
    ///
    /// # Examples
    ///
    /// ```
    /// use nexios_jobs::{JobState, Jobs, Kind};
    ///
    /// const PRINT: Kind<String> = Kind::new("print");
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let jobs = Jobs::memory();
    /// let job = jobs.task(PRINT).priority(-1).enqueue(&"invoice 7".to_owned()).await?;
    /// let info = job.status().await?.expect("it is durable");
    /// assert_eq!((info.state, info.priority), (JobState::Ready, -1));
    /// # Ok(())
    /// # }
    /// ```
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
    /// let job = jobs.task(SHIP).unique("order 7").enqueue_in(&mut tx, &7).await?;
    /// assert!(job.status().await?.is_none()); // not yet
    /// tx.commit().await?;
    /// assert!(job.status().await?.is_some());
    /// # Ok(())
    /// # }
    /// # #[cfg(not(feature = "sqlite"))]
    /// # fn main() {}
    /// ```
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

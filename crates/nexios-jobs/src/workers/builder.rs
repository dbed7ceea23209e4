use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use serde::{Serialize, de::DeserializeOwned};

use crate::{
    context::JobContext,
    engine::{Engine, NewJob, When},
    error::JobsError,
    job_error::JobError,
    kind::Kind,
    payload::write_arguments,
    policy::Policy,
};

use super::{
    Workers,
    cron::{self, CronClock, CronJob},
    dispatcher::Dispatcher,
    keeper,
    kind_handler::KindHandler,
    schedule::Schedule,
    shared::Shared,
};

/// The workers of a process, to be set up.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use nexios_jobs::{Jobs, Kind, Policy};
///
/// const RESIZE: Kind<String, u64> = Kind::new("resize picture");
/// const CLEAN_UP: Kind<()> = Kind::new("clean up");
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), nexios_jobs::JobsError> {
/// let workers = Jobs::memory()
///     .workers()
///     .handle(RESIZE, Policy::new().concurrency(2).timeout(Duration::from_secs(60)), |file, _job| async move {
///         std::fs::metadata(file).map(|metadata| metadata.len())
///     })
///     .handle(CLEAN_UP, Policy::new(), |(), _job| async { Ok::<_, String>(()) })
///     .cron("0 3 * * *", CLEAN_UP, &())
///     .start()
///     .await?;
/// assert_eq!(workers.stats().running, 0);
/// # Ok(())
/// # }
/// ```
#[must_use]
pub struct WorkersBuilder {
    engine: Arc<dyn Engine>,
    kinds: Vec<Arc<KindHandler>>,
    crons: Vec<CronSetting>,
    clock: CronClock,
}

struct CronSetting {
    text: String,
    kind: &'static str,
    args: Result<String, JobsError>,
}

impl WorkersBuilder {
    pub(crate) fn new(engine: Arc<dyn Engine>) -> Self {
        Self {
            engine,
            kinds: Vec::new(),
            crons: Vec::new(),
            clock: CronClock::Database,
        }
    }

    /// Runs the jobs of this kind. Kinds without a handler are left to other processes.
    ///
    /// The handler is called in a task of the runtime that [`start`](Self::start) is called on. What it captures, such as a client or
    /// a pool, it clones for each attempt: `move |file, job| resize(app.clone(), file, job)`. An `async move |file, job| ..` that captures
    /// something is no `Fn`.
    ///
    /// # Examples
    ///
    /// ```
    /// use nexios_jobs::{JobContext, JobError, Jobs, Kind, Policy};
    ///
    /// const RESIZE: Kind<String, u64> = Kind::new("resize picture");
    ///
    /// async fn resize(file: String, job: JobContext) -> Result<u64, JobError> {
    ///     job.message(format!("reads {file}"));
    ///     let bytes = tokio::fs::read(&file).await?; // an error: again, by the policy
    ///     Ok(bytes.len() as u64)
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// # let file = folder.path().join("cat.png").display().to_string();
    /// # std::fs::write(&file, "meow")?;
    /// let jobs = Jobs::memory();
    /// jobs.workers().handle(RESIZE, Policy::new().concurrency(2), resize).start().await?;
    /// assert_eq!(jobs.enqueue(RESIZE, &file).await?.wait().await?, 4);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// Panics if this kind has a handler already.
    #[track_caller]
    pub fn handle<A, O, E, F, Fut>(mut self, kind: Kind<A, O>, policy: Policy, handler: F) -> Self
    where
        A: DeserializeOwned + Send + 'static,
        O: Serialize + Send + 'static,
        E: Into<JobError>,
        F: Fn(A, JobContext) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<O, E>> + Send + 'static,
    {
        let name = kind.name();
        assert!(
            self.kinds.iter().all(|handler| handler.name != name),
            "handle({name:?}): this kind has a handler already"
        );
        let handler = KindHandler::new(kind.into(), policy, handler);
        self.kinds.push(Arc::new(handler));
        self
    }

    /// Enqueues a job at each time of the schedule (UTC, or the zone named at its end), once however many processes have
    /// it: a schedule is its text, its kind and its arguments. A tick does not wait for the job of the one before.
    ///
    /// The text is read as [`Background::cron`](nexios::Background::cron) reads it, with the same rules of daylight
    /// saving. Ticks that no process was there for are left out; those that were found late, because the clock was set
    /// forward or the database was away, are made up for if they are no more than three hours old. A text that cannot be
    /// read is the error of [`start`](Self::start).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use nexios_jobs::{Filter, Jobs, Kind, Policy};
    ///
    /// const CLEAN_UP: Kind<String> = Kind::new("clean up");
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let jobs = Jobs::memory();
    /// let clean_up = |_folder: String, _job| async { Ok::<_, String>(()) };
    /// jobs.workers()
    ///     .handle(CLEAN_UP, Policy::new(), clean_up)
    ///     .cron("*/5 * * * *", CLEAN_UP, &"/tmp".to_owned())
    ///     .cron("0 3 * * * Europe/Berlin", CLEAN_UP, &"/var/cache".to_owned())
    ///     .start()
    ///     .await?;
    /// tokio::time::sleep(Duration::from_secs(11 * 60)).await;
    /// assert!(jobs.list(Filter::new().kind(CLEAN_UP)).await?.jobs.len() >= 2);
    /// # Ok(())
    /// # }
    /// ```
    pub fn cron<A: Serialize, O>(mut self, schedule: &str, kind: Kind<A, O>, args: &A) -> Self {
        self.crons.push(CronSetting {
            text: schedule.to_owned(),
            kind: kind.name(),
            args: write_arguments(args),
        });
        self
    }

    /// The clock that `cron` looks at, every 100 ms, instead of the database's; for tests. Jobs are still enqueued for
    /// now.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::{sync::{Arc, Mutex}, time::{Duration, SystemTime}};
    /// use nexios_jobs::{Filter, Jobs, Kind};
    ///
    /// const CLEAN_UP: Kind<()> = Kind::new("clean up");
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let before_three = SystemTime::UNIX_EPOCH + Duration::from_secs((2 * 60 + 59) * 60);
    /// let clock = Arc::new(Mutex::new(before_three));
    /// let now = clock.clone();
    /// let jobs = Jobs::memory();
    /// let workers = jobs.workers().cron("0 3 * * *", CLEAN_UP, &()).cron_clock(move || *now.lock().unwrap());
    /// workers.start().await?;
    ///
    /// *clock.lock().unwrap() += Duration::from_secs(60);
    /// tokio::time::sleep(Duration::from_secs(1)).await;
    /// assert_eq!(jobs.list(Filter::new().kind(CLEAN_UP)).await?.jobs.len(), 1);
    /// # Ok(())
    /// # }
    /// ```
    pub fn cron_clock(mut self, now: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        self.clock = CronClock::Own(Box::new(now));
        self
    }

    /// Starts the workers; they claim jobs when this returns.
    ///
    /// # Examples
    ///
    /// ```
    /// use nexios_jobs::{Jobs, JobsError, Kind};
    ///
    /// const CLEAN_UP: Kind<()> = Kind::new("clean up");
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let jobs = Jobs::memory();
    /// let started = jobs.workers().cron("0 25 * * *", CLEAN_UP, &()).start().await;
    /// assert!(matches!(started, Err(JobsError::Schedule { .. }))); // there is no 25 o'clock
    ///
    /// let workers = jobs.workers().cron("0 3 * * *", CLEAN_UP, &()).start().await?;
    /// assert!(workers.is_ready());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// A schedule that cannot be read, arguments of one that are no payload, and those of the database.
    ///
    /// # Panics
    ///
    /// Panics if called outside a tokio runtime.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it returns, nothing is started.
    pub async fn start(self) -> Result<Workers, JobsError> {
        let engine = self.engine;
        let now = self.clock.now(&*engine).await?;
        let crons = self.crons.into_iter().map(|setting| setting.read(now));
        let crons = crons.collect::<Result<Vec<_>, _>>()?;
        let shared = Arc::new(Shared::new(engine.clone(), self.kinds));
        engine.enroll(shared.worker()).await?;
        engine.spawn(Box::pin(keeper::keep(shared.clone())));
        if !crons.is_empty() {
            tokio::spawn(cron::tick(shared.clone(), crons, self.clock));
        }
        tokio::spawn(Dispatcher::new(shared.clone()).run());
        Ok(Workers::new(shared))
    }
}

impl CronSetting {
    fn read(self, now: i64) -> Result<CronJob, JobsError> {
        let job = NewJob {
            kind: self.kind.into(),
            args: self.args?,
            key: None,
            when: When::After(Duration::ZERO),
            priority: 0,
            origin: None,
        };
        Ok(CronJob {
            schedule: Schedule::read(&self.text, now)?,
            key: cron::key(&self.text, &job),
            job,
            past: now,
        })
    }
}

impl fmt::Debug for WorkersBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kinds: Vec<_> = self.kinds.iter().map(|kind| &kind.name).collect();
        let crons: Vec<_> = self.crons.iter().map(|cron| &cron.text).collect();
        f.debug_struct("WorkersBuilder")
            .field("kinds", &kinds)
            .field("crons", &crons)
            .finish_non_exhaustive()
    }
}

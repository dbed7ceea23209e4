use std::time::Duration;

use nexios::Retry;

/// How the jobs of one kind are run.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use nexios_jobs::{JobContext, Jobs, Kind, Policy};
///
/// const FETCH: Kind<(), u32> = Kind::new("fetch");
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let policy = Policy::new()
///     .concurrency(2)
///     .timeout(Duration::from_secs(600))
///     .attempts(8)
///     .backoff(Duration::from_secs(5), Duration::from_secs(300));
/// let fetch = |(), job: JobContext| async move {
///     if job.attempt() < 8 { Err("not yet") } else { Ok(job.attempt()) }
/// };
/// let jobs = Jobs::memory();
/// jobs.workers().handle(FETCH, policy, fetch).start().await?;
/// assert_eq!(jobs.enqueue(FETCH, &()).await?.wait().await?, 8);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct Policy {
    pub(crate) concurrency: usize,
    pub(crate) timeout: Option<Duration>,
    pub(crate) attempts: u32,
    pub(crate) backoff: Retry,
    pub(crate) keep: Duration,
    pub(crate) grace: Duration,
    /// `None`: as long as the drain waits.
    pub(crate) drain_wait: Option<Duration>,
}

impl Policy {
    /// The defaults: 4 at once, no timeout, 5 attempts, backoff from 1 s to 10 min, kept for a day, a grace of 3 s, at a
    /// drain as long as it waits.
    ///
    /// # Examples
    ///
    /// ```
    /// use nexios_jobs::{Jobs, Kind, Policy};
    ///
    /// const GREET: Kind<String> = Kind::new("greet");
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let greet = |_name: String, _job| async { Ok::<_, String>(()) };
    /// let workers = Jobs::memory().workers().handle(GREET, Policy::new(), greet).start().await?;
    /// assert_eq!(workers.stats().running, 0);
    /// # Ok(())
    /// # }
    /// ```
    pub fn new() -> Self {
        Self {
            concurrency: 4,
            timeout: None,
            attempts: 5,
            backoff: Retry::exponential(Duration::from_secs(1), Duration::from_secs(600)),
            keep: Duration::from_secs(24 * 60 * 60),
            grace: Duration::from_secs(3),
            drain_wait: None,
        }
    }

    /// So many at once in this process. Default: 4.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use nexios_jobs::{Jobs, Kind, Policy};
    /// use tokio::time::Instant;
    ///
    /// const RESIZE: Kind<u64> = Kind::new("resize");
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let jobs = Jobs::memory();
    /// let resize = |_picture: u64, _job| async {
    ///     Ok::<_, String>(tokio::time::sleep(Duration::from_secs(10)).await)
    /// };
    /// jobs.workers().handle(RESIZE, Policy::new().concurrency(1), resize).start().await?;
    /// let began = Instant::now();
    /// for job in jobs.enqueue_many(RESIZE, &[1, 2, 3]).await? {
    ///     job.wait().await?;
    /// }
    /// assert!(began.elapsed() >= Duration::from_secs(30)); // one after the other
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// Panics if it is zero.
    #[track_caller]
    pub fn concurrency(mut self, most: usize) -> Self {
        assert!(most > 0, "concurrency({most}): at least one job must run");
        self.concurrency = most;
        self
    }

    /// One attempt's time: then its token fires with `Deadline`, and after the [grace](Self::grace) it is dropped. It
    /// counts as an attempt. Default: none.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use nexios_jobs::{JobFailure, Jobs, Kind, Policy};
    ///
    /// const SYNC: Kind<()> = Kind::new("sync");
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let jobs = Jobs::memory();
    /// let stuck = |(), _job| std::future::pending::<Result<(), String>>();
    /// let policy = Policy::new().timeout(Duration::from_secs(60)).attempts(1);
    /// jobs.workers().handle(SYNC, policy, stuck).start().await?;
    /// let ended = jobs.enqueue(SYNC, &()).await?.wait().await;
    /// assert!(matches!(ended, Err(JobFailure::Dead { error }) if error == "did not end within 60s"));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// Panics if it is zero.
    #[track_caller]
    pub fn timeout(mut self, limit: Duration) -> Self {
        assert!(
            !limit.is_zero(),
            "timeout({limit:?}): a job needs some time"
        );
        self.timeout = Some(limit);
        self
    }

    /// So many attempts, the first included. Default: 5.
    ///
    /// # Examples
    ///
    /// ```
    /// use nexios_jobs::{JobState, Jobs, Kind, Policy};
    ///
    /// const FETCH: Kind<()> = Kind::new("fetch");
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let jobs = Jobs::memory();
    /// let fetch = |(), _job| async { Err::<(), _>("the server is away") };
    /// jobs.workers().handle(FETCH, Policy::new().attempts(3), fetch).start().await?;
    /// let job = jobs.enqueue(FETCH, &()).await?;
    /// assert!(job.wait().await.is_err());
    /// let info = job.status().await?.expect("it is kept");
    /// assert_eq!((info.state, info.attempts.len()), (JobState::Dead, 3));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// Panics if it is zero.
    #[track_caller]
    pub fn attempts(mut self, most: u32) -> Self {
        assert!(
            most > 0,
            "attempts({most}): a job needs at least one attempt"
        );
        self.attempts = most;
        self
    }

    /// The delay before attempt n + 1 is drawn from the upper half of `first` times two to the n - 1, capped at `max`, as
    /// [`Retry`] does. Default: 1 s, 10 min.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use nexios_jobs::{Jobs, Kind, Policy};
    /// use tokio::time::Instant;
    ///
    /// const FETCH: Kind<()> = Kind::new("fetch");
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let jobs = Jobs::memory();
    /// let fetch = |(), _job| async { Err::<(), _>("the server is away") };
    /// let policy = Policy::new().attempts(3).backoff(Duration::from_secs(10), Duration::from_secs(60));
    /// jobs.workers().handle(FETCH, policy, fetch).start().await?;
    /// let began = Instant::now();
    /// assert!(jobs.enqueue(FETCH, &()).await?.wait().await.is_err());
    /// // 5 to 10 s before the second attempt, 10 to 20 s before the third.
    /// assert!(began.elapsed() >= Duration::from_secs(15) && began.elapsed() < Duration::from_secs(35));
    /// # Ok(())
    /// # }
    /// ```
    pub fn backoff(mut self, first: Duration, max: Duration) -> Self {
        self.backoff = Retry::exponential(first, max);
        self
    }

    /// How long an ended job stays readable. Default: a day.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use nexios_jobs::{Jobs, Kind, Policy};
    ///
    /// const GREET: Kind<String> = Kind::new("greet");
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let jobs = Jobs::memory();
    /// let greet = |_name: String, _job| async { Ok::<_, String>(()) };
    /// jobs.workers().handle(GREET, Policy::new().keep(Duration::from_secs(60)), greet).start().await?;
    /// let job = jobs.enqueue(GREET, &"Ada".to_owned()).await?;
    /// job.wait().await?;
    /// assert!(job.status().await?.is_some());
    /// tokio::time::sleep(Duration::from_secs(300)).await; // the workers look once a minute
    /// assert!(job.status().await?.is_none());
    /// # Ok(())
    /// # }
    /// ```
    pub fn keep(mut self, time: Duration) -> Self {
        self.keep = time;
        self
    }

    /// How long an attempt may clean up after its token has fired, before it is dropped. Default: 3 s.
    ///
    /// At a shutdown the drain's own limit stands in its place.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use nexios_jobs::{JobContext, Jobs, Kind, Policy};
    ///
    /// const RECORD: Kind<(), String> = Kind::new("record");
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let jobs = Jobs::memory();
    /// let record = |(), job: JobContext| async move {
    ///     job.cancelled().await; // ... writes until then ...
    ///     tokio::time::sleep(Duration::from_secs(10)).await; // closes the file
    ///     Ok::<_, String>("the first minute".to_owned())
    /// };
    /// let policy = Policy::new().timeout(Duration::from_secs(60)).grace(Duration::from_secs(20));
    /// jobs.workers().handle(RECORD, policy, record).start().await?;
    /// assert_eq!(jobs.enqueue(RECORD, &()).await?.wait().await?, "the first minute");
    /// # Ok(())
    /// # }
    /// ```
    pub fn grace(mut self, time: Duration) -> Self {
        self.grace = time;
        self
    }

    /// How long a job may go on once a [drain](crate::Workers::drain) has begun, before its token fires with `Shutdown`;
    /// zero hands it back at once. Default: as long as the drain waits, which is the longest in any case.
    ///
    /// For jobs that take longer than a deploy may, so that waiting for them is in vain: another process goes on with one
    /// as soon as its handler has returned. A handler that ignores its token still has until the end of the drain.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use nexios::Drain;
    /// use nexios_jobs::{JobContext, Jobs, Kind, Policy};
    /// use tokio::time::Instant;
    ///
    /// const EXPORT: Kind<()> = Kind::new("export");
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let jobs = Jobs::memory();
    /// let export = |(), job: JobContext| async move {
    ///     job.cancelled().await; // ... rows for an hour, unless it is told to end ...
    ///     Err::<(), _>("stopped between two rows")
    /// };
    /// let policy = Policy::new().drain_wait(Duration::ZERO);
    /// let workers = jobs.workers().handle(EXPORT, policy, export).start().await?;
    /// jobs.enqueue(EXPORT, &()).await?;
    /// tokio::time::sleep(Duration::from_secs(1)).await;
    ///
    /// let began = Instant::now();
    /// let report = workers.drain(Drain { wait: Duration::from_secs(24), cancel: Duration::from_secs(3) }).await;
    /// assert_eq!(report.handed_back, ["export"]);
    /// assert!(began.elapsed() < Duration::from_secs(1));
    /// # Ok(())
    /// # }
    /// ```
    pub fn drain_wait(mut self, time: Duration) -> Self {
        self.drain_wait = Some(time);
        self
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self::new()
    }
}

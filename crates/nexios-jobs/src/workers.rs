//! The workers of one process.

mod attempt;
pub(crate) mod builder;
mod cron;
mod dispatcher;
mod drain;
mod drains;
mod keeper;
mod kind_handler;
pub(crate) mod report;
mod schedule;
mod shared;
mod verdict;

use std::{
    fmt,
    sync::{Arc, atomic::Ordering},
};

use futures_util::future::BoxFuture;
use nexios::{Drain, DrainReport, Drainable};

use report::{JobsDrainReport, WorkersStats};
use shared::Shared;

/// The workers of this process. Clones are the same; they work on when it is dropped, until a drain.
///
/// `nexios_axum::NexiosApp::background` takes it like a [`nexios::Background`].
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use nexios::Drain;
/// use nexios_jobs::{Jobs, Kind, Policy};
///
/// const NAP: Kind<u64> = Kind::new("nap");
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let jobs = Jobs::memory();
/// let nap = |millis, _job| async move {
///     tokio::time::sleep(Duration::from_millis(millis)).await;
///     Ok::<_, String>(())
/// };
/// let workers = jobs.workers().handle(NAP, Policy::new(), nap).start().await?;
/// jobs.enqueue(NAP, &5).await?.wait().await?;
///
/// let report = workers.drain(Drain { wait: Duration::from_secs(20), cancel: Duration::from_secs(3) }).await;
/// assert!(report.abandoned.is_empty());
/// assert_eq!(workers.stats().completed, 1);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Workers {
    shared: Arc<Shared>,
}

impl Workers {
    fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Claims nothing more, waits, fires the tokens (`Shutdown`) and waits, then drops what is left. The tokens of a kind
    /// with a [`drain_wait`](crate::Policy::drain_wait) fire when that is over, if it is the shorter one.
    ///
    /// A value that is returned after the token has fired is the output; an error is handed back, and no attempt: the job
    /// keeps its place, before all that became due meanwhile. With two
    /// drains the shorter limits hold, and both get the same report, as does one that comes later. A job that awaits the
    /// drain of its own workers holds it up until its limits.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use nexios::Drain;
    /// use nexios_jobs::{JobContext, JobState, Jobs, Kind, Policy};
    ///
    /// const SYNC: Kind<()> = Kind::new("sync");
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let jobs = Jobs::memory();
    /// let sync = |(), job: JobContext| async move {
    ///     job.cancelled().await; // ... a step after the other, until then ...
    ///     Err::<(), _>("stopped between two steps")
    /// };
    /// let workers = jobs.workers().handle(SYNC, Policy::new(), sync).start().await?;
    /// let job = jobs.enqueue(SYNC, &()).await?;
    /// tokio::time::sleep(Duration::from_secs(1)).await;
    ///
    /// let report = workers.drain(Drain { wait: Duration::from_secs(20), cancel: Duration::from_secs(3) }).await;
    /// assert_eq!(report.handed_back, ["sync"]);
    /// let info = job.status().await?.expect("others run it");
    /// assert_eq!((info.state, info.attempt), (JobState::Ready, 0));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// Panics if called outside a tokio runtime.
    ///
    /// # Cancel safety
    ///
    /// A drain that has begun goes on if this is dropped.
    pub async fn drain(&self, limits: Drain) -> JobsDrainReport {
        drain::drain(&self.shared, limits).await
    }

    /// Counts of what runs and has ended.
    ///
    /// # Examples
    ///
    /// ```
    /// use nexios_jobs::{JobContext, Jobs, Kind, Policy};
    ///
    /// const FETCH: Kind<()> = Kind::new("fetch");
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let jobs = Jobs::memory();
    /// let fetch = |(), job: JobContext| async move {
    ///     if job.attempt() == 1 { Err("the server is away") } else { Ok(()) }
    /// };
    /// let workers = jobs.workers().handle(FETCH, Policy::new(), fetch).start().await?;
    /// jobs.enqueue(FETCH, &()).await?.wait().await?;
    /// let stats = workers.stats();
    /// assert_eq!((stats.completed, stats.failed, stats.restarts), (1, 1, 0));
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn stats(&self) -> WorkersStats {
        let counts = &self.shared.counts;
        WorkersStats {
            running: self.shared.count(),
            completed: counts.completed.load(Ordering::Relaxed),
            failed: counts.failed.load(Ordering::Relaxed),
            restarts: counts.restarts.load(Ordering::Relaxed),
            recovered: counts.recovered.load(Ordering::Relaxed),
        }
    }

    /// Whether the database was there when it was last asked, for a readiness probe; asks nothing itself. Of nexios-axum that is
    /// `NexiosApp::ready_if("jobs", move || workers.is_ready())` with a clone, as `background` takes the other.
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
    /// let status = if workers.is_ready() { 200 } else { 503 }; // the answer to GET /readyz
    /// assert_eq!(status, 200);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.shared.ready.load(Ordering::Relaxed)
    }
}

impl fmt::Debug for Workers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kinds: Vec<_> = self.shared.kinds.iter().map(|kind| &kind.name).collect();
        f.debug_struct("Workers")
            .field("kinds", &kinds)
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

impl Drainable for Workers {
    fn drain(&self, limits: Drain) -> BoxFuture<'_, DrainReport> {
        Box::pin(async move {
            let jobs = Workers::drain(self, limits).await;
            let mut report = DrainReport::default();
            report.completed = jobs.completed;
            report.failed = jobs.failed;
            report.cancelled = jobs.cancelled;
            report.handed_back = jobs.handed_back;
            report.abandoned = jobs.abandoned;
            report
        })
    }

    fn unfinished(&self) -> Vec<String> {
        let attempts = self.shared.attempts();
        attempts
            .iter()
            .map(|attempt| format!("job {}", attempt.kind))
            .collect()
    }
}

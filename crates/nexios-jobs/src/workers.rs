//! The workers of one process.

mod attempt;
pub(crate) mod builder;
mod cron;
mod dispatcher;
mod drain;
mod keeper;
mod kind_handler;
mod schedule;
mod shared;
mod verdict;

use std::{
    borrow::Cow,
    fmt,
    sync::{Arc, atomic::Ordering},
};

use futures_util::future::BoxFuture;
use nexios::{Drain, DrainReport, Drainable};

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

    /// Claims nothing more, waits, fires the tokens (`Shutdown`) and waits, then drops what is left.
    ///
    /// A value that is returned after the token has fired is the output; an error is handed back, and no attempt. With two
    /// drains the shorter limits hold, and both get the same report, as does one that comes later. A job that awaits the
    /// drain of its own workers holds it up until its limits.
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
    #[must_use]
    pub fn stats(&self) -> WorkersStats {
        let counts = &self.shared.counts;
        WorkersStats {
            running: self.shared.count(),
            completed: counts.completed.load(Ordering::Relaxed),
            failed: counts.failed.load(Ordering::Relaxed),
            restarts: counts.restarts.load(Ordering::Relaxed),
        }
    }

    /// Whether the database was there when it was last asked, for a readiness probe.
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
}

/// Counts of the workers of this process, since their start.
///
/// See [`Workers`] for an example.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct WorkersStats {
    /// Jobs that run, or whose end is not written yet.
    pub running: usize,
    /// Jobs that returned an output.
    pub completed: u64,
    /// Attempts that failed, panicked or timed out.
    pub failed: u64,
    /// How often the engine was started again after an error.
    pub restarts: u64,
}

/// How the jobs ended that ran here when the drain began, by the names of their kinds.
///
/// See [`Workers`] for an example.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct JobsDrainReport {
    /// Those that returned an output.
    pub completed: Vec<Cow<'static, str>>,
    /// Those whose attempt failed, panicked or timed out, be it tried again or not.
    pub failed: Vec<Cow<'static, str>>,
    /// Those that somebody had cancelled.
    pub cancelled: Vec<Cow<'static, str>>,
    /// Stopped here, at once free for others, and no attempt counted.
    pub handed_back: Vec<Cow<'static, str>>,
    /// Still held their thread, or their end could not be written; others get them when the lease ends.
    pub abandoned: Vec<Cow<'static, str>>,
}

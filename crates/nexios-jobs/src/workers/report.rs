use std::borrow::Cow;

use crate::{attempt_end::AttemptEnd, engine::End, state::JobState};

/// Counts of the workers of this process, since their start.
///
/// # Examples
///
/// ```
/// use nexios_jobs::{Jobs, Kind, Policy, WorkersStats};
///
/// const GREET: Kind<String> = Kind::new("greet");
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let jobs = Jobs::memory();
/// let greet = |_name: String, _job| async { Ok::<_, String>(()) };
/// let workers = jobs.workers().handle(GREET, Policy::new(), greet).start().await?;
/// jobs.enqueue(GREET, &"Ada".to_owned()).await?.wait().await?;
/// let WorkersStats { completed, failed, .. } = workers.stats();
/// assert_eq!((completed, failed), (1, 0));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct WorkersStats {
    /// Jobs that run, or whose end is not written yet.
    pub running: usize,
    /// Jobs that returned an output.
    pub completed: u64,
    /// Attempts that failed, panicked or timed out; not those of jobs that somebody had cancelled.
    pub failed: u64,
    /// How often the engine was started again after an error.
    pub restarts: u64,
    /// Jobs of lost workers, of this machine or another, that were found here, be they tried again (by whoever claims them) or
    /// dead. None in memory, where no worker is lost.
    pub recovered: u64,
}

/// How the jobs ended that ran here when the drain began, by the names of their kinds.
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
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let jobs = Jobs::memory();
/// let nap = |seconds, _job| async move {
///     Ok::<_, String>(tokio::time::sleep(Duration::from_secs(seconds)).await)
/// };
/// let workers = jobs.workers().handle(NAP, Policy::new(), nap).start().await?;
/// jobs.enqueue_many(NAP, &[1, 3600]).await?;
/// tokio::time::sleep(Duration::from_millis(500)).await;
///
/// let report = workers.drain(Drain { wait: Duration::from_secs(20), cancel: Duration::from_secs(3) }).await;
/// assert_eq!(report.completed, ["nap"]); // the short one
/// assert_eq!(report.handed_back, ["nap"]); // the long one did not look at its token, and runs again
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct JobsDrainReport {
    /// Those that returned an output.
    pub completed: Vec<Cow<'static, str>>,
    /// Those whose attempt failed, panicked or timed out, be it tried again or not.
    pub failed: Vec<Cow<'static, str>>,
    /// Those that somebody had cancelled.
    pub cancelled: Vec<Cow<'static, str>>,
    /// Stopped here, at once free for others, and no attempt counted; also those that asked for a later time by a snooze.
    pub handed_back: Vec<Cow<'static, str>>,
    /// Still held their thread, or their end could not be written; others get them when the lease ends.
    pub abandoned: Vec<Cow<'static, str>>,
}

impl JobsDrainReport {
    /// Adds how one job ended.
    pub(super) fn file(&mut self, name: Cow<'static, str>, end: &End, written: Option<JobState>) {
        let names = match (written, end) {
            // Others have it.
            (None, _) => &mut self.abandoned,
            (Some(JobState::Completed), _) => &mut self.completed,
            (Some(JobState::Cancelled), _) => &mut self.cancelled,
            (Some(JobState::Failed | JobState::Dead), _) => &mut self.failed,
            (_, end) if end.of_attempt() == AttemptEnd::Failed => &mut self.failed,
            _ => &mut self.handed_back,
        };
        names.push(name);
    }
}

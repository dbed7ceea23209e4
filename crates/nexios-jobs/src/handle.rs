use std::{error::Error, fmt, marker::PhantomData, sync::Arc, time::Duration};

use futures_util::future::select;
use serde::de::DeserializeOwned;
use tokio::time::sleep;

use crate::{
    engine::{Added, Engine},
    error::JobsError,
    id::JobId,
    info::JobInfo,
    punctual::punctual,
    state::JobState,
};

/// How often one who waits looks by itself: nobody tells it of an end that comes with the time, such as a deletion elsewhere
/// while the database was away.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// The longest pause between two looks at a store that changes all the time.
const PACE: Duration = Duration::from_millis(50);

/// A job, from any process; dropping the handle changes nothing.
///
/// # Examples
///
/// ```
/// use nexios_jobs::{Jobs, JobFailure, Kind};
///
/// const GREET: Kind<String, String> = Kind::new("greet");
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), nexios_jobs::JobsError> {
/// let jobs = Jobs::memory();
/// let job = jobs.enqueue(GREET, &"Ada".to_owned()).await?;
/// let elsewhere = jobs.job(GREET, job.id());
/// assert!(elsewhere.cancel().await?);
/// assert!(matches!(job.wait().await, Err(JobFailure::Cancelled)));
/// # Ok(())
/// # }
/// ```
pub struct JobHandle<Output> {
    engine: Arc<dyn Engine>,
    kind: &'static str,
    id: JobId,
    was_new: bool,
    output: PhantomData<fn() -> Output>,
}

impl<O> Clone for JobHandle<O> {
    fn clone(&self) -> Self {
        Self {
            engine: self.engine.clone(),
            output: PhantomData,
            ..*self
        }
    }
}

impl<O> fmt::Debug for JobHandle<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JobHandle")
            .field("kind", &self.kind)
            .field("id", &self.id)
            .field("was_new", &self.was_new)
            .finish_non_exhaustive()
    }
}

impl<O> JobHandle<O> {
    pub(crate) fn new(engine: Arc<dyn Engine>, kind: &'static str, added: Added) -> Self {
        let Added { id, was_new } = added;
        Self {
            engine,
            kind,
            id,
            was_new,
            output: PhantomData,
        }
    }

    /// The number of the job.
    ///
    /// # Examples
    ///
    /// ```
    /// use nexios_jobs::{JobId, Jobs, Kind};
    ///
    /// const REPORT: Kind<u32> = Kind::new("report");
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let jobs = Jobs::memory();
    /// let job = jobs.enqueue(REPORT, &11).await?;
    /// let location = format!("/reports/{}", job.id()); // the answer of POST /reports
    ///
    /// let id: JobId = location.trim_start_matches("/reports/").parse()?;
    /// assert!(jobs.job(REPORT, id).status().await?.is_some());
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn id(&self) -> JobId {
        self.id
    }

    /// Whether the call that returned this handle made the job; `false` for a living one with the same key, which may have other
    /// arguments.
    ///
    /// # Examples
    ///
    /// ```
    /// use nexios_jobs::{Jobs, Kind};
    ///
    /// const REPORT: Kind<u32> = Kind::new("report");
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let jobs = Jobs::memory();
    /// assert!(jobs.task(REPORT).unique("2026-11").enqueue(&11).await?.was_new()); // 201 Created
    /// assert!(!jobs.task(REPORT).unique("2026-11").enqueue(&11).await?.was_new()); // 200 OK, it is on its way
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn was_new(&self) -> bool {
        self.was_new
    }

    /// Waits for the end, also through outages of the database, and returns the output.
    ///
    /// # Examples
    ///
    /// ```
    /// use nexios_jobs::{Jobs, Kind, Policy};
    ///
    /// const ADD: Kind<(u64, u64), u64> = Kind::new("add");
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let jobs = Jobs::memory();
    /// let add = |(a, b): (u64, u64), _job| async move { a.checked_add(b).ok_or("too large") };
    /// jobs.workers().handle(ADD, Policy::new(), add).start().await?;
    /// let sum = jobs.enqueue(ADD, &(2, 3)).await?;
    /// assert_eq!(sum.wait().await?, 5);
    /// assert_eq!(sum.wait().await?, 5); // it stays
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Why there is no output.
    ///
    /// # Panics
    ///
    /// Panics if it has to wait outside a tokio runtime.
    ///
    /// # Cancel safety
    ///
    /// Safe, and as often as you like: the output stays as long as the job is [kept](crate::Policy::keep).
    pub async fn wait(&self) -> Result<O, JobFailure>
    where
        O: DeserializeOwned,
    {
        let mut changes = self.engine.changes().listen();
        let mut pace = Duration::from_millis(1);
        loop {
            match self.engine.get(self.id).await {
                Ok(Some(job)) if job.kind == self.kind => {
                    if job.state.is_final() {
                        return output(job);
                    }
                }
                Ok(_) => return Err(JobFailure::Gone),
                Err(JobsError::Unavailable(_)) => {}
                Err(error) => return Err(JobFailure::Store(error)),
            }
            punctual(sleep(pace)).await;
            pace = PACE.min(pace * 2);
            let changed = std::pin::pin!(changes.changed());
            select(changed, std::pin::pin!(punctual(sleep(LOOK_AGAIN)))).await;
        }
    }

    /// The job as it is now; `None` when there is no such job of this kind any more, or not yet.
    ///
    /// # Examples
    ///
    /// ```
    /// use nexios_jobs::{JobState, Jobs, Kind};
    ///
    /// const REPORT: Kind<u32> = Kind::new("report");
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let jobs = Jobs::memory();
    /// let job = jobs.enqueue(REPORT, &11).await?;
    /// let info = job.status().await?.expect("it was enqueued");
    /// assert_eq!((info.state, info.attempt), (JobState::Ready, 0));
    ///
    /// jobs.delete(job.id()).await?;
    /// assert!(job.status().await?.is_none());
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
    pub async fn status(&self) -> Result<Option<JobInfo>, JobsError> {
        let job = self.engine.get(self.id).await?;
        Ok(job.filter(|job| job.kind == self.kind))
    }

    /// Cancels it, as [`Jobs::cancel`](crate::Jobs::cancel) does; `false` too if it is a job of another kind.
    ///
    /// # Examples
    ///
    /// ```
    /// use nexios_jobs::{JobState, Jobs, Kind};
    ///
    /// const REPORT: Kind<u32> = Kind::new("report");
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let jobs = Jobs::memory();
    /// let job = jobs.enqueue(REPORT, &11).await?;
    /// assert!(job.cancel().await?);
    /// assert!(job.status().await?.is_some_and(|info| info.state == JobState::Cancelled));
    /// assert!(!job.cancel().await?); // it has ended
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
    pub async fn cancel(&self) -> Result<bool, JobsError> {
        match self.status().await? {
            Some(_) => self.engine.cancel(self.id).await,
            None => Ok(false),
        }
    }
}

fn output<O: DeserializeOwned>(job: JobInfo) -> Result<O, JobFailure> {
    let error = job.error.unwrap_or_default();
    match job.state {
        JobState::Completed => {
            serde_json::from_value(job.result.unwrap_or_default()).map_err(|error| {
                JobFailure::Unreadable {
                    error: error.to_string(),
                }
            })
        }
        JobState::Failed => Err(JobFailure::Failed { error }),
        JobState::Cancelled => Err(JobFailure::Cancelled),
        _ => Err(JobFailure::Dead { error }),
    }
}

/// Why a job gave no output.
///
/// # Examples
///
/// ```
/// use nexios_jobs::{JobFailure, Jobs, Kind, Policy};
///
/// const CHARGE: Kind<u64> = Kind::new("charge");
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let jobs = Jobs::memory();
/// let charge = |_cents: u64, _job| async { Err::<(), _>("the card is blocked") };
/// jobs.workers().handle(CHARGE, Policy::new().attempts(3), charge).start().await?;
/// let status = match jobs.enqueue(CHARGE, &100).await?.wait().await {
///     Ok(()) => 200,
///     Err(JobFailure::Dead { error }) if error == "the card is blocked" => 402,
///     Err(JobFailure::Cancelled | JobFailure::Gone) => 410,
///     Err(_) => 500,
/// };
/// assert_eq!(status, 402);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum JobFailure {
    /// The handler said [`JobError::discard`](crate::JobError::discard).
    Failed {
        /// What it said.
        error: String,
    },
    /// Its attempts are spent, its arguments cannot be read, or its output cannot be written (no JSON, or too large).
    Dead {
        /// The last error.
        error: String,
    },
    /// Somebody cancelled it.
    Cancelled,
    /// The output is not what this kind says.
    Unreadable {
        /// What serde says.
        error: String,
    },
    /// There is no such job of this kind: pruned, deleted, or its transaction did not commit.
    Gone,
    /// The database failed, other than by being away.
    Store(JobsError),
}

impl fmt::Display for JobFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed { error } => write!(f, "the job failed: {error}"),
            Self::Dead { error } => write!(f, "the job was given up: {error}"),
            Self::Cancelled => f.write_str("the job was cancelled"),
            Self::Unreadable { error } => {
                write!(f, "the output of the job cannot be read: {error}")
            }
            Self::Gone => f.write_str("there is no such job"),
            Self::Store(error) => error.fmt(f),
        }
    }
}

impl Error for JobFailure {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Store(error) => Some(error),
            _ => None,
        }
    }
}

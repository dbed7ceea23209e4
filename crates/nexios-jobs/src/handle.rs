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
    #[must_use]
    pub fn id(&self) -> JobId {
        self.id
    }

    /// Whether the call that returned this handle made the job; `false` for a living one with the same key.
    #[must_use]
    pub fn was_new(&self) -> bool {
        self.was_new
    }

    /// Waits for the end, also through outages of the database, and returns the output.
    ///
    /// # Errors
    ///
    /// Why there is no output.
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
    /// # Errors
    ///
    /// Those of the database.
    pub async fn status(&self) -> Result<Option<JobInfo>, JobsError> {
        let job = self.engine.get(self.id).await?;
        Ok(job.filter(|job| job.kind == self.kind))
    }

    /// Cancels it, as [`Jobs::cancel`](crate::Jobs::cancel) does; `false` too if it is a job of another kind.
    ///
    /// # Errors
    ///
    /// Those of the database.
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
/// See [`JobHandle`] for an example.
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

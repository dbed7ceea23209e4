use std::fmt;

use serde::{Deserialize, Serialize};

/// How far a job is.
///
/// `Scheduled`, `Ready`, `Running` and `Retrying` live; the others have ended.
///
/// # Examples
///
/// ```
/// use nexios_jobs::JobState;
///
/// assert!(JobState::Dead.is_final());
/// assert_eq!(JobState::Retrying.to_string(), "retrying");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    /// Its time has not come.
    Scheduled,
    /// Waits for a worker.
    Ready,
    /// A worker has it.
    Running,
    /// Waits for its next attempt.
    Retrying,
    /// Returned an output.
    Completed,
    /// Its handler said [`JobError::discard`](crate::JobError::discard).
    Failed,
    /// Somebody cancelled it.
    Cancelled,
    /// Its attempts are spent, or its arguments or output cannot be read or written.
    Dead,
}

impl JobState {
    /// Whether the job has ended.
    ///
    /// # Examples
    ///
    /// ```
    /// use nexios_jobs::JobState;
    ///
    /// assert!(JobState::Cancelled.is_final()); // and its key is free
    /// assert!(!JobState::Retrying.is_final());
    /// ```
    #[must_use]
    pub fn is_final(self) -> bool {
        matches!(
            self,
            Self::Completed | Self::Failed | Self::Cancelled | Self::Dead
        )
    }

    /// The word for it in JSON and in a log.
    ///
    /// # Examples
    ///
    /// ```
    /// use nexios_jobs::JobState;
    ///
    /// assert_eq!(JobState::Ready.as_str(), "ready");
    /// ```
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Scheduled => "scheduled",
            Self::Ready => "ready",
            Self::Running => "running",
            Self::Retrying => "retrying",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Dead => "dead",
        }
    }
}

impl fmt::Display for JobState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

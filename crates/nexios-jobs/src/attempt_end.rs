use std::fmt;

use serde::{Deserialize, Serialize};

/// What became of an attempt at a job.
///
/// # Examples
///
/// ```
/// use nexios_jobs::AttemptEnd;
///
/// assert!(AttemptEnd::Failed.counts());
/// assert!(!AttemptEnd::HandedBack.counts());
/// assert_eq!(AttemptEnd::HandedBack.to_string(), "handed_back");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
#[serde(rename_all = "snake_case")]
pub enum AttemptEnd {
    /// Returned an output.
    Completed,
    /// Returned an error, panicked, or did not end in its time.
    Failed,
    /// Somebody had cancelled the job.
    Cancelled,
    /// Its handler said [`JobError::snooze`](crate::JobError::snooze).
    Snoozed,
    /// A drain stopped it, or the database was away for longer than its lease: the job was at once free for others.
    HandedBack,
    /// Its worker was lost, by a `kill -9` for example, be the job cancelled or not.
    Lost,
}

impl AttemptEnd {
    /// Whether it was one of the attempts that the job's policy allows. One that was snoozed or handed back was none, and the next has the
    /// same [number](crate::JobAttempt::number).
    ///
    /// # Examples
    ///
    /// ```
    /// use nexios_jobs::AttemptEnd;
    ///
    /// assert!(!AttemptEnd::Snoozed.counts());
    /// assert!(AttemptEnd::Lost.counts());
    /// ```
    #[must_use]
    pub fn counts(self) -> bool {
        !matches!(self, Self::Snoozed | Self::HandedBack)
    }

    /// The word for it in JSON and in a log.
    ///
    /// # Examples
    ///
    /// ```
    /// use nexios_jobs::AttemptEnd;
    ///
    /// assert_eq!(AttemptEnd::Lost.as_str(), "lost");
    /// ```
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Snoozed => "snoozed",
            Self::HandedBack => "handed_back",
            Self::Lost => "lost",
        }
    }
}

impl fmt::Display for AttemptEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

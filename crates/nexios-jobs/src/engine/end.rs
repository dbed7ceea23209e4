//! How attempts end.

use std::time::Duration;

use crate::attempt_end::AttemptEnd;

/// What an attempt's end means for the job.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum End {
    /// The output as JSON.
    Completed(String),
    Failed(String),
    Dead(String),
    Cancelled,
    Again {
        after: Duration,
        cause: Cause,
    },
    /// A drain cut it off; this was no attempt. The job is at once free for others, in the place that it had.
    HandedBack,
}

/// Why a job is to run again.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Cause {
    /// Its attempt failed.
    Failed(String),
    /// Its handler wants it later; this was no attempt.
    Snoozed,
}

impl End {
    /// What became of the attempt.
    pub(crate) fn of_attempt(&self) -> AttemptEnd {
        match self {
            Self::Completed(_) => AttemptEnd::Completed,
            Self::Cancelled => AttemptEnd::Cancelled,
            Self::Failed(_) | Self::Dead(_) => AttemptEnd::Failed,
            Self::HandedBack => AttemptEnd::HandedBack,
            Self::Again { cause, .. } => match cause {
                Cause::Failed(_) => AttemptEnd::Failed,
                Cause::Snoozed => AttemptEnd::Snoozed,
            },
        }
    }
}

impl Cause {
    pub(crate) fn into_error(self) -> Option<String> {
        match self {
            Self::Failed(error) => Some(error),
            Self::Snoozed => None,
        }
    }
}

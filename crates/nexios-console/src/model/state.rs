//! How far work is, or how it went.

use nexios::observe::Outcome;
use serde::{Serialize, Serializer};

/// What work does while it lives; then how it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum State {
    Waiting,
    Running,
    Cancelling,
    Completed,
    Failed,
    Panicked,
    Cancelled,
    TimedOut,
    Won,
    Lost,
    Refused,
}

impl State {
    /// The word for it in JSON, in HTML and in a filter.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Cancelling => "cancelling",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Panicked => "panicked",
            Self::Cancelled => "cancelled",
            Self::TimedOut => "timed_out",
            Self::Won => "won",
            Self::Lost => "lost",
            Self::Refused => "refused",
        }
    }

    pub(crate) fn lives(self) -> bool {
        matches!(self, Self::Waiting | Self::Running | Self::Cancelling)
    }
}

impl From<&Outcome<'_>> for State {
    fn from(outcome: &Outcome<'_>) -> Self {
        match outcome {
            Outcome::Failed(_) => Self::Failed,
            Outcome::Panicked(_) => Self::Panicked,
            Outcome::Cancelled(_) => Self::Cancelled,
            Outcome::TimedOut => Self::TimedOut,
            Outcome::Won => Self::Won,
            Outcome::Lost => Self::Lost,
            Outcome::Refused => Self::Refused,
            // Also whatever a later version of the crate may know.
            _ => Self::Completed,
        }
    }
}

impl Serialize for State {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

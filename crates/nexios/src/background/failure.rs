use std::fmt;

use super::info::TaskState;

/// Why a background task has no value.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// use nexios::{BackgroundFailure, create_background_task};
///
/// let division = create_background_task("divide", async { 1 / "".len() });
/// match division.await {
///     Ok(_) => unreachable!(),
///     Err(failure) => assert_eq!(failure, BackgroundFailure::Panicked),
/// }
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum BackgroundFailure {
    /// It panicked; the text of the panic is in [`TaskInfo::error`](crate::TaskInfo::error).
    Panicked,
    /// It was cancelled.
    Cancelled,
    /// It was dropped at its time limit.
    TimedOut,
    /// It was cut off, by the last phase of a drain or by the end of its runtime.
    Abandoned,
    /// It was not admitted, and its future was never polled.
    Refused,
}

impl BackgroundFailure {
    /// What the handle of a task yields that ended in `state` without a value.
    pub(super) fn of(state: TaskState) -> Self {
        match state {
            TaskState::Panicked => Self::Panicked,
            TaskState::Cancelled => Self::Cancelled,
            TaskState::TimedOut => Self::TimedOut,
            _ => Self::Abandoned,
        }
    }
}

impl fmt::Display for BackgroundFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Panicked => "the background task panicked",
            Self::Cancelled => "the background task was cancelled",
            Self::TimedOut => "the background task reached its time limit",
            Self::Abandoned => "the background task was cut off",
            Self::Refused => "the background task was not admitted",
        })
    }
}

impl std::error::Error for BackgroundFailure {}

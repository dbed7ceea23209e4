use std::{error::Error, fmt};

use super::info::TaskId;

#[cfg(feature = "cron")]
use super::cron::CronError;

/// Why a task was not admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    Full,
    ShuttingDown,
    Duplicate,
}

/// A task that was not admitted.
pub(super) struct NotAdmitted<F> {
    pub(super) id: TaskId,
    pub(super) refusal: Refusal,
    /// Its future or closure, untouched.
    pub(super) source: F,
}

impl<F> From<NotAdmitted<F>> for BackgroundError<F> {
    fn from(refused: NotAdmitted<F>) -> Self {
        let closure = refused.source;
        match refused.refusal {
            Refusal::Full => Self::Full(closure),
            Refusal::ShuttingDown => Self::ShuttingDown(closure),
            Refusal::Duplicate => Self::Duplicate(closure),
        }
    }
}

/// Why a task was not admitted. Hands back the closure, which was not called.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use nexios::{Background, BackgroundError};
///
/// let background = Background::new();
/// let _first = background.task("sync").unique("sync").spawn(|_cx| std::future::pending::<()>())?;
/// match background.task("sync").unique("sync").spawn(|_cx| async {}) {
///     Err(BackgroundError::Duplicate(_)) => {} // it runs already: all is well
///     other => panic!("{other:?}"),
/// }
/// # Ok(())
/// # }
/// ```
#[non_exhaustive]
pub enum BackgroundError<F> {
    /// As many tasks run and wait as may.
    Full(F),
    /// A drain has begun.
    ShuttingDown(F),
    /// A live task holds the same unique key.
    Duplicate(F),
    /// The text of a schedule cannot be read, or names no time.
    #[cfg(feature = "cron")]
    BadSchedule(F, CronError),
}

impl<F> BackgroundError<F> {
    /// The closure that was refused.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use nexios::{Background, TaskContext};
    ///
    /// let full = Background::builder().live(1).build();
    /// let _first = full.spawn("first", |_cx| std::future::pending::<()>())?;
    /// let refused = full.spawn("second", |_cx: TaskContext| async { 2 }).expect_err("one may live");
    /// let elsewhere = Background::global().spawn("second", refused.into_inner())?;
    /// assert_eq!(elsewhere.await?, 2);
    /// # Ok(())
    /// # }
    /// ```
    pub fn into_inner(self) -> F {
        match self {
            Self::Full(closure) | Self::ShuttingDown(closure) | Self::Duplicate(closure) => closure,
            #[cfg(feature = "cron")]
            Self::BadSchedule(closure, _) => closure,
        }
    }
}

impl<F> fmt::Debug for BackgroundError<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full(_) => "Full(..)",
            Self::ShuttingDown(_) => "ShuttingDown(..)",
            Self::Duplicate(_) => "Duplicate(..)",
            #[cfg(feature = "cron")]
            Self::BadSchedule(_, error) => return write!(f, "BadSchedule(.., {error:?})"),
        })
    }
}

impl<F> fmt::Display for BackgroundError<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full(_) => "too many background tasks",
            Self::ShuttingDown(_) => "background tasks are shutting down",
            Self::Duplicate(_) => "a background task with the same key is live",
            #[cfg(feature = "cron")]
            Self::BadSchedule(_, error) => return error.fmt(f),
        })
    }
}

impl<F> Error for BackgroundError<F> {}

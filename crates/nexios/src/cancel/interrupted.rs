use std::{error::Error, fmt, io};

use super::reason::CancelReason;

/// Why work ended without an outcome of its own.
///
/// This is what a [`TaskGroup`](crate::TaskGroup) hands to the caller's error type through `From`, so it
/// works with `anyhow::Error` and `Box<dyn Error + Send + Sync>` as they are; [`String`] and
/// [`io::Error`] are covered here.
///
/// # Examples
///
/// ```
/// use nexios::{CancelReason, Interrupted};
///
/// enum AppError {
///     GatewayTimeout,
///     Cancelled(CancelReason),
/// }
/// impl From<Interrupted> for AppError {
///     fn from(interrupted: Interrupted) -> Self {
///         match interrupted {
///             Interrupted::Cancelled(reason) => AppError::Cancelled(reason),
///             _ => AppError::GatewayTimeout,
///         }
///     }
/// }
/// assert!(matches!(AppError::from(Interrupted::DeadlineExceeded), AppError::GatewayTimeout));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Interrupted {
    /// The work was cancelled, for this reason.
    Cancelled(CancelReason),
    /// The work ran into its time limit.
    DeadlineExceeded,
}

impl From<CancelReason> for Interrupted {
    /// A token that fired with [`CancelReason::Deadline`] means the deadline was exceeded.
    fn from(reason: CancelReason) -> Self {
        match reason {
            CancelReason::Deadline => Self::DeadlineExceeded,
            reason => Self::Cancelled(reason),
        }
    }
}

impl fmt::Display for Interrupted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cancelled(reason) => write!(f, "cancelled: {reason}"),
            Self::DeadlineExceeded => f.write_str("deadline exceeded"),
        }
    }
}

impl Error for Interrupted {}

impl From<Interrupted> for String {
    fn from(interrupted: Interrupted) -> Self {
        interrupted.to_string()
    }
}

impl From<Interrupted> for io::Error {
    /// A deadline becomes [`io::ErrorKind::TimedOut`], a cancellation [`io::ErrorKind::Interrupted`].
    ///
    /// Code that retries on `Interrupted` (as [`io::Read::read_exact`] does) sees it only if it is fed
    /// with this error; a group never returns it from inside a reader.
    fn from(interrupted: Interrupted) -> Self {
        let kind = match interrupted {
            Interrupted::Cancelled(_) => io::ErrorKind::Interrupted,
            Interrupted::DeadlineExceeded => io::ErrorKind::TimedOut,
        };
        io::Error::new(kind, interrupted)
    }
}

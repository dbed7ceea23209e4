use std::time::Duration;

use crate::backoff::Backoff;

/// How long an error of a lazy value is kept: always the same, or longer with each failure in a row.
///
/// A [`Duration`] converts into the first kind.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use nexios::{AsyncLazy, ErrorBackoff};
///
/// let rates = AsyncLazy::builder(|| async { Ok::<_, std::io::Error>([1.08, 0.85]) })
///     .error_backoff(ErrorBackoff::exponential(Duration::from_secs(1), Duration::from_secs(60)))
///     .build();
/// # let _ = rates;
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ErrorBackoff {
    kind: BackoffKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum BackoffKind {
    Fixed(Duration),
    Exponential(Backoff),
}

impl ErrorBackoff {
    /// Doubles the pause with each failure in a row, from `first` up to `max`, with jitter.
    ///
    /// Each pause is drawn from the upper half of that time (as with [`Retry`](crate::Retry)): never longer
    /// than said, and never all values at once. A value, `reset` and `set` begin anew.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() {
    /// use std::time::Duration;
    /// use nexios::{AsyncLazy, ErrorBackoff};
    ///
    /// let backoff = ErrorBackoff::exponential(Duration::from_secs(8), Duration::from_secs(60));
    /// let rates = AsyncLazy::builder(|| async { Err::<(), _>("no route") }).error_backoff(backoff).build();
    /// for _ in 0..3 {
    ///     assert!(rates.get().await.is_err());
    /// }
    /// assert_eq!(rates.stats().computations, 1); // the error was kept
    /// tokio::time::advance(Duration::from_secs(8)).await;
    /// assert!(rates.get().await.is_err());
    /// assert_eq!(rates.stats().computations, 2);
    /// # }
    /// ```
    #[must_use]
    pub fn exponential(first: Duration, max: Duration) -> Self {
        Self {
            kind: BackoffKind::Exponential(Backoff { first, max }),
        }
    }

    /// The pause after so many failures in a row.
    pub(super) fn pause(self, failures: u32) -> Duration {
        match self.kind {
            BackoffKind::Fixed(pause) => pause,
            BackoffKind::Exponential(backoff) => backoff.pause(failures),
        }
    }
}

impl From<Duration> for ErrorBackoff {
    fn from(pause: Duration) -> Self {
        Self {
            kind: BackoffKind::Fixed(pause),
        }
    }
}

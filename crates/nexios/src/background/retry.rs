use std::time::Duration;

use crate::backoff::Backoff;

/// When a failed task is tried again: exponential backoff with jitter.
///
/// The delay before attempt n + 1 is drawn from the upper half of `first` times two to the n - 1, capped at
/// `max` ("equal jitter", from the AWS Architecture Blog, *Exponential Backoff And Jitter*, 2015): never
/// longer than said, and never all tasks at once.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use nexios::Retry;
///
/// let retry = Retry::exponential(Duration::from_millis(100), Duration::from_secs(10)).attempts(5);
/// # let _ = retry;
/// ```
#[derive(Debug, Clone)]
pub struct Retry {
    backoff: Backoff,
    attempts: u32,
}

impl Retry {
    /// Doubles the delay from `first` up to `max`; 3 attempts in all, unless told otherwise.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use nexios::Retry;
    ///
    /// let retry = Retry::exponential(Duration::from_secs(1), Duration::from_secs(10));
    /// assert!(retry.delay_after(1) <= Duration::from_secs(1));
    /// assert!(retry.delay_after(9) >= Duration::from_secs(5));
    /// assert!(retry.delay_after(9) <= Duration::from_secs(10));
    /// ```
    #[must_use]
    pub fn exponential(first: Duration, max: Duration) -> Self {
        Self {
            backoff: Backoff { first, max },
            attempts: 3,
        }
    }

    /// Tries at most `attempts` times, the first one included.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use std::time::Duration;
    /// use nexios::{Background, Retry};
    ///
    /// let retry = Retry::exponential(Duration::from_secs(1), Duration::from_secs(10)).attempts(5);
    /// let task = Background::new()
    ///     .task("connect")
    ///     .retry(retry)
    ///     .spawn_fallible(|cx| async move { Err::<(), _>(cx.attempt()) })?;
    /// assert_eq!(task.await?, Err(5));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// Panics if `attempts` is zero.
    #[must_use]
    #[track_caller]
    pub fn attempts(mut self, attempts: u32) -> Self {
        assert!(
            attempts > 0,
            "attempts({attempts}): a task needs at least one attempt"
        );
        self.attempts = attempts;
        self
    }

    /// Draws the delay after so many failures in a row, for whoever keeps count of them elsewhere.
    ///
    /// ```
    /// use std::time::Duration;
    /// use nexios::Retry;
    ///
    /// let retry = Retry::exponential(Duration::from_secs(1), Duration::from_secs(60));
    /// let third = retry.delay_after(3);
    /// assert!(third > Duration::from_secs(2) && third <= Duration::from_secs(4));
    /// ```
    #[must_use]
    pub fn delay_after(&self, failures: u32) -> Duration {
        self.backoff.pause(failures)
    }

    /// The delays between the attempts, one fewer than there are attempts.
    pub(super) fn delays(&self) -> impl Iterator<Item = Duration> + Send + use<> {
        let backoff = self.backoff;
        (1..self.attempts).map(move |failures| backoff.pause(failures))
    }
}

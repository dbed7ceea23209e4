use std::time::Duration;

use nexios::Retry;

/// How the jobs of one kind are run.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use nexios_jobs::Policy;
///
/// let policy = Policy::new()
///     .concurrency(2)
///     .timeout(Duration::from_secs(600))
///     .attempts(8)
///     .backoff(Duration::from_secs(5), Duration::from_secs(300));
/// # let _ = policy;
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct Policy {
    pub(crate) concurrency: usize,
    pub(crate) timeout: Option<Duration>,
    pub(crate) attempts: u32,
    pub(crate) backoff: Retry,
    pub(crate) keep: Duration,
    pub(crate) grace: Duration,
}

impl Policy {
    /// The defaults: 4 at once, no timeout, 5 attempts, backoff from 1 s to 10 min, kept for a day, a grace of 3 s.
    pub fn new() -> Self {
        Self {
            concurrency: 4,
            timeout: None,
            attempts: 5,
            backoff: Retry::exponential(Duration::from_secs(1), Duration::from_secs(600)),
            keep: Duration::from_secs(24 * 60 * 60),
            grace: Duration::from_secs(3),
        }
    }

    /// So many at once in this process. Default: 4.
    ///
    /// # Panics
    ///
    /// Panics if it is zero.
    #[track_caller]
    pub fn concurrency(mut self, most: usize) -> Self {
        assert!(most > 0, "concurrency({most}): at least one job must run");
        self.concurrency = most;
        self
    }

    /// One attempt's time: then its token fires with `Deadline`, and after the [grace](Self::grace) it is dropped. It
    /// counts as an attempt. Default: none.
    ///
    /// # Panics
    ///
    /// Panics if it is zero.
    #[track_caller]
    pub fn timeout(mut self, limit: Duration) -> Self {
        assert!(
            !limit.is_zero(),
            "timeout({limit:?}): a job needs some time"
        );
        self.timeout = Some(limit);
        self
    }

    /// So many attempts, the first included. Default: 5.
    ///
    /// # Panics
    ///
    /// Panics if it is zero.
    #[track_caller]
    pub fn attempts(mut self, most: u32) -> Self {
        assert!(
            most > 0,
            "attempts({most}): a job needs at least one attempt"
        );
        self.attempts = most;
        self
    }

    /// The delay before attempt n + 1 is drawn from the upper half of `first` times two to the n - 1, capped at `max`, as
    /// [`Retry`] does. Default: 1 s, 10 min.
    pub fn backoff(mut self, first: Duration, max: Duration) -> Self {
        self.backoff = Retry::exponential(first, max);
        self
    }

    /// How long an ended job stays readable. Default: a day.
    pub fn keep(mut self, time: Duration) -> Self {
        self.keep = time;
        self
    }

    /// How long an attempt may clean up after its token has fired, before it is dropped. Default: 3 s.
    ///
    /// At a shutdown the drain's own limit stands in its place.
    pub fn grace(mut self, time: Duration) -> Self {
        self.grace = time;
        self
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self::new()
    }
}

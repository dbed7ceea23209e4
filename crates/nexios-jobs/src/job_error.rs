use std::{fmt, time::Duration};

/// The longest text of an error that is kept.
const LONGEST: usize = 4 * 1024;

/// Why an attempt gave no output, and what is to become of the job.
///
/// Any error that can be shown becomes one, so `?` works in a handler: "try again by the policy". It is itself no
/// `Display`, or that could not be.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use nexios_jobs::{JobContext, JobError, JobFailure, Jobs, Kind, Policy};
///
/// const DELIVER: Kind<u16> = Kind::new("deliver");
///
/// async fn deliver(answer: u16, _job: JobContext) -> Result<(), JobError> {
///     match answer {
///         250 => Ok(()),
///         421 => Err(JobError::snooze(Duration::from_secs(60))),
///         450 => Err(JobError::retry_in(Duration::from_secs(300), "greylisted")),
///         550 => Err(JobError::discard("no such mailbox")),
///         other => Err(format!("the server said {other}"))?,
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let jobs = Jobs::memory();
/// jobs.workers().handle(DELIVER, Policy::new(), deliver).start().await?;
/// jobs.enqueue(DELIVER, &250).await?.wait().await?;
/// let ended = jobs.enqueue(DELIVER, &550).await?.wait().await;
/// assert!(matches!(ended, Err(JobFailure::Failed { .. })));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct JobError {
    pub(crate) wish: Wish,
    /// At most [`LONGEST`] bytes.
    pub(crate) text: String,
}

/// What is to become of the job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wish {
    ByPolicy,
    Never,
    After(Duration),
    /// After this time, and this was no attempt.
    Snooze(Duration),
}

impl JobError {
    /// Never again: the job is `Failed`.
    ///
    /// # Examples
    ///
    /// ```
    /// use nexios_jobs::{JobError, JobFailure, Jobs, Kind, Policy};
    ///
    /// const SEND: Kind<String> = Kind::new("send");
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let jobs = Jobs::memory();
    /// let send = |_to: String, _job| async { Err::<(), _>(JobError::discard("no such mailbox")) };
    /// jobs.workers().handle(SEND, Policy::new(), send).start().await?;
    /// let job = jobs.enqueue(SEND, &"nobody@example.org".to_owned()).await?;
    /// assert!(matches!(job.wait().await, Err(JobFailure::Failed { error }) if error == "no such mailbox"));
    /// assert!(job.status().await?.is_some_and(|info| info.attempt == 1));
    /// # Ok(())
    /// # }
    /// ```
    pub fn discard(error: impl fmt::Display) -> Self {
        Self::new(Wish::Never, error)
    }

    /// Again after this time and not by the backoff; it is an attempt like others.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use nexios_jobs::{JobContext, JobError, Jobs, Kind, Policy};
    /// use tokio::time::Instant;
    ///
    /// const SEND: Kind<String, u32> = Kind::new("send");
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let jobs = Jobs::memory();
    /// let send = |_to: String, job: JobContext| async move {
    ///     match job.attempt() {
    ///         1 => Err(JobError::retry_in(Duration::from_secs(300), "greylisted")), // said by Retry-After
    ///         attempt => Ok(attempt),
    ///     }
    /// };
    /// jobs.workers().handle(SEND, Policy::new(), send).start().await?;
    /// let began = Instant::now();
    /// assert_eq!(jobs.enqueue(SEND, &"ada@example.org".to_owned()).await?.wait().await?, 2);
    /// assert!(began.elapsed() >= Duration::from_secs(300));
    /// # Ok(())
    /// # }
    /// ```
    pub fn retry_in(after: Duration, error: impl fmt::Display) -> Self {
        Self::new(Wish::After(after), error)
    }

    /// Again after this time, and this was no attempt.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::{sync::atomic::{AtomicBool, Ordering}, time::Duration};
    /// use nexios_jobs::{JobContext, JobError, Jobs, Kind, Policy};
    ///
    /// const SEND: Kind<String, u32> = Kind::new("send");
    /// static OPEN: AtomicBool = AtomicBool::new(false);
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let jobs = Jobs::memory();
    /// let send = |_to: String, job: JobContext| async move {
    ///     if !OPEN.swap(true, Ordering::Relaxed) {
    ///         return Err(JobError::snooze(Duration::from_secs(60))); // our quota is spent, which is no fault of the job
    ///     }
    ///     Ok(job.attempt())
    /// };
    /// jobs.workers().handle(SEND, Policy::new().attempts(1), send).start().await?;
    /// assert_eq!(jobs.enqueue(SEND, &"ada@example.org".to_owned()).await?.wait().await?, 1);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn snooze(after: Duration) -> Self {
        Self {
            wish: Wish::Snooze(after),
            text: String::new(),
        }
    }

    fn new(wish: Wish, error: impl fmt::Display) -> Self {
        Self {
            wish,
            text: shortened(format!("{error:#}")),
        }
    }
}

/// The text is that of `{error:#}`, which shows the causes of an `anyhow::Error`.
impl<E: fmt::Display> From<E> for JobError {
    fn from(error: E) -> Self {
        Self::new(Wish::ByPolicy, error)
    }
}

/// The beginning of a text, of the length that is kept, without what a database cannot keep.
pub(crate) fn shortened(mut text: String) -> String {
    if text.len() > LONGEST {
        text.truncate(text.floor_char_boundary(LONGEST));
    }
    if text.contains('\0') {
        text = crate::nul::without_nul(&text);
        text.truncate(text.floor_char_boundary(LONGEST));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_of_an_error_is_cut_at_4_kib_between_two_characters() {
        let error = JobError::from("ä".repeat(3000));
        assert_eq!(error.text.len(), 4096);
        let odd = JobError::from(format!("a{}", "ä".repeat(3000)));
        assert_eq!(odd.text.len(), 4095);
        assert!(JobError::from("\0".repeat(4096)).text.len() <= 4096);
    }
}

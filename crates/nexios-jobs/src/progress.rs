/// How far an attempt has said that its job is; see [`JobContext::last_progress`](crate::JobContext::last_progress).
///
/// # Examples
///
/// ```
/// use nexios_jobs::{JobContext, JobProgress, Jobs, Kind, Policy};
///
/// const COPY: Kind<(), String> = Kind::new("copy");
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let jobs = Jobs::memory();
/// let copy = |(), job: JobContext| async move {
///     let Some(JobProgress { done, total, message, .. }) = job.last_progress() else {
///         job.progress(2, 3);
///         job.message("row-0002");
///         return Err("the connection was lost");
///     };
///     Ok(format!("{done} of {total}, up to {}", message.as_deref().unwrap_or("nothing")))
/// };
/// jobs.workers().handle(COPY, Policy::new(), copy).start().await?;
/// assert_eq!(jobs.enqueue(COPY, &()).await?.wait().await?, "2 of 3, up to row-0002");
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct JobProgress {
    /// The steps that are done.
    pub done: u64,
    /// All steps; 0 if it has not said how many.
    pub total: u64,
    /// What it is at, or wherever it says it is.
    pub message: Option<String>,
}

impl JobProgress {
    /// None if nothing was ever said, or nothing that could be told from that.
    pub(crate) fn if_any(self) -> Option<Self> {
        Some(self).filter(|progress| *progress != Self::default())
    }
}

use std::{
    fmt,
    sync::{Arc, Mutex},
};

use nexios::{CancelReason, CancelToken};
use tokio::time::Instant;

use crate::{
    engine::{ClaimedJob, Progress, Run},
    id::JobId,
    job_error::shortened,
    lock::lock,
    origin,
};

/// What a handler is given. Clones are the same attempt.
///
/// It runs in a [`CancelScope`](nexios::CancelScope) with the token and the deadline of the attempt and in a tracing span
/// `job` with the fields `kind`, `id` and `attempt`. A job that is `Dead` or `Failed` is one line at ERROR with these and
/// the error; payloads are never logged.
///
/// # Examples
///
/// ```
/// use nexios_jobs::{JobContext, JobError};
///
/// async fn send(recipients: Vec<String>, job: JobContext) -> Result<u64, JobError> {
///     let total = recipients.len() as u64;
///     for (sent, recipient) in recipients.iter().enumerate() {
///         if job.is_cancelled() {
///             return Err("stopped between two letters".into());
///         }
///         // ... one letter, with job.idempotency_key() ...
///         job.progress(sent as u64 + 1, total);
///         job.message(format!("sent to {recipient}"));
///     }
///     Ok(total)
/// }
/// # let _ = send;
/// ```
#[derive(Clone)]
pub struct JobContext {
    attempt: Arc<Attempt>,
}

/// One attempt that runs in this process.
pub(crate) struct Attempt {
    pub(crate) run: Run,
    pub(crate) kind: String,
    pub(crate) number: u32,
    pub(crate) token: CancelToken,
    /// When its time is over.
    pub(crate) deadline: Option<Instant>,
    pub(crate) origin: Option<String>,
    key: String,
    said: Mutex<Said>,
}

/// What it has said of itself.
#[derive(Default)]
struct Said {
    progress: Progress,
    /// Counts what was said.
    count: u64,
    /// How much of it the store has.
    stored: u64,
}

impl Attempt {
    pub(crate) fn new(store: &str, job: &ClaimedJob, deadline: Option<Instant>) -> Self {
        Self {
            run: job.run,
            kind: job.kind.clone(),
            number: job.attempt,
            token: CancelToken::new(),
            deadline,
            origin: job.origin.clone(),
            key: format!("{store}-{}", job.run.id),
            said: Mutex::default(),
        }
    }

    fn say(&self, say: impl FnOnce(&mut Progress)) {
        let mut said = lock(&self.said);
        say(&mut said.progress);
        said.count += 1;
    }

    /// What the store has not got yet; it is taken for stored.
    pub(crate) fn news(&self) -> Option<Progress> {
        let mut said = lock(&self.said);
        if said.stored == said.count {
            return None;
        }
        said.stored = said.count;
        Some(said.progress.clone())
    }

    /// What was taken for stored was not.
    pub(crate) fn not_stored(&self) {
        lock(&self.said).stored = 0;
    }

    /// All that it has said, if it has said anything, and how often it has.
    pub(crate) fn progress(&self) -> Option<(Progress, u64)> {
        let said = lock(&self.said);
        (said.count > 0).then(|| (said.progress.clone(), said.count))
    }
}

impl JobContext {
    pub(crate) fn new(attempt: Arc<Attempt>) -> Self {
        Self { attempt }
    }

    /// The number of the job.
    #[must_use]
    pub fn id(&self) -> JobId {
        self.attempt.run.id
    }

    /// Which attempt this is, from 1. Snoozes and attempts that a drain handed back are not counted.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.attempt.number
    }

    /// The same for every attempt of this job, and no other job's, of whatever store: for whoever must not do a thing twice.
    #[must_use]
    pub fn idempotency_key(&self) -> &str {
        &self.attempt.key
    }

    /// The `traceparent` that it was enqueued under, if the store was told [where it comes from](crate::JobsBuilder::traceparent).
    #[must_use]
    pub fn traceparent(&self) -> Option<&str> {
        self.attempt.origin.as_deref().and_then(origin::traceparent)
    }

    /// Says how far it is, in units of its own. Never waits; others see it within a second, and the last one always.
    pub fn progress(&self, done: u64, total: u64) {
        self.attempt.say(|progress| {
            progress.done = done;
            progress.total = total;
        });
    }

    /// Says a line about what it does, at most 4 KiB. Never waits; others see it within a second, and the last one always.
    pub fn message(&self, message: impl Into<String>) {
        let message = shortened(message.into());
        self.attempt
            .say(|progress| progress.message = Some(message));
    }

    /// The token of the current [`CancelScope`](nexios::CancelScope): it fires with `Requested` (a cancel), `Deadline` (the
    /// timeout), `Shutdown` (a drain) or `OwnerDropped` (the lease is lost, and others may have the job).
    #[must_use]
    pub fn token(&self) -> CancelToken {
        self.attempt.token.clone()
    }

    /// Waits until the token fires.
    ///
    /// # Cancel safety
    ///
    /// Safe: dropping the future loses nothing.
    pub async fn cancelled(&self) -> CancelReason {
        self.attempt.token.cancelled().await
    }

    /// Whether the token has fired. A handler that waits for nothing hears of it as well: tokens fire from another thread.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.attempt.token.is_cancelled()
    }
}

impl fmt::Debug for JobContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JobContext")
            .field("kind", &self.attempt.kind)
            .field("id", &self.attempt.run.id)
            .field("attempt", &self.attempt.number)
            .finish_non_exhaustive()
    }
}

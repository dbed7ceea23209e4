use std::{
    fmt,
    sync::{Arc, Mutex},
};

use nexios::{CancelReason, CancelToken};
use tokio::time::Instant;

use crate::{
    engine::{ClaimedJob, Run},
    id::JobId,
    job_error::shortened,
    lock::lock,
    origin,
    progress::JobProgress,
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
/// use nexios_jobs::{JobContext, JobError, Jobs, Kind, Policy};
///
/// const SEND: Kind<Vec<String>, u64> = Kind::new("send newsletter");
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
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let jobs = Jobs::memory();
/// jobs.workers().handle(SEND, Policy::new(), send).start().await?;
/// let job = jobs.enqueue(SEND, &vec!["ada@example.org".to_owned()]).await?;
/// assert_eq!(job.wait().await?, 1);
/// assert!(job.status().await?.is_some_and(|info| (info.done, info.total) == (1, 1)));
/// # Ok(())
/// # }
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
    /// What the attempts before it said last.
    last: Option<JobProgress>,
    said: Mutex<Said>,
}

/// What it has said of itself.
#[derive(Default)]
struct Said {
    /// Goes on from what the attempts before have said.
    progress: JobProgress,
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
            said: Mutex::new(Said {
                progress: job.last.clone().unwrap_or_default(),
                ..Said::default()
            }),
            last: job.last.clone(),
        }
    }

    fn say(&self, say: impl FnOnce(&mut JobProgress)) {
        let mut said = lock(&self.said);
        say(&mut said.progress);
        said.count += 1;
    }

    /// What the store has not got yet; it is taken for stored.
    pub(crate) fn news(&self) -> Option<JobProgress> {
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
    pub(crate) fn progress(&self) -> Option<(JobProgress, u64)> {
        let said = lock(&self.said);
        (said.count > 0).then(|| (said.progress.clone(), said.count))
    }
}

impl JobContext {
    pub(crate) fn new(attempt: Arc<Attempt>) -> Self {
        Self { attempt }
    }

    /// The number of the job.
    ///
    /// # Examples
    ///
    /// ```
    /// use nexios_jobs::{JobContext, JobId, Jobs, Kind, Policy};
    ///
    /// const WHO: Kind<(), JobId> = Kind::new("who");
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let jobs = Jobs::memory();
    /// let who = |(), job: JobContext| async move { Ok::<_, String>(job.id()) };
    /// jobs.workers().handle(WHO, Policy::new(), who).start().await?;
    /// let job = jobs.enqueue(WHO, &()).await?;
    /// assert_eq!(job.wait().await?, job.id());
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn id(&self) -> JobId {
        self.attempt.run.id
    }

    /// Which attempt this is, from 1. Snoozes and attempts that a drain handed back are not counted.
    ///
    /// # Examples
    ///
    /// ```
    /// use nexios_jobs::{JobContext, Jobs, Kind, Policy};
    ///
    /// const FETCH: Kind<(), u32> = Kind::new("fetch");
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let jobs = Jobs::memory();
    /// let fetch = |(), job: JobContext| async move {
    ///     if job.attempt() == 1 {
    ///         return Err("the mirror is down"); // the next attempt asks the origin
    ///     }
    ///     Ok(job.attempt())
    /// };
    /// jobs.workers().handle(FETCH, Policy::new(), fetch).start().await?;
    /// assert_eq!(jobs.enqueue(FETCH, &()).await?.wait().await?, 2);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.attempt.number
    }

    /// The same for every attempt of this job, and no other job's, of whatever store: for whoever must not do a thing twice.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::{collections::BTreeSet, sync::Mutex};
    /// use nexios_jobs::{JobContext, Jobs, Kind, Policy};
    ///
    /// const CHARGE: Kind<u64> = Kind::new("charge");
    /// /// What the payment provider has: it charges once for a key.
    /// static CHARGED: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let jobs = Jobs::memory();
    /// let charge = |_cents: u64, job: JobContext| async move {
    ///     CHARGED.lock().unwrap().insert(job.idempotency_key().to_owned());
    ///     if job.attempt() == 1 { Err("the answer was lost") } else { Ok(()) }
    /// };
    /// jobs.workers().handle(CHARGE, Policy::new(), charge).start().await?;
    /// jobs.enqueue(CHARGE, &100).await?.wait().await?;
    /// assert_eq!(CHARGED.lock().unwrap().len(), 1);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn idempotency_key(&self) -> &str {
        &self.attempt.key
    }

    /// The `traceparent` that it was enqueued under, if the store was told [where it comes from](crate::JobsBuilder::traceparent).
    ///
    /// # Examples
    ///
    /// ```
    /// use nexios_jobs::{JobContext, Jobs, Kind, Policy};
    ///
    /// const TRACED: Kind<(), String> = Kind::new("traced");
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let jobs = Jobs::builder().traceparent(|| Some("00-4bf9-00f0-01".to_owned())).memory();
    /// let handler = |(), job: JobContext| async move {
    ///     // ... make it the parent of the span of this attempt ...
    ///     job.traceparent().map(str::to_owned).ok_or("it was enqueued by nobody we know")
    /// };
    /// jobs.workers().handle(TRACED, Policy::new(), handler).start().await?;
    /// assert_eq!(jobs.enqueue(TRACED, &()).await?.wait().await?, "00-4bf9-00f0-01");
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn traceparent(&self) -> Option<&str> {
        self.attempt.origin.as_deref().and_then(origin::traceparent)
    }

    /// Says how far it is, in units of its own. Never waits; others see it within a second, and the last one always.
    ///
    /// # Examples
    ///
    /// ```
    /// use nexios_jobs::{JobContext, Jobs, Kind, Policy};
    ///
    /// const IMPORT: Kind<Vec<String>> = Kind::new("import");
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let jobs = Jobs::memory();
    /// let import = |rows: Vec<String>, job: JobContext| async move {
    ///     for (done, _row) in rows.iter().enumerate() {
    ///         // ... one row ...
    ///         job.progress(done as u64 + 1, rows.len() as u64);
    ///     }
    ///     Ok::<_, String>(())
    /// };
    /// jobs.workers().handle(IMPORT, Policy::new(), import).start().await?;
    /// let job = jobs.enqueue(IMPORT, &vec!["a".to_owned(), "b".to_owned()]).await?;
    /// job.wait().await?;
    /// assert!(job.status().await?.is_some_and(|info| (info.done, info.total) == (2, 2)));
    /// # Ok(())
    /// # }
    /// ```
    pub fn progress(&self, done: u64, total: u64) {
        self.attempt.say(|progress| {
            progress.done = done;
            progress.total = total;
        });
    }

    /// What the attempts before this one said last by [`progress`](Self::progress) and [`message`](Self::message), so that a
    /// long job goes on from there; `None` if none has said anything, as at the first attempt.
    ///
    /// It comes with the claim, and is exact after an error, a panic, a timeout, a snooze and a drain. After a kill it is up
    /// to a second old: what is done twice then has to be harmless. It is kept when an ended job is
    /// [tried again](crate::Jobs::retry), which so goes on as well. What this attempt does not say anew stays as it is.
    ///
    /// # Examples
    ///
    /// ```
    /// use nexios_jobs::{JobContext, Jobs, Kind, Policy};
    ///
    /// const IMPORT: Kind<Vec<String>, u64> = Kind::new("import");
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let import = |rows: Vec<String>, job: JobContext| async move {
    ///     let (first, total) = (job.last_progress().map_or(0, |last| last.done), rows.len() as u64);
    ///     for (done, _row) in (1..).zip(&rows).skip(first as usize) {
    ///         // ... one row ...
    ///         job.progress(done, total);
    ///         if done == 2 {
    ///             return Err("the connection was lost");
    ///         }
    ///     }
    ///     Ok(first)
    /// };
    /// let jobs = Jobs::memory();
    /// jobs.workers().handle(IMPORT, Policy::new(), import).start().await?;
    /// let rows = ["a", "b", "c"].map(str::to_owned).to_vec();
    /// assert_eq!(jobs.enqueue(IMPORT, &rows).await?.wait().await?, 2); // the second attempt began with the third row
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn last_progress(&self) -> Option<&JobProgress> {
        self.attempt.last.as_ref()
    }

    /// Says a line about what it does, at most 4 KiB. Never waits; others see it within a second, and the last one always.
    ///
    /// # Examples
    ///
    /// ```
    /// use nexios_jobs::{JobContext, Jobs, Kind, Policy};
    ///
    /// const IMPORT: Kind<String> = Kind::new("import");
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let jobs = Jobs::memory();
    /// let import = |file: String, job: JobContext| async move {
    ///     job.message(format!("read {file}, writing the index"));
    ///     Ok::<_, String>(())
    /// };
    /// jobs.workers().handle(IMPORT, Policy::new(), import).start().await?;
    /// let job = jobs.enqueue(IMPORT, &"cities.csv".to_owned()).await?;
    /// job.wait().await?;
    /// let message = job.status().await?.and_then(|info| info.message);
    /// assert_eq!(message.as_deref(), Some("read cities.csv, writing the index"));
    /// # Ok(())
    /// # }
    /// ```
    pub fn message(&self, message: impl Into<String>) {
        let message = shortened(message.into());
        self.attempt
            .say(|progress| progress.message = Some(message));
    }

    /// The token of the current [`CancelScope`](nexios::CancelScope): it fires with `Requested` (a cancel), `Deadline` (the
    /// timeout), `Shutdown` (a drain) or `OwnerDropped` (the lease is lost, and others may have the job).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use nexios::{CancelReason, CancelToken};
    /// use nexios_jobs::{JobContext, Jobs, Kind, Policy};
    ///
    /// const COPY: Kind<(), bool> = Kind::new("copy");
    ///
    /// /// Knows nothing of jobs.
    /// async fn copy(stop: CancelToken) -> CancelReason {
    ///     // ... one file after the other, until ...
    ///     stop.cancelled().await
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let jobs = Jobs::memory();
    /// let handler = |(), job: JobContext| async move {
    ///     let stopped = tokio::spawn(copy(job.token())).await;
    ///     stopped.map(|reason| reason == CancelReason::Deadline)
    /// };
    /// let policy = Policy::new().timeout(Duration::from_secs(60));
    /// jobs.workers().handle(COPY, policy, handler).start().await?;
    /// assert!(jobs.enqueue(COPY, &()).await?.wait().await?);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn token(&self) -> CancelToken {
        self.attempt.token.clone()
    }

    /// Waits until the token fires.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use nexios_jobs::{JobContext, JobFailure, Jobs, Kind, Policy};
    ///
    /// const SYNC: Kind<()> = Kind::new("sync");
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let jobs = Jobs::memory();
    /// let sync = |(), job: JobContext| async move {
    ///     tokio::select! {
    ///         reason = job.cancelled() => Err(format!("stopped: {reason:?}")), // ... after cleaning up ...
    ///         () = tokio::time::sleep(Duration::from_secs(3600)) => Ok(()),
    ///     }
    /// };
    /// let policy = Policy::new().timeout(Duration::from_secs(60)).attempts(1);
    /// jobs.workers().handle(SYNC, policy, sync).start().await?;
    /// let ended = jobs.enqueue(SYNC, &()).await?.wait().await;
    /// assert!(matches!(ended, Err(JobFailure::Dead { error }) if error == "stopped: Deadline"));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Cancel safety
    ///
    /// Safe: dropping the future loses nothing.
    pub async fn cancelled(&self) -> CancelReason {
        self.attempt.token.cancelled().await
    }

    /// Whether the token has fired. A handler that waits for nothing hears of it as well: tokens fire from another thread.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use nexios_jobs::{JobContext, Jobs, Kind, Policy};
    ///
    /// const SEND: Kind<u32, u32> = Kind::new("send");
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let jobs = Jobs::memory();
    /// let send = |letters: u32, job: JobContext| async move {
    ///     for sent in 0..letters {
    ///         if job.is_cancelled() {
    ///             return Ok::<_, String>(sent);
    ///         }
    ///         tokio::time::sleep(Duration::from_secs(1)).await; // ... one letter ...
    ///     }
    ///     Ok(letters)
    /// };
    /// jobs.workers().handle(SEND, Policy::new(), send).start().await?;
    /// let job = jobs.enqueue(SEND, &1000).await?;
    /// tokio::time::sleep(Duration::from_secs(5)).await;
    /// job.cancel().await?;
    /// assert!(job.wait().await? < 10);
    /// # Ok(())
    /// # }
    /// ```
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

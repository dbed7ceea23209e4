use std::sync::Arc;

use crate::cancel::{CancelReason, CancelToken, TokenSource};

use super::{info::TaskId, record::Record};

/// What a background task is given to tell of its progress and to hear of its cancellation.
///
/// Clones are the same task. The task's token is also the current [`CancelScope`](crate::CancelScope), so
/// groups, races and pool calls made in the task end with it.
///
/// # When it is asked to end
///
/// [`cancel`](crate::BackgroundTask::cancel) and a drain fire the task's token and nothing else: a task with a context that
/// never looks at it goes on to its end, unless it was started with a [`grace`](crate::TaskBuilder::grace). Ask [`is_cancelled`](Self::is_cancelled) between steps, and await
/// [`cancelled`](Self::cancelled) beside long waits. Until it ends, its [state](crate::TaskState) is `Running` as before,
/// and [`cancelling`](crate::TaskInfo::cancelling) says why it was asked.
///
/// | the task | its state then |
/// |---|---|
/// | returns, by `spawn` | `Completed`, whatever fired meanwhile, and whatever the value says |
/// | returns `Ok`, by `spawn_fallible` | `Completed`, whatever fired meanwhile |
/// | returns `Err`, by `spawn_fallible` | `Failed`, or tried again |
/// | returns `Err` after its token fired | `Cancelled`; its handle is `Err(BackgroundFailure::Cancelled)`, and the error itself is kept nowhere |
/// | panics | `Panicked`, or tried again; after its token fired never again |
/// | is over its time limit | dropped, `TimedOut` |
/// | has no context ([`spawn_future`](crate::Background::spawn_future), `create_background_task`) and is cancelled | dropped, `Cancelled` |
/// | goes on after its token fired, for longer than its [grace](crate::TaskBuilder::grace) | dropped, `Cancelled` |
/// | waits for a slot or for its next attempt when its token fires | `Cancelled`, without another poll |
/// | is still there when a drain gives up | dropped, `Abandoned` |
///
/// So a task that can be cut short is a `spawn_fallible`, with an `Err` for that:
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use nexios::{Background, BackgroundFailure, TaskState};
///
/// let background = Background::new();
/// let report = background.spawn_fallible("report", |cx| async move {
///     for part in 1..=30 {
///         if cx.is_cancelled() {
///             return Err("told to end");
///         }
///         cx.progress(part, 30);
///         tokio::task::yield_now().await;
///     }
///     Ok(())
/// })?;
/// let id = report.id();
/// tokio::task::yield_now().await; // it begins
/// report.cancel();
/// assert_eq!(report.await, Err(BackgroundFailure::Cancelled));
/// assert_eq!(background.get(id).map(|info| info.state), Some(TaskState::Cancelled));
/// # Ok(())
/// # }
/// ```
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use nexios::Background;
///
/// let background = Background::new();
/// let task = background
///     .spawn("send newsletter", |cx| async move {
///         let subscribers = ["ada", "grace"];
///         for (done, name) in subscribers.iter().enumerate() {
///             if cx.is_cancelled() {
///                 return done; // stops between two letters
///             }
///             cx.progress(done as u64 + 1, subscribers.len() as u64);
///             cx.message(format!("sent to {name}"));
///         }
///         subscribers.len()
///     })
///     .map_err(|refused| refused.to_string())?;
/// let id = task.id();
/// assert_eq!(task.await?, 2);
/// assert_eq!(background.get(id).map(|info| info.done), Some(2));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct TaskContext {
    record: Arc<Record>,
    attempt: u32,
}

impl TaskContext {
    pub(super) fn new(record: Arc<Record>, attempt: u32) -> Self {
        Self { record, attempt }
    }

    /// The number of the task, by which the registry knows it.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let task = nexios::Background::new().spawn("export", |cx| async move {
    ///     format!("export-{}.csv", cx.id()) // a file of its own for each task
    /// })?;
    /// let id = task.id();
    /// assert_eq!(task.await?, format!("export-{id}.csv"));
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn id(&self) -> TaskId {
        self.record.id
    }

    /// The name the task was started with.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let task = nexios::Background::new().spawn("export", |cx| async move { cx.name().to_owned() })?;
    /// assert_eq!(task.await?, "export");
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn name(&self) -> &str {
        &self.record.name
    }

    /// Says how far the task is: `done` of `total` units of its own choice.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let background = nexios::Background::new();
    /// let task = background.spawn("import", |cx| async move { cx.progress(3, 10) })?;
    /// let id = task.id();
    /// task.await?;
    /// let info = background.get(id).ok_or("the history keeps it")?;
    /// assert_eq!((info.done, info.total), (3, 10));
    /// # Ok(())
    /// # }
    /// ```
    pub fn progress(&self, done: u64, total: u64) {
        self.record.set_progress(done, total);
    }

    /// Says what the task is doing; the list shows the last message. At most 4 KiB are kept.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let background = nexios::Background::new();
    /// let task = background.spawn("import", |cx| async move { cx.message("reads users.csv") })?;
    /// let id = task.id();
    /// task.await?;
    /// let info = background.get(id).ok_or("the history keeps it")?;
    /// assert_eq!(info.message.as_deref(), Some("reads users.csv"));
    /// # Ok(())
    /// # }
    /// ```
    pub fn message(&self, message: impl Into<String>) {
        self.record.set_message(message.into());
    }

    /// Waits until the task is cancelled, and returns why.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use std::time::Duration;
    /// use nexios::{Background, CancelReason, Drain};
    ///
    /// let background = Background::new();
    /// let listener = background.spawn("listen", |cx| async move {
    ///     // ... beside the work, in a `select!`
    ///     cx.cancelled().await
    /// })?;
    /// background.drain(Drain { wait: Duration::from_secs(1), cancel: Duration::from_secs(1) }).await;
    /// assert_eq!(listener.await?, CancelReason::Shutdown);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Cancel safety
    ///
    /// Safe: dropping the future loses nothing.
    pub async fn cancelled(&self) -> CancelReason {
        self.token().cancelled().await
    }

    /// Whether the task is cancelled. Cheap enough to be asked in every turn of a loop.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let task = nexios::Background::new().spawn("count", |cx| async move {
    ///     let mut rows = 0;
    ///     while !cx.is_cancelled() {
    ///         rows += 1;
    ///         tokio::task::yield_now().await;
    ///     }
    ///     rows
    /// })?;
    /// tokio::task::yield_now().await; // the task begins
    /// task.cancel();
    /// assert!(task.await? > 0);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.record.is_cancelled()
    }

    /// The token of the task, to be handed to what it starts.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use nexios::{Background, CancelReason};
    ///
    /// let task = Background::new().spawn("report", |cx| async move {
    ///     let token = cx.token();
    ///     // What is spawned beside the task does not end with it by itself.
    ///     let helper = tokio::spawn(async move { token.cancelled().await });
    ///     helper.await.ok()
    /// })?;
    /// tokio::task::yield_now().await; // the task begins
    /// task.cancel();
    /// assert_eq!(task.await?, Some(CancelReason::Requested));
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn token(&self) -> CancelToken {
        self.record.token()
    }

    /// The attempt this is, from 1; for a scheduled task the number of the run.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use std::time::Duration;
    /// use nexios::{Background, Retry};
    ///
    /// let task = Background::new()
    ///     .task("connect")
    ///     .retry(Retry::exponential(Duration::from_secs(1), Duration::from_secs(60)))
    ///     .spawn_fallible(|cx| async move { if cx.attempt() < 3 { Err("refused") } else { Ok(cx.attempt()) } })?;
    /// assert_eq!(task.await?, Ok(3));
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.attempt
    }
}

use std::{
    fmt,
    future::Future,
    ops::Deref,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use crate::{cancel::CancelReason, punctual::poll_punctual};

use super::{failure::BackgroundFailure, info::TaskId, record::Record, runtime::JoinHandle};

/// The handle of a background task: a future of its value.
///
/// Dropping it changes nothing for the task. When it resolves, the task's slot and key are free and its
/// state is final.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), nexios::BackgroundFailure> {
/// let task = nexios::create_background_task("answer", async { 42 });
/// assert_eq!(task.await?, 42);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// Yields a [`BackgroundFailure`] when the task ended without a value.
///
/// # Panics
///
/// Panics when polled again after it has resolved.
///
/// # Cancel safety
///
/// Safe: the task does not depend on its handle.
#[must_use = "a dropped handle lets the task go on; call `scoped` to cancel it on drop"]
pub struct BackgroundTask<T> {
    id: TaskId,
    /// The task, unless it was refused.
    running: Option<(Arc<Record>, Joined<T>)>,
}

/// How the runtime hands the value over.
type Joined<T> = JoinHandle<Result<T, BackgroundFailure>>;

impl<T> BackgroundTask<T> {
    pub(super) fn running(record: Arc<Record>, join: Joined<T>) -> Self {
        Self {
            id: record.id,
            running: Some((record, join)),
        }
    }

    pub(super) fn refused(id: TaskId) -> Self {
        Self { id, running: None }
    }

    /// The number of the task, by which the registry knows it.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// use nexios::Background;
    ///
    /// let task = nexios::create_background_task("answer", async { 42 });
    /// let answered_with = format!("/tasks/{}", task.id()); // where the client looks for its end
    /// assert!(Background::global().get(task.id()).is_some());
    /// # let _ = answered_with;
    /// # }
    /// ```
    #[must_use]
    pub fn id(&self) -> TaskId {
        self.id
    }

    /// Whether the task has ended.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let task = nexios::create_background_task("answer", async { 42 });
    /// assert!(!task.is_finished());
    /// tokio::task::yield_now().await; // the task has its turn
    /// assert!(task.is_finished());
    /// # }
    /// ```
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.running
            .as_ref()
            .is_none_or(|(_, join)| join.is_finished())
    }

    /// Cancels the task, with [`CancelReason::Requested`].
    ///
    /// A plain future is dropped at once, at the latest when the poll it is in returns; so is a task that
    /// still waits for a slot, which then is never polled. A task with a [`TaskContext`](crate::TaskContext)
    /// gets its token fired and may clean up, as long as its [`grace`](crate::TaskBuilder::grace) lets it.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// use nexios::BackgroundFailure;
    ///
    /// let task = nexios::create_background_task("poll", std::future::pending::<()>());
    /// task.cancel();
    /// assert_eq!(task.await, Err(BackgroundFailure::Cancelled));
    /// # }
    /// ```
    pub fn cancel(&self) {
        self.cancel_for(CancelReason::Requested);
    }

    fn cancel_for(&self, reason: CancelReason) {
        if let Some((record, _)) = &self.running {
            record.cancel(reason);
        }
    }

    /// Turns the handle into a guard that cancels the task when it is dropped.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// use nexios::{Background, TaskState};
    ///
    /// let background = Background::new();
    /// let ticker = background.spawn_future("ticker", std::future::pending::<()>()).scoped();
    /// let id = ticker.id();
    /// drop(ticker);
    /// tokio::task::yield_now().await; // the task has its turn
    /// assert_eq!(background.get(id).map(|task| task.state), Some(TaskState::Cancelled));
    /// # }
    /// ```
    pub fn scoped(self) -> Scoped<T> {
        Scoped { task: self }
    }
}

impl<T, E: From<BackgroundFailure>> BackgroundTask<Result<T, E>> {
    /// The outcome of fallible work in one `Result`: `task.flatten().await?` instead of `task.await??`.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> anyhow::Result<()> {
    /// use nexios::Background;
    ///
    /// let task = Background::new().spawn_fallible("count", |_| async { anyhow::Ok("1".parse::<u32>()?) })?;
    /// assert_eq!(task.flatten().await?, 1);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// The work's own error, or a [`BackgroundFailure`] as one.
    ///
    /// # Cancel safety
    ///
    /// Safe: the task does not depend on its handle.
    pub async fn flatten(self) -> Result<T, E> {
        self.await?
    }
}

impl<T> Unpin for BackgroundTask<T> {}

impl<T> Future for BackgroundTask<T> {
    type Output = Result<T, BackgroundFailure>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Some((record, join)) = &mut self.running else {
            return Poll::Ready(Err(BackgroundFailure::Refused));
        };
        // The driver contains every panic; what is left is a runtime that dropped it.
        poll_punctual(Pin::new(join), context)
            .map(|joined| joined.unwrap_or(Err(BackgroundFailure::of(record.state()))))
    }
}

impl<T> fmt::Debug for BackgroundTask<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = f.debug_struct("BackgroundTask");
        text.field("id", &self.id.0);
        if let Some((record, _)) = &self.running {
            text.field("name", &record.name)
                .field("state", &record.state());
        }
        text.finish()
    }
}

/// A handle that cancels its task when it is dropped, with [`CancelReason::OwnerDropped`].
///
/// It is a future of the task's value too, and gives the methods of [`BackgroundTask`].
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let ticker = nexios::create_background_task("ticker", std::future::pending::<()>()).scoped();
/// drop(ticker); // the task ends here
/// # }
/// ```
#[must_use = "dropping it cancels the task"]
pub struct Scoped<T> {
    task: BackgroundTask<T>,
}

impl<T> Deref for Scoped<T> {
    type Target = BackgroundTask<T>;

    fn deref(&self) -> &Self::Target {
        &self.task
    }
}

impl<T> Future for Scoped<T> {
    type Output = Result<T, BackgroundFailure>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.task).poll(context)
    }
}

impl<T> Drop for Scoped<T> {
    fn drop(&mut self) {
        self.task.cancel_for(CancelReason::OwnerDropped);
    }
}

impl<T> fmt::Debug for Scoped<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Scoped").field(&self.task).finish()
    }
}

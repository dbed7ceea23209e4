use std::sync::Arc;

use crate::cancel::{CancelReason, CancelToken, TokenSource};

use super::{info::TaskId, record::Record};

/// What a background task is given to tell of its progress and to hear of its cancellation.
///
/// Clones are the same task. The task's token is also the current [`CancelScope`](crate::CancelScope), so
/// groups, races and pool calls made in the task end with it.
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
    #[must_use]
    pub fn id(&self) -> TaskId {
        self.record.id
    }

    /// The name the task was started with.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.record.name
    }

    /// Says how far the task is: `done` of `total` units of its own choice.
    pub fn progress(&self, done: u64, total: u64) {
        self.record.set_progress(done, total);
    }

    /// Says what the task is doing; the list shows the last message. At most 4 KiB are kept.
    pub fn message(&self, message: impl Into<String>) {
        self.record.set_message(message.into());
    }

    /// Waits until the task is cancelled, and returns why.
    ///
    /// # Cancel safety
    ///
    /// Safe: dropping the future loses nothing.
    pub async fn cancelled(&self) -> CancelReason {
        self.token().cancelled().await
    }

    /// Whether the task is cancelled. Cheap enough to be asked in every turn of a loop.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.record.is_cancelled()
    }

    /// The token of the task, to be handed to what it starts.
    #[must_use]
    pub fn token(&self) -> CancelToken {
        self.record.token()
    }

    /// The attempt this is, from 1; for a scheduled task the number of the run.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.attempt
    }
}

use std::{fmt, sync::Arc};

use super::{
    info::TaskInfo,
    registry::{Registry, Shown},
};

/// One task to be looked at, also after the history has forgotten it; made by
/// [`Background::watch`](crate::Background::watch).
///
/// A list only shows what the history keeps. Who has shown a live task to somebody and wants to show its end as
/// well keeps one of these for it.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use nexios::{Background, TaskState};
///
/// let background = Background::builder().history(0).build();
/// let task = background.spawn("quick", |_task| async { 42 })?;
/// let id = task.id();
/// let watch = background.watch(id).ok_or("it is live")?;
/// task.await?;
/// assert!(background.get(id).is_none());
/// assert_eq!(watch.info().state, TaskState::Completed);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct TaskWatch {
    registry: Arc<Registry>,
    task: Shown,
}

impl TaskWatch {
    pub(super) fn new(registry: Arc<Registry>, task: Shown) -> Self {
        TaskWatch { registry, task }
    }

    /// The task as it is now, or as it ended.
    #[must_use]
    pub fn info(&self) -> TaskInfo {
        self.registry.info(self.task.clone())
    }
}

impl fmt::Debug for TaskWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TaskWatch").field(&self.info()).finish()
    }
}

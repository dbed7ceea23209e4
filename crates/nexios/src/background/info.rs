use std::{
    borrow::Cow,
    fmt,
    time::{Duration, SystemTime},
};

use crate::{
    cancel::CancelReason,
    work::{WorkId, identity::take_numbers},
};

/// The number of a background task, unique in the process, never zero, in the order of the starts; the same as that of its
/// [`WorkId`](crate::observe::WorkId), which it converts into.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// use nexios::{Background, TaskId, observe::WorkId};
///
/// let background = Background::new();
/// let task = background.spawn_future("sum", async { 1 + 1 });
/// let in_a_path = task.id().to_string();
/// let id = in_a_path.parse().map(TaskId);
/// assert_eq!(id, Ok(task.id()));
/// assert_eq!(WorkId::from(task.id()).to_string(), in_a_path);
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskId(pub u64);

impl TaskId {
    /// A number that no task has had.
    pub(super) fn next() -> Self {
        Self(take_numbers(1))
    }
}

/// The same number.
impl From<TaskId> for WorkId {
    fn from(task: TaskId) -> Self {
        Self(task.0)
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Where a background task is in its life.
///
/// A task moves from `Queued` to `Running`, back and forth between `Running` and `Retrying`, and ends in
/// exactly one of the others.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), nexios::BackgroundFailure> {
/// use nexios::{Background, TaskState};
///
/// let background = Background::new();
/// background.spawn_future("sum", async { 1 + 1 }).await?;
/// let state = background.list()[0].state;
/// assert_eq!(state, TaskState::Completed);
/// assert!(state.is_final());
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[repr(u8)]
pub enum TaskState {
    /// Waits for a running slot; it was never polled.
    Queued,
    /// Holds a running slot.
    Running,
    /// Waits to be tried again; it keeps its running slot.
    Retrying,
    /// Returned a value, also if it was asked to end before.
    Completed,
    /// Returned an error, without having been asked to end.
    Failed,
    /// Panicked.
    Panicked,
    /// Returned an error or was dropped after it was cancelled, or was cancelled before it began.
    Cancelled,
    /// Was dropped at its time limit.
    TimedOut,
    /// Was cut off: it ignored its cancellation until a drain gave up, or its runtime ended first.
    Abandoned,
}

impl TaskState {
    /// Whether the task has ended.
    ///
    /// # Examples
    ///
    /// ```
    /// use nexios::TaskState;
    ///
    /// assert!(TaskState::Abandoned.is_final());
    /// assert!(!TaskState::Retrying.is_final());
    /// ```
    #[must_use]
    pub fn is_final(self) -> bool {
        !matches!(self, Self::Queued | Self::Running | Self::Retrying)
    }

    /// Whether a task that ends in it is reported as an error.
    pub(super) fn is_failure(self) -> bool {
        matches!(self, Self::Failed | Self::Panicked | Self::TimedOut)
    }

    /// The name of the state in lower case, as it is shown to people and in JSON.
    ///
    /// # Examples
    ///
    /// ```
    /// assert_eq!(nexios::TaskState::TimedOut.as_str(), "timed_out");
    /// ```
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Retrying => "retrying",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Panicked => "panicked",
            Self::Cancelled => "cancelled",
            Self::TimedOut => "timed_out",
            Self::Abandoned => "abandoned",
        }
    }

    /// Reads what `as u8` wrote.
    pub(super) fn from_byte(byte: u8) -> Self {
        const STATES: [TaskState; 9] = [
            TaskState::Queued,
            TaskState::Running,
            TaskState::Retrying,
            TaskState::Completed,
            TaskState::Failed,
            TaskState::Panicked,
            TaskState::Cancelled,
            TaskState::TimedOut,
            TaskState::Abandoned,
        ];
        STATES[usize::from(byte)]
    }
}

impl fmt::Display for TaskState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One background task at the moment it was looked at.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use nexios::Background;
///
/// let background = Background::new();
/// let import = background.spawn("import", |cx| async move { cx.progress(7, 7) })?;
/// import.await?;
/// let info = &background.list()[0];
/// let line = format!("{} {}: {} of {}", info.name, info.state, info.done, info.total);
/// assert_eq!(line, "import completed: 7 of 7");
/// assert!(info.started.is_some() && info.error.is_none());
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct TaskInfo {
    /// Its number.
    pub id: TaskId,
    /// The name it was started with.
    pub name: Cow<'static, str>,
    /// Where it is in its life.
    pub state: TaskState,
    /// Why it was asked to end, while it has not; `None` if it was not asked, and once it has ended.
    pub cancelling: Option<CancelReason>,
    /// Units of work done, as the task last said; zero if it never did.
    pub done: u64,
    /// Units of work in all, as the task last said; zero if it never did.
    pub total: u64,
    /// What the task last said about itself, at most 4 KiB.
    pub message: Option<String>,
    /// The attempt it is in or ended in, from 1.
    pub attempt: u32,
    /// When it got its running slot, by the wall clock as it is set now; `None` while it waits for one.
    pub started: Option<SystemTime>,
    /// How long it has been running, or ran, on tokio's clock.
    pub elapsed: Duration,
    /// The text of its last error or panic, at most 4 KiB.
    pub error: Option<String>,
    /// For a schedule that goes on: when its next run is due, or this one was, by the wall clock.
    pub next_run: Option<SystemTime>,
}

/// Counts of one [`Background`](crate::Background) since it was made.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), nexios::BackgroundFailure> {
/// use nexios::Background;
///
/// let background = Background::builder().live(2).build();
/// let _poll = background.spawn_future("poll", std::future::pending::<()>());
/// background.spawn_future("sum", async { 1 + 1 }).await?;
/// let stats = background.stats();
/// assert_eq!((stats.running, stats.completed, stats.refused), (1, 1, 0));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct BackgroundStats {
    /// Tasks that wait for a running slot now.
    pub queued: usize,
    /// Tasks that hold a running slot now, those waiting for a retry among them.
    pub running: usize,
    /// Tasks that returned a value.
    pub completed: u64,
    /// Tasks, and runs of scheduled tasks, that returned an error.
    pub failed: u64,
    /// Tasks, and runs of scheduled tasks, that panicked.
    pub panicked: u64,
    /// Tasks that ended because they were cancelled.
    pub cancelled: u64,
    /// Tasks that were dropped at their time limit.
    pub timed_out: u64,
    /// Tasks that were cut off.
    pub abandoned: u64,
    /// Tasks that were not admitted: too many were live, their key was taken, or a drain had begun.
    pub refused: u64,
}

impl BackgroundStats {
    /// Counts one task that ended in `state`.
    pub(super) fn count(&mut self, state: TaskState) {
        match state {
            TaskState::Completed => self.completed += 1,
            TaskState::Failed => self.failed += 1,
            TaskState::Panicked => self.panicked += 1,
            TaskState::Cancelled => self.cancelled += 1,
            TaskState::TimedOut => self.timed_out += 1,
            TaskState::Abandoned => self.abandoned += 1,
            TaskState::Queued | TaskState::Running | TaskState::Retrying => {}
        }
    }
}

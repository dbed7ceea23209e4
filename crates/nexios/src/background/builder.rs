use std::{borrow::Cow, fmt, future::Future, sync::Arc, time::Duration};

use crate::log;

use super::{
    context::TaskContext,
    driver::{Driver, End},
    error::BackgroundError,
    outcome::Outcome,
    record::OnCancel,
    registry::Registry,
    report::{self, Hook},
    retry::Retry,
    runtime,
    task::BackgroundTask,
    work::{self, AnyValue, Judge, OkValue},
};

/// Settings of one background task; made by [`Background::task`](crate::Background::task).
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::time::Duration;
/// use nexios::{Background, Retry};
///
/// let background = Background::new();
/// let task = background
///     .task("sync accounts")
///     .unique("sync")
///     .timeout(Duration::from_secs(60))
///     .retry(Retry::exponential(Duration::from_millis(1), Duration::from_secs(1)).attempts(3))
///     .spawn_fallible(|cx| async move {
///         if cx.attempt() < 2 { Err("connection reset") } else { Ok(cx.attempt()) }
///     })
///     .map_err(|refused| refused.to_string())?;
/// assert_eq!(task.await?, Ok(2));
/// # Ok(())
/// # }
/// ```
#[must_use = "a builder starts nothing until one of its `spawn` methods is called"]
pub struct TaskBuilder {
    settings: Settings,
}

/// What a task is admitted with.
pub(super) struct Settings {
    registry: Arc<Registry>,
    hook: Arc<Hook>,
    name: Cow<'static, str>,
    key: Option<Arc<str>>,
    limit: Option<Duration>,
}

impl Settings {
    pub(super) fn new(registry: Arc<Registry>, hook: Arc<Hook>, name: impl Into<Cow<'static, str>>) -> Self {
        Self { registry, hook, name: name.into(), key: None, limit: None }
    }
}

impl TaskBuilder {
    pub(super) fn new(settings: Settings) -> Self {
        Self { settings }
    }

    /// Drops the task's future when it has run for `limit`, all attempts together. Default: no limit.
    ///
    /// Time spent waiting for a slot does not count. The task's scope carries the deadline, so groups and
    /// races made in it inherit it.
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.settings.limit = Some(limit);
        self
    }

    /// Refuses the task while another live one of this [`Background`](crate::Background) holds `key`.
    /// Default: no key.
    pub fn unique(mut self, key: impl Into<String>) -> Self {
        self.settings.key = Some(key.into().into());
        self
    }

    /// Tries the task again after an error or a panic. Default: one attempt.
    ///
    /// The closure is called once for each attempt, so it must be [`Fn`].
    pub fn retry(self, retry: Retry) -> RetryTaskBuilder {
        RetryTaskBuilder { task: self, retry }
    }

    /// Starts the task; any value it returns is a success.
    ///
    /// # Errors
    ///
    /// Hands the closure back if the task is not admitted.
    ///
    /// # Panics
    ///
    /// Panics if called outside a tokio runtime.
    #[track_caller]
    pub fn spawn<T, F, Fut>(self, closure: F) -> Result<BackgroundTask<T>, BackgroundError<F>>
    where
        T: Send + 'static,
        F: FnOnce(TaskContext) -> Fut + Send + 'static,
        Fut: Future<Output = T> + Send + 'static,
    {
        spawn_once::<AnyValue, _, _, _>(self.settings, closure)
    }

    /// Starts the task; an `Err` it returns is the state [`Failed`](crate::TaskState::Failed).
    ///
    /// # Errors
    ///
    /// Hands the closure back if the task is not admitted.
    ///
    /// # Panics
    ///
    /// Panics if called outside a tokio runtime.
    #[track_caller]
    pub fn spawn_fallible<T, E, F, Fut>(
        self,
        closure: F,
    ) -> Result<BackgroundTask<Result<T, E>>, BackgroundError<F>>
    where
        T: Send + 'static,
        E: fmt::Display + Send + 'static,
        F: FnOnce(TaskContext) -> Fut + Send + 'static,
        Fut: Future<Output = Result<T, E>> + Send + 'static,
    {
        spawn_once::<OkValue, _, _, _>(self.settings, closure)
    }
}

impl fmt::Debug for TaskBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskBuilder")
            .field("name", &self.settings.name)
            .field("key", &self.settings.key)
            .field("timeout", &self.settings.limit)
            .finish_non_exhaustive()
    }
}

/// Settings of a background task that is tried again; made by [`TaskBuilder::retry`].
///
/// A task that waits for its next attempt keeps its running slot. A cancellation ends the wait at once: no
/// further attempt begins, and an error that comes after it is not recorded as a failure.
#[derive(Debug)]
#[must_use = "a builder starts nothing until one of its `spawn` methods is called"]
pub struct RetryTaskBuilder {
    task: TaskBuilder,
    retry: Retry,
}

impl RetryTaskBuilder {
    /// As [`TaskBuilder::timeout`]: the limit covers all attempts and the waits between them.
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.task = self.task.timeout(limit);
        self
    }

    /// As [`TaskBuilder::unique`]: the key is held until the last attempt has ended.
    pub fn unique(mut self, key: impl Into<String>) -> Self {
        self.task = self.task.unique(key);
        self
    }

    /// Starts the task; it is tried again after a panic, as any value it returns is a success.
    ///
    /// # Errors
    ///
    /// Hands the closure back if the task is not admitted.
    ///
    /// # Panics
    ///
    /// Panics if called outside a tokio runtime.
    #[track_caller]
    pub fn spawn<T, F, Fut>(self, closure: F) -> Result<BackgroundTask<T>, BackgroundError<F>>
    where
        T: Send + 'static,
        F: Fn(TaskContext) -> Fut + Send + 'static,
        Fut: Future<Output = T> + Send + 'static,
    {
        self.start::<AnyValue, _, _, _>(closure)
    }

    /// Starts the task; it is tried again after an `Err` or a panic, and the last one counts.
    ///
    /// # Errors
    ///
    /// Hands the closure back if the task is not admitted.
    ///
    /// # Panics
    ///
    /// Panics if called outside a tokio runtime.
    #[track_caller]
    pub fn spawn_fallible<T, E, F, Fut>(
        self,
        closure: F,
    ) -> Result<BackgroundTask<Result<T, E>>, BackgroundError<F>>
    where
        T: Send + 'static,
        E: fmt::Display + Send + 'static,
        F: Fn(TaskContext) -> Fut + Send + 'static,
        Fut: Future<Output = Result<T, E>> + Send + 'static,
    {
        self.start::<OkValue, _, _, _>(closure)
    }

    #[track_caller]
    fn start<J, T, F, Fut>(self, closure: F) -> Result<BackgroundTask<T>, BackgroundError<F>>
    where
        T: Send + 'static,
        J: Judge<T>,
        F: Fn(TaskContext) -> Fut + Send + 'static,
        Fut: Future<Output = T> + Send + 'static,
    {
        let Self { task: TaskBuilder { settings }, retry } = self;
        let limit = settings.limit;
        start(settings, OnCancel::Ask, closure, |end, closure| {
            work::retried::<T, J, _, _>(end, limit, &retry, closure)
        })
    }
}

/// Starts a task whose closure is called once.
#[track_caller]
pub(super) fn spawn_once<J, T, F, Fut>(
    settings: Settings,
    closure: F,
) -> Result<BackgroundTask<T>, BackgroundError<F>>
where
    T: Send + 'static,
    J: Judge<T>,
    F: FnOnce(TaskContext) -> Fut + Send + 'static,
    Fut: Future<Output = T> + Send + 'static,
{
    match settings.limit {
        None => start(settings, OnCancel::Ask, closure, work::once::<T, J, _, _>),
        Some(limit) => start(settings, OnCancel::Ask, closure, |end, closure| {
            work::once_within::<T, J, _, _>(end, limit, closure)
        }),
    }
}

/// Admits a task, makes its work and hands it to the runtime.
#[track_caller]
pub(super) fn start<T, F, W>(
    settings: Settings,
    on_cancel: OnCancel,
    source: F,
    work: impl FnOnce(&End, F) -> W,
) -> Result<BackgroundTask<T>, BackgroundError<F>>
where
    T: Send + 'static,
    W: Future<Output = Outcome<T>> + Send + 'static,
{
    // Before the admission: a caller without a runtime leaves no task behind.
    runtime::require();
    let Settings { registry, hook, name, key, .. } = settings;
    let record = match registry.admit(name, key, on_cancel) {
        Ok(record) => record,
        Err((refusal, name)) => {
            // A closure goes back to its owner; of a future only the handle tells, which nobody may hold.
            if on_cancel == OnCancel::Drop {
                report::refused(&name);
            }
            return Err(BackgroundError::new(refusal, source));
        }
    };
    // From here on whatever panics ends the task.
    let end = End::new(registry, hook, record.clone());
    let span =
        log::span(|| tracing::info_span!("background_task", name = record.name.as_ref(), id = record.id.0));
    let work = work(&end, source);
    let join = runtime::spawn(Driver::new(end, span, work));
    Ok(BackgroundTask::running(record, join))
}

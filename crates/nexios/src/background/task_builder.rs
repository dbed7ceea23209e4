use std::{fmt, future::Future, time::Duration};

use futures_util::FutureExt;

use super::{
    attempts::{self, AnyValue, Judge, OkValue},
    context::TaskContext,
    record::OnCancel,
    refusal::BackgroundError,
    retry::Retry,
    start::{TaskSpec, run, spawn_once},
    task::BackgroundTask,
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
#[derive(Debug)]
#[must_use = "a builder starts nothing until one of its `spawn` methods is called"]
pub struct TaskBuilder {
    spec: TaskSpec,
}

impl TaskBuilder {
    pub(super) fn new(spec: TaskSpec) -> Self {
        Self { spec }
    }

    /// Drops the task's future when it has run for `limit`, all attempts together. Default: no limit.
    ///
    /// Time spent waiting for a slot does not count. The task's scope carries the deadline, so groups and
    /// races made in it inherit it.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use std::time::Duration;
    /// use nexios::{Background, BackgroundFailure};
    ///
    /// let task = Background::new()
    ///     .task("report")
    ///     .timeout(Duration::from_secs(60))
    ///     .spawn(|_cx| std::future::pending::<()>())?;
    /// assert_eq!(task.await, Err(BackgroundFailure::TimedOut));
    /// # Ok(())
    /// # }
    /// ```
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.spec.limits.run = Some(limit);
        self
    }

    /// Drops the task's future when it has gone on for `limit` after it was asked to end; its state is then
    /// [`Cancelled`](crate::TaskState::Cancelled). Default: no limit, it goes on until it ends by itself or a drain gives up.
    ///
    /// The grace begins when the task's token fires, whoever fires it. A drain that gives up earlier does not wait for it.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use std::time::Duration;
    /// use nexios::{Background, BackgroundFailure};
    /// use tokio::time::{Instant, sleep};
    ///
    /// let import = Background::new()
    ///     .task("import")
    ///     .grace(Duration::from_secs(5))
    ///     .spawn(|_cx| sleep(Duration::from_secs(3_600)))?; // looks at no token
    /// tokio::task::yield_now().await; // it begins
    /// let asked = Instant::now();
    /// import.cancel();
    /// assert_eq!(import.await, Err(BackgroundFailure::Cancelled));
    /// assert_eq!(asked.elapsed().as_secs(), 5);
    /// # Ok(())
    /// # }
    /// ```
    pub fn grace(mut self, limit: Duration) -> Self {
        self.spec.limits.grace = Some(limit);
        self
    }

    /// Refuses the task while another live one of this [`Background`](crate::Background) holds `key`.
    /// Default: no key.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use nexios::{Background, BackgroundError};
    ///
    /// let background = Background::new();
    /// let first = background.task("sync 7").unique("account 7").spawn(|_cx| async {})?;
    /// let second = background.task("sync 7").unique("account 7").spawn(|_cx| async {});
    /// assert!(matches!(second, Err(BackgroundError::Duplicate(_))));
    /// first.await?;
    /// assert!(background.task("sync 7").unique("account 7").spawn(|_cx| async {}).is_ok());
    /// # Ok(())
    /// # }
    /// ```
    pub fn unique(mut self, key: impl Into<String>) -> Self {
        self.spec.key = Some(key.into().into());
        self
    }

    /// Tries the task again after an error or a panic. Default: one attempt.
    ///
    /// The closure is called once for each attempt, so it must be [`Fn`].
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
    ///     .spawn_fallible(|cx| async move {
    ///         if cx.attempt() < 3 { Err("connection refused") } else { Ok(cx.attempt()) }
    ///     })?;
    /// assert_eq!(task.await?, Ok(3));
    /// # Ok(())
    /// # }
    /// ```
    pub fn retry(self, retry: Retry) -> RetryTaskBuilder {
        RetryTaskBuilder { task: self, retry }
    }

    /// Starts the task; any value it returns is a success.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let background = nexios::Background::new();
    /// let task = background.task("sync").unique("sync").spawn(|cx| async move { cx.name().len() })?;
    /// assert_eq!(task.await?, 4);
    /// # Ok(())
    /// # }
    /// ```
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
        spawn_once::<AnyValue, _, _, _>(self.spec, closure)
    }

    /// Starts the task; an `Err` it returns is the state [`Failed`](crate::TaskState::Failed), after a cancel
    /// [`Cancelled`](crate::TaskState::Cancelled).
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use nexios::{Background, TaskState};
    ///
    /// let background = Background::new();
    /// let task = background.task("sync").unique("sync").spawn_fallible(|_cx| async { "x".parse::<u32>() })?;
    /// assert!(task.await?.is_err());
    /// assert_eq!(background.list()[0].state, TaskState::Failed);
    /// # Ok(())
    /// # }
    /// ```
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
        spawn_once::<OkValue, _, _, _>(self.spec, closure)
    }
}

/// Settings of a background task that is tried again; made by [`TaskBuilder::retry`].
///
/// A task that waits for its next attempt keeps its running slot. A cancellation ends the wait at once: no
/// further attempt begins, and an error that comes after it is not recorded as a failure.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::time::Duration;
/// use nexios::{Background, Retry};
///
/// let retry = Retry::exponential(Duration::from_millis(100), Duration::from_secs(1)).attempts(2);
/// let task = Background::new()
///     .task("send")
///     .retry(retry)
///     .timeout(Duration::from_secs(30)) // both attempts together
///     .spawn_fallible(|cx| async move { cx.attempt().checked_sub(2).ok_or("busy") })?;
/// assert_eq!(task.await?, Ok(0));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use = "a builder starts nothing until one of its `spawn` methods is called"]
pub struct RetryTaskBuilder {
    task: TaskBuilder,
    retry: Retry,
}

impl RetryTaskBuilder {
    /// As [`TaskBuilder::timeout`]: the limit covers all attempts and the waits between them.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use std::time::Duration;
    /// use nexios::{Background, BackgroundFailure, Retry};
    ///
    /// let task = Background::new()
    ///     .task("connect")
    ///     .retry(Retry::exponential(Duration::from_secs(4), Duration::from_secs(4)).attempts(100))
    ///     .timeout(Duration::from_secs(60))
    ///     .spawn_fallible(|_cx| async { Err::<(), _>("connection refused") })?;
    /// assert_eq!(task.await, Err(BackgroundFailure::TimedOut));
    /// # Ok(())
    /// # }
    /// ```
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.task = self.task.timeout(limit);
        self
    }

    /// As [`TaskBuilder::grace`]: a wait for the next attempt ends at once and needs none.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use std::time::Duration;
    /// use nexios::{Background, BackgroundFailure, Retry};
    ///
    /// let sync = Background::new()
    ///     .task("sync")
    ///     .retry(Retry::exponential(Duration::from_secs(1), Duration::from_secs(60)))
    ///     .grace(Duration::from_secs(5))
    ///     .spawn_fallible(|_cx| std::future::pending::<Result<(), &str>>())?;
    /// tokio::task::yield_now().await; // it begins
    /// sync.cancel();
    /// assert_eq!(sync.await, Err(BackgroundFailure::Cancelled));
    /// # Ok(())
    /// # }
    /// ```
    pub fn grace(mut self, limit: Duration) -> Self {
        self.task = self.task.grace(limit);
        self
    }

    /// As [`TaskBuilder::unique`]: the key is held until the last attempt has ended.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use std::time::Duration;
    /// use nexios::{Background, BackgroundError, Retry};
    ///
    /// let background = Background::new();
    /// let sync = || {
    ///     let retry = Retry::exponential(Duration::from_secs(1), Duration::from_secs(60));
    ///     background.task("sync").retry(retry).unique("sync")
    /// };
    /// let _first = sync().spawn(|_cx| std::future::pending::<()>())?;
    /// let second = sync().spawn(|_cx| async {});
    /// assert!(matches!(second, Err(BackgroundError::Duplicate(_))));
    /// # Ok(())
    /// # }
    /// ```
    pub fn unique(mut self, key: impl Into<String>) -> Self {
        self.task = self.task.unique(key);
        self
    }

    /// Starts the task; it is tried again after a panic, as any value it returns is a success.
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
    ///     .task("shaky")
    ///     .retry(Retry::exponential(Duration::from_secs(1), Duration::from_secs(60)))
    ///     .spawn(|cx| async move {
    ///         assert!(cx.attempt() > 1, "the first attempt panics");
    ///         cx.attempt()
    ///     })?;
    /// assert_eq!(task.await?, 2);
    /// # Ok(())
    /// # }
    /// ```
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
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use std::{sync::Arc, time::Duration};
    /// use nexios::{Background, Retry};
    ///
    /// let address = Arc::new(String::from("db:5432"));
    /// let task = Background::new()
    ///     .task("connect")
    ///     .retry(Retry::exponential(Duration::from_secs(1), Duration::from_secs(60)))
    ///     .spawn_fallible(move |cx| {
    ///         let address = address.clone(); // each attempt has one
    ///         async move { if cx.attempt() < 2 { Err("refused") } else { Ok(address.len()) } }
    ///     })?;
    /// assert_eq!(task.await?, Ok(7));
    /// # Ok(())
    /// # }
    /// ```
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
        let Self {
            task: TaskBuilder { spec },
            retry,
        } = self;
        let limits = spec.limits;
        let (end, closure) = spec.admit(OnCancel::Ask, closure)?;
        let (registry, record) = (end.registry.clone(), end.record.clone());
        let work =
            attempts::retried::<T, J, _, _>(registry, record.clone(), retry.delays(), closure);
        let work = match limits.grace {
            None => work.boxed(),
            Some(grace) => attempts::graced(record.clone(), grace, work),
        };
        Ok(match limits.run {
            None => run(end, work),
            Some(limit) => run(end, attempts::within(record, limit, work)),
        })
    }
}

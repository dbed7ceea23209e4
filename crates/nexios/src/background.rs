//! Work that outlives the request that started it, with a name, a bound and an end.

mod attempts;
mod bounds;
mod builder;
mod context;
#[cfg(feature = "cron")]
mod cron;
mod current;
mod drain;
mod drain_limits;
mod drainable;
mod driver;
mod exit;
mod facts;
mod failure;
mod id_hasher;
mod info;
mod notices;
mod observed;
mod record;
mod refusal;
mod registry;
mod retry;
mod runtime;
mod schedule;
mod start;
mod task;
mod task_builder;
mod wall_clock;
mod watch;

use std::{
    borrow::Cow,
    fmt,
    future::Future,
    sync::{Arc, LazyLock},
    time::Duration,
};

use crate::cancel::CancelReason;

use drain::Drains;
use record::OnCancel;
use refusal::NotAdmitted;
use registry::Registry;
use start::TaskSpec;

pub use builder::BackgroundBuilder;
pub use context::TaskContext;
#[cfg(feature = "cron")]
pub use cron::CronError;
pub use drain::DrainReport;
pub use drain_limits::Drain;
pub use drainable::Drainable;
pub use failure::BackgroundFailure;
pub use info::{BackgroundStats, TaskId, TaskInfo, TaskState};
pub use refusal::BackgroundError;
pub use retry::Retry;
pub use task::{BackgroundTask, Scoped};
pub use task_builder::{RetryTaskBuilder, TaskBuilder};
pub use watch::TaskWatch;

pub(crate) use observed::ALIVE;

/// Starts a task that outlives whoever started it, on [`Background::global`].
///
/// It runs whether or not the handle is kept, and shows up in [`Background::list`] under `name`. This
/// cannot fail: a future that is refused, because 10,000 tasks are live or a drain has begun, is dropped
/// unpolled with a warning in the log, and its handle yields [`BackgroundFailure::Refused`].
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), nexios::BackgroundFailure> {
/// use nexios::create_background_task;
///
/// let task = create_background_task("send newsletter", async { 3 });
/// assert_eq!(task.await?, 3);
/// # Ok(())
/// # }
/// ```
///
/// # Panics
///
/// Panics if called outside a tokio runtime.
#[track_caller]
pub fn create_background_task<T: Send + 'static>(
    name: impl Into<Cow<'static, str>>,
    future: impl Future<Output = T> + Send + 'static,
) -> BackgroundTask<T> {
    Background::global().spawn_future(name, future)
}

/// A registry of background tasks: it bounds them, shows them and ends them in order.
///
/// Clones are the same registry; dropping the last one lets its tasks go on. A task is `Queued`, `Running`
/// or `Retrying` while it is live and ends in exactly one other [`TaskState`]. If you only want to wait for
/// tasks, without names, bounds or results, tokio-util's `TaskTracker` is the simpler tool.
///
/// Whoever [observes](crate::observe) is told of each task: a root with a link to the work that started it, called by its
/// name, with the [name of the registry](BackgroundBuilder::name) as its owner; `background` is that of
/// [`global`](Self::global). A schedule says its next run as its message, and
/// [`TaskInfo::next_run`] has it. From the first task on the registry is in
/// [`observe::snapshot`](crate::observe::snapshot), and [`observe::cancel`](crate::observe::cancel) finds its tasks.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::time::Duration;
/// use nexios::{Background, Drain, TaskState};
///
/// let background = Background::builder().limit(8).queue(100).build();
/// let task = background
///     .spawn_fallible("import", |cx| async move {
///         cx.progress(1, 1);
///         "12 rows".parse::<u32>()
///     })
///     .map_err(|refused| refused.to_string())?;
/// let id = task.id();
/// assert!(task.await?.is_err());
/// assert_eq!(background.get(id).map(|info| info.state), Some(TaskState::Failed));
///
/// let report = background.drain(Drain { wait: Duration::from_secs(20), cancel: Duration::from_secs(3) }).await;
/// assert!(report.abandoned.is_empty());
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Background {
    registry: Arc<Registry>,
    /// The drain that goes on, if one does.
    drains: Arc<Drains>,
}

static GLOBAL: LazyLock<Background> = LazyLock::new(|| {
    let builder = BackgroundBuilder::new().name("background");
    builder.build_with(Drains::of_the_process())
});

impl Background {
    /// Creates a registry with the defaults of [`BackgroundBuilder`].
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), nexios::BackgroundFailure> {
    /// let background = nexios::Background::new();
    /// let task = background.spawn_future("greet", async { "hello" });
    /// assert_eq!(task.await?, "hello");
    /// assert_eq!(background.stats().completed, 1);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    #[track_caller]
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// Sets up a registry.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// use nexios::Background;
    ///
    /// let mails = Background::builder().name("mails").limit(4).history(100).build();
    /// assert_eq!(mails.list().len(), 0);
    /// # }
    /// ```
    #[track_caller]
    pub fn builder() -> BackgroundBuilder {
        BackgroundBuilder::new()
    }

    /// The registry of [`create_background_task`], with the defaults of [`BackgroundBuilder`].
    ///
    /// Its [`drain`](Self::drain) also waits for what dropped task groups left behind.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), nexios::BackgroundFailure> {
    /// use nexios::Background;
    ///
    /// let task = nexios::create_background_task("warm up", async { 42 });
    /// let shown = Background::global().get(task.id());
    /// assert!(shown.is_some_and(|info| info.name == "warm up"));
    /// assert_eq!(task.await?, 42);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn global() -> &'static Background {
        &GLOBAL
    }

    /// Starts a task that can tell of its progress and hear of its cancellation; any value is a success.
    ///
    /// The closure is called in the task itself, at its first poll. A cancel fires the task's token and no more: a task that
    /// never looks at it goes on (unless it has a [`grace`](TaskBuilder::grace)), and one that returns is completed, cut short or not.
    /// [What the task then is](TaskContext#when-it-is-asked-to-end) has all of it.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use nexios::{Background, CancelReason};
    ///
    /// let background = Background::new();
    /// let exporter = background.spawn("export", |cx| async move {
    ///     cx.message("waits for the end");
    ///     cx.cancelled().await
    /// })?;
    /// tokio::task::yield_now().await; // the task begins
    /// exporter.cancel();
    /// assert_eq!(exporter.await?, CancelReason::Requested);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Hands the closure back if too many tasks are live or a drain has begun.
    ///
    /// # Panics
    ///
    /// Panics if called outside a tokio runtime.
    #[track_caller]
    pub fn spawn<T: Send + 'static, F, Fut>(
        &self,
        name: impl Into<Cow<'static, str>>,
        closure: F,
    ) -> Result<BackgroundTask<T>, BackgroundError<F>>
    where
        F: FnOnce(TaskContext) -> Fut + Send + 'static,
        Fut: Future<Output = T> + Send + 'static,
    {
        start::spawn_once::<attempts::AnyValue, _, _, _>(self.spec(name), closure)
    }

    /// Starts a task whose `Err` is a failure: logged, counted and shown with its text. After a cancel an `Err` is the state
    /// [`Cancelled`](TaskState::Cancelled) and no failure, and the error itself is kept nowhere:
    /// [what the task then is](TaskContext#when-it-is-asked-to-end).
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use nexios::{Background, TaskState};
    ///
    /// let background = Background::new();
    /// let task = background.spawn_fallible("import", |_cx| async { "12 rows".parse::<u32>() })?;
    /// let id = task.id();
    /// assert!(task.await?.is_err());
    ///
    /// let info = background.get(id).ok_or("the history keeps it")?;
    /// assert_eq!(info.state, TaskState::Failed);
    /// assert_eq!(info.error.as_deref(), Some("invalid digit found in string"));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Hands the closure back if too many tasks are live or a drain has begun.
    ///
    /// # Panics
    ///
    /// Panics if called outside a tokio runtime.
    #[track_caller]
    pub fn spawn_fallible<T: Send + 'static, E: fmt::Display + Send + 'static, F, Fut>(
        &self,
        name: impl Into<Cow<'static, str>>,
        closure: F,
    ) -> Result<BackgroundTask<Result<T, E>>, BackgroundError<F>>
    where
        F: FnOnce(TaskContext) -> Fut + Send + 'static,
        Fut: Future<Output = Result<T, E>> + Send + 'static,
    {
        start::spawn_once::<attempts::OkValue, _, _, _>(self.spec(name), closure)
    }

    /// Starts a plain future, as [`create_background_task`] does on the global registry.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// use nexios::{Background, BackgroundFailure};
    ///
    /// let background = Background::builder().live(1).build();
    /// let first = background.spawn_future("first", async { 1 });
    /// let second = background.spawn_future("second", async { 2 });
    /// assert_eq!(first.await, Ok(1));
    /// assert_eq!(second.await, Err(BackgroundFailure::Refused));
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// Panics if called outside a tokio runtime.
    #[track_caller]
    pub fn spawn_future<T: Send + 'static>(
        &self,
        name: impl Into<Cow<'static, str>>,
        future: impl Future<Output = T> + Send + 'static,
    ) -> BackgroundTask<T> {
        match self.spec(name).admit(OnCancel::Drop, future) {
            Ok((end, future)) => start::run(end, attempts::plain(future)),
            Err(NotAdmitted { id, source, .. }) => {
                // Nobody asked whether it would be refused, so its destructor must not panic here.
                let _ = exit::contain(|| drop(source));
                BackgroundTask::refused(id)
            }
        }
    }

    /// Sets up one task: a time limit, a grace after a cancel, retries, a unique key.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use std::time::Duration;
    /// use nexios::{Background, BackgroundFailure};
    ///
    /// let background = Background::new();
    /// let report = background
    ///     .task("report")
    ///     .timeout(Duration::from_secs(60))
    ///     .spawn(|_cx| std::future::pending::<()>())?;
    /// assert_eq!(report.await, Err(BackgroundFailure::TimedOut));
    /// # Ok(())
    /// # }
    /// ```
    pub fn task(&self, name: impl Into<Cow<'static, str>>) -> TaskBuilder {
        TaskBuilder::new(self.spec(name))
    }

    /// Runs `closure` every `period`, first after one period, until cancelled or shut down.
    ///
    /// Runs never overlap and do not drift: they begin at whole periods after the start. Periods that begin during a
    /// run are skipped, one that begins just as it ends is not. The schedule is one live task; its attempt is the number of the run. A run
    /// that panics is logged and counted, and the next one begins in its time. When a drain begins, the
    /// schedule ends after the run it is in. For runs that return a `Result` there is [`every_fallible`](Self::every_fallible).
    ///
    /// What the closure captures it clones for each run, as below: an `async move |_| ..` that captures something is no `Fn`. The
    /// schedule goes on without its handle: `let _ = ..?` says that you do not need it.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use std::{sync::{Arc, atomic::{AtomicU32, Ordering}}, time::Duration};
    /// use nexios::Background;
    ///
    /// let removed = Arc::new(AtomicU32::new(0));
    /// let total = removed.clone();
    /// let cleaner = Background::new().every("clean up", Duration::from_secs(60), move |_cx| {
    ///     let removed = removed.clone(); // each run has one
    ///     async move { removed.fetch_add(10, Ordering::Relaxed); }
    /// })?;
    /// tokio::time::sleep(Duration::from_secs(150)).await;
    /// assert_eq!(total.load(Ordering::Relaxed), 20);
    /// cleaner.cancel();
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Hands the closure back if too many tasks are live or a drain has begun.
    ///
    /// # Panics
    ///
    /// Panics if `period` is zero, or if called outside a tokio runtime.
    #[track_caller]
    pub fn every<F, Fut>(
        &self,
        name: impl Into<Cow<'static, str>>,
        period: Duration,
        closure: F,
    ) -> Result<BackgroundTask<()>, BackgroundError<F>>
    where
        F: FnMut(TaskContext) -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.every_judged::<attempts::AnyValue, _, _, _>(name, period, closure)
    }

    /// As [`every`](Self::every), with runs that can fail: an `Err` is a failure of its run.
    ///
    /// It is logged at ERROR with the number of the run, told to [`on_error`](Self::on_error), counted as
    /// [`failed`](BackgroundStats::failed), and the text is kept as the [`error`](TaskInfo::error) of the task. The next run begins in
    /// its time. After a cancel an error is no failure. The value of a run that went well is dropped.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use std::{num::ParseIntError, time::Duration};
    /// use nexios::Background;
    ///
    /// async fn import(run: u32) -> Result<u32, ParseIntError> {
    ///     if run == 2 { "12 rows".parse() } else { "12".parse() }
    /// }
    ///
    /// let background = Background::new();
    /// let imports = background.every_fallible("import", Duration::from_secs(60), |task| import(task.attempt()))?;
    /// tokio::time::sleep(Duration::from_secs(200)).await;
    /// assert_eq!(background.stats().failed, 1);
    /// let info = background.get(imports.id()).ok_or("it goes on")?;
    /// assert_eq!((info.attempt, info.error.as_deref()), (3, Some("invalid digit found in string")));
    /// imports.cancel();
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`every`](Self::every).
    ///
    /// # Panics
    ///
    /// As [`every`](Self::every).
    #[track_caller]
    pub fn every_fallible<T, E: fmt::Display, F, Fut>(
        &self,
        name: impl Into<Cow<'static, str>>,
        period: Duration,
        closure: F,
    ) -> Result<BackgroundTask<()>, BackgroundError<F>>
    where
        F: FnMut(TaskContext) -> Fut + Send + 'static,
        Fut: Future<Output = Result<T, E>> + Send + 'static,
    {
        self.every_judged::<attempts::OkValue, _, _, _>(name, period, closure)
    }

    #[track_caller]
    fn every_judged<J, R, F, Fut>(
        &self,
        name: impl Into<Cow<'static, str>>,
        period: Duration,
        closure: F,
    ) -> Result<BackgroundTask<()>, BackgroundError<F>>
    where
        J: attempts::Judge<R>,
        F: FnMut(TaskContext) -> Fut + Send + 'static,
        Fut: Future<Output = R> + Send + 'static,
    {
        assert!(
            !period.is_zero(),
            "every({period:?}): the period must not be zero"
        );
        let (end, closure) = self.spec(name).admit(OnCancel::Ask, closure)?;
        let runs = schedule::every::<J, R, F, Fut>(&end, period, closure);
        Ok(start::run(end, runs))
    }

    /// Runs `closure` whenever the wall clock shows a time that `schedule` names, until cancelled or shut down.
    ///
    /// The schedule is five fields, *minute, hour, day of month, month, day of week*, then, if you like, a time
    /// zone by its IANA name; without one they are in UTC. Fields are written as in Vixie cron, with lists,
    /// ranges, steps and English names: `"*/15 8-18 * * MON-FRI Europe/Berlin"`; days also as [cronexpr] has
    /// them, except for its `L`. As in Vixie cron a day must match both day fields if one of them begins with
    /// `*`, or else either.
    ///
    /// Runs never overlap. They begin within milliseconds of their time and do not drift, as each is computed
    /// from the clock; times that come during a run are skipped. Everything else is as with [`every`](Self::every); for runs that
    /// return a `Result` there is [`cron_fallible`](Self::cron_fallible).
    ///
    /// **Daylight saving**, by the rules of cronexpr: a time that the clocks skip does not come that day, a time
    /// they repeat comes twice. At `"30 2 * * * Europe/Berlin"` nothing runs on the last Sunday of March, and
    /// two runs begin an hour apart on the last Sunday of October. UTC has neither.
    ///
    /// **When the clock is set**, or the machine was suspended, a schedule finds out within a minute. If times
    /// were passed over, it runs once for all of them, or not at all if a run was going on. A clock that is set back,
    /// between two runs or during one, does not repeat times that were there before, unless by more than three
    /// hours: that is a correction, and the new time counts at once (the rule of Debian's cron). A paused tokio clock moves the time of day too, so tests need not wait.
    ///
    /// Zones are read from the system (`/usr/share/zoneinfo`); UTC and offsets like `+02:00` need no file.
    ///
    /// [cronexpr]: https://docs.rs/cronexpr/1
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// use nexios::{Background, BackgroundError};
    ///
    /// let background = Background::new();
    /// let reset = background.cron("reset statistics", "0 0 * * *", |_cx| async {});
    /// assert!(reset.is_ok());
    ///
    /// let wrong = background.cron("reset statistics", "0 24 * * *", |_cx| async {});
    /// assert!(matches!(wrong, Err(BackgroundError::BadSchedule(_, error)) if error.to_string().contains("24")));
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Hands the closure back if `schedule` cannot be read, names an unknown zone or a time that does not come
    /// within four years, if too many tasks are live, or if a drain has begun.
    ///
    /// # Panics
    ///
    /// Panics if called outside a tokio runtime.
    #[cfg(feature = "cron")]
    #[track_caller]
    pub fn cron<F, Fut>(
        &self,
        name: impl Into<Cow<'static, str>>,
        schedule: &str,
        closure: F,
    ) -> Result<BackgroundTask<()>, BackgroundError<F>>
    where
        F: FnMut(TaskContext) -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let clock = wall_clock::WallClock::system();
        self.cron_by::<attempts::AnyValue, _, _, _>(clock, name, schedule, closure)
    }

    /// As [`cron`](Self::cron), with runs that can fail, as those of [`every_fallible`](Self::every_fallible) do.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use std::time::Duration;
    /// use nexios::Background;
    ///
    /// let background = Background::new();
    /// let nightly = background.cron_fallible("import", "0 3 * * *", |_run| async { "12 rows".parse::<u32>() })?;
    /// tokio::time::sleep(Duration::from_secs(24 * 60 * 60)).await;
    /// assert_eq!(background.stats().failed, 1);
    /// nightly.cancel();
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`cron`](Self::cron).
    ///
    /// # Panics
    ///
    /// As [`cron`](Self::cron).
    #[cfg(feature = "cron")]
    #[track_caller]
    pub fn cron_fallible<T, E: fmt::Display, F, Fut>(
        &self,
        name: impl Into<Cow<'static, str>>,
        schedule: &str,
        closure: F,
    ) -> Result<BackgroundTask<()>, BackgroundError<F>>
    where
        F: FnMut(TaskContext) -> Fut + Send + 'static,
        Fut: Future<Output = Result<T, E>> + Send + 'static,
    {
        let clock = wall_clock::WallClock::system();
        self.cron_by::<attempts::OkValue, _, _, _>(clock, name, schedule, closure)
    }

    /// As [`cron`](Self::cron), by another clock.
    #[cfg(feature = "cron")]
    #[track_caller]
    fn cron_by<J, R, F, Fut>(
        &self,
        clock: wall_clock::WallClock,
        name: impl Into<Cow<'static, str>>,
        schedule: &str,
        closure: F,
    ) -> Result<BackgroundTask<()>, BackgroundError<F>>
    where
        J: attempts::Judge<R>,
        F: FnMut(TaskContext) -> Fut + Send + 'static,
        Fut: Future<Output = R> + Send + 'static,
    {
        let times = match cron::Times::read(schedule, clock.now()) {
            Ok(times) => times,
            Err(error) => return Err(BackgroundError::BadSchedule(closure, error)),
        };
        let (end, closure) = self.spec(name).admit(OnCancel::Ask, closure)?;
        let runs = schedule::cron::<J, R, F, Fut>(&end, clock, times, closure);
        Ok(start::run(end, runs))
    }

    /// Calls `hook` about every task that fails, panics or reaches its time limit, instead of the hook
    /// before it.
    ///
    /// It is called once for each, in the task, after the state is final and before the handle resolves; also for each
    /// run of a schedule that fails or panics, whose task goes on. A panic in it is logged and goes no further.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use std::sync::mpsc;
    /// use nexios::Background;
    ///
    /// let background = Background::new();
    /// let (failures, failed) = mpsc::channel();
    /// background.on_error(move |task| {
    ///     let _ = failures.send(format!("{} {}", task.name, task.state));
    /// });
    /// let import = background.spawn_fallible("import", |_cx| async { Err::<(), _>("no such file") })?;
    /// assert!(import.await?.is_err());
    /// assert_eq!(failed.recv()?, "import failed");
    /// # Ok(())
    /// # }
    /// ```
    pub fn on_error(&self, hook: impl Fn(&TaskInfo) + Send + Sync + 'static) {
        self.registry.hook.set(Arc::new(hook));
    }

    /// All live tasks in the order of their start, then the finished ones that are kept, newest first.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), nexios::BackgroundFailure> {
    /// use nexios::Background;
    ///
    /// let background = Background::new();
    /// background.spawn_future("finished", async {}).await?;
    /// let _live = background.spawn_future("live", std::future::pending::<()>());
    /// let names: Vec<_> = background.list().into_iter().map(|task| task.name).collect();
    /// assert_eq!(names, ["live", "finished"]);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn list(&self) -> Vec<TaskInfo> {
        self.registry.list()
    }

    /// One task, live or finished, unless the history has forgotten it.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), nexios::BackgroundFailure> {
    /// use nexios::{Background, TaskState};
    ///
    /// let background = Background::new();
    /// let task = background.spawn_future("sum", async { 1 + 1 });
    /// let id = task.id();
    /// assert_eq!(background.get(id).map(|info| info.state), Some(TaskState::Running));
    /// task.await?;
    /// assert_eq!(background.get(id).map(|info| info.state), Some(TaskState::Completed));
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn get(&self, id: TaskId) -> Option<TaskInfo> {
        self.registry.task(id).map(|task| self.registry.info(task))
    }

    /// One task, to be looked at for as long as the returned value is kept; none if it is not known.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use nexios::Background;
    ///
    /// let background = Background::builder().history(0).build();
    /// let task = background.spawn_future("quick", async {});
    /// let watch = background.watch(task.id()).ok_or("it is live")?;
    /// task.await?;
    /// assert!(watch.info().state.is_final());
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn watch(&self, id: TaskId) -> Option<TaskWatch> {
        self.registry
            .task(id)
            .map(|task| TaskWatch::new(self.registry.clone(), task))
    }

    /// Cancels a task as [`BackgroundTask::cancel`] does; false if it has ended, was cancelled before or is
    /// not known.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// use nexios::{Background, BackgroundFailure};
    ///
    /// let background = Background::new();
    /// let task = background.spawn_future("poll", std::future::pending::<()>());
    /// assert!(background.cancel(task.id()));
    /// assert!(!background.cancel(task.id()), "it was cancelled before");
    /// assert_eq!(task.await, Err(BackgroundFailure::Cancelled));
    /// # }
    /// ```
    #[expect(clippy::must_use_candidate, reason = "the answer is rarely needed")]
    pub fn cancel(&self, id: TaskId) -> bool {
        self.registry.cancel(id, CancelReason::Requested)
    }

    /// Counts of what waits, runs and has ended.
    #[must_use]
    pub fn stats(&self) -> BackgroundStats {
        self.registry.stats()
    }

    /// Ends all tasks in three phases and says how each of them ended.
    ///
    /// 1. From the call on nothing new is admitted, for good. For `wait`, running tasks go on and waiting
    ///    ones still start.
    /// 2. Every token fires with [`CancelReason::Shutdown`]: plain futures are dropped, waiting tasks are
    ///    cancelled unpolled, the others have `cancel` to end by themselves.
    /// 3. What is left is dropped, logged and reported as abandoned.
    ///
    /// It returns as soon as no task is left. It covers the tasks that were alive when it began. Two drains
    /// at the same time are one: the shorter limits hold, and both get the same report. The drain of
    /// [`Background::global`] also waits, within the same limits, for what dropped task groups left behind.
    ///
    /// A task of this registry may await a drain itself. While it does, it is neither waited for nor cancelled, and if
    /// it is the only one who drains, it goes on undisturbed afterwards and is not in the report. If somebody outside
    /// drains as well, the task gets its report once all others have ended, and the one outside waits for it as for
    /// any other task. This holds for a drain that the task polls itself, wherever in it, and not for one that it
    /// awaits through something that it spawned.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use std::{future::pending, time::Duration};
    /// use nexios::{Background, Drain};
    ///
    /// let background = Background::new();
    /// let _quick = background.spawn_future("quick", tokio::time::sleep(Duration::from_secs(5)));
    /// let _plain = background.spawn_future("plain", pending::<()>());
    /// let _stubborn = background.spawn("stubborn", |_cx| pending::<()>())?;
    ///
    /// let limits = Drain { wait: Duration::from_secs(20), cancel: Duration::from_secs(3) };
    /// let report = background.drain(limits).await;
    /// assert_eq!(report.completed, ["quick"]);
    /// assert_eq!(report.cancelled, ["plain"]);
    /// assert_eq!(report.abandoned, ["stubborn"]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// Panics outside a tokio runtime with its clock enabled.
    ///
    /// # Cancel safety
    ///
    /// Safe: the drain is a task of its own and goes on when the future is dropped, once it has been polled. Another
    /// call joins it.
    pub async fn drain(&self, drain: Drain) -> DrainReport {
        self.drains.drain(&self.registry, drain).await
    }

    fn spec(&self, name: impl Into<Cow<'static, str>>) -> TaskSpec {
        TaskSpec::new(self.registry.clone(), name)
    }
}

impl Default for Background {
    #[track_caller]
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Background {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.registry.fmt(f)
    }
}

impl BackgroundBuilder {
    /// Makes the registry. It needs no runtime until a task is started.
    #[must_use]
    pub fn build(self) -> Background {
        self.build_with(Drains::default())
    }

    fn build_with(self, drains: Drains) -> Background {
        Background {
            registry: Arc::new(self.into_registry()),
            drains: Arc::new(drains),
        }
    }
}

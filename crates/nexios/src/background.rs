//! Work that outlives the request that started it, with a name, a bound and an end.

mod builder;
mod clock;
mod context;
#[cfg(feature = "cron")]
mod cron;
mod drain;
mod driver;
mod error;
mod history;
mod info;
mod outcome;
mod places;
mod record;
mod registry;
mod report;
mod retry;
mod runtime;
mod schedule;
mod task;
mod wall_clock;
mod watch;
mod work;

use std::{
    borrow::Cow,
    fmt,
    future::Future,
    sync::{Arc, LazyLock},
    time::Duration,
};

use crate::CancelReason;

use builder::Settings;
use record::OnCancel;
use registry::{Hook, Registry};

pub use builder::{RetryTaskBuilder, TaskBuilder};
pub use context::TaskContext;
#[cfg(feature = "cron")]
pub use cron::CronError;
pub use drain::{Drain, DrainReport};
pub use error::BackgroundError;
pub use info::{BackgroundStats, TaskId, TaskInfo, TaskState};
pub use outcome::BackgroundFailure;
pub use retry::Retry;
pub use task::{BackgroundTask, Scoped};
pub use watch::TaskWatch;

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
}

static GLOBAL: LazyLock<Background> =
    LazyLock::new(|| Background { registry: Arc::new(Registry::new(BackgroundBuilder::new(), true)) });

impl Background {
    /// Creates a registry with the defaults of [`BackgroundBuilder`].
    #[must_use]
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// Sets up a registry.
    pub fn builder() -> BackgroundBuilder {
        BackgroundBuilder::new()
    }

    /// The registry of [`create_background_task`], with the defaults of [`BackgroundBuilder`].
    ///
    /// Its [`drain`](Self::drain) also waits for what dropped task groups left behind.
    #[must_use]
    pub fn global() -> &'static Background {
        &GLOBAL
    }

    /// Starts a task that can tell of its progress and hear of its cancellation; any value is a success.
    ///
    /// The closure is called in the task itself, at its first poll.
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
        builder::spawn_once::<work::AnyValue, _, _, _>(&self.registry, Settings::new(name), closure)
    }

    /// Starts a task whose `Err` is a failure: logged, counted and shown with its text.
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
        builder::spawn_once::<work::OkValue, _, _, _>(&self.registry, Settings::new(name), closure)
    }

    /// Starts a plain future, as [`create_background_task`] does on the global registry.
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
        let name = name.into();
        let started =
            builder::start(&self.registry, Settings::new(name.clone()), OnCancel::Drop, future, work::plain);
        started.unwrap_or_else(|refused| {
            report::refused(&name);
            drop(refused);
            BackgroundTask::refused(self.registry.next_id())
        })
    }

    /// Sets up one task: a time limit, retries, a unique key.
    pub fn task(&self, name: impl Into<Cow<'static, str>>) -> TaskBuilder {
        TaskBuilder::new(self.registry.clone(), Settings::new(name))
    }

    /// Runs `closure` every `period`, first after one period, until cancelled or shut down.
    ///
    /// Runs never overlap and do not drift: they begin at whole periods after the start, and periods that a
    /// run takes up are skipped. The schedule is one live task; its attempt is the number of the run. A run
    /// that panics is logged and counted, and the next one begins in its time. When a drain begins, the
    /// schedule ends after the run it is in.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// use std::time::Duration;
    /// use nexios::Background;
    ///
    /// let background = Background::new();
    /// let cleaner = background.every("clean up", Duration::from_secs(60), |_cx| async {});
    /// assert!(cleaner.is_ok());
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
        assert!(!period.is_zero(), "every({period:?}): the period must not be zero");
        builder::start(&self.registry, Settings::new(name), OnCancel::Ask, closure, |record, closure| {
            schedule::every(&self.registry, record, period, closure)
        })
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
    /// from the clock; times that a run takes up are skipped. Everything else is as with [`every`](Self::every).
    ///
    /// **Daylight saving**, by the rules of cronexpr: a time that the clocks skip does not come that day, a time
    /// they repeat comes twice. At `"30 2 * * * Europe/Berlin"` nothing runs on the last Sunday of March, and
    /// two runs begin an hour apart on the last Sunday of October. UTC has neither.
    ///
    /// **When the clock is set**, or the machine was suspended, a schedule finds out within a minute. If times
    /// were passed over, it runs once for all of them. A clock that is set back does not repeat times that were
    /// there before, unless by more than three hours: that is a correction, and the new time counts at once (the
    /// rule of Debian's cron). A paused tokio clock moves the time of day too, so tests need not wait.
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
        self.cron_by(wall_clock::WallClock::system(), name, schedule, closure)
    }

    /// As [`cron`](Self::cron), by another clock.
    #[cfg(feature = "cron")]
    #[track_caller]
    fn cron_by<F, Fut>(
        &self,
        clock: wall_clock::WallClock,
        name: impl Into<Cow<'static, str>>,
        schedule: &str,
        closure: F,
    ) -> Result<BackgroundTask<()>, BackgroundError<F>>
    where
        F: FnMut(TaskContext) -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let times = match cron::Times::read(schedule, clock.now()) {
            Ok(times) => times,
            Err(error) => return Err(BackgroundError::BadSchedule(closure, error)),
        };
        builder::start(&self.registry, Settings::new(name), OnCancel::Ask, closure, |record, closure| {
            schedule::cron(&self.registry, record, clock, times, closure)
        })
    }

    /// Calls `hook` about every task that fails, panics or reaches its time limit, instead of the hook
    /// before it.
    ///
    /// It is called once for each, in the task, after the state is final and before the handle resolves. A
    /// panic in it is logged and goes no further.
    pub fn on_error(&self, hook: impl Fn(&TaskInfo) + Send + Sync + 'static) {
        self.registry.set_hook(Arc::new(hook));
    }

    /// All live tasks in the order of their start, then the finished ones that are kept, newest first.
    #[must_use]
    pub fn list(&self) -> Vec<TaskInfo> {
        self.registry.list()
    }

    /// One task, live or finished, unless the history has forgotten it.
    #[must_use]
    pub fn get(&self, id: TaskId) -> Option<TaskInfo> {
        self.registry.get(id)
    }

    /// One task, to be looked at for as long as the returned value is kept; none if it is not known.
    #[must_use]
    pub fn watch(&self, id: TaskId) -> Option<TaskWatch> {
        let record = self.registry.record(id)?;
        Some(TaskWatch::new(self.registry.clone(), record))
    }

    /// Cancels a task as [`BackgroundTask::cancel`] does; false if it has ended, was cancelled before or is
    /// not known.
    #[expect(clippy::must_use_candidate, reason = "the answer is rarely needed")]
    pub fn cancel(&self, id: TaskId) -> bool {
        self.registry.find(id).is_some_and(|record| record.cancel(CancelReason::Requested))
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
    /// # Panics
    ///
    /// Panics outside a tokio runtime with its clock enabled.
    ///
    /// # Cancel safety
    ///
    /// The registry stays shut when the future is dropped, but the phases do not advance until drain is
    /// called again.
    pub async fn drain(&self, drain: Drain) -> DrainReport {
        drain::drain(&self.registry, drain).await
    }
}

impl Default for Background {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Background {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.registry.fmt(f)
    }
}

/// Settings of a [`Background`].
#[derive(Clone)]
#[must_use = "a builder makes nothing until `build` is called"]
pub struct BackgroundBuilder {
    limit: usize,
    queue: usize,
    live: usize,
    history: usize,
    hook: Option<Hook>,
}

impl BackgroundBuilder {
    fn new() -> Self {
        Self { limit: usize::MAX, queue: usize::MAX, live: 10_000, history: 1_000, hook: None }
    }

    /// Runs at most `limit` tasks at once; the others wait. Default: no limit but [`live`](Self::live).
    ///
    /// # Panics
    ///
    /// Panics if `limit` is zero.
    #[track_caller]
    pub fn limit(mut self, limit: usize) -> Self {
        assert!(limit > 0, "limit({limit}): at least one task must be able to run");
        self.limit = limit;
        self
    }

    /// Lets at most `queue` tasks wait for a slot; zero means that none waits. Default: no limit but
    /// [`live`](Self::live).
    pub fn queue(mut self, queue: usize) -> Self {
        self.queue = queue;
        self
    }

    /// Lets at most `live` tasks run and wait together. Default: 10,000.
    ///
    /// # Panics
    ///
    /// Panics if `live` is zero.
    #[track_caller]
    pub fn live(mut self, live: usize) -> Self {
        assert!(live > 0, "live({live}): at least one task must be able to run");
        self.live = live;
        self
    }

    /// Keeps the newest `history` finished tasks visible. Default: 1,000.
    pub fn history(mut self, history: usize) -> Self {
        self.history = history;
        self
    }

    /// Calls `hook` about every task that fails; see [`Background::on_error`]. Default: none.
    pub fn on_error(mut self, hook: impl Fn(&TaskInfo) + Send + Sync + 'static) -> Self {
        self.hook = Some(Arc::new(hook));
        self
    }

    /// Makes the registry. It needs no runtime until a task is started.
    #[must_use]
    pub fn build(self) -> Background {
        Background { registry: Arc::new(Registry::new(self, false)) }
    }
}

impl fmt::Debug for BackgroundBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BackgroundBuilder")
            .field("limit", &self.limit)
            .field("queue", &self.queue)
            .field("live", &self.live)
            .field("history", &self.history)
            .finish_non_exhaustive()
    }
}

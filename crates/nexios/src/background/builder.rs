use std::{borrow::Cow, fmt, panic::Location, sync::Arc};

use super::{
    bounds::Bounds,
    info::TaskInfo,
    notices::{Function, Hook},
    registry::Registry,
};
use crate::work::identity::given_or_place;

/// Settings of a [`Background`](crate::Background).
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), nexios::BackgroundFailure> {
/// use nexios::Background;
///
/// let background = Background::builder().limit(1).queue(10).build();
/// let first = background.spawn_future("first", async { 1 });
/// let second = background.spawn_future("second", async { 2 });
/// let stats = background.stats();
/// assert_eq!((stats.running, stats.queued), (1, 1));
/// assert_eq!(first.await? + second.await?, 3);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
#[must_use = "a builder makes nothing until `build` is called"]
pub struct BackgroundBuilder {
    name: Option<Cow<'static, str>>,
    made_at: &'static Location<'static>,
    bounds: Bounds,
    hook: Option<Function>,
}

impl BackgroundBuilder {
    #[track_caller]
    pub(super) fn new() -> Self {
        Self {
            name: None,
            made_at: Location::caller(),
            bounds: Bounds::default(),
            hook: None,
        }
    }

    /// Names the registry for whoever observes it: see [`observe`](crate::observe). Default: the place where it was made.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), nexios::BackgroundFailure> {
    /// use nexios::{Background, observe};
    ///
    /// let mails = Background::builder().name("mails").build();
    /// mails.spawn_future("welcome", async {}).await?;
    /// assert_eq!(observe::snapshot().backgrounds[0].name, "mails");
    /// # Ok(())
    /// # }
    /// ```
    pub fn name(mut self, name: impl Into<Cow<'static, str>>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Runs at most `limit` tasks at once; the others wait. Default: no limit but [`live`](Self::live).
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// use nexios::{Background, TaskState};
    ///
    /// let background = Background::builder().limit(1).build();
    /// let _first = background.spawn_future("first", std::future::pending::<()>());
    /// let second = background.spawn_future("second", async {});
    /// assert_eq!(background.get(second.id()).map(|task| task.state), Some(TaskState::Queued));
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// Panics if `limit` is zero.
    #[track_caller]
    pub fn limit(mut self, limit: usize) -> Self {
        assert!(
            limit > 0,
            "limit({limit}): at least one task must be able to run"
        );
        self.bounds.limit = limit;
        self
    }

    /// Lets at most `queue` tasks wait for a slot; zero means that none waits. Default: no limit but
    /// [`live`](Self::live).
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use nexios::{Background, BackgroundError};
    ///
    /// let background = Background::builder().limit(1).queue(0).build();
    /// let _first = background.spawn("first", |_cx| std::future::pending::<()>())?;
    /// let second = background.spawn("second", |_cx| async {});
    /// assert!(matches!(second, Err(BackgroundError::Full(_))));
    /// # Ok(())
    /// # }
    /// ```
    pub fn queue(mut self, queue: usize) -> Self {
        self.bounds.queue = queue;
        self
    }

    /// Lets at most `live` tasks run and wait together. Default: 10,000.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// use nexios::{Background, BackgroundFailure};
    ///
    /// let background = Background::builder().live(1).build();
    /// let _first = background.spawn_future("first", std::future::pending::<()>());
    /// let second = background.spawn_future("second", async {});
    /// assert_eq!(second.await, Err(BackgroundFailure::Refused));
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// Panics if `live` is zero.
    #[track_caller]
    pub fn live(mut self, live: usize) -> Self {
        assert!(
            live > 0,
            "live({live}): at least one task must be able to run"
        );
        self.bounds.live = live;
        self
    }

    /// Keeps the newest `history` finished tasks visible. Default: 1,000.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), nexios::BackgroundFailure> {
    /// use nexios::Background;
    ///
    /// let background = Background::builder().history(1).build();
    /// background.spawn_future("old", async {}).await?;
    /// background.spawn_future("new", async {}).await?;
    /// let names: Vec<_> = background.list().into_iter().map(|task| task.name).collect();
    /// assert_eq!(names, ["new"]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn history(mut self, history: usize) -> Self {
        self.bounds.history = history;
        self
    }

    /// Calls `hook` about every task that fails; see [`Background::on_error`](crate::Background::on_error). Default: none.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use std::sync::mpsc;
    /// use nexios::Background;
    ///
    /// let (failures, failed) = mpsc::channel();
    /// let background = Background::builder()
    ///     .on_error(move |task| {
    ///         let _ = failures.send(task.error.clone());
    ///     })
    ///     .build();
    /// let import = background.spawn_fallible("import", |_cx| async { Err::<(), _>("no such file") })?;
    /// assert!(import.await?.is_err());
    /// assert_eq!(failed.recv()?.as_deref(), Some("no such file"));
    /// # Ok(())
    /// # }
    /// ```
    pub fn on_error(mut self, hook: impl Fn(&TaskInfo) + Send + Sync + 'static) -> Self {
        self.hook = Some(Arc::new(hook));
        self
    }

    pub(super) fn into_registry(self) -> Registry {
        let label = given_or_place(self.name, self.made_at);
        Registry::new(label, self.bounds, Hook::new(self.hook))
    }
}

impl fmt::Debug for BackgroundBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BackgroundBuilder")
            .field("name", &self.name)
            .field("bounds", &self.bounds)
            .finish_non_exhaustive()
    }
}

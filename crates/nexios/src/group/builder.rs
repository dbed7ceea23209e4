use std::{borrow::Cow, time::Duration};

use tokio::time::Instant;

use crate::cancel::{CancelScope, CancelToken};

/// What a child's error does to its siblings.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), String> {
/// use nexios::{OnError, TaskGroup};
///
/// let group = TaskGroup::builder().on_error(OnError::Continue).build::<String>();
/// let pages = group
///     .run(async {
///         let broken = group.spawn(async { Err::<u32, _>("no such page".to_owned()) });
///         let whole = group.spawn(async { Ok(200) });
///         Ok((broken.await, whole.await))
///     })
///     .await?;
/// assert_eq!(pages, (Err("no such page".to_owned()), Ok(200)));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum OnError {
    /// The first error cancels all the others and is what the group returns.
    #[default]
    Cancel,
    /// Siblings go on; each error comes out of its own handle, and one that nobody looks at is logged.
    Continue,
}

/// Settings of a group that has not been made yet; see [`TaskGroup::builder`](super::TaskGroup::builder).
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// use std::time::Duration;
/// use nexios::{Interrupted, TaskGroup};
///
/// let group = TaskGroup::builder()
///     .name("page")
///     .limit(8)
///     .timeout(Duration::from_secs(2))
///     .build::<Interrupted>();
/// let outcome = group.run(std::future::pending::<Result<(), _>>()).await;
/// assert_eq!(outcome, Err(Interrupted::DeadlineExceeded));
/// # }
/// ```
#[derive(Debug, Clone, Default)]
#[must_use = "a builder makes nothing until `build` is called"]
pub struct TaskGroupBuilder {
    name: Option<Cow<'static, str>>,
    timeout: Option<Duration>,
    limit: Option<usize>,
    on_error: OnError,
    grace: Duration,
    parent: Parent,
}

/// Where cancellation comes from.
#[derive(Debug, Clone, Default)]
enum Parent {
    /// The scope that is current when the group is built.
    #[default]
    Scope,
    Token(CancelToken),
    Nobody,
}

/// The settings of a group, with everything inherited in place.
#[derive(Debug)]
pub(super) struct GroupSettings {
    pub(super) name: Option<Cow<'static, str>>,
    pub(super) timeout: Option<Duration>,
    /// Inherited from the scope.
    pub(super) deadline: Option<Instant>,
    pub(super) limit: usize,
    pub(super) on_error: OnError,
    pub(super) grace: Duration,
    pub(super) parent: Option<CancelToken>,
}

impl TaskGroupBuilder {
    /// Names the group in `Debug`, in logs, and for whoever [observes](crate::observe), such as a console or metrics. Default: no name;
    /// observers are told the place in the code where it was made (`src/main.rs:86:17`), which changes with the code.
    ///
    /// # Examples
    ///
    /// ```
    /// use nexios::{Interrupted, TaskGroup};
    ///
    /// let group = TaskGroup::builder().name("page").build::<Interrupted>();
    /// assert!(format!("{group:?}").contains("page"));
    /// ```
    pub fn name(mut self, name: impl Into<Cow<'static, str>>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Limits the time of the whole group, counted from its first poll. Default: no limit of its own.
    ///
    /// A scope's deadline holds as well; the earlier of the two counts. At the limit `run` and the handles
    /// that have not finished yield [`Interrupted::DeadlineExceeded`](crate::Interrupted::DeadlineExceeded);
    /// a child that is ready in the same turn still gives its value, and with a limit of zero every child
    /// is polled once. Needs a runtime with time enabled; if that goes away meanwhile, the group is cancelled
    /// ([`Shutdown`](crate::CancelReason::Shutdown)).
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() {
    /// use std::{future::pending, time::Duration};
    /// use nexios::{Interrupted, TaskGroup};
    ///
    /// let group = TaskGroup::builder().timeout(Duration::from_secs(2)).build::<Interrupted>();
    /// group.spawn(pending::<Result<(), _>>());
    /// assert_eq!(group.join().await, Err(Interrupted::DeadlineExceeded));
    /// # }
    /// ```
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Lets at most `limit` children be under way at once; the others wait in spawn order, unpolled.
    /// Default: no limit. Daemons do not count.
    ///
    /// A child that awaits the handle of a sibling without a place starts it at once, over the limit, so that this
    /// cannot deadlock: it holds a place itself and does nothing with it meanwhile. One that awaits many handles at
    /// once starts them all. Other waits between siblings (a channel, a lock, a handle awaited in a
    /// task of its own) are not covered: at the limit they can wait for a child that never starts.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), nexios::Interrupted> {
    /// use std::time::Duration;
    /// use nexios::{Interrupted, TaskGroup};
    /// use tokio::time::{Instant, sleep};
    ///
    /// let group = TaskGroup::builder().limit(2).build::<Interrupted>();
    /// let began = Instant::now();
    /// for _ in 0..6 {
    ///     group.spawn_value(async { sleep(Duration::from_secs(1)).await });
    /// }
    /// group.join().await?;
    /// assert_eq!(began.elapsed().as_secs(), 3); // two at a time
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// If `limit` is zero: nothing could ever run.
    #[track_caller]
    pub fn limit(mut self, limit: usize) -> Self {
        assert!(
            limit > 0,
            "TaskGroupBuilder::limit(0): a group needs room for at least one child"
        );
        self.limit = Some(limit);
        self
    }

    /// Chooses what a child's error does to its siblings. Default: [`OnError::Cancel`].
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), String> {
    /// use nexios::{OnError, TaskGroup};
    ///
    /// let group = TaskGroup::builder().on_error(OnError::Continue).build::<String>();
    /// let failed = group.spawn(async { Err::<(), _>("no such page".to_owned()) });
    /// let other = group.spawn(async { Ok(1) });
    /// group.join().await?; // no failure of the group
    /// assert_eq!((failed.await.is_err(), other.await), (true, Ok(1)));
    /// # Ok(())
    /// # }
    /// ```
    pub fn on_error(mut self, on_error: OnError) -> Self {
        self.on_error = on_error;
        self
    }

    /// Gives cancelled children this much time to finish by themselves. Default: zero.
    ///
    /// It is for children: the body is dropped at its await without grace (and not at all after
    /// [`cancel`](super::TaskGroup::cancel)). The token fires first; who is still there at the end of the grace is dropped. Children that have
    /// not started get none. Needs a runtime with time enabled, unless it is zero.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() {
    /// use std::{sync::atomic::{AtomicBool, Ordering}, time::Duration};
    /// use nexios::{Interrupted, TaskGroup};
    /// use tokio::time::sleep;
    ///
    /// let undone = AtomicBool::new(false);
    /// let group = TaskGroup::builder()
    ///     .timeout(Duration::from_secs(2))
    ///     .grace(Duration::from_millis(200))
    ///     .build::<Interrupted>();
    /// let (token, flag) = (group.token(), &undone);
    /// group.spawn(async move {
    ///     token.cancelled().await;
    ///     sleep(Duration::from_millis(100)).await; // takes back what it did
    ///     flag.store(true, Ordering::Relaxed);
    ///     Ok(())
    /// });
    /// assert_eq!(group.join().await, Err(Interrupted::DeadlineExceeded));
    /// assert!(undone.load(Ordering::Relaxed));
    /// # }
    /// ```
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// Cancels the group when `token` fires, instead of with the current scope.
    ///
    /// That ends it as a time limit does: the body is dropped at its await, children get the grace, and `run` yields
    /// [`Interrupted::Cancelled`](crate::Interrupted::Cancelled) with the token's reason. The scope's deadline still holds.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// use std::future::pending;
    /// use nexios::{CancelReason, CancelToken, Interrupted, TaskGroup};
    ///
    /// let shutdown = CancelToken::new();
    /// let group = TaskGroup::builder().parent(&shutdown).build::<Interrupted>();
    /// shutdown.cancel(CancelReason::Shutdown);
    /// let outcome = group.run(pending::<Result<(), _>>()).await;
    /// assert_eq!(outcome, Err(Interrupted::Cancelled(CancelReason::Shutdown)));
    /// # }
    /// ```
    pub fn parent(mut self, token: &CancelToken) -> Self {
        self.parent = Parent::Token(token.clone());
        self
    }

    /// Cuts the group off from the current scope: neither its token nor its deadline is inherited.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), nexios::Interrupted> {
    /// use nexios::{CancelReason, CancelScope, CancelToken, Interrupted, TaskGroup};
    ///
    /// let request = CancelToken::new();
    /// request.cancel(CancelReason::ClientDisconnected);
    /// let receipt = CancelScope::new(request, None).run(async {
    ///     let group = TaskGroup::builder().detached().build::<Interrupted>();
    ///     group.spawn_value(async { "written all the same" }).await
    /// });
    /// assert_eq!(receipt.await?, "written all the same");
    /// # Ok(())
    /// # }
    /// ```
    pub fn detached(mut self) -> Self {
        self.parent = Parent::Nobody;
        self
    }

    /// What was set, and what is inherited from the scope that is current now.
    pub(super) fn settings(self) -> GroupSettings {
        let scope = match self.parent {
            Parent::Nobody => None,
            _ => CancelScope::current(),
        };
        let deadline = scope.as_ref().and_then(CancelScope::deadline);
        let parent = match self.parent {
            Parent::Token(token) => Some(token),
            Parent::Scope => scope.map(|scope| scope.token()),
            Parent::Nobody => None,
        };
        GroupSettings {
            name: self.name,
            timeout: self.timeout,
            deadline,
            limit: self.limit.unwrap_or(usize::MAX),
            on_error: self.on_error,
            grace: self.grace,
            parent,
        }
    }
}

//! Tasks that cannot outlive the group that started them.

mod afterwards;
mod builder;
mod child;
mod child_result;
mod child_work;
mod children;
mod clock;
mod drive;
mod driver_turn;
mod ending;
mod error;
mod finalizers;
mod label;
mod map;
mod observed;
mod observed_future;
mod panics;
mod run;
mod slots;
mod spawn;
mod spawner;
mod state;
mod task;
mod turns;
mod unwinding;
mod verdict;
mod wake;
mod wakers;

use std::{borrow::Cow, fmt, future::Future, panic::Location, sync::Arc, thread};

use futures_util::{FutureExt, stream::Stream};

use self::{
    builder::GroupSettings,
    children::take_ids,
    observed::{Introduction, Part},
    observed_future::ObservedFuture,
    spawn::Label,
    state::{Run, Shared},
    verdict::Cause,
};
pub use self::{
    builder::{OnError, TaskGroupBuilder},
    child_result::ChildResult,
    error::GroupError,
    spawner::Spawner,
    task::Task,
};
use crate::{
    cancel::{CancelToken, Interrupted},
    work::{WorkKind, anybody},
};

/// A set of tasks that all end before the group does.
///
/// The first task to fail cancels the others. Children are polled inside the task that awaits the group, so
/// they may borrow from the caller and cost no trip through the scheduler; [`spawn_parallel`](Self::spawn_parallel)
/// puts one on the runtime's worker threads. If you want `'static` tasks in completion order and will drain
/// them yourself, [`JoinSet`](tokio::task::JoinSet) is the simpler tool; for a fixed handful of futures and no
/// spawning, `tokio::try_join!` is.
///
/// # When does it end?
///
/// ```text
/// run polled ──► body and children ──► body done, all children done ──► daemons end ──► finalizers ──► Ok
///                     │
///                     ├─ a child or the body fails ─┐
///                     ├─ the deadline is reached ───┤
///                     ├─ the scope's token fires ───┤   token fires; body dropped at its await;
///                     ├─ a child or the body panics ┴─► children get the grace, then are dropped ──► finalizers ──► Err / panic
///                     ├─ cancel() ────────────────────► children get the grace; the body goes on ──► finalizers ──► the body's result
///                     └─ run or the group is dropped ─► body, then children dropped, at once; finalizers become background work
/// ```
///
/// # The error
///
/// A group has one error type, yours, with one condition: `From<Interrupted>`, by which it says that it was cancelled or ran out
/// of time ([`GroupError`]). `anyhow::Error` and `Box<dyn Error + Send + Sync>` have it as they are.
///
/// | you have | you write |
/// |---|---|
/// | children with the error of the group | `group.spawn(work)` |
/// | children with errors of their own | [`spawn_into`](Self::spawn_into), [`spawn_named_into`](Self::spawn_named_into), or `async { Ok(work.await?) }` for any kind of child; the group's error is `From` each of them |
/// | children that cannot fail | [`spawn_value`](Self::spawn_value); if all are so, [`TaskGroup::infallible`] |
/// | "type annotations needed" | what is never told its error: `TaskGroup::<AppError>::new()`, or `let group: TaskGroup<'_, AppError> = …` |
/// | "borrowed value does not live long enough", of a local that a child borrows | the local before the group, as locals go in reverse order: what was made after the group goes before it. Or `async move`, if the child may have it |
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), nexios::Interrupted> {
/// use nexios::{Interrupted, TaskGroup};
///
/// async fn lookup(key: &str) -> Result<usize, Interrupted> {
///     Ok(key.len())
/// }
///
/// let query = String::from("user=7");
/// let group = TaskGroup::new();
/// let total = group
///     .run(async {
///         let whole = group.spawn(lookup(&query)); // borrows from the caller
///         let value = group.spawn(lookup(&query[5..]));
///         Ok(whole.await? + value.await?)
///     })
///     .await?;
/// assert_eq!(total, 7);
/// # Ok(())
/// # }
/// ```
///
/// Cleanup on cancellation, where other languages would catch an exception: with a grace period the token
/// fires first, and a finalizer runs on every way out.
///
/// ```
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// use std::time::Duration;
///
/// use nexios::{Interrupted, TaskGroup};
///
/// async fn risky_operation() -> Result<(), Interrupted> {
///     std::future::pending().await
/// }
/// async fn undo() {}
/// async fn cleanup_resources() {}
///
/// let group = TaskGroup::builder().timeout(Duration::from_secs(2)).grace(Duration::from_millis(200)).build();
/// group.defer(cleanup_resources());
/// let token = group.token();
/// let outcome = group
///     .run(async {
///         group.spawn(async move {
///             tokio::select! {
///                 result = risky_operation() => result,
///                 _reason = token.cancelled() => {
///                     undo().await;
///                     Ok(())
///                 }
///             }
///         })
///         .await
///     })
///     .await;
/// assert_eq!(outcome, Err(Interrupted::DeadlineExceeded));
/// # }
/// ```
///
/// A helper that watches for the end is a daemon; a plain child would keep the group open for ever, and a body
/// that awaits it never ends.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), nexios::Interrupted> {
/// use nexios::{Interrupted, TaskGroup};
///
/// let group = TaskGroup::<Interrupted>::new();
/// let token = group.token();
/// group.spawn_daemon(async move {
///     token.cancelled().await;
/// });
/// group.spawn(async { Ok(()) });
/// group.join().await?;
/// # Ok(())
/// # }
/// ```
#[must_use = "a group does nothing until it is run or one of its tasks is awaited"]
pub struct TaskGroup<'env, E = Interrupted> {
    shared: Arc<Shared<'env, E>>,
}

impl TaskGroup<'static, ()> {
    /// Starts the settings of a group; the group itself is made by [`build`](TaskGroupBuilder::build).
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), nexios::Interrupted> {
    /// use std::time::Duration;
    /// use nexios::{Interrupted, TaskGroup};
    ///
    /// let group = TaskGroup::builder().name("page").limit(8).timeout(Duration::from_secs(2)).build::<Interrupted>();
    /// assert_eq!(group.spawn_value(async { 1 + 1 }).await?, 2);
    /// # Ok(())
    /// # }
    /// ```
    pub fn builder() -> TaskGroupBuilder {
        TaskGroupBuilder::default()
    }
}

impl TaskGroupBuilder {
    /// Makes the group.
    #[track_caller]
    pub fn build<'env, E>(self) -> TaskGroup<'env, E> {
        TaskGroup::with(self.settings(), Location::caller())
    }
}

impl<'env, E> TaskGroup<'env, E> {
    fn with(settings: GroupSettings, made_at: &'static Location<'static>) -> Self {
        Self {
            shared: Arc::new(Shared::new(settings, made_at)),
        }
    }
}

impl<'env> TaskGroup<'env, Interrupted> {
    /// Makes a group of children that cannot fail: all that can happen to it is that it is [`Interrupted`].
    ///
    /// It is `TaskGroup::<Interrupted>::new()`, for when no child says what the error is.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), nexios::Interrupted> {
    /// use nexios::TaskGroup;
    ///
    /// let group = TaskGroup::infallible();
    /// let length = group.run(async { group.spawn_value(async { "four".len() }).await }).await?;
    /// assert_eq!(length, 4);
    /// # Ok(())
    /// # }
    /// ```
    #[track_caller]
    pub fn infallible() -> Self {
        Self::new()
    }
}

impl<'env, E> TaskGroup<'env, E> {
    /// Makes a group that fails fast, without limit, deadline or grace, inside the current scope if there is one.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// use std::io;
    /// use nexios::TaskGroup;
    ///
    /// let group = TaskGroup::<io::Error>::new();
    /// group.spawn(async { Err::<(), _>(io::Error::other("disk full")) });
    /// let error = group.join().await.expect_err("its child failed");
    /// assert_eq!(error.to_string(), "disk full");
    /// # }
    /// ```
    #[track_caller]
    pub fn new() -> Self
    where
        E: GroupError + 'env,
    {
        TaskGroup::builder().build()
    }

    /// Spawns an in-task child: it is polled by whoever awaits the group, and may borrow from the caller.
    ///
    /// It sees the tracing span and task-locals of whoever polls it. On a group that has ended the future is
    /// dropped unpolled before this returns, and the handle yields [`Interrupted::Cancelled`].
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), nexios::Interrupted> {
    /// use nexios::{Interrupted, TaskGroup};
    ///
    /// let text = String::from("borrowed");
    /// let group = TaskGroup::<Interrupted>::new();
    /// let length = group.run(async { group.spawn(async { Ok(text.len()) }).await }).await?;
    /// assert_eq!(length, text.len());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// The handle's errors are described at [`Task`].
    #[track_caller]
    pub fn spawn<T, F>(&self, future: F) -> Task<'env, T, E>
    where
        T: Send + 'env,
        E: GroupError + 'env,
        F: Future<Output: ChildResult<E>> + Future<Output = Result<T, E>> + Send + 'env,
    {
        spawn::in_task(Some(self.shared.clone()), Label::here(), future)
    }

    /// Spawns an in-task child whose error the group's is made [`From`](Into).
    ///
    /// So children of several kinds share a group: the group has the error of the application, each child its own. It is
    /// `spawn(async { Ok(future.await?) })`, which [`spawn_parallel`](Self::spawn_parallel) takes as well;
    /// [`spawn_named_into`](Self::spawn_named_into) gives it a name.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    /// use std::{error::Error, net::IpAddr, num::ParseIntError, net::AddrParseError};
    ///
    /// use nexios::TaskGroup;
    ///
    /// async fn port(text: &str) -> Result<u16, ParseIntError> {
    ///     text.parse()
    /// }
    /// async fn address(text: &str) -> Result<IpAddr, AddrParseError> {
    ///     text.parse()
    /// }
    ///
    /// let group = TaskGroup::<Box<dyn Error + Send + Sync>>::new();
    /// let peer = group
    ///     .run(async {
    ///         let address = group.spawn_into(address("127.0.0.1"));
    ///         let port = group.spawn_into(port("80"));
    ///         Ok((address.await?, port.await?))
    ///     })
    ///     .await?;
    /// assert_eq!(peer.1, 80);
    /// # Ok(())
    /// # }
    /// ```
    #[track_caller]
    pub fn spawn_into<T, F, E2>(&self, future: F) -> Task<'env, T, E>
    where
        E: GroupError + 'env,
        T: Send + 'env,
        E2: Into<E>,
        F: Future<Output = Result<T, E2>> + Send + 'env,
    {
        spawn::converted(Some(self.shared.clone()), Label::here(), future)
    }

    /// Spawns an in-task child that cannot fail, and so returns a plain value.
    ///
    /// It can be interrupted all the same, so its handle is awaited with `?` like any other. It is
    /// `spawn(async { Ok(future.await) })`.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), nexios::Interrupted> {
    /// use nexios::TaskGroup;
    ///
    /// async fn count(text: &str) -> usize {
    ///     text.len()
    /// }
    ///
    /// let group = TaskGroup::infallible();
    /// let (one, two) = (group.spawn_value(count("one")), group.spawn_value(count("three")));
    /// assert_eq!(one.await? + two.await?, 8);
    /// # Ok(())
    /// # }
    /// ```
    #[track_caller]
    pub fn spawn_value<F>(&self, future: F) -> Task<'env, F::Output, E>
    where
        E: GroupError + 'env,
        F: Future<Output: Send + 'env> + Send + 'env,
    {
        spawn::in_task(Some(self.shared.clone()), Label::here(), future.map(Ok))
    }

    /// Spawns an in-task child with a name for `Debug`, logs and the child's tracing span.
    ///
    /// A child with another error than the group's is [`spawn_named_into`](Self::spawn_named_into), one without an error
    /// [`spawn_named_value`](Self::spawn_named_value).
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), nexios::Interrupted> {
    /// use nexios::{Interrupted, TaskGroup};
    ///
    /// let group = TaskGroup::<Interrupted>::new();
    /// let profile = group.spawn_named("profile", async { Ok("Ada") });
    /// assert_eq!(profile.name(), "profile");
    /// assert_eq!(profile.await?, "Ada");
    /// # Ok(())
    /// # }
    /// ```
    #[track_caller]
    pub fn spawn_named<T, F>(
        &self,
        name: impl Into<Cow<'static, str>>,
        future: F,
    ) -> Task<'env, T, E>
    where
        T: Send + 'env,
        E: GroupError + 'env,
        F: Future<Output: ChildResult<E>> + Future<Output = Result<T, E>> + Send + 'env,
    {
        spawn::named(
            Some(self.shared.clone()),
            name.into(),
            Location::caller(),
            future,
        )
    }

    /// Spawns a named in-task child whose error the group's is made [`From`](Into), as [`spawn_into`](Self::spawn_into) does.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    /// use std::error::Error;
    /// use nexios::TaskGroup;
    ///
    /// let group = TaskGroup::<Box<dyn Error + Send + Sync>>::new();
    /// let port = group.spawn_named_into("port", async { "80".parse::<u16>() });
    /// assert_eq!(port.name(), "port");
    /// assert_eq!(port.await?, 80);
    /// # Ok(())
    /// # }
    /// ```
    #[track_caller]
    pub fn spawn_named_into<T, F, E2>(
        &self,
        name: impl Into<Cow<'static, str>>,
        future: F,
    ) -> Task<'env, T, E>
    where
        T: Send + 'env,
        E: GroupError + 'env,
        E2: Into<E>,
        F: Future<Output = Result<T, E2>> + Send + 'env,
    {
        spawn::named_converted(
            Some(self.shared.clone()),
            name.into(),
            Location::caller(),
            future,
        )
    }

    /// Spawns a named in-task child that cannot fail, as [`spawn_value`](Self::spawn_value) does.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), nexios::Interrupted> {
    /// use nexios::TaskGroup;
    ///
    /// let group = TaskGroup::infallible();
    /// let stock = group.spawn_named_value("stock", async { 7 });
    /// assert_eq!(stock.name(), "stock");
    /// assert_eq!(stock.await?, 7);
    /// # Ok(())
    /// # }
    /// ```
    #[track_caller]
    pub fn spawn_named_value<F>(
        &self,
        name: impl Into<Cow<'static, str>>,
        future: F,
    ) -> Task<'env, F::Output, E>
    where
        E: GroupError + 'env,
        F: Future<Output: Send + 'env> + Send + 'env,
    {
        spawn::named(
            Some(self.shared.clone()),
            name.into(),
            Location::caller(),
            future.map(Ok),
        )
    }

    /// Spawns a child on the runtime's worker threads, under the same policies.
    ///
    /// It starts at once if the limit allows. The current tracing span goes with it. When the group ends it is
    /// aborted: [`run`](Self::run) waits up to a second for it to unwind, a drop leaves it to the drain of the
    /// process. If the runtime itself aborts it, that is a failure: `E::from(Interrupted::Cancelled(Shutdown))`.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), nexios::Interrupted> {
    /// use nexios::{Interrupted, TaskGroup};
    ///
    /// let group = TaskGroup::<Interrupted>::new();
    /// let total = group
    ///     .run(async {
    ///         let low = group.spawn_parallel(async { Ok((0..500_u32).sum::<u32>()) });
    ///         let high = group.spawn_parallel(async { Ok((500..1_000_u32).sum::<u32>()) });
    ///         Ok(low.await? + high.await?)
    ///     })
    ///     .await?;
    /// assert_eq!(total, 499_500);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// If there is no tokio runtime. Waiting for one that unwinds needs a runtime with time enabled.
    #[track_caller]
    pub fn spawn_parallel<T, F>(&self, future: F) -> Task<'env, T, E>
    where
        E: GroupError + 'static,
        T: Send + 'static,
        F: Future<Output: ChildResult<E>> + Future<Output = Result<T, E>> + Send + 'static,
    {
        spawn::parallel(Some(self.shared.clone()), Label::here(), future)
    }

    /// Spawns an in-task helper that does not keep the group open: it ends when all others have ended.
    ///
    /// It takes no place under the limit and is not counted by [`len`](Self::len). Its panic is a child's panic.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), nexios::Interrupted> {
    /// use std::{sync::atomic::{AtomicU32, Ordering}, time::Duration};
    /// use nexios::TaskGroup;
    /// use tokio::time::sleep;
    ///
    /// let beats = AtomicU32::new(0);
    /// let group = TaskGroup::infallible();
    /// group.spawn_daemon(async {
    ///     loop {
    ///         beats.fetch_add(1, Ordering::Relaxed);
    ///         sleep(Duration::from_secs(10)).await;
    ///     }
    /// });
    /// group.spawn_value(sleep(Duration::from_secs(25)));
    /// group.join().await?; // when the other child has ended
    /// assert_eq!(beats.load(Ordering::Relaxed), 3);
    /// # Ok(())
    /// # }
    /// ```
    #[track_caller]
    pub fn spawn_daemon(&self, future: impl Future<Output = ()> + Send + 'env)
    where
        E: GroupError + 'env,
    {
        spawn::daemon(&self.shared, Label::here(), future);
    }

    /// Drives `body` and the children together until all have ended.
    ///
    /// Body and children share the task, and nobody in it who is always ready keeps the others from their turn: a body
    /// that loops over a full channel and spawns a child for each item has every child polled that is ready before it
    /// goes on. The limits hold beside such code as well; only a poll that never returns can hold them up.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// use std::{future::pending, io};
    /// use nexios::TaskGroup;
    ///
    /// let group = TaskGroup::<io::Error>::new();
    /// let outcome = group
    ///     .run(async {
    ///         group.spawn(async { Err::<(), _>(io::Error::other("no such user")) });
    ///         group.spawn(pending::<io::Result<()>>()).await // cancelled by the failure of the other
    ///     })
    ///     .await;
    /// assert!(outcome.is_err_and(|error| error.to_string() == "no such user"));
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// The first error of a child or of the body, by value; the others are kept, see
    /// [`suppressed`](Self::suppressed). `E::from(DeadlineExceeded)` at the time limit, `E::from(Cancelled(reason))`
    /// when the token of the surrounding scope fires: both drop the body at its await, so who wants to answer them does it
    /// around `run`. On a group that has ended before, its [`Interrupted`], without polling the body.
    ///
    /// # Panics
    ///
    /// A child's panic resumes here after its siblings are dropped and the finalizers have run; it beats an error.
    /// Two runs of one group at the same time panic.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops the body, then every in-task child before `drop` returns; parallel children are
    /// aborted, finalizers go on as tracked background work. A future that was never polled changes nothing.
    pub fn run<'g, T, B>(
        &'g self,
        body: B,
    ) -> impl Future<Output = Result<T, E>> + use<'g, 'env, T, E, B>
    where
        E: GroupError + 'env,
        B: Future<Output: ChildResult<E>> + Future<Output = Result<T, E>>,
    {
        run::run(&self.shared, body)
    }

    /// Waits for all children: [`run`](Self::run) with an empty body.
    ///
    /// With no child it is ready at the first poll, without yielding to the runtime.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), nexios::Interrupted> {
    /// use std::sync::atomic::{AtomicUsize, Ordering};
    /// use nexios::TaskGroup;
    ///
    /// let bytes = AtomicUsize::new(0);
    /// let group = TaskGroup::infallible();
    /// for page in ["one", "three"] {
    ///     let bytes = &bytes;
    ///     group.spawn_value(async move { bytes.fetch_add(page.len(), Ordering::Relaxed) });
    /// }
    /// group.join().await?;
    /// assert_eq!(bytes.load(Ordering::Relaxed), 8);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run).
    ///
    /// # Panics
    ///
    /// As [`run`](Self::run).
    ///
    /// # Cancel safety
    ///
    /// As [`run`](Self::run).
    pub async fn join(&self) -> Result<(), E>
    where
        E: GroupError + 'env,
    {
        self.run(async { Ok(()) }).await
    }

    /// Makes a future out of each item and returns their results in item order.
    ///
    /// At most the group's [`limit`](TaskGroupBuilder::limit) of them exist at a time, counted apart from the
    /// children, so memory stays flat however many items there are. The items are polled only while this is.
    /// It drives the group's children but does not wait for them.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), nexios::Interrupted> {
    /// use nexios::{Interrupted, TaskGroup};
    ///
    /// let group = TaskGroup::builder().limit(4).build::<Interrupted>();
    /// let squares = group.map(1..=5_u64, |n| async move { Ok(n * n) }).await?;
    /// assert_eq!(squares, [1, 4, 9, 16, 25]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// The first item's error fails the group, as a child's would; under [`OnError::Continue`] it just comes out
    /// here. An `Ok` leaves the group open.
    ///
    /// # Panics
    ///
    /// A panic of an item, or of `f`, is a child's panic.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops the items under way and those not started; finished results are lost.
    #[track_caller]
    pub fn map<'g, I, T, F, Fut>(
        &'g self,
        items: I,
        f: F,
    ) -> impl Future<Output = Result<Vec<T>, E>> + use<'g, 'env, E, I, T, F, Fut>
    where
        E: GroupError + 'env,
        I: IntoIterator,
        F: Fn(I::Item) -> Fut + Send + Sync,
        Fut: Future<Output: ChildResult<E>> + Future<Output = Result<T, E>> + Send,
        T: Send,
    {
        let made_at = Location::caller();
        async move { map::in_order(&self.shared, items.into_iter(), f, made_at).await }
    }

    /// Makes a future out of each item and yields their results in completion order.
    ///
    /// As [`map`](Self::map), one result at a time. After an error that fails the group the stream ends; under
    /// [`OnError::Continue`] it goes on.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), nexios::Interrupted> {
    /// use std::time::Duration;
    /// use futures_util::TryStreamExt;
    /// use nexios::{Interrupted, TaskGroup};
    ///
    /// let group = TaskGroup::<Interrupted>::new();
    /// let answers = group.map_unordered([30, 10, 20], |delay| async move {
    ///     tokio::time::sleep(Duration::from_millis(delay)).await;
    ///     Ok(delay)
    /// });
    /// assert_eq!(answers.try_collect::<Vec<_>>().await?, [10, 20, 30]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// As [`map`](Self::map).
    ///
    /// # Cancel safety
    ///
    /// Between two results nothing is lost; dropping the stream drops the items.
    #[track_caller]
    pub fn map_unordered<'g, I, T, F, Fut>(
        &'g self,
        items: I,
        f: F,
    ) -> impl Stream<Item = Result<T, E>> + use<'g, 'env, E, I, T, F, Fut>
    where
        E: GroupError + 'env,
        I: IntoIterator,
        F: Fn(I::Item) -> Fut + Send + Sync,
        Fut: Future<Output: ChildResult<E>> + Future<Output = Result<T, E>> + Send,
        T: Send,
    {
        map::Mapped::new(&self.shared, items.into_iter(), f, Location::caller())
    }

    /// A clonable handle that children take with them to spawn siblings.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), nexios::Interrupted> {
    /// use nexios::{Interrupted, TaskGroup};
    ///
    /// let group = TaskGroup::<Interrupted>::new();
    /// let spawner = group.spawner();
    /// let page = group.spawn(async move {
    ///     let link = spawner.spawn(async { Ok("/next") });
    ///     link.await
    /// });
    /// assert_eq!(page.await?, "/next");
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn spawner(&self) -> Spawner<'env, E> {
        Spawner::new(Arc::downgrade(&self.shared))
    }

    /// Stops the children without an error: `run` still returns what the body returns, its error too.
    ///
    /// Without a grace period they are dropped before this returns. The body is not interrupted. Has no effect on
    /// a group that has ended.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), nexios::Interrupted> {
    /// use std::future::pending;
    /// use nexios::{Interrupted, TaskGroup};
    ///
    /// let group = TaskGroup::<Interrupted>::new();
    /// let answer = group
    ///     .run(async {
    ///         group.spawn(pending::<Result<(), _>>());
    ///         group.cancel(); // the child is gone, the body goes on
    ///         Ok(if group.is_empty() { "enough" } else { "more" })
    ///     })
    ///     .await?;
    /// assert_eq!(answer, "enough");
    /// # Ok(())
    /// # }
    /// ```
    pub fn cancel(&self) {
        self.shared.close(Cause::Requested);
    }

    /// The token of this group; it fires on every end, a good one too ([`Finished`](crate::CancelReason::Finished)).
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), nexios::Interrupted> {
    /// use nexios::{CancelReason, TaskGroup};
    ///
    /// let group = TaskGroup::infallible();
    /// let token = group.token();
    /// group.join().await?;
    /// assert_eq!(token.reason(), Some(CancelReason::Finished));
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn token(&self) -> CancelToken {
        self.shared.token()
    }

    /// Adds a finalizer that runs once on every way out, last in first out, before [`run`](Self::run) returns.
    ///
    /// Finalizers run after all children are gone. A panic in one does not stop the others, and resumes. If the
    /// group is dropped instead of run to its end, they go on as background work that
    /// `Background::global().drain` waits for; one that was under way is continued. One that overruns the drain is
    /// reported as abandoned and dropped at its end. With no runtime left, or no time, their loss is logged. On a group that has ended this one goes to the background at once.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// use std::sync::{Arc, atomic::{AtomicBool, Ordering}};
    /// use nexios::TaskGroup;
    ///
    /// let unlocked = Arc::new(AtomicBool::new(false));
    /// let group = TaskGroup::<String>::new();
    /// group.defer({
    ///     let unlocked = unlocked.clone();
    ///     async move { unlocked.store(true, Ordering::Relaxed) }
    /// });
    /// let outcome = group.run(async { Err::<(), _>("no such page".to_owned()) }).await;
    /// assert!(outcome.is_err() && unlocked.load(Ordering::Relaxed));
    /// # }
    /// ```
    #[track_caller]
    pub fn defer(&self, finalizer: impl Future<Output = ()> + Send + 'static) {
        if anybody() {
            self.defer_observed(finalizer, Location::caller());
        } else {
            self.shared.defer(Box::pin(finalizer));
        }
    }

    #[cold]
    fn defer_observed(
        &self,
        finalizer: impl Future<Output = ()> + Send + 'static,
        made_at: &'static Location<'static>,
    ) {
        let introduction = Introduction {
            id: take_ids(1).start,
            kind: WorkKind::Finalizer,
            name: None,
            made_at: Some(made_at),
        };
        let core = self.shared.lock();
        let part = if Shared::takes_finalizers(&core) {
            self.shared.observe(core).part(&introduction)
        } else {
            drop(core);
            Part::adopted(&introduction)
        };
        self.shared
            .defer(Box::pin(ObservedFuture::new(finalizer, Some(part))));
    }

    /// Takes the errors beyond the first, in spawn order; at most 64 are kept.
    ///
    /// What the group itself made to tell a child that it was cancelled is not among them.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() {
    /// use std::time::Duration;
    /// use nexios::TaskGroup;
    ///
    /// let group = TaskGroup::builder().grace(Duration::from_secs(1)).build::<String>();
    /// let token = group.token();
    /// group.spawn(async move {
    ///     token.cancelled().await;
    ///     Err::<(), _>("rollback failed".to_owned())
    /// });
    /// group.spawn(async { Err::<(), _>("no such page".to_owned()) });
    /// assert_eq!(group.join().await, Err("no such page".to_owned()));
    /// assert_eq!(group.suppressed(), ["rollback failed"]);
    /// # }
    /// ```
    #[must_use]
    pub fn suppressed(&self) -> Vec<E> {
        self.shared.lock().verdict.take_suppressed()
    }

    /// How many children are alive, running or waiting; daemons and the items of `map` are not counted.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), nexios::Interrupted> {
    /// use nexios::TaskGroup;
    ///
    /// let group = TaskGroup::infallible();
    /// group.spawn_value(async {});
    /// group.spawn_daemon(std::future::pending());
    /// assert_eq!(group.len(), 1);
    /// group.join().await?;
    /// assert!(group.is_empty());
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn len(&self) -> usize {
        self.shared.lock().children.live()
    }

    /// Whether no child is alive.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<'env, E: GroupError + 'env> Default for TaskGroup<'env, E> {
    fn default() -> Self {
        Self::new()
    }
}

impl<E> Drop for TaskGroup<'_, E> {
    fn drop(&mut self) {
        // The usual end: it was run, and no handle is left.
        if Arc::get_mut(&mut self.shared).is_some_and(Shared::is_settled_alone) {
            self.shared.end_observed();
            return;
        }
        let (live, forgotten) = {
            let core = self.shared.lock();
            (
                core.children.live(),
                core.run == Run::NotYet && !core.driven_once && !thread::panicking(),
            )
        };
        if live == 0 {
            self.shared.close(Cause::Finished);
        } else if forgotten {
            crate::log::say(|| {
                tracing::warn!(group = ?self.shared.settings.name, made_at = %self.shared.made_at, children = live,
                "a task group was dropped before anybody awaited it or one of its children");
            });
        }
        if let Some(payload) = self.shared.end_now() {
            panics::resume_or_log(payload);
        }
    }
}

impl<E> fmt::Debug for TaskGroup<'_, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.shared.fmt(f)
    }
}

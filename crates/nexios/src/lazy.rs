//! A value that is computed when somebody asks for it, once for everybody.

mod backoff;
mod builder;
mod call;
mod cell;
mod cell_failure;
mod computation;
mod driver;
mod error;
mod flight;
mod freshness;
mod guard;
mod living;
mod map;
mod recursion;
mod runtime;
mod settings;
mod shortcut;
mod stats;
mod tallies;

use std::{
    fmt,
    future::Future,
    panic::Location,
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll},
    time::Duration,
};

pub use backoff::ErrorBackoff;
pub use builder::AsyncLazyBuilder;
use call::{LazyCall, Site};
use cell::{Entrance, ValueCell, Visit};
pub use error::LazyError;
pub use guard::LazyGuard;
pub(crate) use living::ALIVE;
use living::Alive;
pub use map::{AsyncLazyMap, AsyncLazyMapBuilder};
use shortcut::Shortcuts;
pub use stats::{LazyState, LazyStats};
use tokio::time::Instant;

/// A value computed by an async closure when it is first asked for, once however many ask.
///
/// The cell owns the computation. It runs as a task of its own on the runtime of the call that starts it, so a
/// caller that leaves (a client that disconnects, a timeout) neither restarts nor fails it; when the last one
/// leaves, it is dropped. Errors are shared by all who wait, and not kept. [`reset`](Self::reset) and
/// [`set`](Self::set) win over computations that began before them.
///
/// Reading a value that is there takes no lock, allocates nothing (after a thread's first time) and is ready at
/// the first poll. If the value can be computed without await, [`std::sync::LazyLock`] is the simpler tool; if
/// it is written once and its computation borrows from the caller, [`tokio::sync::OnceCell`] is.
///
/// # When things end
///
/// A computation ends when it is ready, panics, reaches its [`timeout`](AsyncLazyBuilder::timeout), when its
/// last waiter leaves (unless [`keep_warm`](AsyncLazyBuilder::keep_warm) or it is a background refresh), when
/// [`set`](Self::set) makes it pointless, when a [`reset`](Self::reset) does and nobody waits, and when the
/// `AsyncLazy` is dropped. If it is not being polled at that moment, it has been dropped when that call
/// returns (when that call is part of a destructor of another computation or lazy value, as that one has been dropped).
/// If its runtime goes, those who wait start it again on theirs.
///
/// A runtime that is there but that nobody drives is another matter: a current-thread runtime runs tasks only inside
/// its `block_on`. A computation that was started there stands still, and everybody who joins it waits without end,
/// also on other runtimes; only a caller's own time limit helps them, or [`set`](Self::set), or that
/// somebody drives the runtime again.
///
/// # Recursion
///
/// A computation that asks for its own value, itself or through other cells' computations, is given
/// [`LazyError::Recursive`]. This does not see through spawned tasks and pool closures: there, such a circle
/// waits until a [`timeout`](AsyncLazyBuilder::timeout).
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), nexios::LazyError<std::io::Error>> {
/// use std::sync::LazyLock;
///
/// use nexios::AsyncLazy;
///
/// static GREETING: LazyLock<AsyncLazy<String, std::io::Error>> =
///     LazyLock::new(|| AsyncLazy::new(|| async { Ok(String::from("hello")) }));
///
/// let greeting = GREETING.get().await?;
/// assert_eq!(*greeting, "hello");
/// GREETING.reset();
/// assert!(GREETING.peek().is_none());
/// # Ok(())
/// # }
/// ```
pub struct AsyncLazy<T, E> {
    cell: Arc<ValueCell<T, E>>,
    shortcuts: Arc<dyn Shortcuts<T>>,
    /// On the list of the living, from the first computation on.
    alive: OnceLock<Alive>,
}

impl<T: Send + Sync + 'static, E: Send + Sync + 'static> AsyncLazy<T, E> {
    /// Makes a lazy value with the default settings: kept for ever, no time limit.
    ///
    /// Nothing is computed before the first call.
    ///
    /// The closure is called for each computation, and the future is a task's: what it captures it clones for each.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), nexios::LazyError<std::io::Error>> {
    /// use std::sync::Arc;
    ///
    /// use nexios::AsyncLazy;
    ///
    /// struct Database;
    /// impl Database {
    ///     async fn count(&self) -> std::io::Result<u64> {
    ///         Ok(7)
    ///     }
    /// }
    ///
    /// let database = Arc::new(Database);
    /// let count = AsyncLazy::new(move || {
    ///     let database = database.clone();
    ///     async move { database.count().await }
    /// });
    /// assert_eq!(*count.get().await?, 7);
    /// # Ok(())
    /// # }
    /// ```
    #[track_caller]
    #[must_use]
    pub fn new<F, Fut>(f: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<T, E>> + Send + 'static,
    {
        AsyncLazyBuilder::new(f, Location::caller()).build()
    }

    /// Starts the settings of a lazy value.
    ///
    /// What the closure captures it clones for each computation, `move || { let client = client.clone(); async move { .. } }`: an
    /// `async move ||` that captures something is no `Fn`. In the state of a service the value is in an [`Arc`], or a static.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), nexios::LazyError<std::io::Error>> {
    /// use std::{io, time::Duration};
    /// use nexios::AsyncLazy;
    ///
    /// let rates = AsyncLazy::builder(|| async { Ok::<_, io::Error>(1.08) }).ttl(Duration::from_secs(300)).build();
    /// assert_eq!(*rates.get().await?, 1.08);
    /// assert!(rates.stats().fresh_for > Some(Duration::from_secs(290)));
    /// # Ok(())
    /// # }
    /// ```
    #[track_caller]
    pub fn builder<F, Fut>(f: F) -> AsyncLazyBuilder<T, E>
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<T, E>> + Send + 'static,
    {
        AsyncLazyBuilder::new(f, Location::caller())
    }

    /// Returns the value, computing it if need be.
    ///
    /// The call begins at its first poll. A fresh value is returned at once; a value inside
    /// [`stale_while_revalidate`](AsyncLazyBuilder::stale_while_revalidate) too, while a new one is computed in
    /// the background. Otherwise the call joins the running computation or starts one.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), nexios::LazyError<std::io::Error>> {
    /// let answer = nexios::AsyncLazy::new(|| async { Ok::<_, std::io::Error>(42) });
    /// let (one, two) = tokio::join!(answer.get(), answer.get());
    /// assert_eq!(*one? + *two?, 84);
    /// assert_eq!(answer.stats().computations, 1);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// What became of the computation if it brought no value and there is no old one inside
    /// [`stale_if_error`](AsyncLazyBuilder::stale_if_error); [`LazyError::Recursive`] inside its own
    /// computation.
    ///
    /// # Panics
    ///
    /// If a computation has to be started and the call is polled outside a tokio runtime. A panic of the
    /// computation does not resume here, it is [`LazyError::Panicked`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future changes nothing for others. If it was the last to wait, the computation is dropped,
    /// unless [`keep_warm`](AsyncLazyBuilder::keep_warm) is set.
    #[inline]
    pub fn get(
        &self,
    ) -> impl Future<Output = Result<Arc<T>, LazyError<E>>> + Send + Unpin + use<'_, T, E> {
        LazyCall::<_, _, _, false>::new(self)
    }

    /// Returns the value as [`get`](Self::get) does, borrowed instead of as an [`Arc`].
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), nexios::LazyError<std::io::Error>> {
    /// use nexios::AsyncLazy;
    ///
    /// let words = AsyncLazy::new(|| async { Ok::<_, std::io::Error>(vec!["async", "await"]) });
    /// let count = words.get_guard().await?.len(); // read, and let go of
    /// assert_eq!(count, 2);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    ///
    /// # Panics
    ///
    /// As [`get`](Self::get).
    ///
    /// # Cancel safety
    ///
    /// As [`get`](Self::get).
    #[inline]
    pub fn get_guard(
        &self,
    ) -> impl Future<Output = Result<LazyGuard<T>, LazyError<E>>> + Send + Unpin + use<'_, T, E>
    {
        GetGuard {
            call: LazyCall::<_, _, _, false>::new(self),
        }
    }

    /// Computes the value anew, whatever there is, and returns the new one.
    ///
    /// The call joins a computation that is running, but never one from before a [`reset`](Self::reset) or
    /// [`set`](Self::set). Until it is complete, [`get`](Self::get) serves the old value inside its limits.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), nexios::LazyError<std::io::Error>> {
    /// use std::{io, sync::atomic::{AtomicU32, Ordering}};
    /// use nexios::AsyncLazy;
    ///
    /// static VERSION: AtomicU32 = AtomicU32::new(1);
    /// let flags = AsyncLazy::new(|| async { Ok::<_, io::Error>(VERSION.fetch_add(1, Ordering::Relaxed)) });
    /// assert_eq!(*flags.get().await?, 1);
    /// assert_eq!(*flags.get().await?, 1);
    /// assert_eq!(*flags.refresh().await?, 2);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// What became of the computation; the old value stays, with its age, and does not stand in for the error.
    /// [`LazyError::Recursive`] inside its own computation.
    ///
    /// # Panics
    ///
    /// As [`get`](Self::get).
    ///
    /// # Cancel safety
    ///
    /// As [`get`](Self::get); a background refresh that it joined goes on.
    pub fn refresh(
        &self,
    ) -> impl Future<Output = Result<Arc<T>, LazyError<E>>> + Send + Unpin + use<'_, T, E> {
        LazyCall::<_, _, _, true>::new(self)
    }

    /// Forgets the value and the last error.
    ///
    /// A call that begins after this has returned never sees what was computed or being computed before. Those
    /// who wait already are given what they wait for.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), nexios::LazyError<std::io::Error>> {
    /// let flags = nexios::AsyncLazy::new(|| async { Ok::<_, std::io::Error>("flags") });
    /// flags.get().await?;
    /// flags.reset();
    /// assert!(flags.peek().is_none());
    /// assert_eq!(*flags.get().await?, "flags");
    /// assert_eq!(flags.stats().computations, 2);
    /// # Ok(())
    /// # }
    /// ```
    pub fn reset(&self) {
        self.cell.empty().overtake();
    }

    /// Puts a value in the place of what there is, with an age of zero.
    ///
    /// It wins over a computation that is running: its waiters are given this value, and it is dropped.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), nexios::LazyError<std::io::Error>> {
    /// let rates = nexios::AsyncLazy::new(|| async { Err::<f64, _>(std::io::Error::other("no route")) });
    /// rates.set(1.08); // told by who knows
    /// assert_eq!(*rates.get().await?, 1.08);
    /// assert_eq!(rates.stats().computations, 0);
    /// # Ok(())
    /// # }
    /// ```
    pub fn set(&self, value: T) {
        let value = Arc::new(value);
        let weight = self.cell.source().weigh(&value);
        self.cell.put(Arc::clone(&value), weight).end_with(value);
    }

    /// Returns the value that is there, fresh or inside its stale limits; never waits and never computes.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), nexios::LazyError<std::io::Error>> {
    /// let flags = nexios::AsyncLazy::new(|| async { Ok::<_, std::io::Error>("flags") });
    /// assert!(flags.peek().is_none(), "nobody asked for it");
    /// flags.get().await?;
    /// assert_eq!(flags.peek().as_deref(), Some(&"flags"));
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn peek(&self) -> Option<Arc<T>> {
        self.cell
            .servable()?
            .as_ref()
            .map(|entry| Arc::clone(&entry.value))
    }

    /// Returns what [`peek`](Self::peek) does, borrowed instead of as an [`Arc`].
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let words = nexios::AsyncLazy::<Vec<&str>, ()>::new(|| async { Ok(vec!["async", "await"]) });
    /// assert!(words.peek_guard().is_none());
    /// words.set(vec!["join"]);
    /// assert_eq!(words.peek_guard().map(|words| words.len()), Some(1));
    /// # }
    /// ```
    #[inline]
    #[must_use]
    pub fn peek_guard(&self) -> Option<LazyGuard<T>> {
        self.cell.servable().map(LazyGuard::borrowed)
    }

    /// Returns the time since the value that [`peek`](Self::peek) returns was complete or set.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() {
    /// use std::time::Duration;
    ///
    /// let rates = nexios::AsyncLazy::new(|| async { Ok::<_, std::io::Error>(1.08) });
    /// assert_eq!(rates.age(), None);
    /// rates.set(1.09);
    /// tokio::time::advance(Duration::from_secs(60)).await;
    /// assert_eq!(rates.age(), Some(Duration::from_secs(60)));
    /// # }
    /// ```
    #[must_use]
    pub fn age(&self) -> Option<Duration> {
        self.cell
            .servable()?
            .as_ref()
            .map(|entry| Instant::now().duration_since(entry.completed))
    }

    /// Returns what the cell has done so far; the numbers are read one after the other.
    #[must_use]
    pub fn stats(&self) -> LazyStats {
        self.cell.stats(self.shortcuts.hits())
    }
}

impl<T: 'static, E: 'static> AsyncLazyBuilder<T, E> {
    /// Makes the lazy value; nothing is computed before the first call.
    #[must_use]
    pub fn build(self) -> AsyncLazy<T, E> {
        let (cell, shortcuts) = self.into_parts();
        AsyncLazy {
            cell: Arc::new(cell),
            shortcuts,
            alive: OnceLock::new(),
        }
    }
}

impl<T, E> Drop for AsyncLazy<T, E> {
    fn drop(&mut self) {
        self.cell.close();
    }
}

impl<T, E> fmt::Debug for AsyncLazy<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flight = self.cell.flight();
        let entry = self.cell.servable();
        let entry = entry.as_deref().and_then(Option::as_ref);
        f.debug_struct("AsyncLazy")
            .field("name", &self.cell.name())
            .field(
                "age",
                &entry.map(|entry| Instant::now().duration_since(entry.completed)),
            )
            .field("fresh", &entry.is_some_and(|entry| entry.is_fresh()))
            .field("computing", &flight.is_some())
            .field("waiters", &flight.map_or(0, |flight| flight.waiters()))
            .finish_non_exhaustive()
    }
}

impl<T: Send + Sync + 'static, E: Send + Sync + 'static> Site<T, E> for &AsyncLazy<T, E> {
    #[inline]
    fn fresh(&self) -> Option<Arc<T>> {
        self.shortcuts
            .recall(self.cell.edition())
            .or_else(|| self.read())
    }

    fn enter(&self, visit: Visit) -> (Arc<ValueCell<T, E>>, Entrance<T, E>) {
        let (entrance, leftover) = self.cell.enter(visit);
        leftover.discard();
        if entrance.launches() {
            self.alive
                .get_or_init(|| Alive::of_value(&self.cell, &self.shortcuts));
        }
        (Arc::clone(&self.cell), entrance)
    }
}

impl<T, E> AsyncLazy<T, E> {
    /// The value if it is fresh, counted as a hit and remembered for the next time.
    #[inline(never)]
    fn read(&self) -> Option<Arc<T>> {
        let entry = self.cell.fresh()?;
        let entry = entry.as_ref()?;
        self.shortcuts.remember(entry);
        Some(Arc::clone(&entry.value))
    }
}

struct GetGuard<'a, T, E> {
    call: LazyCall<&'a AsyncLazy<T, E>, T, E, false>,
}

impl<T: Send + Sync + 'static, E: Send + Sync + 'static> Future for GetGuard<'_, T, E> {
    type Output = Result<LazyGuard<T>, LazyError<E>>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if !self.call.is_waiting() {
            let lazy = self.call.site();
            // Not by a shortcut: that would count a reference to the value, which many threads fight over.
            if let Some(entry) = lazy.cell.fresh() {
                lazy.shortcuts.count();
                return Poll::Ready(Ok(LazyGuard::borrowed(entry)));
            }
        }
        self.call.poll_slowly(cx).map_ok(LazyGuard::owned)
    }
}

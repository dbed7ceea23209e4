use std::{borrow::Cow, future::Future, marker::PhantomData, panic::Location, sync::Arc, time::Duration};

use super::{
    backoff::ErrorBackoff,
    cell::{Cell, Held, Settings, Source},
    computation::{Computation, discard_flat, limited},
};

/// Settings of an [`AsyncLazy`](crate::AsyncLazy); made by
/// [`AsyncLazy::builder`](crate::AsyncLazy::builder).
///
/// A value's limits count from the completion of its computation and are additive, as in HTTP's
/// `max-age`, `stale-while-revalidate` and `stale-if-error` (RFC 5861). An age equal to a limit is past it,
/// and past the last limit an old value is never served.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), nexios::LazyError<std::io::Error>> {
/// use std::time::Duration;
///
/// use nexios::AsyncLazy;
///
/// let rates = AsyncLazy::builder(|| async { Ok::<_, std::io::Error>([1.08, 0.85]) })
///     .name("exchange rates")
///     .ttl(Duration::from_secs(300))
///     .stale_while_revalidate(Duration::from_secs(60))
///     .stale_if_error(Duration::from_secs(3_600))
///     .jitter(0.1)
///     .timeout(Duration::from_secs(5))
///     .error_backoff(Duration::from_secs(2))
///     .build();
/// assert_eq!(rates.get().await?[0], 1.08);
/// # Ok(())
/// # }
/// ```
#[must_use = "a builder does nothing until `build` is called"]
pub struct AsyncLazyBuilder<T, E> {
    source: Box<dyn Source<T, E>>,
    settings: Settings,
}

/// A closure that makes the computations of one cell.
struct Plain<F, Fut> {
    make: F,
    future: PhantomData<fn() -> Fut>,
}

impl<F, Fut, T, E> Source<T, E> for Plain<F, Fut>
where
    F: Fn() -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<T, E>> + Send + 'static,
    T: 'static,
    E: 'static,
{
    fn compute(&self, limit: Option<Duration>) -> Computation<T, E> {
        limited((self.make)(), limit)
    }

    fn discard(self: Box<Self>, held: Held<T, E>) {
        discard_flat((self, held));
    }
}

impl<T, E> AsyncLazyBuilder<T, E> {
    pub(super) fn new<F, Fut>(f: F, location: &'static Location<'static>) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<T, E>> + Send + 'static,
        T: 'static,
        E: 'static,
    {
        Self { source: Box::new(Plain { make: f, future: PhantomData }), settings: Settings::new(location) }
    }

    /// Names the value in `Debug`, logs and spans; the default is the place where it was made.
    pub fn name(mut self, name: impl Into<Cow<'static, str>>) -> Self {
        self.settings.name = Some(name.into());
        self
    }

    /// Sets how long a value is fresh, from the completion of its computation; the default is for ever.
    ///
    /// Zero never caches: those who wait together still share one computation.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.settings.limits.ttl = Some(ttl);
        self
    }

    /// Sets how long after its [`ttl`](Self::ttl) a value is served while a new one is computed in the
    /// background; the default is zero.
    ///
    /// Nobody waits for that computation and nobody's leaving stops it. After a failed one the next starts at
    /// least a second (or the [`error_backoff`](Self::error_backoff)) later.
    pub fn stale_while_revalidate(mut self, limit: Duration) -> Self {
        self.settings.limits.stale_while_revalidate = limit;
        self
    }

    /// Sets how long after its [`ttl`](Self::ttl) a value is served in place of an error, a panic or a
    /// timeout of a new computation; the default is zero.
    pub fn stale_if_error(mut self, limit: Duration) -> Self {
        self.settings.limits.stale_if_error = limit;
        self
    }

    /// Shortens the [`ttl`](Self::ttl) of each value by a random share of it, at most `share` (0 to 1); the
    /// default is zero.
    ///
    /// It keeps values that were computed together from expiring together. The other limits are added to the
    /// shortened one.
    ///
    /// # Panics
    ///
    /// If `share` is not a number from 0 to 1.
    #[track_caller]
    pub fn jitter(mut self, share: f64) -> Self {
        self.settings.limits.jitter = checked_jitter(share);
        self
    }

    /// Keeps an error for a pause: calls are given it (or a value inside
    /// [`stale_if_error`](Self::stale_if_error)) instead of starting a computation.
    ///
    /// The pause is a [`Duration`], or grows as [`ErrorBackoff::exponential`] says.
    /// By default errors are not kept: those who waited share it, and the next call computes anew.
    /// [`refresh`](crate::AsyncLazy::refresh) computes in any case.
    pub fn error_backoff(mut self, pause: impl Into<ErrorBackoff>) -> Self {
        self.settings.error_backoff = Some(pause.into());
        self
    }

    /// Lets a computation go on when its last waiter leaves; the default is false.
    pub fn keep_warm(mut self, keep: bool) -> Self {
        self.settings.keep_warm = keep;
        self
    }

    /// Limits a computation: at `limit` it is dropped and its waiters are given [`LazyError::TimedOut`]; the
    /// default is no limit.
    ///
    /// It needs a runtime with its time driver enabled; on another one the computation ends as
    /// [`LazyError::Panicked`].
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.settings.timeout = Some(limit);
        self
    }

    pub(super) fn into_cell(self) -> Cell<T, E> {
        Cell::alone(self.source, Arc::new(self.settings))
    }
}

impl<T, E> std::fmt::Debug for AsyncLazyBuilder<T, E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("AsyncLazyBuilder").field(&self.settings).finish()
    }
}

#[track_caller]
pub(super) fn checked_jitter(share: f64) -> f64 {
    assert!((0.0..=1.0).contains(&share), "the jitter of a lazy value is a share from 0 to 1, not {share}");
    share
}

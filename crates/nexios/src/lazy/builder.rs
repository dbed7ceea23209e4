use std::{future::Future, marker::PhantomData, panic::Location, sync::Arc, time::Duration};

use super::{
    cell::{Remains, ValueCell, ValueSource},
    computation::{Computation, discard_flat, limited},
    error::LazyError,
    settings::{LazySettings, setters},
    shortcut::{Shortcuts, shortcuts},
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
    source: Box<dyn ValueSource<T, E>>,
    shortcuts: Arc<dyn Shortcuts<T>>,
    settings: LazySettings,
    on_error: Option<ErrorHook<E>>,
}

/// Told of every computation that brought no value.
type ErrorHook<E> = Box<dyn Fn(&LazyError<E>) + Send + Sync>;

/// A closure that makes the computations of one cell.
struct Plain<F, Fut> {
    make: F,
    future: PhantomData<fn() -> Fut>,
}

impl<F, Fut, T, E> ValueSource<T, E> for Plain<F, Fut>
where
    F: Fn() -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<T, E>> + Send + 'static,
    T: 'static,
    E: 'static,
{
    fn compute(&self, limit: Option<Duration>) -> Computation<T, E> {
        limited((self.make)(), limit)
    }

    fn discard(self: Box<Self>, held: Remains<T, E>) {
        discard_flat((self, held));
    }
}

/// A source whose failures somebody wants to be told.
struct Reporting<T, E> {
    source: Box<dyn ValueSource<T, E>>,
    hook: ErrorHook<E>,
}

impl<T: 'static, E: 'static> ValueSource<T, E> for Reporting<T, E> {
    fn compute(&self, limit: Option<Duration>) -> Computation<T, E> {
        self.source.compute(limit)
    }

    fn failed(&self, error: &LazyError<E>) {
        (self.hook)(error);
    }

    fn discard(self: Box<Self>, held: Remains<T, E>) {
        self.source.discard(held);
        discard_flat(self.hook);
    }
}

impl<T, E> AsyncLazyBuilder<T, E> {
    pub(super) fn new<F, Fut>(f: F, location: &'static Location<'static>) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<T, E>> + Send + 'static,
        T: Send + Sync + 'static,
        E: 'static,
    {
        Self {
            source: Box::new(Plain {
                make: f,
                future: PhantomData,
            }),
            shortcuts: shortcuts(),
            settings: LazySettings::new(location),
            on_error: None,
        }
    }

    /// Calls `hook` about every computation that fails, panics or reaches its time limit; the default is none.
    ///
    /// It is called once for each, as [`LazyStats::failures`](crate::LazyStats::failures) counts them, however many wait
    /// for it; also for one in the background that nobody waits for, and for one in whose place an old value is served. A
    /// caller that leaves, and an error that is given again inside its [`error_backoff`](Self::error_backoff), is none.
    ///
    /// It runs in the task of the computation, on a thread of its runtime, after the value is settled and before those who wait
    /// are given the error: it should not block. A panic in it is logged and goes no further.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use std::{sync::mpsc, time::Duration};
    /// use nexios::AsyncLazy;
    ///
    /// let (failures, failed) = mpsc::channel();
    /// let rates = AsyncLazy::builder(|| async { Err::<f64, _>("no route") })
    ///     .ttl(Duration::from_secs(60))
    ///     .stale_while_revalidate(Duration::from_secs(3_600))
    ///     .on_error(move |error| {
    ///         let _ = failures.send(error.to_string()); // or a line in the log
    ///     })
    ///     .build();
    /// rates.set(1.08);
    /// tokio::time::advance(Duration::from_secs(600)).await;
    /// assert_eq!(*rates.get().await?, 1.08); // the old one, while a new one is computed
    /// tokio::task::yield_now().await; // which fails, and nobody waits for it
    /// assert_eq!(failed.try_recv()?, r#"the computation failed: "no route""#);
    /// # Ok(())
    /// # }
    /// ```
    pub fn on_error(mut self, hook: impl Fn(&LazyError<E>) + Send + Sync + 'static) -> Self {
        self.on_error = Some(Box::new(hook));
        self
    }

    setters!();
}

impl<T: 'static, E: 'static> AsyncLazyBuilder<T, E> {
    pub(super) fn into_parts(self) -> (ValueCell<T, E>, Arc<dyn Shortcuts<T>>) {
        let source = match self.on_error {
            None => self.source,
            Some(hook) => Box::new(Reporting {
                source: self.source,
                hook,
            }),
        };
        (
            ValueCell::alone(source, Arc::new(self.settings)),
            self.shortcuts,
        )
    }
}

impl<T, E> std::fmt::Debug for AsyncLazyBuilder<T, E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("AsyncLazyBuilder")
            .field(&self.settings)
            .finish()
    }
}

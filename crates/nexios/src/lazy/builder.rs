use std::{future::Future, marker::PhantomData, panic::Location, sync::Arc, time::Duration};

use super::{
    cell::{Remains, ValueCell, ValueSource},
    computation::{Computation, discard_flat, limited},
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
}

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
        }
    }

    pub(super) fn into_parts(self) -> (ValueCell<T, E>, Arc<dyn Shortcuts<T>>) {
        (
            ValueCell::alone(self.source, Arc::new(self.settings)),
            self.shortcuts,
        )
    }

    setters!();
}

impl<T, E> std::fmt::Debug for AsyncLazyBuilder<T, E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("AsyncLazyBuilder")
            .field(&self.settings)
            .finish()
    }
}

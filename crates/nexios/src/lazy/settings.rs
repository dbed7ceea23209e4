//! What a user chooses for a lazy value, or for each value of a map.

use std::{borrow::Cow, panic::Location, time::Duration};

use super::{backoff::ErrorBackoff, freshness::ValueLimits};
use crate::work::identity::given_or_place;

/// What a user chose for a cell.
#[derive(Debug)]
pub(super) struct LazySettings {
    pub(super) name: Option<Cow<'static, str>>,
    /// Where the cell was made; stands for a missing name.
    pub(super) location: &'static Location<'static>,
    pub(super) limits: ValueLimits,
    pub(super) error_backoff: Option<ErrorBackoff>,
    pub(super) keep_warm: bool,
    pub(super) timeout: Option<Duration>,
}

impl LazySettings {
    pub(super) fn new(location: &'static Location<'static>) -> Self {
        Self {
            name: None,
            location,
            limits: ValueLimits::FOR_EVER,
            error_backoff: None,
            keep_warm: false,
            timeout: None,
        }
    }

    pub(super) fn name(&self) -> String {
        given_or_place(self.name.clone(), self.location).into_owned()
    }
}

/// The setters of both builders, in an `impl` of a type with `settings`.
macro_rules! setters {
    () => {
        /// Names it in `Debug`, logs and spans; the default is the place where it was made.
        ///
        /// # Examples
        ///
        /// ```
        /// use nexios::AsyncLazy;
        ///
        /// let rates = AsyncLazy::builder(|| async { Ok::<_, std::io::Error>(1.08) }).name("rates").build();
        /// assert!(format!("{rates:?}").contains("rates"));
        /// ```
        pub fn name(mut self, name: impl Into<std::borrow::Cow<'static, str>>) -> Self {
            self.settings.name = Some(name.into());
            self
        }

        /// Sets how long a value is fresh, from the completion of its computation; the default is for ever.
        ///
        /// Zero never caches: those who wait together still share one computation.
        ///
        /// # Examples
        ///
        /// ```
        /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
        /// # async fn main() -> Result<(), nexios::LazyError<std::io::Error>> {
        /// use std::{io, time::Duration};
        /// use nexios::AsyncLazy;
        ///
        /// let rates = AsyncLazy::builder(|| async { Ok::<_, io::Error>(1.08) }).ttl(Duration::from_secs(60)).build();
        /// rates.get().await?;
        /// tokio::time::advance(Duration::from_secs(59)).await;
        /// rates.get().await?;
        /// assert_eq!(rates.stats().computations, 1);
        /// tokio::time::advance(Duration::from_secs(1)).await;
        /// rates.get().await?;
        /// assert_eq!(rates.stats().computations, 2);
        /// # Ok(())
        /// # }
        /// ```
        pub fn ttl(mut self, ttl: std::time::Duration) -> Self {
            self.settings.limits.ttl = Some(ttl);
            self
        }

        /// Sets how long after its [`ttl`](Self::ttl) a value is served while a new one is computed in the
        /// background; the default is zero.
        ///
        /// Nobody waits for that computation and nobody's leaving stops it. After a failed one the next starts at
        /// least a second (or the [`error_backoff`](Self::error_backoff)) later. The log says then that it failed, and not why, as an error
        /// need not have a text: [`on_error`](Self::on_error) is told.
        ///
        /// # Examples
        ///
        /// ```
        /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
        /// # async fn main() -> Result<(), nexios::LazyError<std::io::Error>> {
        /// use std::{io, sync::atomic::{AtomicU32, Ordering}, time::Duration};
        /// use nexios::AsyncLazy;
        ///
        /// static VERSION: AtomicU32 = AtomicU32::new(1);
        /// let flags = AsyncLazy::builder(|| async { Ok::<_, io::Error>(VERSION.fetch_add(1, Ordering::Relaxed)) })
        ///     .ttl(Duration::from_secs(60))
        ///     .stale_while_revalidate(Duration::from_secs(30))
        ///     .build();
        /// assert_eq!(*flags.get().await?, 1);
        /// tokio::time::advance(Duration::from_secs(70)).await;
        /// assert_eq!(*flags.get().await?, 1); // at once, and the next one is being computed
        /// tokio::time::sleep(Duration::from_millis(1)).await;
        /// assert_eq!(*flags.get().await?, 2);
        /// # Ok(())
        /// # }
        /// ```
        pub fn stale_while_revalidate(mut self, limit: std::time::Duration) -> Self {
            self.settings.limits.stale_while_revalidate = limit;
            self
        }

        /// Sets how long after its [`ttl`](Self::ttl) a value is served in place of an error, a panic or a
        /// timeout of a new computation; the default is zero. Nobody who asks is handed that error: [`on_error`](Self::on_error) is.
        ///
        /// # Examples
        ///
        /// ```
        /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
        /// # async fn main() -> Result<(), nexios::LazyError<&'static str>> {
        /// use std::time::Duration;
        /// use nexios::AsyncLazy;
        ///
        /// let rates = AsyncLazy::builder(|| async { Err::<f64, _>("no route") })
        ///     .ttl(Duration::from_secs(60))
        ///     .stale_if_error(Duration::from_secs(3_600))
        ///     .build();
        /// rates.set(1.08);
        /// tokio::time::advance(Duration::from_secs(600)).await;
        /// assert_eq!(*rates.get().await?, 1.08);
        /// tokio::time::advance(Duration::from_secs(3_600)).await;
        /// assert!(rates.get().await.is_err());
        /// # Ok(())
        /// # }
        /// ```
        pub fn stale_if_error(mut self, limit: std::time::Duration) -> Self {
            self.settings.limits.stale_if_error = limit;
            self
        }

        /// Shortens the [`ttl`](Self::ttl) of each value by a random share of it, at most `share` (0 to 1); the
        /// default is zero.
        ///
        /// It keeps values that were computed together from expiring together. The other limits are added to the
        /// shortened one.
        ///
        /// # Examples
        ///
        /// ```
        /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
        /// # async fn main() {
        /// use std::{io, time::Duration};
        /// use nexios::AsyncLazy;
        ///
        /// let rates = AsyncLazy::builder(|| async { Ok::<_, io::Error>(1.08) })
        ///     .ttl(Duration::from_secs(100))
        ///     .jitter(0.1)
        ///     .build();
        /// rates.set(1.09);
        /// let fresh_for = rates.stats().fresh_for;
        /// assert!(fresh_for >= Some(Duration::from_secs(90)) && fresh_for <= Some(Duration::from_secs(100)));
        /// # }
        /// ```
        ///
        /// # Panics
        ///
        /// If `share` is not a number from 0 to 1.
        #[track_caller]
        pub fn jitter(mut self, share: f64) -> Self {
            self.settings.limits.jitter = crate::lazy::settings::checked_jitter(share);
            self
        }

        /// Keeps an error for a pause: calls are given it (or a value inside
        /// [`stale_if_error`](Self::stale_if_error)) instead of starting a computation.
        ///
        /// The pause is a [`Duration`](std::time::Duration), or grows as [`ErrorBackoff::exponential`](crate::lazy::ErrorBackoff::exponential) says.
        /// By default errors are not kept: those who waited share it, and the next call computes anew.
        /// [`refresh`](crate::AsyncLazy::refresh) computes in any case.
        ///
        /// # Examples
        ///
        /// ```
        /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
        /// # async fn main() {
        /// use std::time::Duration;
        /// use nexios::AsyncLazy;
        ///
        /// let rates = AsyncLazy::builder(|| async { Err::<(), _>("no route") })
        ///     .error_backoff(Duration::from_secs(2))
        ///     .build();
        /// for _ in 0..100 {
        ///     assert!(rates.get().await.is_err());
        /// }
        /// assert_eq!(rates.stats().computations, 1);
        /// # }
        /// ```
        pub fn error_backoff(
            mut self,
            pause: impl Into<crate::lazy::backoff::ErrorBackoff>,
        ) -> Self {
            self.settings.error_backoff = Some(pause.into());
            self
        }

        /// Lets a computation go on when its last waiter leaves; the default is false.
        ///
        /// # Examples
        ///
        /// ```
        /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
        /// # async fn main() {
        /// use std::{io, time::Duration};
        /// use nexios::AsyncLazy;
        /// use tokio::time::{sleep, timeout};
        ///
        /// let report = AsyncLazy::builder(|| async {
        ///     sleep(Duration::from_secs(10)).await;
        ///     Ok::<_, io::Error>("report")
        /// })
        /// .keep_warm(true)
        /// .build();
        /// let impatient = timeout(Duration::from_secs(1), report.get()).await;
        /// assert!(impatient.is_err());
        /// sleep(Duration::from_secs(10)).await;
        /// assert_eq!(report.peek().as_deref(), Some(&"report"));
        /// # }
        /// ```
        pub fn keep_warm(mut self, keep: bool) -> Self {
            self.settings.keep_warm = keep;
            self
        }

        /// Limits a computation: at `limit` it is dropped and its waiters are given [`LazyError::TimedOut`](crate::LazyError::TimedOut); the
        /// default is no limit.
        ///
        /// It needs a runtime with its time driver enabled; on another one the computation ends as
        /// [`LazyError::Panicked`](crate::LazyError::Panicked).
        ///
        /// # Examples
        ///
        /// ```
        /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
        /// # async fn main() {
        /// use std::{future::pending, time::Duration};
        /// use nexios::{AsyncLazy, LazyError};
        ///
        /// let report = AsyncLazy::builder(|| pending::<Result<(), ()>>()).timeout(Duration::from_secs(5)).build();
        /// assert!(matches!(report.get().await, Err(LazyError::TimedOut)));
        /// # }
        /// ```
        pub fn timeout(mut self, limit: std::time::Duration) -> Self {
            self.settings.timeout = Some(limit);
            self
        }
    };
}

pub(super) use setters;

#[track_caller]
pub(super) fn checked_jitter(share: f64) -> f64 {
    assert!(
        (0.0..=1.0).contains(&share),
        "the jitter of a lazy value is a share from 0 to 1, not {share}"
    );
    share
}

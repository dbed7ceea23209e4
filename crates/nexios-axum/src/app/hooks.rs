//! What runs before the first client and after the last.

use std::{borrow::Cow, error::Error, fmt, future::Future, panic::AssertUnwindSafe, pin::Pin};

use futures_util::FutureExt;

use crate::panic::{drop_others, message};

pub(crate) type BoxError = Box<dyn Error + Send + Sync>;

/// How a hook ends: `()`, or a `Result` whose error says why it failed.
///
/// # Examples
///
/// ```
/// use axum::{BoxError, Router};
/// use nexios_axum::NexiosApp;
///
/// let app = NexiosApp::new(Router::new())
///     .on_startup("greet", async || println!("hello"))
///     .on_startup("read the settings", async || {
///         tokio::fs::read_to_string("settings.toml").await?;
///         Ok::<_, BoxError>(())
///     });
/// # drop(app);
/// ```
pub trait HookOutcome: private::Sealed {
    #[doc(hidden)]
    fn into_result(self) -> Result<(), BoxError>;
}

mod private {
    pub trait Sealed {}
    impl Sealed for () {}
    impl<E> Sealed for Result<(), E> {}
}

impl HookOutcome for () {
    fn into_result(self) -> Result<(), BoxError> {
        Ok(())
    }
}

impl<E: Into<BoxError>> HookOutcome for Result<(), E> {
    fn into_result(self) -> Result<(), BoxError> {
        self.map_err(Into::into)
    }
}

type Running = Pin<Box<dyn Future<Output = Result<(), BoxError>> + Send>>;

/// A named piece of work at the begin or the end of a service.
pub(crate) struct Hook {
    pub(crate) name: Cow<'static, str>,
    start: Box<dyn FnOnce() -> Running + Send>,
}

impl fmt::Debug for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.name.fmt(f)
    }
}

impl Hook {
    pub(crate) fn new<F, Fut>(name: Cow<'static, str>, hook: F) -> Self
    where
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future + Send + 'static,
        Fut::Output: HookOutcome,
    {
        // The call is inside: a hook that panics before there is a future panics like any other.
        let start = || -> Running { Box::pin(async move { hook().await.into_result() }) };
        Hook {
            name,
            start: Box::new(start),
        }
    }

    /// Runs the hook; a panic is an error like any other. Dropped before its end, it is cut off.
    pub(crate) async fn run(self) -> Result<(), BoxError> {
        let mut running = CutOff(Some((self.start)()));
        let Some(hook) = &mut running.0 else {
            return Ok(());
        };
        let end = AssertUnwindSafe(hook).catch_unwind().await;
        end.unwrap_or_else(|panic| Err(format!("panicked: {}", message(panic)).into()))
    }
}

/// Drops a hook, whose destructors are not the last ones to run.
struct CutOff(Option<Running>);

impl Drop for CutOff {
    fn drop(&mut self) {
        drop_others(self.0.take());
    }
}

use std::{error::Error, fmt, sync::Arc};

use crate::cancel::Interrupted;

/// Why a lazy value could not be had.
///
/// It is shared by all callers that waited for the same computation, so it is cheap to clone.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// use nexios::{AsyncLazy, LazyError};
///
/// let rates = AsyncLazy::new(|| async { Err::<f64, _>(std::io::Error::other("no route")) });
/// match rates.get().await {
///     Err(LazyError::Failed(error)) => assert_eq!(error.to_string(), "no route"),
///     other => panic!("{other:?}"),
/// }
/// # }
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum LazyError<E> {
    /// The computation returned this error.
    Failed(Arc<E>),
    /// The computation panicked; the message is in the log.
    Panicked,
    /// The value was asked for inside its own computation, which would wait for itself.
    Recursive,
    /// The computation ran into its time limit
    /// ([`AsyncLazyBuilder::timeout`](crate::AsyncLazyBuilder::timeout)).
    TimedOut,
    /// The caller's runtime is shutting down (or, for a call that has to start the computation anew, gone), so
    /// no computation can start.
    Shutdown,
    /// The caller was interrupted, and not the computation: what a [`TaskGroup`](crate::TaskGroup) whose children are calls
    /// of lazy values makes of its own [`Interrupted`].
    Interrupted(Interrupted),
}

/// So that `group.spawn(VALUE.get())` is a child as it stands.
impl<E> From<Interrupted> for LazyError<E> {
    fn from(interrupted: Interrupted) -> Self {
        Self::Interrupted(interrupted)
    }
}

impl<E> Clone for LazyError<E> {
    fn clone(&self) -> Self {
        match self {
            Self::Failed(error) => Self::Failed(Arc::clone(error)),
            Self::Panicked => Self::Panicked,
            Self::Recursive => Self::Recursive,
            Self::TimedOut => Self::TimedOut,
            Self::Shutdown => Self::Shutdown,
            Self::Interrupted(why) => Self::Interrupted(*why),
        }
    }
}

impl<E: fmt::Debug> fmt::Display for LazyError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(error) => write!(f, "the computation failed: {error:?}"),
            Self::Panicked => f.write_str("the computation panicked"),
            Self::Recursive => f.write_str("the value was asked for inside its own computation"),
            Self::TimedOut => f.write_str("the computation ran into its time limit"),
            Self::Shutdown => f.write_str("the runtime is shutting down"),
            Self::Interrupted(why) => why.fmt(f),
        }
    }
}

impl<E: fmt::Debug> Error for LazyError<E> {}

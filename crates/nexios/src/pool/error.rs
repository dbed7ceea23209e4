use std::{error::Error, fmt};

/// Why a pool did not run a closure. The closure was dropped without being called.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// use nexios::{PoolError, ThreadPool};
///
/// let pool = ThreadPool::builder().threads(1).build();
/// pool.close().await;
/// let status = match pool.run(|| "picture").await {
///     Ok(_) => 200,
///     Err(PoolError::Saturated | PoolError::QueueTimeout | PoolError::Closed) => 503,
///     Err(_) => 500,
/// };
/// assert_eq!(status, 503);
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PoolError {
    /// All threads are busy and the queue is full.
    Saturated,
    /// No thread was free within the limit of [`Overload::ShedAfter`](crate::Overload::ShedAfter).
    QueueTimeout,
    /// The pool takes no new work, or was closed before the closure began.
    Closed,
}

impl fmt::Display for PoolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Saturated => "the thread pool is saturated",
            Self::QueueTimeout => "no thread of the pool was free in time",
            Self::Closed => "the thread pool is closed",
        })
    }
}

impl Error for PoolError {}

use std::time::Duration;

/// What a [`ThreadPool`](crate::ThreadPool) does and did, at one moment.
///
/// Every call ends in exactly one of `completed`, `shed` and `cancelled`.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), nexios::PoolError> {
/// use nexios::ThreadPool;
///
/// let pool = ThreadPool::builder().threads(2).build();
/// let length = pool.run(|| "text".len()).await?;
/// let stats = pool.stats();
/// assert_eq!((length, stats.completed), (4, 1));
/// assert_eq!((stats.queued, stats.waiting, stats.shed), (0, 0, 0));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct PoolStats {
    /// Threads, as configured. They are started when first needed.
    pub threads: usize,
    /// Jobs that have a thread: running, or about to as soon as the thread has woken. A job whose caller
    /// has gone counts until its closure ends. A job that waits for a nested one counts, and so does the nested one
    /// that runs on its thread, so there can be more than `threads`.
    pub running: usize,
    /// Accepted jobs that wait for a thread.
    pub queued: usize,
    /// Callers that wait for a place in the queue.
    pub waiting: usize,
    /// Median time from submission to the start of the closure, recent jobs counting more. At most an
    /// eighth too high.
    pub wait_p50: Duration,
    /// The 95th percentile of the same.
    pub wait_p95: Duration,
    /// Median time from the start of a closure to its end, recent jobs counting more. At most an eighth too
    /// high.
    pub run_p50: Duration,
    /// The 95th percentile of the same.
    pub run_p95: Duration,
    /// Jobs whose closure ended, by returning or by a panic, whether or not the caller was still there.
    pub completed: u64,
    /// Jobs refused because the pool was full, or dropped at their time limit.
    pub shed: u64,
    /// Jobs that never began because the caller went away or the pool was closed.
    pub cancelled: u64,
    /// How long the oldest running closure has been running.
    pub oldest_running: Option<Duration>,
}

/// What [`ThreadPool::drain`](crate::ThreadPool::drain) left behind.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), std::sync::mpsc::RecvError> {
/// use std::{sync::mpsc, time::Duration};
/// use nexios::ThreadPool;
///
/// let pool = ThreadPool::builder().threads(1).build();
/// let ((begin, begun), (done, wait)) = (mpsc::channel(), mpsc::channel::<()>());
/// let _long = pool.try_run(move || {
///     let _ = begin.send(());
///     let _ = wait.recv(); // does not look at a token
/// });
/// begun.recv()?;
/// assert_eq!(pool.drain(Duration::ZERO).await.still_running, 1);
/// drop(done);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolDrainReport {
    /// Closures that had not ended at the time limit. Their tokens have fired.
    pub still_running: usize,
}

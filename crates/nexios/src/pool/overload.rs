use std::time::Duration;

/// What a [`ThreadPool`](crate::ThreadPool) does with a caller when all threads are busy and the queue is full.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// use std::{sync::mpsc, time::Duration};
/// use nexios::{Overload, PoolError, ThreadPool};
///
/// let patience = Overload::ShedAfter(Duration::from_millis(10));
/// let pool = ThreadPool::builder().threads(1).overload(patience).build();
/// let (done, wait) = mpsc::channel::<()>();
/// let running = pool.try_run(move || wait.recv().is_err());
/// assert!(running.is_ok());
/// assert_eq!(pool.run(|| 1).await, Err(PoolError::QueueTimeout));
/// drop(done);
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overload {
    /// The caller waits for a place, first come, first served, without holding a thread. The default.
    Wait,
    /// The caller gets [`PoolError::Saturated`](crate::PoolError::Saturated) at once.
    Shed,
    /// The caller gets [`PoolError::QueueTimeout`](crate::PoolError::QueueTimeout) if its closure has not
    /// begun within this time, measured on tokio's clock from the first poll over waiting for a place and
    /// being queued. A closure that has begun is never cut, and one that finds a thread free at once has
    /// no limit.
    ///
    /// # Order under overload
    ///
    /// The oldest job is served first while all is well. A queue *stands* when a caller has reached its
    /// limit in it, or when it has not been empty for as long as the limit: it is not a burst that drains,
    /// it is more work than the pool can do. From then until the queue has been empty the newest job is
    /// served first. With the oldest first, every job of a standing queue would be served after waiting
    /// nearly the whole limit, so everybody is late; with the newest first most served jobs have hardly
    /// waited, the limit sheds the old ones whose clients are the likeliest to have given up, and the
    /// threads never idle.
    ///
    /// Choose a limit below the time after which callers give up; for callers who are less patient than the
    /// limit there is the second of these two signs. Under twice the load that a pool can do, the results that
    /// reach a caller in time stay at 95 % of capacity or more; `docs/overload.md` has the curves.
    ///
    /// That a queue is judged by how long it stands and not by its length is CoDel's idea (Nichols and
    /// Jacobson, "Controlling Queue Delay", ACM Queue 10(5), 2012); that it stands when it has not been empty
    /// for a while, and that the newest is served first while it does (adaptive LIFO), is from Maurer, "Fail
    /// at Scale", ACM Queue 13(8), 2015. Unlike there the limit stays as you set it, it does not shrink under
    /// overload.
    ShedAfter(Duration),
}

//! CPU work with a bound: a thread pool whose queue, waits and callers are under control.
//!
//! The way of a job: [`call`] submits it at the caller's first poll, [`schedule`] decides under the pool's
//! lock where it goes, a thread ([`threads`]) takes it from there, runs it ([`job`]), counts it, and shows its outcome to
//! the caller. [`nesting`] knows what runs on a thread, whose own waits must not wait for a thread.

mod builder;
mod call;
mod caller;
mod error;
mod job;
mod nesting;
mod overload;
#[cfg(feature = "test-util")]
mod paused_clock;
mod recent;
mod schedule;
mod stats;
mod threads;

use std::{
    fmt,
    future::Future,
    panic::Location,
    pin::Pin,
    sync::{Arc, LazyLock, Mutex, PoisonError, Weak},
    time::Duration,
};

pub use builder::ThreadPoolBuilder;
pub use error::PoolError;
pub use overload::Overload;
pub use stats::{PoolDrainReport, PoolStats};

use crate::{
    cancel::{CancelScope, CancelToken},
    punctual::punctual,
    work::alive::LongLived,
};
use call::{PoolCall, TokenWatch};
pub(crate) use threads::ALIVE;
use threads::Threads;

static GLOBAL: LazyLock<ThreadPool> =
    LazyLock::new(|| ThreadPool::builder().name("nexios").build());

/// Every pool that may still run something.
// The standard library's lock even under the model checker, because statics outlive one of its runs.
static POOLS: Mutex<Vec<Weak<Threads>>> = Mutex::new(Vec::new());

/// Runs a CPU-bound closure on the global pool and returns what it returns.
///
/// The pool is [`ThreadPool::global`]: one thread a core, 1,024 queued jobs, callers beyond that wait in
/// order. The caller's tracing span is current inside, and so is its tokio runtime, if it has one; without
/// a runtime it works too. Blocking I/O wants a pool of its own with more threads, or it keeps the cores
/// idle; [`tokio::task::spawn_blocking`] is the simpler tool for a rare blocking call that needs no bound.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let primes = nexios::run_in_threadpool(|| {
///     (2..1_000_u32).filter(|n| (2..*n).all(|divisor| n % divisor != 0)).count()
/// })
/// .await;
/// assert_eq!(primes, 168);
/// # }
/// ```
///
/// # Panics
///
/// A panic of the closure resumes here. It also panics if the program has closed the global pool.
///
/// # Cancel safety
///
/// Dropped before the closure began, the closure never runs and is dropped at once. Dropped later, the
/// closure runs on to its end and its result is dropped.
#[track_caller]
pub fn run_in_threadpool<T: Send + 'static>(
    f: impl FnOnce() -> T + Send + 'static,
) -> impl Future<Output = T> + Send {
    let call = ThreadPool::global().run(f);
    async {
        match call.await {
            Ok(value) => value,
            Err(error) => panic!("run_in_threadpool cannot run the closure: {error}"),
        }
    }
}

/// A fixed number of threads behind a bounded queue.
///
/// Clones are handles to the same pool. A call is submitted when its future is first polled. From there
/// until it ends, a job is owned by that future: dropping the future before the closure began takes the
/// job out of the queue and drops the closure; later, the closure runs on and its thread stays busy until
/// it really ends. A closure that wants to notice takes a token with [`run_with`](Self::run_with).
///
/// The threads are started when first needed and end when the last handle is gone and the accepted work
/// is done, or after [`close`](Self::close) and [`drain`](Self::drain). They never hold up the end of the
/// process.
///
/// # Nested jobs
///
/// A closure may wait for another job of the same pool, directly or through jobs of other pools, even with
/// one thread: a job whose future is polled on a thread of any pool (as `Handle::block_on` does there) is never shed and
/// never left in the queue. A free thread of its own pool takes it, or else it runs right there, on the thread that
/// waits for it and inside that poll, also if it was queued before. A draining pool takes such jobs as well.
///
/// Not covered: two nested jobs that wait for each other or for what their waiter does later (one of them may have
/// to run before the other, inside one poll), and waits that go through a task spawned elsewhere, a channel or a lock, which
/// can use up the threads. A job run by its waiter may use tokio's `block_on` again, but not that
/// of an executor that refuses to be nested, such as `futures::executor::block_on`.
///
/// # Tests with a paused clock
///
/// A paused tokio clock jumps to the next timer while a pool's thread works, because tokio does not know of
/// that thread. With the crate's `test-util` feature it stands still while jobs are outstanding. Do not
/// enable it in production: it holds a `spawn_blocking` thread, and a runtime that is dropped waits for
/// outstanding jobs.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), nexios::PoolError> {
/// use nexios::{Overload, ThreadPool};
///
/// let thumbnails = ThreadPool::builder().name("thumbnails").threads(2).queue(64).overload(Overload::Shed).build();
/// let side = thumbnails.run(|| 100_u32.isqrt()).await?;
/// assert_eq!(side, 10);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct ThreadPool {
    owner: Arc<Owner>,
}

/// Shared by all handles; the threads do not have it.
struct Owner {
    threads: Arc<Threads>,
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.threads.orphan();
    }
}

impl ThreadPoolBuilder {
    /// Builds the pool. No thread is started yet.
    #[must_use]
    pub fn build(self) -> ThreadPool {
        // A thread's name cannot hold a zero byte.
        let name = self.name.map(|name| {
            if name.contains('\0') {
                name.replace('\0', "").into()
            } else {
                name
            }
        });
        let threads = Arc::new(Threads::new(
            name,
            self.made_at,
            self.threads,
            self.queue,
            self.overload,
        ));
        let mut pools = POOLS.lock().unwrap_or_else(PoisonError::into_inner);
        if pools.len() == pools.capacity() {
            // Only before it would grow, so that many pools cost no more than in proportion.
            pools.retain(|pool| pool.strong_count() > 0);
        }
        pools.push(Arc::downgrade(&threads));
        drop(pools);
        ThreadPool {
            owner: Arc::new(Owner { threads }),
        }
    }
}

impl ThreadPool {
    /// The pool behind [`run_in_threadpool`]: one thread a core, 1,024 queued jobs, [`Overload::Wait`].
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), nexios::PoolError> {
    /// use nexios::ThreadPool;
    ///
    /// nexios::run_in_threadpool(|| "text".len()).await;
    /// assert_eq!(ThreadPool::global().name(), "nexios");
    /// assert_eq!(ThreadPool::global().stats().completed, 1);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn global() -> &'static ThreadPool {
        &GLOBAL
    }

    /// Starts building a pool.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), nexios::PoolError> {
    /// use nexios::ThreadPool;
    ///
    /// let pictures = ThreadPool::builder().name("pictures").threads(2).queue(64).build();
    /// let thread = pictures.run(|| std::thread::current().name().map(str::to_owned)).await?;
    /// assert_eq!(thread.as_deref(), Some("pictures-0"));
    /// # Ok(())
    /// # }
    /// ```
    #[track_caller]
    pub fn builder() -> ThreadPoolBuilder {
        ThreadPoolBuilder::new()
    }

    fn threads(&self) -> &Arc<Threads> {
        &self.owner.threads
    }

    /// The name given to the builder.
    ///
    /// # Examples
    ///
    /// ```
    /// let pool = nexios::ThreadPool::builder().name("pictures").build();
    /// assert_eq!(pool.name(), "pictures");
    /// ```
    #[must_use]
    pub fn name(&self) -> &str {
        &self.threads().name
    }

    /// Runs a closure on the pool and returns what it returns.
    ///
    /// # Examples
    ///
    /// A closure that fails has a result of its own inside the pool's:
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use nexios::ThreadPool;
    ///
    /// let pool = ThreadPool::builder().threads(1).build();
    /// let text = String::from("42");
    /// let number = pool.run(move || text.parse::<i32>()).await??;
    /// assert_eq!(number, 42);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`PoolError::Saturated`] and [`PoolError::QueueTimeout`] as [`Overload`] says, `Saturated` also when
    /// the system cannot start the pool's first thread; [`PoolError::Closed`] if the pool was closed or
    /// drained before the closure began.
    ///
    /// # Panics
    ///
    /// A panic of the closure resumes here. With [`Overload::ShedAfter`] a job that has to wait needs a
    /// tokio runtime with time enabled.
    ///
    /// # Cancel safety
    ///
    /// Dropped before the closure began, the closure never runs, and it is dropped and its place in the
    /// queue free before `drop` returns. Dropped later, the closure runs on; its result is dropped, and a
    /// panic is logged.
    #[track_caller]
    pub fn run<T: Send + 'static>(
        &self,
        f: impl FnOnce() -> T + Send + 'static,
    ) -> impl Future<Output = Result<T, PoolError>> + Send {
        PoolCall::new(self.threads(), f, None, Location::caller())
    }

    /// Runs a closure that can ask whether it is still wanted.
    ///
    /// The token fires when the caller goes away ([`CancelReason::OwnerDropped`](crate::CancelReason)), with
    /// the token of the caller's [`CancelScope`], at the scope's deadline, and when the pool closes
    /// (`Shutdown`). The deadline is watched while the returned future is polled, on a tokio runtime; one
    /// that has passed already has fired before the closure begins.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), nexios::PoolError> {
    /// let pool = nexios::ThreadPool::builder().threads(1).build();
    /// let sum = pool
    ///     .run_with(|token| {
    ///         let mut sum = 0_u64;
    ///         for chunk in 0..100 {
    ///             if token.is_cancelled() {
    ///                 break;
    ///             }
    ///             sum += chunk;
    ///         }
    ///         sum
    ///     })
    ///     .await?;
    /// assert_eq!(sum, 4_950);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run).
    ///
    /// # Panics
    ///
    /// As [`run`](Self::run).
    ///
    /// # Cancel safety
    ///
    /// As [`run`](Self::run); the token of a closure that runs on has fired when `drop` returns.
    #[track_caller]
    pub fn run_with<T: Send + 'static>(
        &self,
        f: impl FnOnce(&CancelToken) -> T + Send + 'static,
    ) -> impl Future<Output = Result<T, PoolError>> + Send {
        let made_at = Location::caller();
        async move {
            // The scope is that of the first poll.
            let watch = TokenWatch::of(CancelScope::current());
            let token = watch.token.clone();
            PoolCall::new(self.threads(), move || f(&token), Some(watch), made_at).await
        }
    }

    /// Submits a closure now if there is a free thread or a free place in the queue.
    ///
    /// The job is accepted when this returns; the future only waits for it. Whatever [`Overload`] says, it
    /// neither waits for a place nor has a time limit.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), nexios::PoolError> {
    /// let pool = nexios::ThreadPool::builder().threads(1).build();
    /// let length = match pool.try_run(|| "text".len()) {
    ///     Ok(accepted) => accepted.await?,
    ///     Err(f) => f(), // full: the closure is ours again
    /// };
    /// assert_eq!(length, 4);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// The closure, if the pool is full or closed. The future's errors are those of [`run`](Self::run).
    ///
    /// # Panics
    ///
    /// A panic of the closure resumes where the future is awaited.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future is as dropping that of [`run`](Self::run).
    #[expect(
        clippy::type_complexity,
        reason = "a boxed future and the closure itself"
    )]
    #[track_caller]
    pub fn try_run<T: Send + 'static, F: FnOnce() -> T + Send + 'static>(
        &self,
        f: F,
    ) -> Result<Pin<Box<dyn Future<Output = Result<T, PoolError>> + Send + 'static>>, F> {
        Ok(Box::pin(PoolCall::submit_now(
            self.threads().clone(),
            f,
            Location::caller(),
        )?))
    }

    /// What the pool does and did.
    #[must_use]
    pub fn stats(&self) -> PoolStats {
        self.threads().stats()
    }

    /// Closes the pool for good and waits for the closures that run.
    ///
    /// New and waiting callers get [`PoolError::Closed`], queued closures are dropped, and the tokens of
    /// running ones fire. A job that closes its own pool waits for the others only.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// use nexios::{PoolError, ThreadPool};
    ///
    /// let pool = ThreadPool::builder().threads(1).build();
    /// assert_eq!(pool.run(|| 1).await, Ok(1));
    /// pool.close().await;
    /// assert_eq!(pool.run(|| 2).await, Err(PoolError::Closed));
    /// # }
    /// ```
    ///
    /// # Cancel safety
    ///
    /// The pool is closed from the first poll on; dropping the future only stops waiting.
    pub async fn close(&self) {
        self.threads().close();
        punctual(self.threads().wait_until_idle()).await;
    }

    /// Closes the pool for good, letting accepted work finish for up to `limit`.
    ///
    /// New callers and those that wait for a place get [`PoolError::Closed`]; nested jobs of accepted ones
    /// are still taken. At the limit queued closures are dropped and the tokens of running ones fire, as
    /// [`close`](Self::close) does, but without waiting for them.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// use std::time::Duration;
    /// use nexios::{PoolError, ThreadPool};
    ///
    /// let pool = ThreadPool::builder().threads(1).build();
    /// let Ok(accepted) = pool.try_run(|| "text".len()) else { panic!("a thread is free") };
    /// let report = pool.drain(Duration::from_secs(10)).await;
    /// assert_eq!(report.still_running, 0);
    /// assert_eq!(accepted.await, Ok(4)); // what was accepted was done
    /// assert_eq!(pool.run(|| 1).await, Err(PoolError::Closed));
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// If there is work left and no tokio runtime with time enabled.
    ///
    /// # Cancel safety
    ///
    /// No new work is taken from the first poll on; dropping the future lets the accepted work finish
    /// without a limit.
    pub async fn drain(&self, limit: Duration) -> PoolDrainReport {
        let threads = self.threads();
        threads.drain();
        if !threads.is_idle() {
            // Whether it timed out shows in what is left.
            let _ = punctual(tokio::time::timeout(limit, threads.wait_until_idle())).await;
        }
        threads.close();
        PoolDrainReport {
            still_running: threads.running(),
        }
    }
}

impl fmt::Debug for ThreadPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stats = self.stats();
        f.debug_struct("ThreadPool")
            .field("name", &self.name())
            .field("threads", &stats.threads)
            .field("running", &stats.running)
            .field("queued", &stats.queued)
            .field("waiting", &stats.waiting)
            .finish_non_exhaustive()
    }
}

/// How many closures run now, in all pools of the process.
pub(crate) fn closures_running() -> usize {
    let pools: Vec<_> = {
        let pools = POOLS.lock().unwrap_or_else(PoisonError::into_inner);
        pools.iter().filter_map(Weak::upgrade).collect()
    };
    pools.iter().map(|pool| pool.running()).sum()
}

use std::{borrow::Cow, fmt, num::NonZero, panic::Location, thread::available_parallelism};

use super::overload::Overload;

/// Settings of a [`ThreadPool`](crate::ThreadPool), from [`ThreadPool::builder`](crate::ThreadPool::builder).
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use nexios::{Overload, ThreadPool};
///
/// let pictures = ThreadPool::builder()
///     .name("pictures")
///     .threads(2)
///     .queue(64)
///     .overload(Overload::ShedAfter(Duration::from_millis(500)))
///     .build();
/// assert_eq!(pictures.stats().threads, 2);
/// ```
#[must_use = "a builder does nothing until `build` is called"]
#[derive(Clone)]
pub struct ThreadPoolBuilder {
    pub(super) name: Option<Cow<'static, str>>,
    pub(super) made_at: &'static Location<'static>,
    pub(super) threads: usize,
    pub(super) queue: usize,
    pub(super) overload: Overload,
}

impl ThreadPoolBuilder {
    #[track_caller]
    pub(super) fn new() -> Self {
        Self {
            name: None,
            made_at: Location::caller(),
            threads: available_parallelism().map_or(1, NonZero::get),
            queue: 1_024,
            overload: Overload::Wait,
        }
    }

    /// Names the pool; its threads are called `name-0`, `name-1` and so on. Default: `pool`, and the place where it was made for
    /// whoever [observes](crate::observe).
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), nexios::PoolError> {
    /// let pool = nexios::ThreadPool::builder().name("pictures").build();
    /// let thread = pool.run(|| std::thread::current().name().map(str::to_owned)).await?;
    /// assert_eq!(thread.as_deref(), Some("pictures-0"));
    /// # Ok(())
    /// # }
    /// ```
    pub fn name(mut self, name: impl Into<Cow<'static, str>>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Sets how many closures run at once. Default: one a core.
    ///
    /// Threads are started when first needed.
    ///
    /// # Examples
    ///
    /// ```
    /// let disk = nexios::ThreadPool::builder().name("disk").threads(32).build();
    /// assert_eq!(disk.stats().threads, 32);
    /// ```
    ///
    /// # Panics
    ///
    /// If `threads` is 0.
    #[track_caller]
    pub fn threads(mut self, threads: usize) -> Self {
        assert!(
            threads > 0,
            "threads(0): a thread pool needs at least one thread"
        );
        self.threads = threads;
        self
    }

    /// Sets how many accepted jobs may wait for a thread. Default: 1,024.
    ///
    /// With 0 a job is accepted only when a thread is free for it.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// use std::sync::mpsc;
    ///
    /// let pool = nexios::ThreadPool::builder().threads(1).queue(1).build();
    /// let (done, wait) = mpsc::channel::<()>();
    /// let running = pool.try_run(move || wait.recv().is_err());
    /// let queued = pool.try_run(|| true);
    /// assert!(running.is_ok() && queued.is_ok());
    /// assert!(pool.try_run(|| true).is_err(), "the thread and the queue are full");
    /// drop(done);
    /// # }
    /// ```
    pub fn queue(mut self, places: usize) -> Self {
        self.queue = places;
        self
    }

    /// Sets what happens when the queue is full. Default: [`Overload::Wait`].
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// use std::sync::mpsc;
    /// use nexios::{Overload, PoolError, ThreadPool};
    ///
    /// let pool = ThreadPool::builder().threads(1).queue(0).overload(Overload::Shed).build();
    /// let (done, wait) = mpsc::channel::<()>();
    /// let running = pool.try_run(move || wait.recv().is_err());
    /// assert!(running.is_ok());
    /// assert_eq!(pool.run(|| 1).await, Err(PoolError::Saturated));
    /// drop(done);
    /// # }
    /// ```
    pub fn overload(mut self, overload: Overload) -> Self {
        self.overload = overload;
        self
    }
}

impl fmt::Debug for ThreadPoolBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ThreadPoolBuilder")
            .field("name", &self.name)
            .field("threads", &self.threads)
            .field("queue", &self.queue)
            .field("overload", &self.overload)
            .finish()
    }
}

use std::{borrow::Cow, fmt, num::NonZero, sync::Arc, thread::available_parallelism, time::Duration};

use super::{ThreadPool, shared::Shared};

/// What a [`ThreadPool`] does with a caller when all threads are busy and the queue is full.
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

/// Settings of a [`ThreadPool`], from [`ThreadPool::builder`].
#[must_use = "a builder does nothing until `build` is called"]
#[derive(Clone)]
pub struct ThreadPoolBuilder {
    name: Cow<'static, str>,
    threads: usize,
    queue: usize,
    overload: Overload,
}

impl ThreadPoolBuilder {
    pub(super) fn new() -> Self {
        Self {
            name: Cow::Borrowed("pool"),
            threads: available_parallelism().map_or(1, NonZero::get),
            queue: 1_024,
            overload: Overload::Wait,
        }
    }

    /// Names the pool; its threads are called `name-0`, `name-1` and so on. Default: `pool`.
    pub fn name(mut self, name: impl Into<Cow<'static, str>>) -> Self {
        self.name = name.into();
        self
    }

    /// Sets how many closures run at once. Default: one a core.
    ///
    /// Threads are started when first needed. Nested jobs may add as many again, see [`ThreadPool`].
    ///
    /// # Panics
    ///
    /// If `threads` is 0.
    #[track_caller]
    pub fn threads(mut self, threads: usize) -> Self {
        assert!(threads > 0, "threads(0): a thread pool needs at least one thread");
        self.threads = threads;
        self
    }

    /// Sets how many accepted jobs may wait for a thread. Default: 1,024.
    ///
    /// With 0 a job is accepted only when a thread is free for it.
    pub fn queue(mut self, places: usize) -> Self {
        self.queue = places;
        self
    }

    /// Sets what happens when the queue is full. Default: [`Overload::Wait`].
    pub fn overload(mut self, overload: Overload) -> Self {
        self.overload = overload;
        self
    }

    /// Builds the pool. No thread is started yet.
    #[must_use]
    pub fn build(self) -> ThreadPool {
        // A thread's name cannot hold a zero byte.
        let name = if self.name.contains('\0') { self.name.replace('\0', "").into() } else { self.name };
        ThreadPool::of(Arc::new(Shared::new(name, self.threads, self.queue, self.overload)))
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

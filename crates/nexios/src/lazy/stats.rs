use std::sync::atomic::{AtomicU64, Ordering};

/// What a lazy value has done since it was made.
///
/// Every [`get`](crate::AsyncLazy::get) that found or waited for something counts once among `hits`, `stale`,
/// `waits` and `misses`, as it begins; one that waited and was then served a stale value instead of an error
/// counts once more in `stale`.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct LazyStats {
    /// Calls that found a fresh value.
    pub hits: u64,
    /// Calls that joined a running computation.
    pub waits: u64,
    /// Calls that found nothing to serve and nothing to join: they started a computation, or were given a
    /// recent error.
    pub misses: u64,
    /// Values served past their `ttl`.
    pub stale: u64,
    /// Computations that began.
    pub computations: u64,
    /// Computations that failed, panicked or ran into their time limit.
    pub failures: u64,
}

/// The counters behind [`LazyStats`].
#[derive(Debug)]
pub(super) struct Counters {
    // Relaxed everywhere: statistics, nobody synchronises through them.
    hits: AtomicU64,
    waits: AtomicU64,
    misses: AtomicU64,
    stale: AtomicU64,
    computations: AtomicU64,
    failures: AtomicU64,
}

impl Counters {
    pub(super) fn new() -> Self {
        Self {
            hits: AtomicU64::new(0),
            waits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
            stale: AtomicU64::new(0),
            computations: AtomicU64::new(0),
            failures: AtomicU64::new(0),
        }
    }

    #[inline]
    pub(super) fn count_hit(&self) {
        self.hits.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_wait(&self) {
        self.waits.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_miss(&self) {
        self.misses.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_stale(&self) {
        self.stale.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_computation(&self) {
        self.computations.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_failure(&self) {
        self.failures.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn read(&self) -> LazyStats {
        LazyStats {
            hits: self.hits.load(Ordering::Relaxed),
            waits: self.waits.load(Ordering::Relaxed),
            misses: self.misses.load(Ordering::Relaxed),
            stale: self.stale.load(Ordering::Relaxed),
            computations: self.computations.load(Ordering::Relaxed),
            failures: self.failures.load(Ordering::Relaxed),
        }
    }
}

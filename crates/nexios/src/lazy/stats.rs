use std::{
    sync::{
        Arc,
        Mutex,
        MutexGuard,
        PoisonError,
        TryLockError,
        // The standard library's even under the model checker: statistics decide nothing.
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use super::{recursion::next_id, shortcut::Place};

/// What a lazy value, or all values of a map, have done since it was made.
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
    /// Entries that an [`AsyncLazyMap`](crate::AsyncLazyMap) gave up to stay inside its bound.
    pub evictions: u64,
    /// The time since the value was complete or set, if one is there that may be served; always `None` for a
    /// map, whose values have an [`age`](crate::AsyncLazyMap::age) each.
    pub age: Option<Duration>,
    /// How long the last computation took that came to an end of its own, good or bad.
    pub last_duration: Option<Duration>,
}

/// The counters behind [`LazyStats`].
#[derive(Debug)]
pub(super) struct Counters {
    // Relaxed everywhere: statistics, nobody synchronises through them.
    hits: Hits,
    waits: AtomicU64,
    misses: AtomicU64,
    stale: AtomicU64,
    computations: AtomicU64,
    failures: AtomicU64,
    evictions: AtomicU64,
    /// Nanoseconds of the last computation and one more; zero is none.
    last: AtomicU64,
}

impl Counters {
    pub(super) fn new() -> Self {
        Self {
            hits: Hits::new(),
            waits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
            stale: AtomicU64::new(0),
            computations: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            evictions: AtomicU64::new(0),
            last: AtomicU64::new(0),
        }
    }

    /// Where the shortcuts to this counter's cell are, and whose they are.
    #[inline]
    pub(super) fn place(&self) -> (Place, u64) {
        (self.hits.place, self.hits.id)
    }

    /// Counts a hit that was not by a shortcut.
    #[inline]
    pub(super) fn count_hit(&self) {
        if !self.hits.place.count(self.hits.id) {
            self.count_first_hit();
        }
    }

    /// Counts a hit on a thread that has no tally here, and gives it one if its place is free.
    #[cold]
    #[inline(never)]
    fn count_first_hit(&self) {
        if !self.hits.place.open(self.hits.id, || self.hits.open_tally()) {
            self.hits.others.fetch_add(1, Ordering::Relaxed);
        }
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

    pub(super) fn count_evictions(&self, entries: u64) {
        self.evictions.fetch_add(entries, Ordering::Relaxed);
    }

    pub(super) fn note_duration(&self, took: Duration) {
        let nanoseconds = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.last.store(nanoseconds.saturating_add(1), Ordering::Relaxed);
    }

    pub(super) fn read(&self, age: Option<Duration>) -> LazyStats {
        LazyStats {
            hits: self.hits.sum(),
            waits: self.waits.load(Ordering::Relaxed),
            misses: self.misses.load(Ordering::Relaxed),
            stale: self.stale.load(Ordering::Relaxed),
            computations: self.computations.load(Ordering::Relaxed),
            failures: self.failures.load(Ordering::Relaxed),
            evictions: self.evictions.load(Ordering::Relaxed),
            age,
            last_duration: self.last.load(Ordering::Relaxed).checked_sub(1).map(Duration::from_nanos),
        }
    }
}

/// Hits, counted by each thread for itself: an add to one counter for all would cost as much as the value's
/// clone.
#[derive(Debug)]
struct Hits {
    id: u64,
    place: Place,
    /// Hits of threads without a tally here, and of those that are gone.
    others: AtomicU64,
    /// One for each thread that has a place for it.
    tallies: Mutex<Vec<Arc<AtomicU64>>>,
}

impl Hits {
    fn new() -> Self {
        Self {
            id: next_id(),
            place: Place::next(),
            others: AtomicU64::new(0),
            tallies: Mutex::new(Vec::new()),
        }
    }

    /// Makes a tally for a thread; `None` rather than wait for another thread.
    fn open_tally(&self) -> Option<Arc<AtomicU64>> {
        let mut tallies = match self.tallies.try_lock() {
            Ok(tallies) => tallies,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return None,
        };
        self.sum_up_the_ended(&mut tallies);
        let tally = Arc::new(AtomicU64::new(0));
        tallies.push(Arc::clone(&tally));
        Some(tally)
    }

    fn sum(&self) -> u64 {
        let mut tallies = self.lock();
        self.sum_up_the_ended(&mut tallies);
        let living: u64 = tallies.iter().map(|tally| tally.load(Ordering::Relaxed)).sum();
        living + self.others.load(Ordering::Relaxed)
    }

    /// Moves what threads counted that are gone, so that the list is no longer than there are threads.
    fn sum_up_the_ended(&self, tallies: &mut Vec<Arc<AtomicU64>>) {
        tallies.retain_mut(|tally| match Arc::get_mut(tally) {
            Some(ended) => {
                self.others.fetch_add(*ended.get_mut(), Ordering::Relaxed);
                false
            }
            None => true,
        });
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<AtomicU64>>> {
        // No user code runs under this lock; a poisoned list is still whole.
        self.tallies.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

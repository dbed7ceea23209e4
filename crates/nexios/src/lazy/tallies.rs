//! Hits, counted by each thread for itself: an add to one counter for all would cost as much as the value's clone.

use std::sync::{
    Arc,
    Mutex,
    MutexGuard,
    PoisonError,
    // The standard library's even under the model checker: statistics decide nothing.
    atomic::{AtomicU64, Ordering},
};

use crate::per_thread::PerThread;

/// The tallies of all threads, and what each thread keeps beside its own.
pub(super) struct Tallies<M: Send> {
    own: PerThread<Own<M>>,
    /// Every tally of `own`, for whoever sums them up.
    all: Mutex<Vec<Arc<AtomicU64>>>,
    /// Hits of threads that end.
    others: AtomicU64,
}

/// What is one thread's.
pub(super) struct Own<M> {
    hits: Arc<AtomicU64>,
    pub(super) memory: M,
}

impl<M> Own<M> {
    /// Counts a hit.
    #[inline]
    pub(super) fn count(&self) {
        // A load and a store: nobody else writes. Relaxed: a statistic.
        self.hits
            .store(self.hits.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }
}

impl<M: Send + Default> Tallies<M> {
    pub(super) fn new() -> Self {
        Self {
            own: PerThread::new(),
            all: Mutex::default(),
            others: AtomicU64::new(0),
        }
    }

    /// What is this thread's, if it has had a hit before.
    #[inline]
    pub(super) fn own<R>(&self, f: impl FnOnce(&Own<M>) -> R) -> Option<R> {
        self.own.with(f)
    }

    /// Counts a hit of this thread.
    #[inline]
    pub(super) fn count(&self) {
        if self.own(Own::count).is_none() {
            self.count_in(|_| {});
        }
    }

    /// Counts a hit of this thread, and shows `f` what it keeps; the first time that is made.
    #[cold]
    #[inline(never)]
    pub(super) fn count_in(&self, f: impl FnOnce(&M)) {
        let make = || {
            let hits = Arc::default();
            self.lock().push(Arc::clone(&hits));
            Own {
                hits,
                memory: M::default(),
            }
        };
        let count = |own: &Own<M>| {
            own.count();
            f(&own.memory);
        };
        if self.own.with_or_make(make, count).is_none() {
            self.others.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The hits of all threads.
    pub(super) fn sum(&self) -> u64 {
        let counted: u64 = self
            .lock()
            .iter()
            .map(|hits| hits.load(Ordering::Relaxed))
            .sum();
        counted + self.others.load(Ordering::Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<AtomicU64>>> {
        // No user code runs under this lock; a poisoned list is still whole.
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

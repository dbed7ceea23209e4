use std::{
    // The standard library's even under the model checker: statistics decide nothing.
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

/// What a lazy value, or all values of a map, have done since it was made.
///
/// Every [`get`](crate::AsyncLazy::get) that found or waited for something counts once among `hits`, `stale`,
/// `waits` and `misses`, as it begins; one that waited and was then served a stale value instead of an error
/// counts once more in `stale`.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), nexios::LazyError<std::io::Error>> {
/// use nexios::AsyncLazy;
///
/// let rates = AsyncLazy::new(|| async { Ok::<_, std::io::Error>(1.08) });
/// for _ in 0..3 {
///     rates.get().await?;
/// }
/// let stats = rates.stats();
/// assert_eq!((stats.misses, stats.hits, stats.computations), (1, 2, 1));
/// # Ok(())
/// # }
/// ```
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
    /// How much longer that value is fresh, if it is and has a `ttl`; always `None` for a map.
    pub fresh_for: Option<Duration>,
    /// What is there; `Empty` or `Computing` for a map.
    pub state: LazyState,
    /// Whether it is a map, of which no single value can be refreshed by its number.
    pub is_map: bool,
    /// How long the last computation took that came to an end of its own, good or bad.
    pub last_duration: Option<Duration>,
}

/// What a lazy value has to serve.
///
/// ```
/// use nexios::AsyncLazy;
/// use nexios::LazyState;
///
/// let lazy = AsyncLazy::new(|| async { Ok::<_, std::io::Error>(1) });
/// assert_eq!(lazy.stats().state, LazyState::Empty);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LazyState {
    /// Nothing, and nothing is under way.
    Empty,
    /// Nothing yet; a computation runs.
    Computing,
    /// A value inside its `ttl`.
    Fresh,
    /// A value past its `ttl`.
    Stale,
    /// Nothing; the last computation failed.
    Failed,
}

impl LazyState {
    /// The word for it in JSON, in HTML and as a label.
    ///
    /// ```
    /// assert_eq!(nexios::LazyState::Computing.as_str(), "computing");
    /// ```
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::Computing => "computing",
            Self::Fresh => "fresh",
            Self::Stale => "stale",
            Self::Failed => "failed",
        }
    }
}

/// What a cell, or a map, has to serve at one moment.
pub(super) struct Served {
    pub(super) state: LazyState,
    pub(super) age: Option<Duration>,
    pub(super) fresh_for: Option<Duration>,
    pub(super) is_map: bool,
}

/// A number of things that happened.
#[derive(Debug, Default)]
pub(super) struct EventCount(AtomicU64);

impl EventCount {
    pub(super) fn add(&self, things: u64) {
        // Relaxed: a statistic, nobody synchronises through it.
        self.0.fetch_add(things, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The counters behind [`LazyStats`].
#[derive(Debug, Default)]
pub(super) struct LazyCounters {
    /// Those that were found in the slow way; all others are tallied by the threads.
    pub(super) hits: EventCount,
    pub(super) waits: EventCount,
    pub(super) misses: EventCount,
    pub(super) stale: EventCount,
    pub(super) computations: EventCount,
    pub(super) failures: EventCount,
    pub(super) evictions: EventCount,
    /// Nanoseconds of the last computation and one more; zero is none.
    last: AtomicU64,
}

impl LazyCounters {
    pub(super) fn note_duration(&self, took: Duration) {
        let nanoseconds = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.last
            .store(nanoseconds.saturating_add(1), Ordering::Relaxed);
    }

    /// All of it, with the hits that threads have tallied.
    pub(super) fn read(&self, tallied: u64, served: Served) -> LazyStats {
        LazyStats {
            hits: self.hits.get() + tallied,
            waits: self.waits.get(),
            misses: self.misses.get(),
            stale: self.stale.get(),
            computations: self.computations.get(),
            failures: self.failures.get(),
            evictions: self.evictions.get(),
            age: served.age,
            fresh_for: served.fresh_for,
            state: served.state,
            is_map: served.is_map,
            last_duration: self
                .last
                .load(Ordering::Relaxed)
                .checked_sub(1)
                .map(Duration::from_nanos),
        }
    }
}

//! What all callers of one lazy value share: the current value, and the flight that computes the next.
//!
//! # Invariants
//!
//! 1. `current` changes only under the lock, so a value, the flight and the last failure change as one; it is
//!    read without the lock.
//! 2. A flight may publish only while it is the cell's flight. `reset` and `set` take the flight away, so
//!    nothing that began before them can be published, joined or taken for a recent failure after them.
//! 3. A value is published before its waiters are told.
//! 4. No user code runs under the lock, nor under its callers': what is replaced is handed out as a
//!    [`ReplacedState`].
//! 5. `edition` changes before `current` does, so a shortcut is never good for a value that is not there any
//!    more.

use std::{
    num::NonZeroU64,
    sync::{Arc, PoisonError},
    time::Duration,
};

use arc_swap::{ArcSwapOption, Guard};
use tokio::time::Instant;

use super::{
    cell_failure::CellFailure,
    computation::{Computation, discard},
    error::LazyError,
    flight::{Flight, FlightEnd},
    freshness::{Freshness, ValueEntry, Weight},
    recursion::{FlightId, Identity},
    settings::LazySettings,
    stats::{LazyCounters, LazyState, LazyStats, Served},
};
use crate::sync::{
    Mutex, MutexGuard,
    atomic::{AtomicU64, Ordering},
};

/// Where a cell's values come from, and the cell's place in a map if it has one. It is asked by the task that drives a
/// flight, and never by the cell.
pub(super) trait ValueSource<T, E>: Send + Sync {
    /// Makes a computation with the given time limit.
    fn compute(&self, limit: Option<Duration>) -> Computation<T, E>;

    /// What a value of the cell weighs.
    fn weigh(&self, _value: &T) -> Weight {
        Some(NonZeroU64::MIN)
    }

    /// Takes the cell, whose flight has ended, to where it belongs now.
    fn land(&self, _cell: &ValueCell<T, E>) {}

    /// Tells the user's hook of a computation that brought no value, if there is one.
    fn failed(&self, _error: &LazyError<E>) {}

    /// Drops itself and what the cell held. Any of it may own other lazy values, which are dropped next and not inside
    /// of it, so a chain of them may be of any length.
    fn discard(self: Box<Self>, held: Remains<T, E>);
}

/// What a cell holds in the end.
#[derive(Debug)]
pub(super) struct Remains<T, E> {
    _entry: Option<Arc<ValueEntry<T>>>,
    _error: Option<LazyError<E>>,
}

pub(super) struct ValueCell<T, E> {
    /// The edition of `current`, or of what is about to be there; zero when it is empty.
    edition: AtomicU64,
    /// The value that is served, with its limits.
    current: ArcSwapOption<ValueEntry<T>>,
    state: Mutex<CellState<T, E>>,
    /// There until the cell is dropped.
    source: Option<Box<dyn ValueSource<T, E>>>,
    settings: Arc<LazySettings>,
    pub(super) counters: Arc<LazyCounters>,
    /// Tells this cell from all others of the process.
    identity: Identity,
    /// Of its map, as the cell was made.
    pub(super) generation: u64,
}

struct CellState<T, E> {
    /// The flight that computes the next value.
    flight: Option<Arc<Flight<T, E>>>,
    /// The last failure since the last value, `reset` or `set`.
    failure: Option<CellFailure<E>>,
}

/// What somebody who calls finds.
pub(super) enum Entrance<T, E> {
    /// A fresh value.
    Fresh(Arc<T>),
    /// A stale value that may be served, and the flight that the caller has to launch for a new one, if any.
    Stale(Arc<T>, Option<Arc<Flight<T, E>>>),
    /// A recent failure.
    Failed(LazyError<E>),
    /// A flight that the caller has joined under this key.
    Joined(Arc<Flight<T, E>>, u64),
    /// A new flight that the caller has joined under this key and has to launch.
    Started(Arc<Flight<T, E>>, u64),
    /// The caller would wait for itself.
    Recursive,
    /// A flight is needed, and the caller has no runtime to launch it on.
    NoRuntime,
}

impl<T, E> Entrance<T, E> {
    /// Whether the caller has a flight to launch.
    pub(super) fn launches(&self) -> bool {
        matches!(self, Self::Started(..) | Self::Stale(_, Some(_)))
    }
}

/// What a map has to know of a cell to find its place.
pub(super) enum Residency {
    /// None yet: a flight is the cell's.
    Aloft,
    /// There is something to remember, a value or an error in its backoff, of this weight.
    Holding(NonZeroU64),
    /// There is nothing to remember.
    Empty,
}

/// Who calls, and what it may do.
#[derive(Clone, Copy)]
pub(super) struct Visit {
    /// True when a value that is there does not satisfy the caller.
    pub(super) refresh: bool,
    /// The flight whose computation the caller is part of.
    pub(super) caller: Option<FlightId>,
    /// True when the caller can launch a flight.
    pub(super) can_launch: bool,
}

/// What a change of a cell has replaced. Its owner lets go of it where no lock is held.
#[must_use]
pub(super) struct ReplacedState<T, E> {
    flight: Option<Arc<Flight<T, E>>>,
    entry: Option<Arc<ValueEntry<T>>>,
    failure: Option<CellFailure<E>>,
}

impl<T, E> ReplacedState<T, E> {
    const NOTHING: Self = Self {
        flight: None,
        entry: None,
        failure: None,
    };

    /// Lets the flight go on for those who wait for it, if any.
    pub(super) fn overtake(self) {
        if let Some(flight) = &self.flight {
            flight.overtake();
        }
    }

    /// Gives those who wait for the flight `value`.
    pub(super) fn end_with(self, value: Arc<T>) {
        if let Some(flight) = &self.flight {
            flight.end(FlightEnd::Done(Ok(value)));
        }
    }

    /// Drops what is left, where nobody can take a panic of a destructor.
    pub(super) fn discard(self) {
        discard(self);
    }
}

impl<T, E> ValueCell<T, E> {
    /// Makes a cell without a key.
    pub(super) fn alone(source: Box<dyn ValueSource<T, E>>, settings: Arc<LazySettings>) -> Self {
        Self::new(source, settings, Arc::default(), Identity::alone(), 0)
    }

    /// Makes a cell, which may share its settings and counters with others.
    pub(super) fn new(
        source: Box<dyn ValueSource<T, E>>,
        settings: Arc<LazySettings>,
        counters: Arc<LazyCounters>,
        identity: Identity,
        generation: u64,
    ) -> Self {
        Self {
            edition: AtomicU64::new(0),
            current: ArcSwapOption::empty(),
            state: Mutex::new(CellState {
                flight: None,
                failure: None,
            }),
            source: Some(source),
            settings,
            counters,
            identity,
            generation,
        }
    }

    pub(super) fn name(&self) -> String {
        self.settings.name()
    }

    /// Which value is served; zero is none.
    #[inline]
    pub(super) fn edition(&self) -> u64 {
        // SeqCst, as everything about `current`: one order for all threads.
        self.edition.load(Ordering::SeqCst)
    }

    /// The current entry, if it is fresh; takes no lock.
    #[inline]
    pub(super) fn fresh(&self) -> Option<Guard<Option<Arc<ValueEntry<T>>>>> {
        let entry = self.current.load();
        if entry.as_ref()?.is_fresh() {
            Some(entry)
        } else {
            None
        }
    }

    /// The current entry, if it is inside any of its limits; takes no lock.
    #[inline]
    pub(super) fn servable(&self) -> Option<Guard<Option<Arc<ValueEntry<T>>>>> {
        let entry = self.current.load();
        if entry.as_ref()?.is_servable() {
            Some(entry)
        } else {
            None
        }
    }

    /// Finds a value, a flight to wait for, or a reason why there is neither.
    pub(super) fn enter(&self, visit: Visit) -> (Entrance<T, E>, ReplacedState<T, E>) {
        let mut leftover = ReplacedState::NOTHING;
        let entrance = self.look(visit, &mut leftover);
        (entrance, leftover)
    }

    fn look(&self, visit: Visit, leftover: &mut ReplacedState<T, E>) -> Entrance<T, E> {
        // One lock over look and start: two callers that find nothing must not both start a flight.
        let mut state = self.lock();
        let now = Instant::now();
        // Asked only where the answer matters: it takes a lock of all computations.
        let recursive = || {
            visit
                .caller
                .is_some_and(|caller| caller.is_inside(self.identity))
        };
        let entry = self.current.load_full();
        let freshness = entry
            .as_ref()
            .map_or(Freshness::Expired, |entry| entry.freshness(now));
        if let Some(entry) = entry.filter(|_| !visit.refresh) {
            match freshness {
                Freshness::Fresh => return Entrance::Fresh(Arc::clone(&entry.value)),
                Freshness::Stale => {
                    // A computation that makes its own value stale and asks again would start the next one without end.
                    let allowed = visit.can_launch && !recursive();
                    let flight = if allowed {
                        self.revalidate(&mut state, now, leftover)
                    } else {
                        None
                    };
                    return Entrance::Stale(Arc::clone(&entry.value), flight);
                }
                Freshness::Fallback if Self::recent_failure(&state, now).is_some() => {
                    return Entrance::Stale(Arc::clone(&entry.value), None);
                }
                Freshness::Fallback | Freshness::Expired => {}
            }
        }
        // Before joining: the flight that is joined may be the caller's own.
        if recursive() {
            return Entrance::Recursive;
        }
        // One that has ended and that nobody has taken out so far is not joined; it is replaced below.
        if let Some(flight) = &state.flight
            && let Some(key) = flight.join()
        {
            return Entrance::Joined(Arc::clone(flight), key);
        }
        if !visit.refresh
            && let Some(error) = Self::recent_failure(&state, now)
        {
            return Entrance::Failed(error.clone());
        }
        if !visit.can_launch {
            return Entrance::NoRuntime;
        }
        // With its first waiter in it from the start, or another caller could join, leave and so end it before that.
        let (flight, key) = Flight::awaited(FlightId::new(self.identity), self.settings.keep_warm);
        leftover.flight = state.flight.replace(Arc::clone(&flight));
        // It will never be served again, so its memory need not wait for the new value.
        if freshness == Freshness::Expired {
            leftover.entry = self.serve(None);
        }
        Entrance::Started(flight, key)
    }

    /// Installs a flight that nobody waits for, when it is time for one.
    fn revalidate(
        &self,
        state: &mut CellState<T, E>,
        now: Instant,
        leftover: &mut ReplacedState<T, E>,
    ) -> Option<Arc<Flight<T, E>>> {
        let resting = state
            .failure
            .as_ref()
            .is_some_and(|failure| failure.is_recent(now));
        let running = state
            .flight
            .as_ref()
            .is_some_and(|flight| !flight.is_over());
        if resting || running {
            return None;
        }
        let flight = Flight::unattended(FlightId::new(self.identity));
        leftover.flight = state.flight.replace(Arc::clone(&flight));
        Some(flight)
    }

    fn recent_failure(state: &CellState<T, E>, now: Instant) -> Option<&LazyError<E>> {
        let failure = state.failure.as_ref()?;
        failure.error.as_ref().filter(|_| failure.is_recent(now))
    }

    /// Makes the computation of a flight; this is where the user's closure runs.
    pub(super) fn compute(&self) -> Computation<T, E> {
        self.source().compute(self.settings.timeout)
    }

    pub(super) fn source(&self) -> &dyn ValueSource<T, E> {
        self.source
            .as_deref()
            .expect("only the cell's destructor takes it out")
    }

    /// Puts what a flight brought in its place, if it is still the cell's.
    pub(super) fn publish(
        &self,
        flight: &Arc<Flight<T, E>>,
        outcome: &Result<Arc<T>, LazyError<E>>,
        weight: Weight,
    ) -> ReplacedState<T, E> {
        let now = Instant::now();
        let mut state = self.lock();
        // `reset`, `set` or a newer flight may have come first (invariant 2): then only those who wait are given this.
        if !state.is_flying(flight) {
            return ReplacedState::NOTHING;
        }
        // Value, flight and failure change as one: a caller in between would compute what is there, or be given an error
        // that a value has made good.
        let mut leftover = ReplacedState {
            flight: state.flight.take(),
            entry: None,
            failure: state.failure.take(),
        };
        match outcome {
            Ok(value) => {
                leftover.entry =
                    self.serve(self.settings.limits.admit(Arc::clone(value), weight, now));
            }
            Err(error) => {
                let before = leftover
                    .failure
                    .as_ref()
                    .map_or(0, |failure| failure.in_a_row);
                let backoff = self.settings.error_backoff;
                state.failure = Some(CellFailure::new(
                    error,
                    backoff,
                    before.saturating_add(1),
                    now,
                ));
            }
        }
        leftover
    }

    /// Takes a flight that ended without an outcome out of the cell, if it is still there.
    pub(super) fn forget(&self, flight: &Arc<Flight<T, E>>) {
        let mut state = self.lock();
        // Not the next one's, which somebody may have started since.
        if state.is_flying(flight) {
            state.flight = None;
        }
    }

    /// Takes out everything that there is.
    pub(super) fn empty(&self) -> ReplacedState<T, E> {
        self.replace(None)
    }

    /// Puts `value` in the place of everything that there is, with an age of zero.
    pub(super) fn put(&self, value: Arc<T>, weight: Weight) -> ReplacedState<T, E> {
        self.replace(self.settings.limits.admit(value, weight, Instant::now()))
    }

    /// Ends the running flight for good: the cell is going away.
    pub(super) fn close(&self) {
        let flight = self.lock().flight.take();
        // Without the lock: the end wakes and drops what is others'.
        if let Some(flight) = flight {
            flight.end(FlightEnd::Abandoned);
        }
    }

    fn replace(&self, entry: Option<Arc<ValueEntry<T>>>) -> ReplacedState<T, E> {
        let mut state = self.lock();
        ReplacedState {
            flight: state.flight.take(),
            entry: self.serve(entry),
            failure: state.failure.take(),
        }
    }

    /// Changes what is served; only under the lock.
    fn serve(&self, entry: Option<Arc<ValueEntry<T>>>) -> Option<Arc<ValueEntry<T>>> {
        let edition = entry.as_ref().map_or(0, |entry| entry.edition);
        // First, or a thread could read the old value by its shortcut after another has read the new one.
        self.edition.store(edition, Ordering::SeqCst);
        self.current.swap(entry)
    }

    /// Whether a map has to keep the cell, and where.
    pub(super) fn rest(&self) -> Residency {
        let state = self.lock();
        if state.flight.is_some() {
            return Residency::Aloft;
        }
        let weight = match &*self.current.load() {
            Some(entry) => entry.weight,
            None => state
                .failure
                .as_ref()
                .and_then(|failure| failure.error.as_ref())
                .map(|_| NonZeroU64::MIN),
        };
        weight.map_or(Residency::Empty, Residency::Holding)
    }

    /// What the cell has done, with the hits that are counted elsewhere, and what it has to serve.
    pub(super) fn stats(&self, hits: u64) -> LazyStats {
        let now = Instant::now();
        let (flying, failed) = {
            let state = self.lock();
            (
                state
                    .flight
                    .as_ref()
                    .is_some_and(|flight| !flight.is_over()),
                state.failure.is_some(),
            )
        };
        let entry = self.current.load();
        let entry = entry.as_deref().map(|entry| (entry, entry.freshness(now)));
        let entry = entry.filter(|(_, freshness)| *freshness != Freshness::Expired);
        let state = match entry {
            Some((_, Freshness::Fresh)) => LazyState::Fresh,
            Some(_) => LazyState::Stale,
            None if flying => LazyState::Computing,
            None if failed => LazyState::Failed,
            None => LazyState::Empty,
        };
        let age = entry.map(|(entry, _)| now.duration_since(entry.completed));
        let fresh_until = entry.and_then(|(entry, _)| entry.fresh_until);
        let fresh_for = fresh_until
            .and_then(|until| until.checked_duration_since(now))
            .filter(|left| !left.is_zero());
        self.counters.read(
            hits,
            Served {
                state,
                age,
                fresh_for,
                is_map: false,
            },
        )
    }

    /// The flight that is running, for display.
    pub(super) fn flight(&self) -> Option<Arc<Flight<T, E>>> {
        self.lock()
            .flight
            .clone()
            .filter(|flight| !flight.is_over())
    }

    fn lock(&self) -> MutexGuard<'_, CellState<T, E>> {
        // No user code runs under this lock; a poisoned state is still whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T, E> Drop for ValueCell<T, E> {
    fn drop(&mut self) {
        let failure = match self.state.get_mut() {
            Ok(state) => state.failure.take(),
            Err(poisoned) => poisoned.into_inner().failure.take(),
        };
        let held = Remains {
            _entry: self.current.swap(None),
            _error: failure.and_then(|failure| failure.error),
        };
        if let Some(source) = self.source.take() {
            source.discard(held);
        }
    }
}

impl<T, E> CellState<T, E> {
    fn is_flying(&self, flight: &Arc<Flight<T, E>>) -> bool {
        self.flight
            .as_ref()
            .is_some_and(|own| Arc::ptr_eq(own, flight))
    }
}

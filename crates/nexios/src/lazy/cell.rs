//! What all callers of one lazy value share: the current value, and the flight that computes the next.
//!
//! # Invariants
//!
//! 1. `current` changes only under the lock, so a value, the flight and the last failure change as one; it is
//!    read without the lock.
//! 2. A flight may publish only while it is the cell's flight. `reset` and `set` take the flight away, so
//!    nothing that began before them can be published, joined or taken for a recent failure after them.
//! 3. A value is published before its waiters are told.
//! 4. No user code runs under the lock: what is replaced is dropped after it.

use std::{
    panic::Location,
    sync::{Arc, PoisonError},
    time::Duration,
};

use arc_swap::{ArcSwapOption, Guard};
use tokio::time::Instant;

use super::{
    entry::{Entry, Freshness, Limits},
    error::LazyError,
    flight::{Computation, Ending, Flight, discard},
    recursion,
    stats::Counters,
};
use crate::sync::{Mutex, MutexGuard};

/// The shortest time between a failure and the next refresh that nobody waits for.
const REFRESH_SPACING: Duration = Duration::from_secs(1);

/// Makes a computation with the given time limit.
pub(super) type Compute<T, E> = Box<dyn Fn(Option<Duration>) -> Computation<T, E> + Send + Sync>;

/// What a user chose for a cell.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) name: Option<std::borrow::Cow<'static, str>>,
    /// Where the cell was made; stands for a missing name.
    pub(super) location: &'static Location<'static>,
    pub(super) limits: Limits,
    pub(super) error_backoff: Option<Duration>,
    pub(super) keep_warm: bool,
    pub(super) timeout: Option<Duration>,
}

pub(super) struct Cell<T, E> {
    /// The value that is served, with its limits.
    current: ArcSwapOption<Entry<T>>,
    state: Mutex<State<T, E>>,
    compute: Compute<T, E>,
    settings: Settings,
    pub(super) counters: Counters,
    /// Tells this cell from all others of the process.
    id: u64,
}

struct State<T, E> {
    /// The flight that computes the next value.
    flight: Option<Arc<Flight<T, E>>>,
    /// The last failure since the last value, `reset` or `set`.
    failure: Option<Failure<E>>,
}

struct Failure<E> {
    at: Instant,
    /// Kept only if errors may be served again.
    error: Option<LazyError<E>>,
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

/// Who calls, and what it may do.
#[derive(Clone, Copy, Debug)]
pub(super) struct Visit {
    /// True when a value that is there does not satisfy the caller.
    pub(super) refresh: bool,
    /// True when the caller is part of this cell's computation.
    pub(super) recursive: bool,
    /// True when the caller can launch a flight.
    pub(super) can_launch: bool,
}

impl<T, E> Cell<T, E> {
    pub(super) fn new(compute: Compute<T, E>, settings: Settings) -> Self {
        Self {
            current: ArcSwapOption::empty(),
            state: Mutex::new(State { flight: None, failure: None }),
            compute,
            settings,
            counters: Counters::new(),
            id: recursion::next_id(),
        }
    }

    pub(super) fn id(&self) -> u64 {
        self.id
    }

    pub(super) fn name(&self) -> String {
        match &self.settings.name {
            Some(name) => name.to_string(),
            None => {
                format!("{}:{}", self.settings.location.file(), self.settings.location.line())
            }
        }
    }

    /// The current entry, if it is fresh; takes no lock.
    #[inline]
    pub(super) fn fresh(&self) -> Option<Guard<Option<Arc<Entry<T>>>>> {
        let entry = self.current.load();
        if entry.as_ref()?.is_fresh() { Some(entry) } else { None }
    }

    /// The current entry, if it is inside any of its limits; takes no lock.
    #[inline]
    pub(super) fn servable(&self) -> Option<Guard<Option<Arc<Entry<T>>>>> {
        let entry = self.current.load();
        if entry.as_ref()?.is_servable() { Some(entry) } else { None }
    }

    /// Finds a value, a flight to wait for, or a reason why there is neither.
    pub(super) fn enter(&self, visit: Visit) -> Entrance<T, E> {
        let mut state = self.lock();
        let now = Instant::now();
        let entry = self.current.load_full();
        let freshness = entry.as_ref().map_or(Freshness::Expired, |entry| entry.freshness(now));
        if let Some(entry) = entry.filter(|_| !visit.refresh) {
            match freshness {
                Freshness::Fresh => return Entrance::Fresh(Arc::clone(&entry.value)),
                Freshness::Stale => {
                    let flight = self.revalidate(&mut state, visit, now);
                    return Entrance::Stale(Arc::clone(&entry.value), flight);
                }
                Freshness::Fallback if self.recent_failure(&state, now).is_some() => {
                    return Entrance::Stale(Arc::clone(&entry.value), None);
                }
                Freshness::Fallback | Freshness::Expired => {}
            }
        }
        if visit.recursive {
            return Entrance::Recursive;
        }
        if let Some(flight) = &state.flight
            && let Some(key) = flight.join()
        {
            return Entrance::Joined(Arc::clone(flight), key);
        }
        if !visit.refresh
            && let Some(error) = self.recent_failure(&state, now)
        {
            return Entrance::Failed(error.clone());
        }
        if !visit.can_launch {
            return Entrance::NoRuntime;
        }
        let (flight, key) = Flight::awaited(recursion::next_id(), self.settings.keep_warm);
        let dead = state.flight.replace(Arc::clone(&flight));
        let expired = if freshness == Freshness::Expired { self.current.swap(None) } else { None };
        drop(state);
        drop(dead);
        discard(expired);
        Entrance::Started(flight, key)
    }

    /// Installs a flight that nobody waits for, when it is time for one.
    fn revalidate(&self, state: &mut State<T, E>, visit: Visit, now: Instant) -> Option<Arc<Flight<T, E>>> {
        let spacing = self.settings.error_backoff.unwrap_or(REFRESH_SPACING);
        let resting = state.failure.as_ref().is_some_and(|failure| now.duration_since(failure.at) < spacing);
        let running = state.flight.as_ref().is_some_and(|flight| !flight.is_over());
        if resting || running || visit.recursive || !visit.can_launch {
            return None;
        }
        let flight = Flight::unattended(recursion::next_id());
        state.flight = Some(Arc::clone(&flight));
        Some(flight)
    }

    fn recent_failure<'a>(&self, state: &'a State<T, E>, now: Instant) -> Option<&'a LazyError<E>> {
        let backoff = self.settings.error_backoff?;
        let failure = state.failure.as_ref()?;
        failure.error.as_ref().filter(|_| now.duration_since(failure.at) < backoff)
    }

    /// Makes the computation of a flight; this is where the user's closure runs.
    pub(super) fn compute(&self) -> Computation<T, E> {
        (self.compute)(self.settings.timeout)
    }

    /// Publishes what a flight brought, if it is still the cell's, and tells its waiters; returns how many.
    pub(super) fn complete(&self, flight: &Arc<Flight<T, E>>, outcome: Result<T, LazyError<E>>) -> usize {
        let now = Instant::now();
        let outcome = outcome.map(Arc::new);
        let mut replaced = None;
        let mut forgotten = None;
        {
            let mut state = self.lock();
            if state.is_flying(flight) {
                state.flight = None;
                forgotten = state.failure.take();
                match &outcome {
                    Ok(value) => {
                        replaced = self.current.swap(self.settings.limits.admit(Arc::clone(value), now));
                    }
                    Err(error) => {
                        let error = self.settings.error_backoff.map(|_| error.clone());
                        state.failure = Some(Failure { at: now, error });
                    }
                }
            }
        }
        let waiters = flight.end(Ending::Done(outcome));
        discard((replaced, forgotten));
        waiters
    }

    /// Takes a flight that ended without an outcome out of the cell, if it is still there.
    pub(super) fn forget(&self, flight: &Arc<Flight<T, E>>) {
        let mut state = self.lock();
        if state.is_flying(flight) {
            state.flight = None;
        }
    }

    pub(super) fn reset(&self) {
        let (flight, replaced, forgotten) = self.replace(None);
        if let Some(flight) = flight {
            flight.overtake();
        }
        drop((replaced, forgotten));
    }

    pub(super) fn set(&self, value: T) {
        let value = Arc::new(value);
        let entry = self.settings.limits.admit(Arc::clone(&value), Instant::now());
        let (flight, replaced, forgotten) = self.replace(entry);
        if let Some(flight) = flight {
            flight.end(Ending::Done(Ok(value)));
        }
        drop((replaced, forgotten));
    }

    /// Ends the running flight for good: the cell is going away.
    pub(super) fn close(&self) {
        let flight = self.lock().flight.take();
        if let Some(flight) = flight {
            flight.end(Ending::Abandoned);
        }
    }

    /// Puts `entry` in the place of everything that there was.
    #[allow(clippy::type_complexity)]
    fn replace(
        &self,
        entry: Option<Arc<Entry<T>>>,
    ) -> (Option<Arc<Flight<T, E>>>, Option<Arc<Entry<T>>>, Option<Failure<E>>) {
        let mut state = self.lock();
        (state.flight.take(), self.current.swap(entry), state.failure.take())
    }

    /// The flight that is running, for display.
    pub(super) fn flight(&self) -> Option<Arc<Flight<T, E>>> {
        self.lock().flight.clone().filter(|flight| !flight.is_over())
    }

    fn lock(&self) -> MutexGuard<'_, State<T, E>> {
        // No user code runs under this lock; a poisoned state is still whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T, E> State<T, E> {
    fn is_flying(&self, flight: &Arc<Flight<T, E>>) -> bool {
        self.flight.as_ref().is_some_and(|own| Arc::ptr_eq(own, flight))
    }
}

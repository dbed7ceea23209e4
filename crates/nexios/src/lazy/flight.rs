//! One run of a cell's computation, with everybody who waits for it.
//!
//! # Invariants
//!
//! 1. A flight ends once; whoever joined before gets that ending, nobody joins afterwards.
//! 2. Joining and the last waiter's leaving exclude each other: a flight that is joined is not being dropped.
//! 3. The computation is in one place: in the flight, or with the task that polls it. Whoever ends the flight
//!    drops it if it is in the flight; otherwise the polling task drops it as its poll returns.
//! 4. No computation is polled or dropped, and no waker cloned, called or dropped, while the lock is held.

use std::{
    collections::BTreeMap,
    mem,
    sync::{Arc, OnceLock, PoisonError},
    task::{Context, Poll, Waker},
};

use futures_util::task::AtomicWaker;

use super::{computation::Computation, error::LazyError, recursion::FlightId};
use crate::{
    cancel::CancelReason,
    log,
    sync::{Mutex, MutexGuard},
    work::{
        WorkKind,
        concurrent::{ConcurrentWork, End},
        observed::{New, Parent},
    },
};

/// What became of a flight.
pub(super) enum FlightEnd<T, E> {
    /// The computation ended, or a value was set in its place.
    Done(Result<Arc<T>, LazyError<E>>),
    /// Nobody wanted the value any more.
    Abandoned,
    /// The runtime that ran the computation is gone.
    Lost,
}

impl<T, E> Clone for FlightEnd<T, E> {
    fn clone(&self) -> Self {
        match self {
            Self::Done(outcome) => Self::Done(outcome.clone()),
            Self::Abandoned => Self::Abandoned,
            Self::Lost => Self::Lost,
        }
    }
}

/// What the driving task finds when it wants to poll.
pub(super) enum FlightTurn<T, E> {
    /// The computation has to be made first.
    Start,
    /// The computation, to be polled and put back.
    Resume(Computation<T, E>),
    /// The flight has ended.
    Over,
}

pub(super) struct Flight<T, E> {
    /// How far it is.
    state: Mutex<FlightState<T, E>>,
    /// The task that drives the computation; woken when the flight ends without it.
    driver: AtomicWaker,
    /// The span that the computation runs in, for waiters to link to; written at the launch.
    span: OnceLock<tracing::span::Id>,
    /// What whoever observes is told of the computation; made at the launch.
    observed: OnceLock<ConcurrentWork>,
    /// Tells this flight from all others of the process.
    id: FlightId,
}

enum FlightState<T, E> {
    Running(RunningFlight<T, E>),
    Ended(FlightEnd<T, E>),
}

struct RunningFlight<T, E> {
    /// Those who wait, by the key they were given; the waker is missing until the first poll.
    waiters: BTreeMap<u64, Option<Waker>>,
    next_key: u64,
    /// True when the flight goes on without waiters.
    kept: bool,
    /// Where the computation is.
    seat: ComputationSeat<T, E>,
}

enum ComputationSeat<T, E> {
    /// It does not exist yet.
    Unmade,
    /// Here, between two polls.
    Idle(Computation<T, E>),
    /// With the task that polls it.
    Polled,
}

impl<T, E> Flight<T, E> {
    /// Makes a flight that goes on without anybody who waits for it.
    pub(super) fn unattended(id: FlightId) -> Arc<Self> {
        Self::new(id, BTreeMap::new(), true)
    }

    /// Makes a flight with one waiter, and returns the waiter's key; `kept` lets it go on without any.
    pub(super) fn awaited(id: FlightId, kept: bool) -> (Arc<Self>, u64) {
        (Self::new(id, BTreeMap::from([(0, None)]), kept), 0)
    }

    fn new(id: FlightId, waiters: BTreeMap<u64, Option<Waker>>, kept: bool) -> Arc<Self> {
        let running = RunningFlight {
            waiters,
            next_key: 1,
            kept,
            seat: ComputationSeat::Unmade,
        };
        Arc::new(Self {
            state: Mutex::new(FlightState::Running(running)),
            driver: AtomicWaker::new(),
            span: OnceLock::new(),
            observed: OnceLock::new(),
            id,
        })
    }

    pub(super) fn id(&self) -> FlightId {
        self.id
    }

    pub(super) fn span(&self) -> &OnceLock<tracing::span::Id> {
        &self.span
    }

    /// Says that the computation is made. A flight is launched once.
    pub(super) fn announce(&self, name: impl FnOnce() -> String) {
        self.observed.get_or_init(|| {
            let mut called = String::new();
            ConcurrentWork::made(|| {
                called = name();
                New {
                    id: None,
                    parent: Parent::Caused,
                    kind: WorkKind::Computation,
                    name: Some(&called),
                    owner: Some(&called),
                    made_at: None,
                }
            })
        });
    }

    /// The computation as whoever observes sees it.
    pub(super) fn observed(&self) -> Option<&ConcurrentWork> {
        self.observed.get()
    }

    /// Adds a waiter and returns its key, unless the flight has ended.
    pub(super) fn join(&self) -> Option<u64> {
        match &mut *self.lock() {
            FlightState::Running(running) => {
                let key = running.next_key;
                running.next_key += 1;
                // Without a waker so far, but it counts at once: the last one to leave must not end the flight under it.
                running.waiters.insert(key, None);
                Some(key)
            }
            FlightState::Ended(_) => None,
        }
    }

    /// Polls for the ending on behalf of the waiter `key`.
    pub(super) fn poll_ending(&self, key: u64, cx: &Context<'_>) -> Poll<FlightEnd<T, E>> {
        // Cloned before the lock is taken (invariant 4), hence sometimes for nothing.
        let waker = cx.waker().clone();
        // Looked at and left under one lock: an ending in between would wake nobody.
        let replaced = match &mut *self.lock() {
            FlightState::Ended(ending) => return Poll::Ready(ending.clone()),
            FlightState::Running(running) => running.waiters.insert(key, Some(waker)),
        };
        drop(replaced);
        Poll::Pending
    }

    /// Takes a waiter out; true when it was the last one and the flight was dropped for that.
    pub(super) fn leave(&self, key: u64) -> bool {
        let mut state = self.lock();
        let FlightState::Running(running) = &mut *state else {
            return false;
        };
        let left = running.waiters.remove(&key);
        // Under the same lock, or somebody could join a flight that is about to be dropped (invariant 2).
        let abandoned = self.end_if_unwanted(state);
        drop(left);
        abandoned
    }

    /// Tells the flight that the cell has no use for its value any more: it goes on for those who wait, if any.
    pub(super) fn overtake(&self) {
        let mut state = self.lock();
        let FlightState::Running(running) = &mut *state else {
            return;
        };
        running.kept = false;
        self.end_if_unwanted(state);
    }

    /// Ends a flight that nobody waits for and that is not kept; true if it has.
    fn end_if_unwanted(&self, mut state: MutexGuard<'_, FlightState<T, E>>) -> bool {
        let unwanted = matches!(&*state, FlightState::Running(running) if running.waiters.is_empty() && !running.kept);
        if unwanted {
            let taken = mem::replace(&mut *state, FlightState::Ended(FlightEnd::Abandoned));
            drop(state);
            self.finish(taken);
        }
        unwanted
    }

    /// Ends the flight, unless it has ended; returns how many waited.
    pub(super) fn end(&self, ending: FlightEnd<T, E>) -> usize {
        let mut state = self.lock();
        // The first ending counts (invariant 1): some of those who wait may have it already.
        if matches!(&*state, FlightState::Ended(_)) {
            return 0;
        }
        let taken = mem::replace(&mut *state, FlightState::Ended(ending));
        drop(state);
        self.finish(taken)
    }

    /// Drops the computation and wakes everybody, after the lock is released.
    fn finish(&self, state: FlightState<T, E>) -> usize {
        let FlightState::Running(running) = state else {
            return 0;
        };
        // First, so that it is gone when somebody who is woken looks. One that is being polled is its task's to drop.
        match running.seat {
            ComputationSeat::Idle(computation) => match self.observed() {
                Some(work) => computation.cut_off(work.until_dropped()),
                None => computation.discard(),
            },
            ComputationSeat::Unmade => self.cut_off(),
            ComputationSeat::Polled => {}
        }
        // The task holds the cell until it has seen the end, so it must not sleep on.
        self.driver.wake();
        let count = running.waiters.len();
        for waker in running.waiters.into_values().flatten() {
            // A waker is code of others; if one panics, the rest still has to be woken.
            log::contain(
                || waker.wake(),
                |panic| tracing::error!(panic, "a waker panicked as a lazy value came"),
            );
        }
        count
    }

    /// Says that the computation has gone before its end: whoever wanted it has.
    pub(super) fn cut_off(&self) {
        if let Some(observed) = self.observed() {
            observed.ended(|| End::Cancelled(CancelReason::OwnerDropped));
        }
    }

    pub(super) fn is_over(&self) -> bool {
        matches!(&*self.lock(), FlightState::Ended(_))
    }

    /// True when the runtime dropped the flight.
    pub(super) fn is_lost(&self) -> bool {
        matches!(&*self.lock(), FlightState::Ended(FlightEnd::Lost))
    }

    /// How many wait now.
    pub(super) fn waiters(&self) -> usize {
        match &*self.lock() {
            FlightState::Running(running) => running.waiters.len(),
            FlightState::Ended(_) => 0,
        }
    }

    /// Hands the computation to the driving task, which `cx` wakes again.
    pub(super) fn take_turn(&self, cx: &Context<'_>) -> FlightTurn<T, E> {
        // Registered before the look, or an ending in between would be missed and the task would never end.
        self.driver.register(cx.waker());
        match &mut *self.lock() {
            // It leaves its seat for the poll: nobody else can drop it then, and no lock is held while it runs.
            FlightState::Running(running) => {
                match mem::replace(&mut running.seat, ComputationSeat::Polled) {
                    ComputationSeat::Unmade => FlightTurn::Start,
                    ComputationSeat::Idle(computation) => FlightTurn::Resume(computation),
                    // Only the driving task takes turns, and it always gives back what it took.
                    ComputationSeat::Polled => FlightTurn::Over,
                }
            }
            FlightState::Ended(_) => FlightTurn::Over,
        }
    }

    /// Takes back a computation that is not ready; drops it and is false when the flight has ended meanwhile.
    pub(super) fn put_back(&self, computation: Computation<T, E>) -> bool {
        match &mut *self.lock() {
            FlightState::Running(running) => {
                running.seat = ComputationSeat::Idle(computation);
                return true;
            }
            FlightState::Ended(_) => {}
        }
        // Whoever ended the flight could not drop it, since it was with us (invariant 3).
        computation.discard();
        false
    }

    fn lock(&self) -> MutexGuard<'_, FlightState<T, E>> {
        // No user code runs under this lock; a poisoned state is still whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

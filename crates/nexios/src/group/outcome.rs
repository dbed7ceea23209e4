//! Where a child leaves its result and its handle finds it.

use std::{
    mem,
    sync::{
        Arc, PoisonError,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
    task::Waker,
};

use super::{children::Place, frames, label::Label};
use crate::{
    Interrupted,
    sync::{Mutex, MutexGuard},
};

/// The cell that a child and its handle share. What only the handle reads is in here as well, so that a handle is two
/// pointers: many of them still make a small list.
pub(super) struct Outcome<T, E> {
    state: Mutex<State<T, E>>,
    label: Label,
    handle: HandleState,
}

/// Written and read by the handle alone, and before that by `spawn`: atomic only because a cell is shared.
struct HandleState {
    id: AtomicU64,
    slot: AtomicU32,
    /// It has left a waker in the cell before.
    waits: AtomicBool,
    /// Its waker is registered with the group, not only here.
    registered: AtomicBool,
    /// It has given its result.
    taken: AtomicBool,
}

enum State<T, E> {
    /// Still alive; the waker is the handle's.
    Pending(Option<Waker>),
    /// Nobody will look at the result, or somebody has.
    Abandoned,
    Ready(Result<T, E>),
    Interrupted(Interrupted),
}

/// What a handle finds when it looks.
pub(super) enum Found<T, E> {
    Result(Result<T, E>),
    Interrupted(Interrupted),
}

impl<T, E> State<T, E> {
    /// The end, if there is one. The handle is the only one who takes, and does it once.
    fn take(&mut self) -> Option<Found<T, E>> {
        if matches!(self, Self::Pending(_)) {
            return None;
        }
        match mem::replace(self, Self::Abandoned) {
            Self::Ready(result) => Some(Found::Result(result)),
            Self::Interrupted(interrupted) => Some(Found::Interrupted(interrupted)),
            Self::Pending(_) | Self::Abandoned => None,
        }
    }
}

impl<T, E> Outcome<T, E> {
    pub(super) fn pending(label: Label) -> Arc<Self> {
        let handle = HandleState {
            id: AtomicU64::new(0),
            slot: AtomicU32::new(u32::MAX),
            waits: AtomicBool::new(false),
            registered: AtomicBool::new(false),
            taken: AtomicBool::new(false),
        };
        Arc::new(Self { state: Mutex::new(State::Pending(None)), label, handle })
    }

    fn lock(&self) -> MutexGuard<'_, State<T, E>> {
        // Every change is one assignment, so a poisoned cell is still whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn label(&self) -> &Label {
        &self.label
    }

    // All of these are relaxed: only the handle looks, and it moves between threads with everything that was written.

    pub(super) fn place(&self) -> Place {
        Place { slot: self.handle.slot.load(Ordering::Relaxed), id: self.handle.id.load(Ordering::Relaxed) }
    }

    pub(super) fn set_place(&self, place: Place) {
        self.handle.slot.store(place.slot, Ordering::Relaxed);
        self.handle.id.store(place.id, Ordering::Relaxed);
    }

    pub(super) fn is_registered(&self) -> bool {
        self.handle.registered.load(Ordering::Relaxed)
    }

    pub(super) fn set_registered(&self) {
        self.handle.registered.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_taken(&self) -> bool {
        self.handle.taken.load(Ordering::Relaxed)
    }

    pub(super) fn set_taken(&self) {
        self.handle.taken.store(true, Ordering::Relaxed);
    }

    /// Publishes the result and wakes the handle; false if it is an error that nobody will look at.
    pub(super) fn publish(&self, result: Result<T, E>) -> bool {
        let failed = result.is_err();
        let seen = self.end(State::Ready(result));
        seen || !failed
    }

    /// The first end counts; false if nobody waits for it.
    fn end(&self, ended: State<T, E>) -> bool {
        let mut state = self.lock();
        match &mut *state {
            State::Pending(waker) => {
                let waker = waker.take();
                *state = ended;
                drop(state);
                if let Some(waker) = waker {
                    waker.wake();
                }
                true
            }
            // What comes too late is dropped outside the lock.
            State::Abandoned => {
                drop(state);
                false
            }
            State::Ready(_) | State::Interrupted(_) => {
                drop(state);
                true
            }
        }
    }

    /// Ends the child without a result of its own, unless it has one; false if nobody waits for it.
    pub(super) fn interrupt(&self, interrupted: Interrupted) -> bool {
        self.end(State::Interrupted(interrupted))
    }

    pub(super) fn is_finished(&self) -> bool {
        !matches!(&*self.lock(), State::Pending(_))
    }

    /// The end of a child that has let go of the cell, as all do in the end; that takes no lock.
    pub(super) fn take_alone(this: &mut Arc<Self>) -> Option<Found<T, E>> {
        if Arc::strong_count(this) != 1 {
            return None;
        }
        Arc::get_mut(this)?.state.get_mut().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// The end, if there is one.
    pub(super) fn take(&self) -> Option<Found<T, E>> {
        self.lock().take()
    }

    /// The end, or leaves the waker to be told of it.
    pub(super) fn take_or_wait(&self, waker: &Waker) -> Option<Found<T, E>> {
        // A handle that has waited before is mostly polled with the same waker again.
        if self.handle.waits.load(Ordering::Relaxed) {
            let mut state = self.lock();
            match &mut *state {
                State::Pending(Some(known)) if known.will_wake(waker) => return None,
                State::Pending(_) => {}
                ended => return ended.take(),
            }
        }
        // Cloned and dropped outside the lock: a waker is code of others.
        let fresh = waker.clone();
        let mut state = self.lock();
        match &mut *state {
            State::Pending(known) => {
                let old = known.replace(fresh);
                drop(state);
                drop(old);
                self.handle.waits.store(true, Ordering::Relaxed);
                None
            }
            ended => ended.take(),
        }
    }

    /// The handle goes away; true if it leaves an error that nobody has looked at.
    ///
    /// A result goes with it: left here, its destructor would run wherever the child's side is let go of, in the
    /// middle of a turn or of a group's end.
    pub(super) fn abandon(&self) -> bool {
        let left = {
            let mut state = self.lock();
            match &*state {
                State::Pending(_) | State::Ready(_) => mem::replace(&mut *state, State::Abandoned),
                State::Abandoned | State::Interrupted(_) => return false,
            }
        };
        matches!(left, State::Ready(Err(_)))
    }
}

/// A child's cell without the type of the result.
pub(super) trait Ending: Send + Sync {
    /// See [`Outcome::interrupt`].
    fn interrupt(&self, interrupted: Interrupted) -> bool;
}

impl<T: Send, E: Send> Ending for Outcome<T, E> {
    fn interrupt(&self, interrupted: Interrupted) -> bool {
        Outcome::interrupt(self, interrupted)
    }
}

/// An in-task child's side of the cell: dropped without a result, it says why the group drops it.
pub(super) struct Publisher<T, E> {
    /// None once the result is published.
    outcome: Option<Arc<Outcome<T, E>>>,
}

impl<T, E> Publisher<T, E> {
    pub(super) fn new(outcome: Arc<Outcome<T, E>>) -> Self {
        Self { outcome: Some(outcome) }
    }

    /// See [`Outcome::publish`].
    pub(super) fn publish(mut self, result: Result<T, E>) -> bool {
        self.outcome.take().is_some_and(|outcome| outcome.publish(result))
    }
}

impl<T, E> Drop for Publisher<T, E> {
    fn drop(&mut self) {
        if let Some(outcome) = self.outcome.take() {
            outcome.interrupt(frames::ending());
        }
    }
}

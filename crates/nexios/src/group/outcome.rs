//! Where a child leaves its result and its handle finds it.

use std::{
    mem,
    sync::{Arc, PoisonError},
    task::Waker,
};

use super::frames;
use crate::{
    Interrupted,
    sync::{Mutex, MutexGuard},
};

/// The cell that a child and its handle share.
pub(super) struct Outcome<T, E> {
    state: Mutex<State<T, E>>,
}

enum State<T, E> {
    /// Still alive; the waker is the handle's.
    Pending(Option<Waker>),
    /// Still alive, and nobody will look at the result.
    Abandoned,
    Ready(Result<T, E>),
    Interrupted(Interrupted),
}

/// What a handle finds when it looks.
pub(super) enum Found<T, E> {
    Result(Result<T, E>),
    Interrupted(Interrupted),
}

impl<T, E> Outcome<T, E> {
    pub(super) fn pending() -> Arc<Self> {
        Arc::new(Self { state: Mutex::new(State::Pending(None)) })
    }

    pub(super) fn interrupted(interrupted: Interrupted) -> Arc<Self> {
        Arc::new(Self { state: Mutex::new(State::Interrupted(interrupted)) })
    }

    fn lock(&self) -> MutexGuard<'_, State<T, E>> {
        // Every change is one assignment, so a poisoned cell is still whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Publishes the result and wakes the handle; false if it is an error that nobody will look at.
    pub(super) fn publish(&self, result: Result<T, E>) -> bool {
        let failed = result.is_err();
        let seen = self.end(State::Ready(result));
        seen || !failed
    }

    /// The first end counts; false if nobody waits for it.
    fn end(&self, ended: State<T, E>) -> bool {
        // What is replaced is dropped outside the lock.
        let previous = {
            let mut state = self.lock();
            match &*state {
                State::Pending(_) | State::Abandoned => mem::replace(&mut *state, ended),
                _ => ended,
            }
        };
        match previous {
            State::Pending(waker) => {
                if let Some(waker) = waker {
                    waker.wake();
                }
                true
            }
            State::Abandoned => false,
            _ => true,
        }
    }

    pub(super) fn is_finished(&self) -> bool {
        !matches!(&*self.lock(), State::Pending(_))
    }

    /// The end, if there is one. The handle is the only one who takes, and does it once.
    pub(super) fn take(&self) -> Option<Found<T, E>> {
        let mut state = self.lock();
        if matches!(&*state, State::Pending(_)) {
            return None;
        }
        match mem::replace(&mut *state, State::Abandoned) {
            State::Ready(result) => Some(Found::Result(result)),
            State::Interrupted(interrupted) => Some(Found::Interrupted(interrupted)),
            State::Pending(_) | State::Abandoned => None,
        }
    }

    /// The end, or leaves the waker to be told of it.
    pub(super) fn take_or_wait(&self, waker: &Waker) -> Option<Found<T, E>> {
        {
            let mut state = self.lock();
            if let State::Pending(known) = &mut *state {
                if known.as_ref().is_some_and(|known| known.will_wake(waker)) {
                    return None;
                }
            } else {
                drop(state);
                return self.take();
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
                None
            }
            _ => {
                drop(state);
                self.take()
            }
        }
    }

    /// The handle goes away; true if it leaves an error that nobody has looked at.
    pub(super) fn abandon(&self) -> bool {
        let left = {
            let mut state = self.lock();
            match &*state {
                State::Pending(_) | State::Ready(Err(_)) => mem::replace(&mut *state, State::Abandoned),
                _ => return false,
            }
        };
        matches!(left, State::Ready(Err(_)))
    }
}

/// A child's cell without the type of the result.
pub(super) trait Ending: Send + Sync {
    /// Ends the child without a result of its own, unless it has one; false if nobody waits for it.
    fn interrupt(&self, interrupted: Interrupted) -> bool;
}

impl<T: Send, E: Send> Ending for Outcome<T, E> {
    fn interrupt(&self, interrupted: Interrupted) -> bool {
        self.end(State::Interrupted(interrupted))
    }
}

/// An in-task child's side of the cell: dropped without a result, it says why the group drops it.
pub(super) struct Publisher<T, E> {
    outcome: Arc<Outcome<T, E>>,
    published: bool,
}

impl<T, E> Publisher<T, E> {
    pub(super) fn new(outcome: Arc<Outcome<T, E>>) -> Self {
        Self { outcome, published: false }
    }

    /// See [`Outcome::publish`].
    pub(super) fn publish(mut self, result: Result<T, E>) -> bool {
        self.published = true;
        self.outcome.publish(result)
    }
}

impl<T, E> Drop for Publisher<T, E> {
    fn drop(&mut self) {
        if !self.published {
            self.outcome.end(State::Interrupted(frames::ending()));
        }
    }
}

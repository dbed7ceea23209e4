//! Where a child leaves its result and its handle finds it.

use std::{
    mem,
    sync::{OnceLock, PoisonError},
    task::Waker,
};

use super::{label::Label, wake::Key};
use crate::{
    Interrupted,
    sync::{Mutex, MutexGuard},
};

/// The cell that a child and its handle share.
pub(super) struct Outcome<T, E> {
    pub(super) key: Key,
    label: Label,
    /// The label as text, made when somebody asks for it.
    name: OnceLock<Box<str>>,
    state: Mutex<State<T, E>>,
}

enum State<T, E> {
    /// Still alive; the waker is the handle's.
    Pending(Option<Waker>),
    Ready(Result<T, E>),
    Interrupted(Interrupted),
    Taken,
}

/// What a handle finds when it looks.
pub(super) enum Found<T, E> {
    Pending,
    Result(Result<T, E>),
    Interrupted(Interrupted),
    /// The result was handed out before.
    Nothing,
}

impl<T, E> Outcome<T, E> {
    pub(super) fn pending(key: Key, label: Label) -> Self {
        Self { key, label, name: OnceLock::new(), state: Mutex::new(State::Pending(None)) }
    }

    fn lock(&self) -> MutexGuard<'_, State<T, E>> {
        // Every change is one assignment, so a poisoned cell is still whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Publishes the result and wakes the handle.
    pub(super) fn publish(&self, result: Result<T, E>) {
        self.end(State::Ready(result));
    }

    fn end(&self, ended: State<T, E>) {
        let previous = {
            let mut state = self.lock();
            match &mut *state {
                State::Pending(_) => mem::replace(&mut *state, ended),
                // Ended before: the first end counts, this one is dropped outside the lock.
                _ => ended,
            }
        };
        if let State::Pending(Some(waker)) = previous {
            waker.wake();
        }
    }

    /// Takes the result, if there is one.
    pub(super) fn take(&self) -> Found<T, E> {
        let mut state = self.lock();
        match &*state {
            State::Pending(_) => Found::Pending,
            State::Interrupted(interrupted) => {
                let interrupted = *interrupted;
                *state = State::Taken;
                Found::Interrupted(interrupted)
            }
            State::Ready(_) | State::Taken => match mem::replace(&mut *state, State::Taken) {
                State::Ready(result) => Found::Result(result),
                _ => Found::Nothing,
            },
        }
    }

    /// Takes the result, or leaves the waker to be told of it.
    pub(super) fn take_or_wait(&self, waker: &Waker) -> Found<T, E> {
        let mut fresh = None;
        loop {
            let mut state = self.lock();
            match &mut *state {
                State::Pending(known) => {
                    if known.as_ref().is_some_and(|known| known.will_wake(waker)) {
                        return Found::Pending;
                    }
                    // Cloned and dropped outside the lock: a waker is code of others.
                    match fresh.take() {
                        Some(fresh) => {
                            let old = known.replace(fresh);
                            drop(state);
                            drop(old);
                            return Found::Pending;
                        }
                        None => {
                            drop(state);
                            fresh = Some(waker.clone());
                        }
                    }
                }
                _ => {
                    drop(state);
                    return self.take();
                }
            }
        }
    }

    pub(super) fn is_finished(&self) -> bool {
        !matches!(&*self.lock(), State::Pending(_))
    }

    pub(super) fn name(&self) -> &str {
        match &self.label {
            Label::Given(name) => name,
            label => self.name.get_or_init(|| label.to_string().into()),
        }
    }
}

impl<T, E> Drop for Outcome<T, E> {
    fn drop(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        if matches!(state, State::Ready(Err(_))) {
            tracing::warn!(child = %self.label, "a child of a task group failed and nobody looked at its error");
        }
    }
}

/// A child's cell as the group sees it, without the type of the result.
pub(super) trait Ending: Send + Sync {
    fn label(&self) -> &Label;

    /// Ends the child without a result of its own, unless it has one.
    fn interrupt(&self, interrupted: Interrupted);
}

impl<T: Send, E: Send> Ending for Outcome<T, E> {
    fn label(&self) -> &Label {
        &self.label
    }

    fn interrupt(&self, interrupted: Interrupted) {
        self.end(State::Interrupted(interrupted));
    }
}

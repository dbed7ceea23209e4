//! A candidate as the race sees it: its settings and how far it has come.

use std::{borrow::Cow, fmt, sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{Failure, alarm::Alarm};

/// When an entry may start, seen from the one before it in the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Start {
    /// Together with it.
    Together,
    /// This long after it started.
    After(Duration),
    /// When nobody is running any more.
    OnFailure,
}

/// One line of the race's list. `W` is what waits (a future, or nothing where it is made at the start), `F`
/// the future that runs.
pub(crate) struct Entry<W, F, E> {
    pub(super) name: Cow<'static, str>,
    pub(super) start: Start,
    /// Its own limit, from its own start.
    pub(super) limit: Option<Duration>,
    pub(super) state: State<W, F, E>,
}

pub(super) enum State<W, F, E> {
    Waiting(W),
    Running(Runner<F>),
    Ended(Failure<E>),
}

/// An entry that has started.
pub(super) struct Runner<F> {
    pub(super) future: F,
    pub(super) hearing: Hearing,
    /// When its own limit is reached.
    pub(super) until: Option<Instant>,
}

/// What is known about the next poll of a runner.
pub(super) enum Hearing {
    /// It was never polled and is due.
    Fresh,
    /// It is pending and kept no waker, so nothing can wake it.
    Silent,
    /// It is due when this rings.
    Alarm(Arc<Alarm>),
}

impl<F> Drop for Runner<F> {
    /// A waker that outlives its candidate must not wake the task of a race that is over.
    fn drop(&mut self) {
        if let Hearing::Alarm(alarm) = &self.hearing {
            alarm.forget();
        }
    }
}

impl<W, F, E> Entry<W, F, E> {
    pub(crate) fn new(name: Cow<'static, str>, start: Start, waiting: W) -> Self {
        Self { name, start, limit: None, state: State::Waiting(waiting) }
    }

    /// The name and failure of an entry whose race is over.
    pub(super) fn into_failure(self) -> (Cow<'static, str>, Failure<E>) {
        let failure = match self.state {
            State::Ended(failure) => failure,
            State::Running(_) => Failure::Cancelled,
            State::Waiting(_) => Failure::NotStarted,
        };
        (self.name, failure)
    }
}

impl<W, F, E> fmt::Debug for Entry<W, F, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.state {
            State::Waiting(_) => "waiting",
            State::Running(_) => "running",
            State::Ended(_) => "ended",
        };
        f.debug_struct("Candidate")
            .field("name", &self.name)
            .field("start", &self.start)
            .field("timeout", &self.limit)
            .field("state", &state)
            .finish()
    }
}

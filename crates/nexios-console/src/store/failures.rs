//! How the last computation of each lazy value went wrong.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::{memory::Memory, moment::Moment};
use crate::model::State;

/// Names; those of later values are not kept.
const NAMES: usize = 200;

#[derive(Debug)]
pub(super) struct Failures {
    last: Mutex<HashMap<Box<str>, (State, Moment)>>,
    memory: Arc<Memory>,
}

impl Failures {
    pub(super) fn new(memory: Arc<Memory>) -> Self {
        Self {
            last: Mutex::default(),
            memory,
        }
    }

    /// A computation of the value with this name has ended.
    pub(super) fn ended(&self, name: &str, state: State, now: Moment) {
        if !matches!(state, State::Failed | State::Panicked | State::TimedOut) {
            return;
        }
        let mut last = self.lock();
        if let Some(last) = last.get_mut(name) {
            *last = (state, now);
        } else if last.len() < NAMES {
            last.insert(name.into(), (state, now));
            self.memory
                .take(name.len() + 3 * size_of::<(Box<str>, State, Moment)>());
        }
    }

    /// How the last computation went wrong that has ended since then.
    pub(super) fn since(&self, name: &str, since: Moment) -> Option<State> {
        let last = self.lock();
        let (state, ended) = last.get(name)?;
        (*ended >= since).then_some(*state)
    }

    pub(super) fn last(&self) -> HashMap<Box<str>, (State, Moment)> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Box<str>, (State, Moment)>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

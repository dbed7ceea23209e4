//! Polls that have held their thread for too long, lately.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use nexios::observe::WorkId;

use super::moment::Moment;

const KEPT: usize = 20;

/// How long one is spoken of.
const RECENT: Duration = Duration::from_secs(60);

#[derive(Debug, Clone)]
pub(super) struct SlowPoll {
    pub(super) id: WorkId,
    /// In words.
    pub(super) work: String,
    /// That it is, or is part of.
    pub(super) request: Option<WorkId>,
    pub(super) took: Duration,
    pub(super) seen: Moment,
}

#[derive(Debug, Default)]
pub(super) struct SlowPolls(Mutex<VecDeque<SlowPoll>>);

impl SlowPolls {
    pub(super) fn push(&self, poll: SlowPoll) {
        let mut polls = self.lock();
        if polls.len() == KEPT {
            polls.pop_front();
        }
        polls.push_back(poll);
    }

    pub(super) fn recent(&self, now: Moment) -> Vec<SlowPoll> {
        let mut polls = self.lock();
        polls.retain(|poll| now.since(poll.seen) <= RECENT);
        polls.iter().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<SlowPoll>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

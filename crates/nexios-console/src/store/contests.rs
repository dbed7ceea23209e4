//! Races and calls of hedges: who wins how often, and what the losers cost.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::memory::Memory;
use crate::model::{RaceKind, State};

/// Names of one kind; whatever else there is has the name `_other`.
const NAMES: usize = 200;

/// Of one race.
const CANDIDATES: usize = 16;

const OTHER: &str = "_other";

#[derive(Debug, Clone, Default)]
pub(super) struct Contest {
    pub(super) calls: u64,
    pub(super) candidates: BTreeMap<Box<str>, Candidate>,
    /// What losers have run until they lost.
    pub(super) lost: Duration,
    pub(super) nobody: u64,
}

#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Candidate {
    pub(super) wins: u64,
    /// What it took, in all the times that it won.
    won_after: Duration,
}

impl Candidate {
    /// What it takes when it wins.
    fn usually(&self) -> Option<Duration> {
        let wins = u32::try_from(self.wins).ok().filter(|wins| *wins > 0)?;
        Some(self.won_after / wins)
    }
}

#[derive(Debug)]
pub(super) struct Contests {
    contests: Mutex<HashMap<RaceKind, BTreeMap<Box<str>, Contest>>>,
    memory: Arc<Memory>,
}

impl Contests {
    pub(super) fn new(memory: Arc<Memory>) -> Self {
        Self {
            contests: Mutex::default(),
            memory,
        }
    }

    /// A race or a call of a hedge has ended.
    pub(super) fn ended(&self, kind: RaceKind, name: &str, state: State) {
        self.with(kind, name, |contest| {
            contest.calls += 1;
            if matches!(state, State::Failed | State::Panicked | State::TimedOut) {
                contest.nobody += 1;
            }
            0
        });
    }

    /// A candidate or an attempt has ended that had run for so long, if it ever did.
    pub(super) fn candidate_ended(
        &self,
        kind: RaceKind,
        name: &str,
        candidate: &str,
        state: State,
        ran: Option<Duration>,
    ) {
        self.with(kind, name, |contest| {
            let known = contest.candidates.contains_key(candidate);
            let new = !known && contest.candidates.len() < CANDIDATES;
            let candidate = if known || new { candidate } else { OTHER };
            let candidates = contest.candidates.entry(candidate.into());
            let candidate_now = candidates.or_default();
            let ran = ran.unwrap_or_default();
            match state {
                State::Won => {
                    candidate_now.wins += 1;
                    candidate_now.won_after += ran;
                }
                State::Lost => contest.lost += ran,
                _ => {}
            }
            if new {
                2 * (candidate.len() + size_of::<(Box<str>, Candidate)>())
            } else {
                0
            }
        });
    }

    /// What the candidate takes when it wins.
    pub(super) fn usually(&self, kind: RaceKind, name: &str, candidate: &str) -> Option<Duration> {
        self.lock()
            .get(&kind)?
            .get(name)?
            .candidates
            .get(candidate)?
            .usually()
    }

    /// In no order.
    pub(super) fn all(&self) -> Vec<(RaceKind, Box<str>, Contest)> {
        let contests = self.lock().clone();
        let named = |(kind, contests): (RaceKind, BTreeMap<_, _>)| {
            contests
                .into_iter()
                .map(move |(name, contest)| (kind, name, contest))
        };
        contests.into_iter().flat_map(named).collect()
    }

    /// Changes a contest, and tells by how many bytes it has grown.
    fn with(&self, kind: RaceKind, name: &str, change: impl FnOnce(&mut Contest) -> usize) {
        let mut contests = self.lock();
        let contests = contests.entry(kind).or_default();
        let new = !contests.contains_key(name);
        let name = if new && contests.len() >= NAMES {
            OTHER
        } else {
            name
        };
        let grown = match contests.get_mut(name) {
            Some(contest) => change(contest),
            None => {
                let contest = contests.entry(name.into()).or_default();
                change(contest) + 2 * (name.len() + size_of::<(Box<str>, Contest)>())
            }
        };
        self.memory.take(grown);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<RaceKind, BTreeMap<Box<str>, Contest>>> {
        self.contests.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

//! The times of a race: its limits, the delay of the next contender, and the one timer.
//!
//! It is only made when there is something to measure.

use std::{pin::Pin, task::Context, time::Duration};

use tokio::time::{Instant, Sleep, sleep_until};

use super::delay::StartDelay;
use crate::punctual::poll_punctual;

#[derive(Debug, Default)]
pub(super) struct RaceClock {
    /// The overall limit, from the first poll.
    pub(super) timeout: Option<Duration>,
    /// The deadline of the surrounding scope.
    pub(super) deadline: Option<Instant>,
    /// When the race is over, whatever happens; known from the first poll on.
    pub(super) end: Option<RaceEnd>,
    /// Of the next contender, if it has one.
    pub(super) delay: StartDelay,
    /// The own limits of contenders that run: index and instant.
    limits: Vec<(usize, Instant)>,
    /// Made when there is something to wait for.
    sleep: Option<Pin<Box<Sleep>>>,
}

/// The instant at which a race is over, whatever happens.
#[derive(Debug, Clone, Copy)]
pub(super) struct RaceEnd {
    pub(super) at: Instant,
    /// Whether it is the scope's deadline and not the race's own limit.
    pub(super) inherited: bool,
}

impl RaceClock {
    /// Starts the overall limit; of two limits the earlier counts, and in a tie the outer one is reported.
    pub(super) fn begin(&mut self, now: Instant) {
        // A limit beyond the end of the clock is no limit.
        let own = self.timeout.and_then(|timeout| now.checked_add(timeout));
        let own = own.map(|at| RaceEnd {
            at,
            inherited: false,
        });
        let outer = self.deadline.map(|at| RaceEnd {
            at,
            inherited: true,
        });
        self.end = outer.into_iter().chain(own).min_by_key(|end| end.at);
    }

    /// Notes that a contender starts at `now` with a limit of its own.
    pub(super) fn limit(&mut self, index: usize, limit: Duration, now: Instant) {
        // A limit beyond the end of the clock is no limit.
        if let Some(at) = now.checked_add(limit) {
            self.limits.push((index, at));
        }
    }

    /// When a contender that runs is over, whatever happens: by its own limit or that of the race.
    pub(super) fn limit_of(&self, index: usize) -> Option<Instant> {
        let own = self
            .limits
            .iter()
            .find(|(limited, _)| *limited == index)
            .map(|(_, at)| *at);
        own.into_iter().chain(self.end.map(|end| end.at)).min()
    }

    /// Takes out a contender whose own limit has come.
    pub(super) fn take_expired(&mut self, now: Instant) -> Option<usize> {
        let place = self.limits.iter().position(|(_, at)| *at <= now)?;
        Some(self.limits.remove(place).0)
    }

    /// Forgets the own limit of a contender that has ended.
    pub(super) fn forget_limit(&mut self, index: usize) {
        self.limits.retain(|(limited, _)| *limited != index);
    }

    /// Arranges a wake-up for the next instant at which something happens by itself; true when it has passed.
    ///
    /// # Panics
    ///
    /// When there is no tokio runtime with its clock enabled.
    pub(super) fn watch(&mut self, held_back: bool, cx: &mut Context<'_>) -> bool {
        let limits = self.limits.iter().map(|(_, at)| *at);
        let due = self.delay.due.filter(|_| !held_back);
        let Some(instant) = limits.chain(due).chain(self.end.map(|end| end.at)).min() else {
            return false;
        };
        let sleep = self
            .sleep
            .get_or_insert_with(|| Box::pin(sleep_until(instant)));
        if sleep.deadline() != instant {
            sleep.as_mut().reset(instant);
        }
        poll_punctual(sleep.as_mut(), cx).is_ready()
    }
}

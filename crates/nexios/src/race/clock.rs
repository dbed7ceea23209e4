//! The times of a race: its limits, when its contenders started, and the one timer.
//!
//! It is only read when there is something to measure.

use std::{pin::Pin, task::Context, time::Duration};

use tokio::time::{Instant, Sleep};

use crate::punctual::poll_punctual;

pin_project_lite::pin_project! {
    #[derive(Debug, Default)]
    pub(super) struct Clock {
        // The overall limit, from the first poll.
        timeout: Option<Duration>,
        // The deadline of the surrounding scope.
        deadline: Option<Instant>,
        // When the race is over, whatever happens; known from the first poll on.
        end: Option<End>,
        // When the contender before the next one started, if that one waits for a time after it.
        last_start: Option<Instant>,
        // The own limits of contenders that have started: index and instant.
        limits: Vec<(usize, Instant)>,
        // Made when there is something to wait for.
        #[pin]
        sleep: Option<Sleep>,
    }
}

/// The instant at which a race is over, whatever happens.
#[derive(Debug, Clone, Copy)]
pub(super) struct End {
    pub(super) at: Instant,
    /// Whether it is the scope's deadline and not the race's own limit.
    pub(super) inherited: bool,
}

impl Clock {
    pub(super) fn set_deadline(self: Pin<&mut Self>, deadline: Instant) {
        *self.project().deadline = Some(deadline);
    }

    pub(super) fn set_timeout(self: Pin<&mut Self>, timeout: Duration) {
        *self.project().timeout = Some(timeout);
    }

    /// Starts the overall limit; of two limits the earlier counts, and in a tie the outer one is reported.
    pub(super) fn begin(self: Pin<&mut Self>, now: Instant) {
        let clock = self.project();
        // A limit beyond the end of the clock is no limit.
        let own = clock.timeout.and_then(|timeout| now.checked_add(timeout));
        *clock.end = match (own, *clock.deadline) {
            (Some(own), Some(deadline)) if own < deadline => Some(End { at: own, inherited: false }),
            (_, Some(deadline)) => Some(End { at: deadline, inherited: true }),
            (Some(own), None) => Some(End { at: own, inherited: false }),
            (None, None) => None,
        };
    }

    pub(super) fn end(&self) -> Option<End> {
        self.end
    }

    /// Notes that a contender started at `now` with a limit of its own.
    pub(super) fn limit(self: Pin<&mut Self>, index: usize, limit: Duration, now: Instant) {
        // A limit beyond the end of the clock is no limit.
        if let Some(at) = now.checked_add(limit) {
            self.project().limits.push((index, at));
        }
    }

    /// Takes out a contender whose own limit has come.
    pub(super) fn take_expired(self: Pin<&mut Self>, now: Instant) -> Option<usize> {
        let limits = self.project().limits;
        let place = limits.iter().position(|(_, at)| *at <= now)?;
        Some(limits.remove(place).0)
    }

    /// Forgets the own limit of a contender that has ended.
    pub(super) fn forget_limit(self: Pin<&mut Self>, index: usize) {
        self.project().limits.retain(|(limited, _)| *limited != index);
    }

    /// Notes when the contender before the next one started.
    pub(super) fn started(self: Pin<&mut Self>, now: Instant) {
        *self.project().last_start = Some(now);
    }

    /// When a contender is due that starts so long after the one before it; `None` for never.
    pub(super) fn due(&self, delay: Duration) -> Option<Instant> {
        // A delay beyond the end of the clock never ends.
        self.last_start?.checked_add(delay)
    }

    /// The next instant at which something happens by itself, or `due` if that is earlier.
    pub(super) fn next_instant(&self, due: Option<Instant>) -> Option<Instant> {
        let limits = self.limits.iter().map(|(_, at)| *at);
        limits.chain(due).chain(self.end.map(|end| end.at)).min()
    }

    /// Arranges a wake-up at `instant`; true when it has passed already.
    ///
    /// # Panics
    ///
    /// When there is no tokio runtime with its clock enabled.
    pub(super) fn watch(self: Pin<&mut Self>, instant: Instant, cx: &mut Context<'_>) -> bool {
        let mut sleep = self.project().sleep;
        if sleep.is_none() {
            sleep.set(Some(tokio::time::sleep_until(instant)));
        }
        let Some(mut sleep) = sleep.as_pin_mut() else {
            return false;
        };
        if sleep.deadline() != instant {
            sleep.as_mut().reset(instant);
        }
        poll_punctual(sleep, cx).is_ready()
    }
}

//! What is known of the drains of a process's workers.

use std::{borrow::Cow, sync::Mutex, time::Duration};

use nexios::Drain;
use tokio::{sync::watch, time::Instant};

use crate::{engine::End, lock::lock, policy::Policy, state::JobState};

use super::report::JobsDrainReport;

/// Stands for "no limit": as far away as tokio's own clock looks.
const FAR_AWAY: Duration = Duration::from_secs(60 * 60 * 24 * 365 * 30);

pub(super) struct Drains {
    state: Mutex<DrainState>,
    /// Counts what may matter to a drain.
    changes: watch::Sender<u64>,
}

#[derive(Default)]
struct DrainState {
    /// There once a drain has begun.
    limits: Option<DrainLimits>,
    /// The dispatcher claims nothing any more.
    closed: bool,
    /// The sequence is there.
    goes_on: bool,
    /// How those ended that have.
    ends: JobsDrainReport,
    report: Option<JobsDrainReport>,
}

#[derive(Clone, Copy)]
pub(super) struct DrainLimits {
    begun: Instant,
    wait: Instant,
    pub(super) end: Instant,
}

impl DrainLimits {
    fn new(drain: Drain) -> Self {
        let begun = Instant::now();
        let wait = later(begun, drain.wait);
        Self {
            begun,
            wait,
            end: later(wait, drain.cancel),
        }
    }

    /// When the tokens of jobs with this policy fire.
    pub(super) fn wait_of(&self, policy: &Policy) -> Instant {
        let own = policy.drain_wait.map(|wait| later(self.begun, wait));
        own.map_or(self.wait, |own| own.min(self.wait))
    }
}

/// What there is for one who waits for a drain.
pub(super) enum Turn {
    Over(JobsDrainReport),
    /// Nobody goes through the phases: it is to start that.
    Begin,
    Wait,
}

impl Drains {
    pub(super) fn new() -> Self {
        Self {
            state: Mutex::default(),
            changes: watch::Sender::new(0),
        }
    }

    pub(super) fn changed(&self) {
        self.changes
            .send_modify(|count| *count = count.wrapping_add(1));
    }

    /// Hears of all changes from now on.
    pub(super) fn listen(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// A drain begins, or shortens the limits of the one that goes on.
    pub(super) fn begin(&self, drain: Drain) {
        let limits = DrainLimits::new(drain);
        let mut state = lock(&self.state);
        let shortest = state.limits.map_or(limits, |earlier| DrainLimits {
            begun: earlier.begun,
            wait: earlier.wait.min(limits.wait),
            end: earlier.end.min(limits.end),
        });
        state.limits = Some(shortest);
    }

    pub(super) fn turn(&self) -> Turn {
        let mut state = lock(&self.state);
        if let Some(report) = &state.report {
            return Turn::Over(report.clone());
        }
        match std::mem::replace(&mut state.goes_on, true) {
            true => Turn::Wait,
            false => Turn::Begin,
        }
    }

    /// The sequence is gone, at its end or with its runtime.
    pub(super) fn stopped(&self) {
        lock(&self.state).goes_on = false;
        self.changed();
    }

    /// All is over, but for those.
    pub(super) fn finish(&self, left: Vec<Cow<'static, str>>) {
        let mut state = lock(&self.state);
        let mut report = std::mem::take(&mut state.ends);
        report.abandoned.extend(left);
        state.report.get_or_insert(report);
    }

    /// Whether nothing is to be claimed any more.
    pub(super) fn has_begun(&self) -> bool {
        lock(&self.state).limits.is_some()
    }

    /// The dispatcher has seen it.
    pub(super) fn close(&self) {
        let was_closed = std::mem::replace(&mut lock(&self.state).closed, true);
        if !was_closed {
            self.changed();
        }
    }

    /// Whether the dispatcher has seen that a drain began.
    pub(super) fn is_closed(&self) -> bool {
        lock(&self.state).closed
    }

    /// Notes how a job ended, if a drain has begun.
    pub(super) fn note(&self, name: Cow<'static, str>, end: &End, written: Option<JobState>) {
        let mut state = lock(&self.state);
        if state.limits.is_some() {
            state.ends.file(name, end, written);
        }
    }

    pub(super) fn limits(&self) -> DrainLimits {
        let now = Instant::now();
        lock(&self.state).limits.unwrap_or(DrainLimits {
            begun: now,
            wait: now,
            end: now,
        })
    }
}

pub(super) fn later(instant: Instant, duration: Duration) -> Instant {
    instant
        .checked_add(duration.min(FAR_AWAY))
        .unwrap_or(instant)
}

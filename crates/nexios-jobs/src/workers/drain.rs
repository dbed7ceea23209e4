//! The end of a process's workers: wait, cancel, hand back.
//!
//! # Invariants
//!
//! 1. One sequence goes through the phases, as a task of its own, however many await it. If its runtime ends, one of those
//!    who wait starts it again on another.
//! 2. Limits only shrink. The report is made once.
//! 3. Nothing is claimed once the dispatcher has seen that a drain began; what it had just claimed goes back.

use std::{
    borrow::Cow,
    sync::{Arc, Mutex},
    time::Duration,
};

use nexios::{CancelReason, Drain};
use tokio::{
    sync::watch,
    time::{Instant, timeout, timeout_at},
};

use crate::{engine::End, state::JobState};

use super::{
    JobsDrainReport,
    shared::{Shared, file, lock},
};

/// How long to wait for futures that were dropped to be gone. Only one that holds its thread uses it up.
const UNWIND: Duration = Duration::from_millis(200);

/// How long the last ends may take to be written.
const WRITE: Duration = Duration::from_secs(1);

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
struct DrainLimits {
    wait: Instant,
    end: Instant,
}

impl DrainLimits {
    fn new(drain: Drain) -> Self {
        let wait = later(Instant::now(), drain.wait);
        Self {
            wait,
            end: later(wait, drain.cancel),
        }
    }
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

    /// Notes how a job ended, if a drain has begun.
    pub(super) fn note(&self, name: Cow<'static, str>, end: &End, written: Option<JobState>) {
        let mut state = lock(&self.state);
        if state.limits.is_some() {
            file(&mut state.ends, name, end, written);
        }
    }

    fn limits(&self) -> DrainLimits {
        let now = Instant::now();
        lock(&self.state).limits.unwrap_or(DrainLimits {
            wait: now,
            end: now,
        })
    }
}

/// Ends the workers; see [`Workers::drain`](super::Workers::drain).
pub(super) async fn drain(shared: &Arc<Shared>, drain: Drain) -> JobsDrainReport {
    let drains = &shared.drains;
    // Before the look: no change is missed.
    let mut changes = drains.changes.subscribe();
    let limits = DrainLimits::new(drain);
    {
        let mut state = lock(&drains.state);
        let shortest = state.limits.map_or(limits, |earlier| DrainLimits {
            wait: earlier.wait.min(limits.wait),
            end: earlier.end.min(limits.end),
        });
        state.limits = Some(shortest);
    }
    shared.told.notify_one();
    drains.changed();
    loop {
        changes.mark_unchanged();
        let starts = {
            let mut state = lock(&drains.state);
            if let Some(report) = &state.report {
                return report.clone();
            }
            !std::mem::replace(&mut state.goes_on, true)
        };
        if starts {
            let sequence = Sequence(shared.clone());
            tokio::spawn(async move { sequence.run().await });
        }
        // The sender lives as long as the workers.
        let _ = changes.changed().await;
    }
}

/// The sequence of a drain; dropped before its end, it says so.
struct Sequence(Arc<Shared>);

impl Drop for Sequence {
    fn drop(&mut self) {
        lock(&self.0.drains.state).goes_on = false;
        self.0.drains.changed();
    }
}

impl Sequence {
    async fn run(&self) {
        let shared = &self.0;
        if !self.all_end_until(|limits| limits.wait).await {
            shared.cancel_all(CancelReason::Shutdown);
            if !self.all_end_until(|limits| limits.end).await {
                shared.abort_all();
                let unwound = later(Instant::now(), UNWIND);
                self.ends_until(unwound, Shared::is_idle).await;
                let written = later(Instant::now(), WRITE);
                self.ends_until(written, |shared| !shared.has_unwritten())
                    .await;
            }
        }
        if shared.count() == 0 {
            // What is left in the store tells nobody anything; it is forgotten when its lease ends.
            let _ = timeout(WRITE, shared.engine.retire(shared.worker().id)).await;
        }
        let left = shared.finish();
        let mut state = lock(&shared.drains.state);
        let mut report = std::mem::take(&mut state.ends);
        report.abandoned.extend(left);
        state.report.get_or_insert(report);
    }

    /// Waits for the end of all, but not longer than the limit, which a later drain may shorten.
    async fn all_end_until(&self, limit: impl Fn(DrainLimits) -> Instant) -> bool {
        let mut changes = self.0.drains.changes.subscribe();
        loop {
            let limit = limit(self.0.drains.limits());
            if self.0.is_idle() {
                return true;
            }
            if Instant::now() >= limit {
                return false;
            }
            let _ = timeout_at(limit, changes.changed()).await;
        }
    }

    async fn ends_until(&self, limit: Instant, is_over: impl Fn(&Shared) -> bool) {
        let mut changes = self.0.drains.changes.subscribe();
        while !is_over(&self.0) && Instant::now() < limit {
            let _ = timeout_at(limit, changes.changed()).await;
        }
    }
}

impl Shared {
    /// Whether nothing runs, and nothing will.
    fn is_idle(&self) -> bool {
        lock(&self.drains.state).closed && self.count() == 0
    }
}

fn later(instant: Instant, duration: Duration) -> Instant {
    instant
        .checked_add(duration.min(FAR_AWAY))
        .unwrap_or(instant)
}

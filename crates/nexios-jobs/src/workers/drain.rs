//! The end of a process's workers: wait, cancel, hand back.
//!
//! # Invariants
//!
//! 1. One sequence goes through the phases, as a task of its own, however many await it. If its runtime ends, one of those
//!    who wait starts it again on another.
//! 2. Limits only shrink. The report is made once.
//! 3. Nothing is claimed once the dispatcher has seen that a drain began; what it had just claimed goes back. What it had just
//!    begun is told like all that runs: it says when it has seen the drain, and the tokens are looked at once more.

use std::{sync::Arc, time::Duration};

use nexios::Drain;
use tokio::time::{Instant, timeout, timeout_at};

use super::{
    drains::{Turn, later},
    report::JobsDrainReport,
    shared::Shared,
};

/// How long to wait for futures that were dropped to be gone. Only one that holds its thread uses it up.
const UNWIND: Duration = Duration::from_millis(200);

/// How long the last ends may take to be written.
const WRITE: Duration = Duration::from_secs(1);

/// Ends the workers; see [`Workers::drain`](super::Workers::drain).
pub(super) async fn drain(shared: &Arc<Shared>, drain: Drain) -> JobsDrainReport {
    let drains = &shared.drains;
    // Before the look: no change is missed.
    let mut changes = drains.listen();
    drains.begin(drain);
    shared.told.notify_one();
    drains.changed();
    loop {
        changes.mark_unchanged();
        match drains.turn() {
            Turn::Over(report) => return report,
            Turn::Begin => {
                let sequence = Sequence(shared.clone());
                tokio::spawn(async move { sequence.run().await });
            }
            Turn::Wait => {}
        }
        // The sender lives as long as the workers.
        let _ = changes.changed().await;
    }
}

/// The sequence of a drain; dropped before its end, it says so.
struct Sequence(Arc<Shared>);

impl Drop for Sequence {
    fn drop(&mut self) {
        self.0.drains.stopped();
    }
}

impl Sequence {
    async fn run(&self) {
        let shared = &self.0;
        if !self.all_end().await {
            shared.abort_all();
            let unwound = later(Instant::now(), UNWIND);
            self.ends_until(unwound, Shared::is_idle).await;
            let written = later(Instant::now(), WRITE);
            self.ends_until(written, |shared| !shared.has_unwritten())
                .await;
        }
        if shared.count() == 0 {
            // What is left in the store tells nobody anything; it is forgotten when its lease ends.
            let _ = timeout(WRITE, shared.engine.retire(shared.worker().id)).await;
        }
        shared.drains.finish(shared.finish());
    }

    /// Waits for the end of all, but not longer than the limits, which a later drain may shorten; fires the tokens of each
    /// kind when its time is over.
    async fn all_end(&self) -> bool {
        let shared = &self.0;
        let mut changes = shared.drains.listen();
        loop {
            let limits = shared.drains.limits();
            if shared.is_idle() {
                return true;
            }
            // At each turn, as what the dispatcher was just claiming may have begun since.
            let next = shared.cancel_overdue(|policy| limits.wait_of(policy));
            if Instant::now() >= limits.end {
                return false;
            }
            let next = next.map_or(limits.end, |next| next.min(limits.end));
            let _ = timeout_at(next, changes.changed()).await;
        }
    }

    async fn ends_until(&self, limit: Instant, is_over: impl Fn(&Shared) -> bool) {
        let mut changes = self.0.drains.listen();
        while !is_over(&self.0) && Instant::now() < limit {
            let _ = timeout_at(limit, changes.changed()).await;
        }
    }
}

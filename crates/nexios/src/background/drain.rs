//! The end of a registry in three phases: wait, cancel, abort.
//!
//! # Invariants
//!
//! 1. Nobody drives a drain but those who await it; each of them can do all of it, so it goes on when one
//!    of them goes away.
//! 2. Limits only shrink, phases only advance, the report is made once.
//! 3. Tokens fire, and drivers wake, outside the registry's lock.

use std::{
    borrow::Cow,
    pin::pin,
    sync::{Arc, OnceLock, PoisonError},
    time::Duration,
};

use futures_util::future::select;
use tokio::time::Instant;

use crate::{
    CancelReason, pool, residue,
    sync::{Mutex, MutexGuard},
};

use super::{
    clock::{later, now, wait_until},
    info::TaskState,
    record::Record,
    registry::{Phase, Registry},
    report,
};

/// How long the last phase waits for futures that were dropped to be gone. It is only used up by a future
/// that holds its thread.
const UNWIND: Duration = Duration::from_millis(50);

/// How long a drain waits in its first two phases.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// use std::time::Duration;
/// use nexios::{Background, Drain};
///
/// let background = Background::new();
/// let report = background.drain(Drain { wait: Duration::from_secs(20), cancel: Duration::from_secs(3) }).await;
/// assert!(report.abandoned.is_empty());
/// # }
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Drain {
    /// How long tasks may go on undisturbed.
    pub wait: Duration,
    /// How long tasks may go on after their token has fired.
    pub cancel: Duration,
}

/// How the tasks ended that were alive when a drain began, by name and in the order of their start.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct DrainReport {
    /// Those that returned a value.
    pub completed: Vec<Cow<'static, str>>,
    /// Those that returned an error, panicked or reached their time limit.
    pub failed: Vec<Cow<'static, str>>,
    /// Those that were cancelled, and those that were never started.
    pub cancelled: Vec<Cow<'static, str>>,
    /// Those that were cut off, then leftovers of task groups that outlived the drain; finalizers among these are dropped
    /// as it ends.
    pub abandoned: Vec<Cow<'static, str>>,
    /// How many closures still run on thread pools, in the whole process.
    pub running_pool_closures: usize,
}

/// One drain, shared by all who await it.
#[derive(Debug)]
pub(super) struct Draining {
    /// The tasks alive when it began, in the order of their numbers.
    members: Vec<Arc<Record>>,
    /// When the phases end; only locked under the registry's lock.
    limits: Mutex<Limits>,
    /// Made once, by whoever sees the end first.
    report: OnceLock<DrainReport>,
}

#[derive(Debug, Clone, Copy)]
struct Limits {
    /// End of the first phase.
    wait: Instant,
    /// Length of the second phase, which counts until it begins.
    cancel: Duration,
    /// End of the phase that goes on, once the first has ended.
    until: Option<Instant>,
}

/// What has to be done next, and outside the lock.
enum Step {
    /// Wait for a change, at most until then.
    Wait(Instant),
    /// Fire the tokens of the first, which run, and wake the second, which were ended before they began.
    Cancel(Vec<Arc<Record>>, Vec<Arc<Record>>),
    /// Wake these: they were ended as they were.
    Abort(Vec<Arc<Record>>),
    /// All tasks have ended; leftovers of task groups may be waited for until then.
    Done(Instant),
}

/// Ends everything in `registry`; see [`Background::drain`](crate::Background::drain).
pub(super) async fn drain(registry: &Registry, drain: Drain) -> DrainReport {
    let draining = begin(registry, drain);
    registry.closing().cancel(CancelReason::Shutdown);
    registry.tell();
    loop {
        // Made before the look: it hears of every change from now on, polled or not.
        let changed = pin!(registry.changes());
        if let Some(report) = draining.report.get() {
            if registry.is_global {
                residue::wait_for_cut_off(now() + UNWIND).await;
            }
            return report.clone();
        }
        match draining.step(registry) {
            Step::Wait(limit) => {
                wait_until(limit, changed).await;
            }
            Step::Cancel(running, waiting) => {
                running.iter().for_each(|record| {
                    record.cancel(CancelReason::Shutdown);
                });
                waiting.iter().for_each(|record| record.wake());
            }
            Step::Abort(ended) => ended.iter().for_each(|record| {
                report::abandoned(record);
                record.wake();
            }),
            Step::Done(limit) => {
                if registry.is_global && !residue::is_empty() && now() < limit {
                    select(pin!(residue::wait_until_empty(limit)), changed).await;
                } else {
                    draining.finish(registry);
                }
            }
        }
    }
}

/// Closes the registry; joins the drain that goes on, or begins one.
fn begin(registry: &Registry, drain: Drain) -> Arc<Draining> {
    let now = now();
    let wait = later(now, drain.wait);
    let mut tasks = registry.lock();
    if let Some(draining) = &tasks.draining {
        let mut limits = draining.limits();
        limits.wait = limits.wait.min(wait);
        limits.cancel = limits.cancel.min(drain.cancel);
        if tasks.phase == Phase::Cancelling {
            limits.until = limits.until.map(|until| until.min(later(now, drain.cancel)));
        }
        return draining.clone();
    }
    if tasks.phase == Phase::Open {
        tasks.phase = Phase::Closing;
    }
    let members = tasks.live_records();
    let limits = Limits { wait, cancel: drain.cancel, until: None };
    let draining = Arc::new(Draining { members, limits: Mutex::new(limits), report: OnceLock::new() });
    tasks.draining = Some(draining.clone());
    draining
}

impl Draining {
    fn limits(&self) -> MutexGuard<'_, Limits> {
        self.limits.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Advances the phase if it is due.
    fn step(&self, registry: &Registry) -> Step {
        let now = now();
        let mut tasks = registry.lock();
        let mut limits = self.limits();
        if tasks.is_idle() {
            return Step::Done(limits.until.unwrap_or_else(|| later(limits.wait, limits.cancel)));
        }
        match tasks.phase {
            Phase::Open | Phase::Closing => {
                if now < limits.wait {
                    return Step::Wait(limits.wait);
                }
                tasks.phase = Phase::Cancelling;
                limits.until = Some(later(now, limits.cancel));
                let waiting =
                    registry.end_all(&mut tasks, &self.members, |record| record.state() == TaskState::Queued);
                Step::Cancel(tasks.live_records(), waiting)
            }
            Phase::Cancelling => {
                let until = limits.until.unwrap_or_else(|| later(now, limits.cancel));
                limits.until = Some(until);
                if now < until {
                    return Step::Wait(until);
                }
                tasks.phase = Phase::Aborting;
                limits.until = Some(now + UNWIND);
                // A plain future cannot ignore its cancellation: it is given the moment to be dropped.
                Step::Abort(registry.end_all(&mut tasks, &self.members, Record::is_asked))
            }
            Phase::Aborting => {
                let until = *limits.until.get_or_insert(now + UNWIND);
                if now < until {
                    return Step::Wait(until);
                }
                let held = registry.end_all(&mut tasks, &self.members, |_| true);
                if held.is_empty() { Step::Done(until) } else { Step::Abort(held) }
            }
        }
    }

    /// Makes the report, unless another driver has made it, and ends the drain.
    fn finish(self: &Arc<Self>, registry: &Registry) {
        // Not `get_or_init`, which holds others up while it looks at the tasks. The first one counts.
        let is_first = self.report.set(self.report(registry)).is_ok();
        if is_first && registry.is_global {
            residue::cut_off();
        }
        let mut tasks = registry.lock();
        if tasks.draining.as_ref().is_some_and(|draining| Arc::ptr_eq(draining, self)) {
            tasks.draining = None;
        }
        drop(tasks);
        registry.tell();
    }

    fn report(&self, registry: &Registry) -> DrainReport {
        let mut report =
            DrainReport { running_pool_closures: pool::closures_running(), ..Default::default() };
        for record in &self.members {
            let names = match record.state() {
                TaskState::Completed => &mut report.completed,
                TaskState::Failed | TaskState::Panicked | TaskState::TimedOut => &mut report.failed,
                TaskState::Cancelled => &mut report.cancelled,
                _ => &mut report.abandoned,
            };
            names.push(record.name.clone());
        }
        if registry.is_global {
            report.abandoned.extend(residue::names());
        }
        report
    }
}

/// Here and not with the other tests, as leftovers are private to the crate.
#[cfg(test)]
mod tests {
    use super::*;
    use crate::Background;

    /// A registry of its own that drains like the global one; that one could never be used again.
    fn global() -> Registry {
        Registry::new(Background::builder(), true)
    }

    const LIMITS: Drain = Drain { wait: Duration::from_secs(5), cancel: Duration::from_secs(2) };

    #[tokio::test(start_paused = true)]
    async fn the_global_drain_waits_for_leftovers_within_its_limits() {
        let began = Instant::now();
        residue::adopt("finalizer", tokio::time::sleep(Duration::from_secs(3)));
        let other = Registry::new(Background::builder(), false);
        drain(&other, LIMITS).await;
        assert_eq!(began.elapsed(), Duration::ZERO, "only the global one waits");

        let registry = global();
        let report = drain(&registry, LIMITS).await;
        assert_eq!((began.elapsed(), report.abandoned.len()), (Duration::from_secs(3), 0));

        let leftover = residue::enter("endless");
        let report = drain(&registry, LIMITS).await;
        assert_eq!(report.abandoned, ["endless"], "what comes later is for the next drain");
        assert_eq!(began.elapsed(), Duration::from_secs(10));
        drop(leftover);
    }
}

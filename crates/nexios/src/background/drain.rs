//! The end of a registry in three phases: wait, cancel, abort.
//!
//! # Invariants
//!
//! 1. One sequence goes through the phases, as a task of its own, however many await it. Each of its steps can be
//!    made twice: if its runtime ends, one of those who wait starts it again on another.
//! 2. Limits only shrink (`drain_limits.rs`). The report is made once.
//! 3. A task of the registry that awaits the drain is neither waited for, nor cancelled, nor cut off while it does.
//! 4. Tokens fire, and drivers wake, outside of all locks. The lock of a drain is taken before the registry's.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    future,
    pin::pin,
    sync::{Arc, OnceLock, PoisonError, Weak},
    time::Duration,
};

use futures_util::future::select;
use tokio::{sync::Notify, time::Instant};

use crate::{
    cancel::CancelReason,
    pool,
    punctual::punctual,
    residue,
    sync::{Mutex, MutexGuard},
};

use super::{
    current,
    drain_limits::{Drain, DrainLimits},
    info::{TaskId, TaskState},
    notices,
    record::Record,
    registry::Registry,
    runtime::{self, later, now, wait_until},
};

/// How long the last phase waits for futures that were dropped to be gone. It is only used up by a future
/// that holds its thread.
const UNWIND: Duration = Duration::from_millis(50);

/// How long to wait before a sequence whose runtime has ended is started again.
const TRY_AGAIN: Duration = Duration::from_millis(1);

/// How the tasks ended that were alive when a drain began, by name and in the order of their start.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// use std::time::Duration;
/// use nexios::{Background, Drain};
///
/// let background = Background::new();
/// let _welcome = background.spawn_future("welcome", async {});
/// let _poll = background.spawn_future("poll", std::future::pending::<()>());
/// let report = background.drain(Drain { wait: Duration::from_secs(20), cancel: Duration::from_secs(3) }).await;
/// assert_eq!(report.completed, ["welcome"]);
/// assert_eq!(report.cancelled, ["poll"]);
/// assert!(report.abandoned.is_empty());
/// # }
/// ```
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct DrainReport {
    /// Those that returned a value.
    pub completed: Vec<Cow<'static, str>>,
    /// Those that returned an error, panicked or reached their time limit.
    pub failed: Vec<Cow<'static, str>>,
    /// Those that were cancelled, and those that were never started.
    pub cancelled: Vec<Cow<'static, str>>,
    /// Those that were cut off, then leftovers of task groups that outlived the drain.
    pub abandoned: Vec<Cow<'static, str>>,
    /// Durable jobs that were stopped here and are free for others; no loss, so not among the abandoned. A
    /// [`Background`](crate::Background) has none.
    pub handed_back: Vec<Cow<'static, str>>,
    /// How many closures still run on thread pools, in the whole process.
    pub running_pool_closures: usize,
}

/// The drains of one registry, of which one goes on at a time.
#[derive(Default)]
pub(super) struct Drains {
    /// Whether they also wait for the leftovers of task groups.
    of_the_process: bool,
    /// Kept alive by its sequence and by those who wait.
    latest: Mutex<Weak<Draining>>,
}

/// One drain, shared by its sequence and by all who await it.
struct Draining {
    registry: Arc<Registry>,
    of_the_process: bool,
    /// The tasks alive when it began, in the order of their numbers.
    members: Vec<Arc<Record>>,
    state: Mutex<DrainState>,
    /// For those who await it from outside. Once it is there the drain is over, and nobody joins it any more.
    report: OnceLock<DrainReport>,
    /// For the members that await it while somebody outside does too: those wait for these members next.
    report_for_members: OnceLock<DrainReport>,
    /// Told when there is a report, or when the sequence has to be started again.
    told: Notify,
}

struct DrainState {
    limits: DrainLimits,
    /// The members that await the drain, each with how often.
    callers: BTreeMap<TaskId, usize>,
    /// Whether somebody outside the registry has awaited it.
    outside: bool,
    /// Whether the sequence is there.
    goes_on: bool,
}

impl Drains {
    /// Those of [`Background::global`](crate::Background::global).
    pub(super) fn of_the_process() -> Self {
        Self {
            of_the_process: true,
            latest: Mutex::default(),
        }
    }

    /// Ends everything in `registry`; see [`Background::drain`](crate::Background::drain).
    pub(super) async fn drain(&self, registry: &Arc<Registry>, drain: Drain) -> DrainReport {
        runtime::require_clock();
        let waiter = self.join(registry, drain);
        // Not before the registry is closed: a schedule that ended for it could be started anew.
        registry.closing().cancel(CancelReason::Shutdown);
        // The sequence may sleep until a limit that has just become shorter.
        registry.tell();
        let mut started = false;
        loop {
            // Made before the look: it hears of every change from now on, polled or not.
            let told = waiter.draining.told.notified();
            if let Some(report) = waiter.report() {
                if self.of_the_process {
                    // What the report names is gone when the caller reads it, unless it holds its thread.
                    residue::wait_for_cut_off(later(now(), UNWIND)).await;
                }
                return report.clone();
            }
            if waiter.draining.start() {
                if started {
                    // Its runtime has ended. If that is ours as well, this panics instead of trying for ever.
                    wait_until(later(now(), TRY_AGAIN), future::pending()).await;
                }
                started = true;
            }
            punctual(told).await;
        }
    }

    /// Closes the registry; joins the drain that goes on, or begins one.
    fn join(&self, registry: &Arc<Registry>, drain: Drain) -> DrainWaiter {
        let now = now();
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let draining = latest.upgrade().unwrap_or_else(|| {
                Arc::new(Draining::new(
                    registry,
                    self.of_the_process,
                    DrainLimits::new(now, drain),
                ))
            });
            *latest = Arc::downgrade(&draining);
            if let Some(waiter) = draining.enter(now, drain) {
                return waiter;
            }
            // It is over, and somebody still reads its report, which says nothing of what this caller has started since.
            *latest = Weak::new();
        }
    }
}

/// One who awaits a drain.
struct DrainWaiter {
    draining: Arc<Draining>,
    /// The member in whose code it is awaited.
    member: Option<Arc<Record>>,
}

impl DrainWaiter {
    fn report(&self) -> Option<&DrainReport> {
        let early = self
            .member
            .as_ref()
            .and_then(|_| self.draining.report_for_members.get());
        early.or_else(|| self.draining.report.get())
    }
}

impl Drop for DrainWaiter {
    /// A member is a task like the others again.
    fn drop(&mut self) {
        let Some(member) = &self.member else { return };
        let mut state = self.draining.state();
        if let Some(times) = state.callers.get_mut(&member.id) {
            *times -= 1;
            if *times == 0 {
                state.callers.remove(&member.id);
            }
        }
        // It was passed over when the tokens fired.
        let is_over = self.draining.report.get().is_some();
        let cancelled =
            !is_over && !state.callers.contains_key(&member.id) && now() >= state.limits.wait;
        drop(state);
        if cancelled {
            member.cancel(CancelReason::Shutdown);
        }
        // There is one more to wait for.
        self.draining.registry.tell();
    }
}

/// The sequence of a drain; dropped before its end, it says so.
struct Sequence(Arc<Draining>);

impl Drop for Sequence {
    fn drop(&mut self) {
        self.0.state().goes_on = false;
        runtime::others_may_go_on();
        self.0.told.notify_waiters();
    }
}

impl Draining {
    fn state(&self) -> MutexGuard<'_, DrainState> {
        // No code of the user's runs under this lock; a poisoned one is still whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Closes the registry.
    fn new(registry: &Arc<Registry>, of_the_process: bool, limits: DrainLimits) -> Self {
        let state = DrainState {
            limits,
            callers: BTreeMap::new(),
            outside: false,
            goes_on: false,
        };
        Self {
            registry: registry.clone(),
            of_the_process,
            members: registry.close(),
            state: Mutex::new(state),
            report: OnceLock::new(),
            report_for_members: OnceLock::new(),
            told: Notify::new(),
        }
    }

    /// Joins it, unless it is over: in one step with its end, so that nobody gets a report that was made before he came.
    fn enter(self: Arc<Self>, now: Instant, drain: Drain) -> Option<DrainWaiter> {
        let member = current::task().and_then(|id| self.member(id));
        let mut state = self.state();
        if self.report.get().is_some() {
            return None;
        }
        state.limits.shorten(now, drain);
        match &member {
            Some(member) => *state.callers.entry(member.id).or_default() += 1,
            None => state.outside = true,
        }
        drop(state);
        Some(DrainWaiter {
            draining: self,
            member,
        })
    }

    fn member(&self, id: TaskId) -> Option<Arc<Record>> {
        let place = self
            .members
            .binary_search_by_key(&id, |record| record.id)
            .ok()?;
        self.members.get(place).cloned()
    }

    /// Starts the sequence unless it is there or has made the report; whether it was started.
    fn start(self: &Arc<Self>) -> bool {
        // Looked at and set in one step: two who wait must not start two, and one that has ended with the report, since
        // its waiter has looked, is not one whose runtime has ended.
        let mut state = self.state();
        if self.report.get().is_some() || std::mem::replace(&mut state.goes_on, true) {
            return false;
        }
        drop(state);
        let sequence = Sequence(self.clone());
        // Nobody needs its handle: it tells of its end.
        drop(runtime::spawn(async move { sequence.0.run().await }));
        true
    }

    async fn run(&self) {
        // From the top if somebody has come from outside meanwhile: now the members that await it count as well.
        loop {
            self.phases().await;
            let leftovers = self.leftovers().await;
            if self.finish(leftovers) {
                return;
            }
        }
    }

    /// Waits, cancels, waits, aborts; returns as soon as nobody is left.
    async fn phases(&self) {
        if self.all_end_until(|limits| limits.wait).await {
            return;
        }
        self.cancel();
        if self.all_end_until(DrainLimits::end).await {
            return;
        }
        self.abort();
        // A plain future cannot ignore its cancellation: it is given the moment to be dropped.
        let unwound = later(now(), UNWIND);
        if !self.all_end_until(|_| unwound).await {
            self.cut_off();
        }
    }

    /// Waits for the end of all tasks, but not longer than the limit, which a later drain may shorten.
    async fn all_end_until(&self, limit: impl Fn(&DrainLimits) -> Instant) -> bool {
        loop {
            // Listened for before the look: an end between the two would be slept over.
            let changed = self.registry.changes();
            let limit = limit(&self.state().limits);
            if self.nobody_is_left() {
                return true;
            }
            if now() >= limit {
                return false;
            }
            wait_until(limit, changed).await;
        }
    }

    /// Whether there is nobody left to wait for. Members that await the drain get their report if they are the last.
    fn nobody_is_left(&self) -> bool {
        let state = self.state();
        // Their hooks, and destructors of their futures, are part of their end.
        let Some(left) = self.registry.left() else {
            return false;
        };
        if self.may_end(&state, left) {
            return true;
        }
        if self.all_await_it(&state, left) {
            // Not `get_or_init`, which holds others up while it looks at the tasks. The first one counts.
            let _ = self.report_for_members.set(self.report(Vec::new()));
            drop(state);
            self.tell();
        }
        false
    }

    /// Whether none of the `left` tasks has to be waited for.
    fn may_end(&self, state: &DrainState, left: usize) -> bool {
        left == 0 || !state.outside && self.all_await_it(state, left)
    }

    /// Whether all of the `left` tasks await the drain.
    fn all_await_it(&self, state: &DrainState, left: usize) -> bool {
        // A future that was begun in one task may be kept by another one, so the task may have ended.
        let live = |id: &&TaskId| {
            self.member(**id)
                .is_some_and(|member| !member.state().is_final())
        };
        left <= state.callers.len() && left == state.callers.keys().filter(live).count()
    }

    /// Fires the token of everyone; what waits for a slot is ended before it begins.
    fn cancel(&self) {
        // Those first that wait: the slot of a running one that ends at its token would go to them.
        let waiting = self
            .registry
            .end_all(&self.members, |record| record.state() == TaskState::Queued);
        for record in self.members.iter().filter(self.others()) {
            record.cancel(CancelReason::Shutdown);
        }
        // Their drivers hold the futures, and drop them.
        waiting.iter().for_each(|record| record.wake());
    }

    /// Ends those who could have heard of their cancellation, as they are.
    fn abort(&self) {
        let others = self.others();
        self.give_up(|record| record.is_asked() && others(&record));
    }

    /// Ends everyone, also a plain future whose thread is held.
    fn cut_off(&self) {
        // With somebody outside the members that await it have had their report, and this is the end of their time too.
        let (others, outside) = (self.others(), self.state().outside);
        self.give_up(|record| outside || others(&record));
    }

    fn give_up(&self, choose: impl Fn(&Arc<Record>) -> bool) {
        for record in self.registry.end_all(&self.members, choose) {
            notices::abandoned(&record);
            record.wake();
        }
    }

    /// Those who do not await the drain.
    fn others(&self) -> impl Fn(&&Arc<Record>) -> bool + use<> {
        let callers = self.state().callers.clone();
        move |record| !callers.contains_key(&record.id)
    }

    /// Waits for what task groups left behind; returns the names of what outlives the drain.
    async fn leftovers(&self) -> Vec<Cow<'static, str>> {
        loop {
            // As above; a later drain may shorten the limit while leftovers are waited for.
            let changed = self.registry.changes();
            let names = if self.of_the_process {
                residue::names()
            } else {
                Vec::new()
            };
            let limit = self.state().limits.end();
            if names.is_empty() || now() >= limit {
                return names;
            }
            select(
                pin!(punctual(residue::wait_until_empty(limit))),
                pin!(changed),
            )
            .await;
        }
    }

    /// Makes the report and ends the drain; false if somebody has come who wants to wait for more.
    fn finish(&self, leftovers: Vec<Cow<'static, str>>) -> bool {
        // Looked at under the lock that everybody joins under: who comes before it is waited for, who comes after it
        // begins a drain of his own.
        let state = self.state();
        if !self.may_end(&state, self.registry.live()) {
            return false;
        }
        // Nobody else sets it.
        let _ = self.report.set(self.report(leftovers));
        drop(state);
        if self.of_the_process {
            // Those that the report names have had their time.
            residue::cut_off();
        }
        self.tell();
        true
    }

    /// How the members have ended; those who await the drain have not.
    fn report(&self, leftovers: Vec<Cow<'static, str>>) -> DrainReport {
        let mut report = DrainReport {
            running_pool_closures: pool::closures_running(),
            ..Default::default()
        };
        for record in &self.members {
            let names = match record.state() {
                TaskState::Completed => &mut report.completed,
                TaskState::Failed | TaskState::Panicked | TaskState::TimedOut => &mut report.failed,
                TaskState::Cancelled => &mut report.cancelled,
                TaskState::Abandoned => &mut report.abandoned,
                TaskState::Queued | TaskState::Running | TaskState::Retrying => continue,
            };
            names.push(record.name.clone());
        }
        report.abandoned.extend(leftovers);
        report
    }

    fn tell(&self) {
        runtime::others_may_go_on();
        self.told.notify_waiters();
    }
}

/// Here and not with the other tests, as leftovers are private to the crate.
#[cfg(test)]
mod tests {
    use super::*;
    use crate::background::{bounds::Bounds, notices::Hook};

    fn registry() -> Arc<Registry> {
        Arc::new(Registry::new(
            "tasks".into(),
            Bounds {
                limit: 1,
                queue: 1,
                live: 1,
                history: 1,
            },
            Hook::default(),
        ))
    }

    const LIMITS: Drain = Drain {
        wait: Duration::from_secs(5),
        cancel: Duration::from_secs(2),
    };

    #[tokio::test(start_paused = true)]
    async fn the_global_drain_waits_for_leftovers_within_its_limits() {
        let began = Instant::now();
        residue::adopt("finalizer", tokio::time::sleep(Duration::from_secs(3)));
        Drains::default().drain(&registry(), LIMITS).await;
        assert_eq!(began.elapsed(), Duration::ZERO, "only the global one waits");

        // The global one itself could never be used again.
        let (drains, registry) = (Drains::of_the_process(), registry());
        let report = drains.drain(&registry, LIMITS).await;
        assert_eq!(
            (began.elapsed(), report.abandoned.len()),
            (Duration::from_secs(3), 0)
        );

        let leftover = residue::enter("endless");
        let report = drains.drain(&registry, LIMITS).await;
        assert_eq!(
            report.abandoned,
            ["endless"],
            "what comes later is for the next drain"
        );
        assert_eq!(began.elapsed(), Duration::from_secs(10));
        drop(leftover);
    }
}

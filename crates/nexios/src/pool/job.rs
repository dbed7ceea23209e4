//! One submitted closure, shared by its caller and the pool: a single allocation for closure, outcome and
//! waker.
//!
//! # Invariants
//!
//! 1. Who moves the slot away from `Ready` owns the closure: the thread that runs it, the caller that goes
//!    away or times out, or the pool as it closes. It is called or dropped exactly once, by its owner.
//! 2. The caller sees an outcome only after the pool has counted it (`Ended` comes before `Settled`).
//! 3. Closure, outcome and waker are called and dropped outside the slot's lock.

use std::{
    any::Any,
    mem,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::PoisonError,
    task::{Context, Poll, Waker},
};

use tokio::time::Instant;

use super::{
    PoolError,
    caller::Caller,
    shared::Shared,
    work::{Ending, Head, Work},
};
use crate::{
    CancelToken,
    sync::{Mutex, MutexGuard},
};

/// What became of a job.
pub(super) type Outcome<T> = Result<Result<T, Box<dyn Any + Send>>, PoolError>;

pub(super) struct Job<F, T> {
    head: Head,
    slot: Mutex<Slot<F, T>>,
}

struct Slot<F, T> {
    stage: Stage<F, T>,
    /// Whom to wake once the stage is `Settled`.
    waker: Option<Waker>,
}

enum Stage<F, T> {
    /// Not begun.
    Ready(F, Caller),
    /// The owner has the closure.
    Taken,
    /// Ended, not yet counted.
    Ended(Outcome<T>),
    /// For the caller to take.
    Settled(Outcome<T>),
    /// Nobody wants the outcome.
    Gone,
}

impl<F, T> Job<F, T> {
    pub(super) fn new(f: F, caller: Caller, token: Option<CancelToken>, waker: Option<Waker>) -> Self {
        let slot = Slot { stage: Stage::Ready(f, caller), waker };
        Self { head: Head::new(token), slot: Mutex::new(slot) }
    }

    fn lock(&self) -> MutexGuard<'_, Slot<F, T>> {
        // Nothing of the user's runs under this lock, so a poisoned slot is still whole.
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The outcome, or a promise to wake the task.
    pub(super) fn poll(&self, cx: &mut Context<'_>) -> Poll<Outcome<T>> {
        let mut slot = self.lock();
        if let Stage::Settled(_) = slot.stage {
            let Stage::Settled(outcome) = mem::replace(&mut slot.stage, Stage::Gone) else {
                return Poll::Pending;
            };
            return Poll::Ready(outcome);
        }
        if slot.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            return Poll::Pending;
        }
        drop(slot);
        // Cloning and dropping a waker may call foreign code.
        let waker = cx.waker().clone();
        let mut slot = self.lock();
        let former = slot.waker.replace(waker);
        let settled = matches!(slot.stage, Stage::Settled(_));
        drop(slot);
        drop(former);
        // It may have been settled, and the former waker woken, in between.
        if settled { self.poll(cx) } else { Poll::Pending }
    }

    /// Gives the closure to the owner.
    pub(super) fn take(&self) -> Option<(F, Caller)> {
        let mut slot = self.lock();
        match mem::replace(&mut slot.stage, Stage::Taken) {
            Stage::Ready(f, caller) => Some((f, caller)),
            stage => {
                slot.stage = stage;
                None
            }
        }
    }

    /// Notes that the caller has gone, and gives it whatever is left of the job's own to drop.
    pub(super) fn abandon(&self) -> impl Sized + use<F, T> {
        let mut slot = self.lock();
        (slot.waker.take(), mem::replace(&mut slot.stage, Stage::Gone))
    }

    /// Stores the outcome for `settle`, or gives it back if the caller has gone.
    fn end(&self, outcome: Outcome<T>) -> Option<Outcome<T>> {
        let mut slot = self.lock();
        if let Stage::Gone = slot.stage {
            return Some(outcome);
        }
        slot.stage = Stage::Ended(outcome);
        None
    }

    /// Shows the outcome to the caller.
    fn settle(&self) {
        let mut slot = self.lock();
        slot.stage = match mem::replace(&mut slot.stage, Stage::Gone) {
            Stage::Ended(outcome) => Stage::Settled(outcome),
            stage => stage,
        };
        let waker = slot.waker.take();
        drop(slot);
        if let Some(waker) = waker {
            contain("waker", || waker.wake());
        }
    }
}

impl<F, T> Work for Job<F, T>
where
    F: FnOnce() -> T + Send,
    T: Send,
{
    fn head(&self) -> &Head {
        &self.head
    }

    fn execute(&self, pool: &Shared, finish: &mut dyn FnMut(Ending)) {
        let Some((f, caller)) = self.take() else {
            return finish(Ending::Cancelled);
        };
        let mut ending = Ending::Completed;
        let ran = catch_unwind(AssertUnwindSafe(|| {
            caller.call(|| {
                let now = Instant::now();
                if !self.head.is_limitless() && caller.limit.is_some_and(|limit| limit <= now) {
                    ending = Ending::TooLate;
                    drop(f);
                    return Err(PoolError::QueueTimeout);
                }
                self.head.set_started(now);
                pool.waits.record(now.saturating_duration_since(caller.submitted));
                let _timed = Timed { pool, started: now };
                Ok(f())
            })
        }));
        let outcome = match ran {
            Ok(Ok(value)) => Ok(Ok(value)),
            Ok(Err(error)) => Err(error),
            Err(payload) if ending == Ending::TooLate => {
                report("the closure's destructor", payload);
                Err(PoolError::QueueTimeout)
            }
            Err(payload) => Ok(Err(payload)),
        };
        match self.end(outcome) {
            None => {}
            Some(Ok(Err(payload))) => report("a closure whose caller has gone", payload),
            Some(unwanted) => contain("the result's destructor", || drop(unwanted)),
        }
        finish(ending);
        self.settle();
        // Last: in tests it may hold the caller's clock, which must not move before the caller is woken.
        contain("the span", || drop(caller));
    }

    fn refuse(&self, error: PoolError) {
        let taken = self.take();
        contain("the closure's destructor", || drop(taken));
        if self.end(Err(error)).is_none() {
            self.settle();
        }
    }

    fn nudge(&self) {
        let waker = self.lock().waker.take();
        if let Some(waker) = waker {
            contain("waker", || waker.wake());
        }
    }
}

/// Records how long a closure ran when it returns or unwinds.
struct Timed<'p> {
    pool: &'p Shared,
    started: Instant,
}

impl Drop for Timed<'_> {
    fn drop(&mut self) {
        self.pool.runs.record(self.started.elapsed());
    }
}

/// Runs foreign code on a thread that must survive it.
pub(super) fn contain(what: &str, run: impl FnOnce()) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(run)) {
        report(what, payload);
    }
}

/// Logs a panic that no caller is left for.
pub(super) fn report(what: &str, payload: Box<dyn Any + Send>) {
    let message = payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message");
    crate::log::say(|| tracing::warn!(what, message, "a panic in a thread pool has no caller to go to"));
    if let Err(second) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        // Its destructor panicked, so that of the second payload may too; a leak is the lesser evil.
        mem::forget(second);
    }
}

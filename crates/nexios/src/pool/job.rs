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
    mem,
    sync::{OnceLock, PoisonError},
    task::{Context, Poll, Waker},
    time::Duration,
};

use tokio::time::Instant;

use super::{caller::Caller, error::PoolError};
use crate::{
    cancel::{CancelReason, CancelToken},
    log,
    panics::{Payload, caught, text_of},
    sync::{Mutex, MutexGuard},
    work::concurrent::{ConcurrentWork, End},
};

/// What became of a job.
pub(super) type JobResult<T> = Result<Result<T, Payload>, PoolError>;

/// A job without its types, as the pool knows it.
pub(super) trait ErasedJob: Send + Sync {
    /// Runs the closure on this thread, unless its caller has taken it, and keeps the outcome for
    /// [`settle`](Self::settle).
    fn run(&self, limitless: bool) -> Ran;

    /// Shows the outcome to the caller.
    fn settle(&self);

    /// Drops the closure of a job that was taken out of the queue, and gives its caller the error.
    fn refuse(&self, error: PoolError);

    /// Tells the closure, if it asked for a token, that it may stop.
    fn cancel(&self, reason: CancelReason);

    /// When the closure began, on the caller's clock.
    fn started(&self) -> Option<Instant>;
}

/// How a job that was handed to a thread ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum JobEnd {
    /// The closure returned or panicked.
    Completed,
    /// The caller went away after a thread came for it and before the closure began.
    Cancelled,
    /// Its time limit had passed before the closure began.
    TooLate,
}

/// What a thread has to tell of a job that it has run.
pub(super) struct Ran {
    pub(super) ending: JobEnd,
    /// From submission to the start of the closure, and from there to its end; if it was called.
    pub(super) times: Option<(Duration, Duration)>,
    /// To be dropped last: in tests it may hold the caller's clock, which must not move before the caller is woken.
    pub(super) caller: Option<Caller>,
}

pub(super) struct Job<F, T> {
    /// What whoever observes is told of it.
    pub(super) observed: ConcurrentWork,
    /// What the closure of `run_with` watches.
    token: Option<CancelToken>,
    /// When the closure began, on the caller's clock.
    started: OnceLock<Instant>,
    slot: Mutex<Slot<F, T>>,
}

struct Slot<F, T> {
    stage: SlotStage<F, T>,
    /// Whom to wake once the stage is `Settled`.
    waker: Option<Waker>,
}

enum SlotStage<F, T> {
    /// Not begun.
    Ready(F, Caller),
    /// The owner has the closure.
    Taken,
    /// Ended, not yet counted.
    Ended(JobResult<T>),
    /// For the caller to take.
    Settled(JobResult<T>),
    /// Nobody wants the outcome.
    Gone,
}

/// What a caller leaves behind.
pub(super) struct Abandoned<F, T> {
    _waker: Option<Waker>,
    _stage: SlotStage<F, T>,
    /// The closure runs on.
    pub(super) runs: bool,
}

impl<F, T> Job<F, T> {
    pub(super) fn new(
        f: F,
        caller: Caller,
        token: Option<CancelToken>,
        waker: Option<Waker>,
        observed: ConcurrentWork,
    ) -> Self {
        let slot = Slot {
            stage: SlotStage::Ready(f, caller),
            waker,
        };
        Self {
            observed,
            token,
            started: OnceLock::new(),
            slot: Mutex::new(slot),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Slot<F, T>> {
        // Nothing of the user's runs under this lock, so a poisoned slot is still whole.
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The outcome, or a promise to wake the task.
    pub(super) fn poll(&self, cx: &mut Context<'_>) -> Poll<JobResult<T>> {
        let mut slot = self.lock();
        if let SlotStage::Settled(_) = slot.stage {
            let SlotStage::Settled(outcome) = mem::replace(&mut slot.stage, SlotStage::Gone) else {
                return Poll::Pending;
            };
            return Poll::Ready(outcome);
        }
        if slot
            .waker
            .as_ref()
            .is_some_and(|waker| waker.will_wake(cx.waker()))
        {
            return Poll::Pending;
        }
        drop(slot);
        // Cloning and dropping a waker may call foreign code.
        let waker = cx.waker().clone();
        let mut slot = self.lock();
        let former = slot.waker.replace(waker);
        // Looked at again with the new waker in its place: settled before, it was the former one that was woken.
        let settled = matches!(slot.stage, SlotStage::Settled(_));
        drop(slot);
        drop(former);
        if settled {
            self.poll(cx)
        } else {
            Poll::Pending
        }
    }

    /// Gives the closure to the owner.
    pub(super) fn take(&self) -> Option<(F, Caller)> {
        let mut slot = self.lock();
        // Taken out before it is called or dropped: of a thread, a caller that leaves and a pool that closes, one has it.
        match mem::replace(&mut slot.stage, SlotStage::Taken) {
            SlotStage::Ready(f, caller) => Some((f, caller)),
            stage => {
                slot.stage = stage;
                None
            }
        }
    }

    /// Notes that the caller has gone, and gives it whatever is left of the job's own to drop.
    pub(super) fn abandon(&self) -> Abandoned<F, T> {
        let mut slot = self.lock();
        // `Gone` tells a thread that has the closure to drop the outcome itself. What is here is dropped by the caller, without
        // the lock: it may be the call of another job.
        let (waker, stage) = (
            slot.waker.take(),
            mem::replace(&mut slot.stage, SlotStage::Gone),
        );
        drop(slot);
        let runs = matches!(stage, SlotStage::Taken);
        if runs {
            self.observed.adopted();
        }
        Abandoned {
            _waker: waker,
            _stage: stage,
            runs,
        }
    }

    /// Stores the outcome for `settle`, or drops it if the caller has gone.
    fn end(&self, outcome: JobResult<T>) {
        self.observed.ended(|| match &outcome {
            Ok(Ok(_)) => End::Completed,
            Ok(Err(payload)) => End::Panicked(text_of(&**payload).to_owned()),
            Err(PoolError::Closed) => End::Cancelled(CancelReason::Shutdown),
            Err(_) => End::Refused,
        });
        let mut slot = self.lock();
        let unwanted = match slot.stage {
            SlotStage::Gone => outcome,
            _ => {
                slot.stage = SlotStage::Ended(outcome);
                return;
            }
        };
        drop(slot);
        match unwanted {
            Ok(Err(payload)) => report("a closure whose caller has gone", payload),
            unwanted => contain("the result's destructor", || drop(unwanted)),
        }
    }
}

impl<F, T> ErasedJob for Job<F, T>
where
    F: FnOnce() -> T + Send,
    T: Send,
{
    fn run(&self, limitless: bool) -> Ran {
        let Some((f, caller)) = self.take() else {
            return Ran {
                ending: JobEnd::Cancelled,
                times: None,
                caller: None,
            };
        };
        let mut times = None;
        // Around everything: the caller's span and clock run foreign code as well.
        let ran = caught(|| {
            caller.call(|| {
                let now = Instant::now();
                if !limitless && caller.limit.is_some_and(|limit| limit <= now) {
                    contain("the closure's destructor", || drop(f));
                    return Err(PoolError::QueueTimeout);
                }
                // A job starts once; a second write would change nothing.
                let _ = self.started.set(now);
                self.observed.started();
                let _entered = self.observed.enter_blocking();
                let returned = caught(f);
                times = Some((
                    now.saturating_duration_since(caller.submitted),
                    now.elapsed(),
                ));
                Ok(returned)
            })
        });
        let outcome = ran.unwrap_or_else(|payload| Ok(Err(payload)));
        let ending = if outcome.is_err() {
            JobEnd::TooLate
        } else {
            JobEnd::Completed
        };
        // Not shown to the caller yet (invariant 2): the thread counts it first, and then settles.
        self.end(outcome);
        Ran {
            ending,
            times,
            caller: Some(caller),
        }
    }

    fn settle(&self) {
        let mut slot = self.lock();
        slot.stage = match mem::replace(&mut slot.stage, SlotStage::Gone) {
            SlotStage::Ended(outcome) => SlotStage::Settled(outcome),
            stage => stage,
        };
        let waker = slot.waker.take();
        // Woken without the lock, which the woken task takes at once.
        drop(slot);
        if let Some(waker) = waker {
            contain("waker", || waker.wake());
        }
    }

    fn refuse(&self, error: PoolError) {
        let taken = self.take();
        contain("the closure's destructor", || drop(taken));
        self.end(Err(error));
        self.settle();
    }

    fn cancel(&self, reason: CancelReason) {
        if let Some(token) = &self.token {
            token.cancel(reason);
            self.observed.cancelling(reason);
        }
    }

    fn started(&self) -> Option<Instant> {
        self.started.get().copied()
    }
}

/// Runs foreign code on a thread that must survive it.
pub(super) fn contain(what: &str, run: impl FnOnce()) {
    if let Err(payload) = caught(run) {
        report(what, payload);
    }
}

/// Logs a panic that no caller is left for.
pub(super) fn report(what: &str, payload: Payload) {
    log::tell(payload, |message| {
        tracing::warn!(
            what,
            message,
            "a panic in a thread pool has no caller to go to"
        );
    });
}

//! How a group ends: the first cause, the grace, and the children that are dropped for it.
//!
//! Everything here that runs code of others (tokens, wakers, destructors) does so outside the lock.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::PoisonError,
    task::Waker,
};

use tokio::time::Instant;

use super::{
    children::{Doomed, Place},
    frames,
    label::Label,
    panics::{drop_quietly, log_panic, resume_or_log},
    state::{Core, Phase, Shared},
    unwinding::{Left, left_by, say_if_panicked},
    verdict::{Cause, Payload, Recorded},
    work::Work,
};
use crate::{CancelReason, Interrupted, sync::MutexGuard};

impl<'env, E> Shared<'env, E> {
    /// Ends the group for `cause`, unless it has ended for another one.
    pub(super) fn close(&self, cause: Cause) {
        let mut core = self.lock();
        if core.verdict.cause.is_none() {
            core.verdict.cause = Some(cause);
            self.wind_down(core);
        } else if cause == Cause::OwnerDropped && core.phase != Phase::Closed {
            self.end_grace(core);
        }
    }

    /// Records a failed child or body; the first failure ends the group.
    pub(super) fn fail(&self, id: u64, error: E) {
        let mut core = self.lock();
        match core.verdict.fail(id, error) {
            Recorded::Decides => self.wind_down(core),
            Recorded::Kept => {}
            Recorded::NoRoom(error) => {
                drop(core);
                drop_quietly(error);
            }
        }
    }

    /// Records a panic, which ends the group as a failure does.
    pub(super) fn panicked(&self, payload: Payload) {
        let mut core = self.lock();
        let first = core.verdict.cause.is_none();
        let surplus = core.verdict.panicked(payload);
        if first {
            self.wind_down(core);
        } else {
            drop(core);
        }
        // A payload is a value of others, with a destructor of its own.
        drop_quietly(surplus);
    }

    /// The cause is written: fires the token and ends the children, after the grace period if there is one.
    fn wind_down(&self, mut core: MutexGuard<'_, Core<'env, E>>) {
        let cause = core.verdict.cause.unwrap_or(Cause::OwnerDropped);
        let graceful = !self.settings.grace.is_zero() && cause != Cause::OwnerDropped;
        let doomed = core.children.doom_all(graceful);
        core.phase = if graceful { Phase::Closing } else { Phase::Closed };
        // A grace too long to be represented has no end.
        core.set_due(if graceful { Instant::now().checked_add(self.settings.grace) } else { None });
        let token = core.token.clone();
        let watchers = std::mem::take(&mut core.watchers);
        core.dropping += 1;
        drop(core);
        // Wakers of others; one that panics must not keep the children from being dropped.
        let told = catch_unwind(AssertUnwindSafe(|| {
            if let Some(token) = token {
                token.cancel(cause.reason());
            }
            if let Some(watchers) = watchers {
                watchers.into_values().for_each(Waker::wake);
            }
        }));
        self.end_all(doomed, cause.interrupted());
        self.settle_dropping();
        if let Err(payload) = told {
            resume_or_log(payload);
        }
    }

    /// Ends whatever the grace period has left.
    pub(super) fn end_grace(&self, mut core: MutexGuard<'_, Core<'env, E>>) {
        let cause = core.verdict.cause.unwrap_or(Cause::OwnerDropped);
        core.phase = Phase::Closed;
        core.set_due(None);
        let doomed = core.children.doom_all(false);
        core.dropping += 1;
        drop(core);
        self.end_all(doomed, cause.interrupted());
        self.settle_dropping();
    }

    fn settle_dropping(&self) {
        let mut core = self.lock();
        core.dropping -= 1;
        core.awaited = false;
        if core.drop_waits {
            self.quiet.notify_all();
        }
        drop(core);
        self.signals.notify();
    }

    /// Drops children in spawn order; a destructor that panics does not stop the others.
    fn end_all(&self, doomed: Vec<Doomed<'env, E>>, interrupted: Interrupted) {
        for child in doomed {
            self.end(child, interrupted);
        }
    }

    /// Drops one child and tells its handle.
    pub(super) fn end(&self, child: Doomed<'env, E>, interrupted: Interrupted) {
        let Doomed { id, work, label, had_ended } = child;
        let ending = work.ending();
        let _entered = frames::enter_drop(interrupted);
        match catch_unwind(AssertUnwindSafe(|| work.end())) {
            Ok(None) => {}
            // It ended before its turn came.
            Ok(Some(task)) if task.is_finished() => match left_by(task) {
                Left::Panic(payload) => {
                    log_panic("a child of a task group panicked", &label, &payload);
                    self.panicked(payload);
                }
                // One that ended after it was told may just repeat that; it is dropped.
                Left::Error(error) if had_ended => self.fail(id, error),
                Left::Error(error) => {
                    if let Err(payload) = catch_unwind(AssertUnwindSafe(|| drop(error))) {
                        self.panicked_in_drop(&label, payload);
                    }
                }
                Left::Nothing => {}
            },
            Ok(Some(task)) => {
                let ended = self.lock().left.get_or_insert_default().unwinding.enter(label.clone(), task);
                ended.into_iter().for_each(say_if_panicked);
            }
            Err(payload) => self.panicked_in_drop(&label, payload),
        }
        if let Some(ending) = ending
            && let Err(payload) = catch_unwind(AssertUnwindSafe(|| ending.interrupt(interrupted)))
        {
            // The waker of the handle; an in-task child's is called as it is dropped.
            self.panicked_in_drop(&label, payload);
        }
    }

    fn panicked_in_drop(&self, label: &Label, payload: Payload) {
        log_panic("a child of a task group panicked while it was dropped", label, &payload);
        self.panicked(payload);
    }

    /// Ends a child whose group ended while it was being made.
    pub(super) fn end_late(&self, place: Place, label: Label, work: Work<'env, E>) {
        let interrupted = {
            let mut core = self.lock();
            core.dropping += 1;
            core.verdict.cause.unwrap_or(Cause::Requested).interrupted()
        };
        self.end(Doomed { id: place.id, work, label, had_ended: false }, interrupted);
        self.lock().children.give_up(place);
        self.settle_dropping();
    }

    /// Ends one child alone, which is no failure of the group.
    pub(super) fn cancel_child(&self, place: Place) {
        let mut core = self.lock();
        let Some(doomed) = core.children.doom(place) else { return };
        core.dropping += 1;
        drop(core);
        self.end(doomed, Interrupted::Cancelled(CancelReason::Requested));
        self.settle_dropping();
    }

    /// Ends everything now: when this returns, every in-task child has been dropped.
    ///
    /// If another thread is polling a child, waits for that poll to return. A thread that is inside an in-task
    /// poll or destructor itself does not wait, since it could wait for itself.
    pub(super) fn end_now(&self) -> Option<Payload> {
        self.close(Cause::OwnerDropped);
        let mut core = self.lock();
        if Self::is_settled(&core) {
            return None;
        }
        if !frames::inside_any() {
            while core.polling || core.dropping > 0 {
                core.drop_waits = true;
                core = self.quiet.wait(core).unwrap_or_else(PoisonError::into_inner);
            }
        }
        let payload = core.verdict.take_panic();
        let left = core.left.take();
        drop(core);
        // Dropping it hands it over.
        drop(left);
        payload
    }
}

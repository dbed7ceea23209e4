//! How a group ends: the first cause, the grace, and the children that are dropped for it.
//!
//! Everything here that runs code of others (tokens, wakers, destructors) does so outside the lock.

use std::{collections::BTreeMap, sync::PoisonError};

use futures_util::future::BoxFuture;
use tokio::time::Instant;

use super::{
    afterwards::Afterwards,
    child::{Left, Seat},
    children::{Ending, Held},
    finalizers::Finalizers,
    panics::{drop_quietly, go_on, log_panic, log_unseen},
    state::{Core, GroupPhase, Run, Shared},
    turns,
    unwinding::Aborted,
    verdict::{Cause, Recorded},
    wake::wake_all,
};
use crate::{
    cancel::Interrupted,
    panics::{Payload, caught, text_of},
    sync::MutexGuard,
};

/// What a group has come to.
pub(super) struct Conclusion<E> {
    pub(super) cause: Cause,
    /// The error to return.
    pub(super) primary: Option<E>,
    pub(super) panic: Option<Payload>,
    /// Nothing is left of the group that a drop would have to see to.
    pub(super) settled: bool,
}

/// What a run finds when body and children are gone.
pub(super) enum Over<'env, E> {
    Concluded(Conclusion<E>),
    /// This comes first.
    Waits(Box<Afterwards<'env>>),
}

impl<'env, E> Shared<'env, E> {
    /// Takes what a run returns, unless there is something to wait for.
    pub(super) fn conclude(core: &mut Core<'env, E>) -> Over<'env, E> {
        match core.afterwards.take() {
            Some(afterwards) => Over::Waits(afterwards),
            None => Over::Concluded(Self::conclusion(core)),
        }
    }

    /// Takes what a run returns.
    pub(super) fn conclusion(core: &mut Core<'env, E>) -> Conclusion<E> {
        let verdict = &mut core.verdict;
        let cause = verdict.cause.unwrap_or(Cause::Finished);
        let (panic, primary) = (verdict.take_panic(), verdict.take_primary());
        core.run = Run::Over;
        Conclusion {
            cause,
            primary,
            panic,
            settled: Shared::is_settled(core),
        }
    }

    /// Ends the group for `cause`, unless it has ended for another one.
    pub(super) fn close(&self, cause: Cause) {
        let mut core = self.lock();
        if core.verdict.cause.is_none() {
            core.verdict.cause = Some(cause);
            self.wind_down(core);
        } else if cause == Cause::OwnerDropped && core.phase != GroupPhase::Closed {
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
        if let Some(observed) = self.observed.get() {
            observed.panicked(text_of(&*payload));
        }
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
        let mut ending = core.children.all_to_end(graceful);
        core.phase = if graceful {
            GroupPhase::Closing
        } else {
            GroupPhase::Closed
        };
        // A grace too long to be represented has no end.
        core.set_due(if graceful {
            Instant::now().checked_add(self.settings.grace)
        } else {
            None
        });
        let token = core.token.clone();
        let watchers = std::mem::take(&mut core.watchers);
        core.dropping += 1;
        if let Some(observed) = self.observed.get() {
            // The limit of the scope is not the group's.
            let of_scope = |due| cause == Cause::Deadline && due <= Instant::now();
            observed.closes(cause, !self.settings.deadline.is_some_and(of_scope));
        }
        drop(core);
        if let Some(observed) = self.observed.get() {
            observed.tell_who_lingers(cause, graceful);
        }
        // Before anybody is told: what tasks have come to after that may just be their answer.
        ending.iter_mut().for_each(Ending::look);
        // Wakers of others; one that panics must not keep the children from being dropped.
        let token = caught(|| {
            if let Some(token) = token {
                token.cancel(cause.reason());
            }
        });
        let watchers = caught(|| wake_all(watchers.into_iter().flat_map(BTreeMap::into_values)));
        let ended = caught(|| self.end_all(ending, cause.interrupted()));
        go_on([token, watchers, ended]);
    }

    /// Ends whatever the grace period has left.
    pub(super) fn end_grace(&self, mut core: MutexGuard<'_, Core<'env, E>>) {
        let cause = core.verdict.cause.unwrap_or(Cause::OwnerDropped);
        core.phase = GroupPhase::Closed;
        core.set_due(None);
        let mut ending = core.children.all_to_end(false);
        core.dropping += 1;
        drop(core);
        ending.iter_mut().for_each(Ending::look);
        self.end_all(ending, cause.interrupted());
    }

    /// Ends children in spawn order; a destructor that panics does not stop the others. `dropping` is counted.
    fn end_all(&self, ending: Vec<Ending<'env, E>>, why: Interrupted) {
        let mut gone = Vec::with_capacity(ending.len());
        let mut panicked = None;
        for Ending {
            seat,
            child,
            had_ended,
        } in ending
        {
            // Its own panics are the group's; this one would be of somebody whom its end has woken.
            match caught(|| self.end(seat, &child, had_ended, why)) {
                Ok(false) => {}
                Ok(true) => gone.push(seat),
                Err(payload) => {
                    gone.push(seat);
                    drop_quietly(panicked.replace(payload));
                }
            }
        }
        let mut core = self.lock();
        for seat in gone {
            core.children.remove(seat);
        }
        core.dropping -= 1;
        core.awaited = false;
        if core.drop_waits {
            self.quiet.notify_all();
        }
        drop(core);
        let told = caught(|| self.signals.notify());
        go_on([panicked.map_or(Ok(()), Err), told]);
    }

    /// Ends one child; false if it goes when its poll returns.
    fn end(&self, seat: Seat, child: &Held<'env, E>, had_ended: bool, why: Interrupted) -> bool {
        let observed = self.observed.get();
        if let Some(observed) = observed {
            observed.ends(seat.id, why);
        }
        let left = {
            let _entered = turns::enter_drop();
            child.end(why)
        };
        if let (Some(observed), None | Some(Left::Unwinds(_))) = (observed, &left) {
            observed.lingers(seat.id, why);
        }
        match left {
            None => return false,
            Some(Left::Nothing) => {}
            // It may just repeat what the group told it.
            Some(Left::Error(error)) if !had_ended => {
                let dropped = caught(|| drop(error));
                let left = dropped.map_or_else(Left::PanicAtEnd, |()| Left::Nothing);
                self.record(seat, child, left);
            }
            Some(left) => self.record(seat, child, left),
        }
        true
    }

    /// Writes down what a child has left, then tells its handle.
    pub(super) fn record(&self, seat: Seat, child: &Held<'env, E>, left: Left<'env, E>) {
        // Whom the end of the group wakes may panic; the handle is told all the same.
        let recorded = caught(|| self.write_down(seat, child, left));
        // After the verdict, so that it explains what the handle is told.
        let why = self
            .lock()
            .verdict
            .cause
            .unwrap_or(Cause::Failed)
            .interrupted();
        if let Err(payload) = child.tell(why) {
            self.panicked(payload);
        }
        go_on([recorded]);
    }

    fn write_down(&self, seat: Seat, child: &Held<'env, E>, left: Left<'env, E>) {
        match left {
            Left::Nothing => {}
            Left::Unseen => log_unseen(child.label()),
            Left::Error(error) => self.fail(seat.id, error),
            Left::Panic(payload) => {
                log_panic("a child of a task group panicked", child.label(), &payload);
                self.panicked(payload);
            }
            Left::PanicAtEnd(payload) => {
                log_panic(
                    "a child of a task group panicked while it was dropped",
                    child.label(),
                    &payload,
                );
                self.panicked(payload);
            }
            Left::Unwinds(task) => self.await_unwinding(task),
        }
    }

    /// The end of the group waits for an aborted task.
    fn await_unwinding(&self, task: Aborted<'env>) {
        let ended = self
            .lock()
            .afterwards
            .get_or_insert_default()
            .unwinding
            .enter(task);
        // Outside the lock: what they have left is of others.
        ended.into_iter().for_each(Aborted::say_if_panicked);
    }

    /// Adds a finalizer to the group, or runs it in the background if the group has run its own already.
    pub(super) fn defer(&self, finalizer: BoxFuture<'static, ()>) {
        let mut late = Finalizers::default();
        {
            let mut core = self.lock();
            if Self::takes_finalizers(&core) {
                core.afterwards
                    .get_or_insert_default()
                    .finalizers
                    .push(finalizer);
            } else {
                late.push(finalizer);
            }
        }
        drop(late);
    }

    /// Whether a finalizer is the group's own, and not left to the background at once.
    pub(super) fn takes_finalizers(core: &Core<'env, E>) -> bool {
        core.phase == GroupPhase::Open || core.run == Run::Active
    }

    /// Ends one child alone, which is no failure of the group.
    pub(super) fn end_child(&self, seat: Seat, why: Interrupted) {
        let mut core = self.lock();
        let Some(child) = core.children.held(seat) else {
            return;
        };
        core.dropping += 1;
        drop(core);
        let mut ending = Ending {
            seat,
            child,
            had_ended: false,
        };
        ending.look();
        self.end_all(vec![ending], why);
    }

    /// Ends everything now: when this returns, every in-task child has been dropped.
    ///
    /// If another thread is polling a child, waits for that poll to return. A thread that is inside an in-task
    /// poll or destructor itself does not wait, since it could wait for itself.
    pub(super) fn end_now(&self) -> Option<Payload> {
        self.close(Cause::OwnerDropped);
        let mut core = self.lock();
        if Self::is_settled(&core) {
            drop(core);
            self.end_observed();
            return None;
        }
        if !turns::inside_any() {
            while core.polling || core.dropping > 0 {
                core.drop_waits = true;
                core = self
                    .quiet
                    .wait(core)
                    .unwrap_or_else(PoisonError::into_inner);
            }
        }
        let payload = core.verdict.take_panic();
        let afterwards = core.afterwards.take();
        drop(core);
        self.end_observed();
        // Dropping it hands over what there is.
        drop(afterwards);
        payload
    }
}

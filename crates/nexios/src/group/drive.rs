//! One turn of driving: polls what was woken, in the order of the wakes, until nothing is left or others should
//! have a go.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    task::{Context, Poll, Waker},
};

use futures_util::task::waker_ref;

use super::{
    children::Turn,
    frames::{self, Notes},
    outcome::Ending,
    state::{Core, Phase, Run, Shared, drop_quietly, log_panic},
    verdict::{Cause, Payload},
    wake::Key,
};
use crate::{CancelReason, Interrupted};

/// How many polls one turn makes before the runtime gets a chance; tokio's own budget is 128 as well.
const POLLS_PER_TURN: u32 = 128;

/// The body of `run`, for the one awaiter that has it.
pub(super) trait Body<E> {
    /// Polls the body once; an error is the group's business.
    fn poll(&mut self) -> Poll<Result<(), E>>;

    /// Whether the body has neither finished nor been dropped.
    fn is_alive(&self) -> bool;

    /// Drops the body at its await.
    fn cut(&mut self);

    /// Keeps an error that the group did not take as the one that decides.
    fn keep_error(&mut self, error: E);
}

/// For awaiters that have no body: handles, and `map` outside `run`.
pub(super) struct NoBody;

impl<E> Body<E> for NoBody {
    fn poll(&mut self) -> Poll<Result<(), E>> {
        Poll::Pending
    }

    fn is_alive(&self) -> bool {
        false
    }

    fn cut(&mut self) {}

    fn keep_error(&mut self, _: E) {}
}

/// What the driver does next.
enum Step<'env, E> {
    Child(Turn<'env, E>),
    Body,
    CutBody,
    Close(Cause),
    EndGrace,
    /// Nothing is woken; the turn is over and the awaiter registered.
    Rest,
    /// Polled enough for one turn.
    Yield,
    /// The group has ended.
    Over,
}

/// Drives the group for `awaiter`, or leaves its waker if somebody else is driving.
pub(super) fn turn<E>(shared: &Shared<'_, E>, awaiter: u64, waker: &Waker, body: Option<&mut dyn Body<E>>) {
    let registered = waker.clone();
    let mut nobody = NoBody;
    let has_body = body.is_some();
    let body = body.unwrap_or(&mut nobody);
    {
        let mut core = shared.lock();
        if core.driving {
            core.awaited = true;
            let old = shared.signals.register(awaiter, registered);
            drop(core);
            drop(old);
            return;
        }
        core.driving = true;
        core.driven_once = true;
        core.clock.start();
        let old = shared.signals.begin_turn(awaiter);
        drop(core);
        drop(old);
    }
    let mut driver = Driver { shared, awaiter, waker: Some(registered), has_body, polls: 0, driving: true };
    driver.look_at_parent();
    loop {
        match driver.next(&*body) {
            Step::Child(turn) => driver.poll_child(turn),
            Step::Body => driver.poll_body(body),
            Step::CutBody => driver.cut_body(body),
            Step::Close(cause) => shared.close(cause),
            Step::EndGrace => shared.end_grace(shared.lock()),
            Step::Rest | Step::Over => return,
            Step::Yield => {
                waker.wake_by_ref();
                return;
            }
        }
    }
}

struct Driver<'a, 'env, E> {
    shared: &'a Shared<'env, E>,
    awaiter: u64,
    waker: Option<Waker>,
    /// This is `run`, the only one that can poll the body.
    has_body: bool,
    polls: u32,
    driving: bool,
}

impl<'env, E> Driver<'_, 'env, E> {
    /// Decides what comes next, and gives the driving back when there is nothing.
    fn next(&mut self, body: &dyn Body<E>) -> Step<'env, E> {
        let shared = self.shared;
        let mut core = shared.lock();
        loop {
            let cause = core.verdict.cause;
            if body.is_alive() && core.verdict.interrupts_body() {
                return Step::CutBody;
            }
            match core.phase {
                Phase::Open if self.has_body && !body.is_alive() && core.children.live() == 0 => {
                    return Step::Close(Cause::Finished);
                }
                // The grace is for children, and for the body if it was cancelled from outside.
                Phase::Closing
                    if core.children.is_gone()
                        && !(body.is_alive() && matches!(cause, Some(Cause::Parent(_)))) =>
                {
                    return Step::EndGrace;
                }
                Phase::Closed if Shared::is_over(&core) && !body.is_alive() => {
                    // Somebody else may wait for just this.
                    self.leave(&mut core);
                    drop(core);
                    shared.signals.notify();
                    return Step::Over;
                }
                _ => {}
            }
            if self.polls >= POLLS_PER_TURN || !tokio::task::coop::has_budget_remaining() {
                drop(core);
                self.look_at_timer();
                let mut core = shared.lock();
                self.leave(&mut core);
                drop(core);
                // Whoever was told may be parked for good, so all are.
                shared.signals.notify();
                return Step::Yield;
            }
            if self.has_body && std::mem::take(&mut core.body_woken) && body.is_alive() {
                return Step::Body;
            }
            if let Some(key) = core.children.ready.pop_front() {
                match key {
                    Key::BODY => core.body_woken = true,
                    Key::TIMER => core.clock.timer_woken = true,
                    Key::PARENT => {
                        core.clock.parent_woken = true;
                        drop(core);
                        self.look_at_parent();
                        core = shared.lock();
                    }
                    key => {
                        if let Some(turn) = core.children.begin_poll(key) {
                            core.polling = true;
                            return Step::Child(turn);
                        }
                    }
                }
                continue;
            }
            if shared.signals.collect(&mut core.children.ready) {
                continue;
            }
            if core.clock.timer_woken {
                drop(core);
                self.look_at_timer();
                core = shared.lock();
                continue;
            }
            // The body had its chance to answer the cancellation; it is left at an await that never ends.
            if core.phase == Phase::Closed && body.is_alive() && matches!(cause, Some(Cause::Parent(_))) {
                return Step::CutBody;
            }
            // The body, and the end of `run`, are only for `run` itself to go on with.
            let hand_over = !self.has_body
                && core.run == Run::Active
                && (core.body_woken || core.phase != Phase::Open || core.children.live() == 0);
            let Some(waker) = self.waker.take() else { return Step::Over };
            match shared.signals.end_turn(self.awaiter, waker, hand_over) {
                Ok(others) => {
                    core.driving = false;
                    core.awaited = true;
                    self.driving = false;
                    drop(core);
                    others.wake();
                    return Step::Rest;
                }
                Err(waker) => self.waker = Some(waker),
            }
        }
    }

    fn leave(&mut self, core: &mut Core<'env, E>) {
        core.driving = false;
        self.driving = false;
        self.shared.signals.stop_turn();
    }

    fn poll_child(&mut self, mut turn: Turn<'env, E>) {
        self.polls += 1;
        let shared = self.shared;
        turn.waker.arm();
        let (polled, notes) = frames::within(shared.address(), turn.key, || {
            catch_unwind(AssertUnwindSafe(|| {
                turn.work.as_mut().poll(&mut Context::from_waker(&waker_ref(&turn.waker)))
            }))
        });
        match polled {
            Ok(Poll::Pending) => self.keep(turn, notes),
            Ok(Poll::Ready(error)) => self.finish(turn, error, notes),
            Err(payload) => self.finish_panicked(turn, payload),
        }
    }

    fn keep(&self, turn: Turn<'env, E>, notes: Notes) {
        let mut core = self.shared.lock();
        let doomed = core.children.end_poll(turn, notes.lends, notes.told);
        let Some(doomed) = doomed else {
            core.polling = false;
            return;
        };
        let interrupted =
            core.verdict.cause.map_or(Interrupted::Cancelled(CancelReason::Requested), Cause::interrupted);
        drop(core);
        self.shared.end(doomed, interrupted);
        self.shared.poll_ended();
    }

    fn finish(&self, turn: Turn<'env, E>, error: Option<E>, notes: Notes) {
        let Turn { key, work, waker } = turn;
        // Finished futures are empty, but the box may hold what the user's type left in it.
        drop(work);
        waker.recycle();
        let mut core = self.shared.lock();
        let told = notes.told || core.children.was_told(key);
        let ending = core.children.remove(key);
        core.polling = false;
        let Some(error) = error else {
            drop(core);
            drop(ending);
            return;
        };
        let echo = told && core.verdict.cause.is_some();
        drop(core);
        if echo {
            drop_quietly(error);
            self.shared.lock().verdict.cut = true;
        } else {
            self.shared.fail(key.id, error);
        }
        self.interrupt(ending);
    }

    fn finish_panicked(&self, turn: Turn<'env, E>, payload: Payload) {
        let Turn { key, work, waker } = turn;
        drop_quietly(work);
        waker.recycle();
        let ending = {
            let mut core = self.shared.lock();
            core.polling = false;
            core.children.remove(key)
        };
        if let Some(ending) = &ending {
            log_panic("a child of a task group panicked", ending.label(), &payload);
        }
        self.shared.panicked(payload);
        self.interrupt(ending);
    }

    /// Tells the handle of a child that has no result of its own.
    fn interrupt(&self, ending: Option<Arc<dyn Ending + 'env>>) {
        let cause = self.shared.lock().verdict.cause.unwrap_or(Cause::Failed);
        if let Some(ending) = ending {
            ending.interrupt(cause.interrupted());
        }
        self.shared.poll_ended();
    }

    fn poll_body(&mut self, body: &mut dyn Body<E>) {
        self.polls += 1;
        let shared = self.shared;
        let (polled, _) =
            frames::within(shared.address(), Key::BODY, || catch_unwind(AssertUnwindSafe(|| body.poll())));
        match polled {
            Ok(Poll::Pending) | Ok(Poll::Ready(Ok(()))) => {}
            Ok(Poll::Ready(Err(error))) => {
                // Told to stop, the body may answer with an error of its own: that is what `run` returns.
                let answers =
                    matches!(shared.lock().verdict.cause, Some(Cause::Requested | Cause::Parent(_)));
                if answers {
                    body.keep_error(error);
                } else {
                    shared.fail(0, error);
                }
            }
            Err(payload) => {
                self.cut_body(body);
                shared.panicked(payload);
            }
        }
    }

    fn cut_body(&mut self, body: &mut dyn Body<E>) {
        let (dropped, _) = frames::within(self.shared.address(), Key::BODY, || {
            catch_unwind(AssertUnwindSafe(|| body.cut()))
        });
        if let Err(payload) = dropped {
            self.shared.panicked(payload);
        }
    }

    fn look_at_parent(&self) {
        let watch = {
            let mut core = self.shared.lock();
            if !core.clock.parent_woken || core.phase != Phase::Open {
                return;
            }
            core.clock.take_watch(&self.shared.signals)
        };
        let Some(mut watch) = watch else { return };
        match watch.poll() {
            Poll::Pending => self.shared.lock().clock.put_watch(watch),
            Poll::Ready(reason) => self.shared.close(Cause::Parent(reason)),
        }
    }

    fn look_at_timer(&self) {
        let timer = {
            let mut core = self.shared.lock();
            if !core.clock.timer_woken {
                return;
            }
            core.clock.take_timer(&self.shared.signals)
        };
        let Some(mut timer) = timer else { return };
        let due = timer.poll();
        let mut core = self.shared.lock();
        core.clock.put_timer(timer);
        if !due {
            return;
        }
        match core.phase {
            Phase::Open => {
                drop(core);
                self.shared.close(Cause::Deadline);
            }
            Phase::Closing => self.shared.end_grace(core),
            Phase::Closed => {}
        }
    }
}

impl<E> Drop for Driver<'_, '_, E> {
    /// A waker of others may panic in the middle of a turn; the group must stay usable for whoever is left.
    fn drop(&mut self) {
        if self.driving {
            let mut core = self.shared.lock();
            core.driving = false;
            drop(core);
            self.shared.signals.stop_turn();
            self.shared.poll_ended();
            self.shared.signals.notify();
        }
    }
}

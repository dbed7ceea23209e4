//! One turn of driving: polls what was woken, in the order of the wakes, until nothing is left or others should
//! have a go.

mod limits;
mod polls;

use std::{mem, task::Waker};

use super::{
    body::{Body, NoBody},
    children::Turn,
    frames,
    run::RUN,
    state::{Core, Phase, Run, Shared},
    verdict::Cause,
    wake::{Awaiters, Key},
    wakers::Seats,
};
use crate::{Interrupted, cancel::limit_to, sync::MutexGuard};

/// How a turn ended.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Turned {
    /// There is more to come.
    Goes,
    /// All has ended.
    Over,
    /// The run came too late.
    Refused,
}

/// What the driver does next.
enum Step<'env, E> {
    Child(Turn<'env, E>),
    Body,
    CutBody,
    Close(Cause),
    EndGrace,
    LookAtParent,
    LookAtTimer,
    /// Nothing is woken, and there is no waker yet to be registered.
    CloneWaker,
    /// Nothing is woken; the turn is over and the awaiter registered. `run` is to be woken if this is its waker.
    Rest(Option<Waker>),
    /// Polled enough for one turn.
    Yield,
    /// The group has ended; all who wait are to be woken.
    Over(Awaiters),
}

/// What the state of the group as a whole asks for.
enum Ask {
    CutBody,
    Close,
    EndGrace,
    Over,
}

/// Drives the group for `awaiter`, or leaves its waker if somebody else is driving.
pub(super) fn turn<E>(
    shared: &Shared<'_, E>,
    awaiter: u64,
    waker: &Waker,
    body: Option<&mut dyn Body<E>>,
) -> Turned
where
    E: From<Interrupted>,
{
    let mut nobody = NoBody;
    let has_body = body.is_some();
    let body = body.unwrap_or(&mut nobody);
    let mut core = shared.lock();
    if !body.enter(&mut core) {
        return Turned::Refused;
    }
    if core.driving {
        drop(core);
        match wait_for_driver(shared, awaiter, waker.clone(), &*body) {
            Ok(turned) => return turned,
            Err(unlocked) => core = unlocked,
        }
    }
    core.driving = true;
    core.clock.start();
    let _limited = limit_to(core.clock.due());
    let mut known = None;
    // Nobody has been woken before the first turn.
    if std::mem::replace(&mut core.driven_once, true) {
        // The wakes first, and the body before them: new children that keep coming must not hold up either.
        let body_woken;
        (body_woken, known) = shared.signals.begin_turn(awaiter, &mut core.children.wakers.ready);
        core.body_woken |= body_woken;
    }
    let seats = mem::take(&mut core.children.wakers.seats);
    let parent_woken = core.clock.parent_woken;
    let _entered = frames::enter_turn(shared.address(), shared.signals.address());
    // The other one is dropped at the end of the turn, outside the lock.
    let (known, _stale) = match known {
        Some(known) if known.will_wake(waker) => (Some(known), None),
        known => (None, known),
    };
    let mut driver = Driver { shared, awaiter, waker: known, seats, has_body, polled: false, driving: true };
    if parent_woken {
        drop(core);
        driver.look_at_parent();
        core = shared.lock();
    }
    loop {
        core = match driver.next(core, body) {
            Step::Child(turn) => driver.poll_child(turn, body),
            Step::Body => driver.poll_body(body),
            Step::CutBody => {
                driver.cut_body(body);
                shared.lock()
            }
            Step::Close(cause) => {
                shared.close(cause);
                shared.lock()
            }
            Step::EndGrace => {
                shared.end_grace(shared.lock());
                shared.lock()
            }
            Step::LookAtParent => {
                driver.look_at_parent();
                shared.lock()
            }
            Step::LookAtTimer => {
                driver.look_at_timer(body);
                shared.lock()
            }
            Step::CloneWaker => {
                driver.waker = Some(waker.clone());
                shared.lock()
            }
            Step::Rest(run) => {
                if let Some(run) = run {
                    run.wake();
                }
                return Turned::Goes;
            }
            Step::Over(others) => {
                // Somebody else may wait for just this.
                others.wake();
                return Turned::Over;
            }
            Step::Yield => {
                driver.yield_turn(body);
                waker.wake_by_ref();
                return Turned::Goes;
            }
        }
    }
}

/// Registers with a group that somebody else drives. Gives the lock back if nobody does any more.
fn wait_for_driver<'s, 'env, E>(
    shared: &'s Shared<'env, E>,
    awaiter: u64,
    waker: Waker,
    body: &dyn Body<E>,
) -> Result<Turned, MutexGuard<'s, Core<'env, E>>> {
    let mut core = shared.lock();
    if !core.driving {
        return Err(core);
    }
    core.parked = true;
    core.awaited = true;
    let over = Shared::is_over(&core) && !body.is_alive();
    let old = shared.signals.register(awaiter, waker);
    drop(core);
    drop(old);
    Ok(if over { Turned::Over } else { Turned::Goes })
}

struct Driver<'a, 'env, E> {
    shared: &'a Shared<'env, E>,
    awaiter: u64,
    /// What is registered when the turn ends, if it still wakes the right one; else that is cloned then.
    waker: Option<Waker>,
    seats: Seats,
    /// This is `run`, the only one that can poll the body.
    has_body: bool,
    /// Has polled in this turn. One poll is always allowed, else a deep nest of groups would never reach its leaves.
    polled: bool,
    driving: bool,
}

impl<'a, 'env, E: From<Interrupted>> Driver<'a, 'env, E> {
    /// Decides what comes next, and gives the driving back when there is nothing.
    fn next(&mut self, mut core: MutexGuard<'a, Core<'env, E>>, body: &mut dyn Body<E>) -> Step<'env, E> {
        let shared = self.shared;
        loop {
            match self.end_of(&core, body) {
                None => {}
                Some(Ask::Over) => {
                    body.leave(&mut core);
                    return Step::Over(self.finish_turn(&mut core));
                }
                Some(Ask::Close) => {
                    if !shared.finish(&mut core) {
                        return Step::Close(Cause::Finished);
                    }
                    continue;
                }
                Some(Ask::CutBody) => return Step::CutBody,
                Some(Ask::EndGrace) => return Step::EndGrace,
            }
            if self.polled && !(frames::may_poll() && tokio::task::coop::has_budget_remaining()) {
                return Step::Yield;
            }
            if self.has_body && core.body_woken && body.is_alive() {
                core.body_woken = false;
                return Step::Body;
            }
            if let Some(key) = core.children.wakers.ready.pop_front() {
                match key {
                    Key::BODY => core.body_woken = true,
                    Key::TIMER => core.clock.timer_woken = true,
                    Key::PARENT => {
                        core.clock.parent_woken = true;
                        return Step::LookAtParent;
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
            let ready = &mut core.children.wakers.ready;
            if frames::take_woken(ready) || shared.signals.collect(ready) {
                continue;
            }
            if core.clock.timer_woken {
                return Step::LookAtTimer;
            }
            // The body had its chance to answer the cancellation; it is left at an await that never ends.
            if core.phase == Phase::Closed && body.is_alive() && core.verdict.is_cancelled_from_outside() {
                return Step::CutBody;
            }
            // The body, and the end of `run`, are only for `run` itself to go on with. The others have nothing to do
            // with it: told as well, they would come here in their turn and wake one another for ever.
            let hand_over = (!self.has_body
                && core.run == Run::Active
                && (core.body_woken || core.phase != Phase::Open || core.children.live() == 0))
                .then_some(RUN);
            let Some(waker) = self.waker.take() else { return Step::CloneWaker };
            match shared.signals.end_turn(self.awaiter, waker, hand_over) {
                Ok(run) => {
                    core.parked = true;
                    core.awaited = true;
                    self.give_back(&mut core);
                    return Step::Rest(run);
                }
                Err(waker) => self.waker = Some(waker),
            }
        }
    }

    /// What the state of the group as a whole asks for.
    fn end_of(&self, core: &Core<'env, E>, body: &dyn Body<E>) -> Option<Ask> {
        if core.phase == Phase::Open {
            let finished = self.has_body && core.children.live() == 0 && !body.is_alive();
            return finished.then_some(Ask::Close);
        }
        let alive = body.is_alive();
        if alive && core.verdict.interrupts_body() {
            return Some(Ask::CutBody);
        }
        // The grace is for children, and for the body if it was cancelled from outside. Only `run` can see the body.
        let may_answer = if self.has_body { alive } else { core.run == Run::Active };
        let waits_for_body = may_answer && core.verdict.is_cancelled_from_outside();
        match core.phase {
            Phase::Closing if core.children.is_gone() && !waits_for_body => Some(Ask::EndGrace),
            Phase::Closed if Shared::is_over(core) && !alive => Some(Ask::Over),
            _ => None,
        }
    }

    /// Ends the last turn of the group.
    fn finish_turn(&mut self, core: &mut Core<'env, E>) -> Awaiters {
        if core.awaited {
            return self.leave(core);
        }
        self.give_back(core);
        Awaiters::default()
    }

    /// Leaves with work undone.
    fn yield_turn(&mut self, body: &mut dyn Body<E>) {
        // A group whose children are always ready must not miss its deadline.
        self.look_at_timer(body);
        let others = self.leave(&mut self.shared.lock());
        // Whoever is told may be parked for good, so all are.
        others.wake();
    }
}

impl<E> Driver<'_, '_, E> {
    /// The turn is over: nobody drives any more.
    fn give_back(&mut self, core: &mut Core<'_, E>) {
        core.driving = false;
        self.driving = false;
        let wakers = &mut core.children.wakers;
        mem::swap(&mut wakers.seats, &mut self.seats);
        frames::end_turn(&mut wakers.ready);
    }

    /// Ends the turn although there may be more to do; all who wait have to be told.
    fn leave(&mut self, core: &mut Core<'_, E>) -> Awaiters {
        core.parked = true;
        self.give_back(core);
        self.shared.signals.stop_turn()
    }
}

impl<E> Drop for Driver<'_, '_, E> {
    /// A waker of others may panic in the middle of a turn; the group must stay usable for whoever is left.
    fn drop(&mut self) {
        if self.driving {
            let mut core = self.shared.lock();
            self.shared.end_poll(&mut core);
            let others = self.leave(&mut core);
            drop(core);
            others.wake();
        }
    }
}

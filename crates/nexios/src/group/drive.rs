//! One turn of driving: whoever awaits the group polls what was woken, until nothing is left or others should have a go.
//!
//! # Invariants
//!
//! 1. Timer and token are looked at whatever is left of the budget of the task, at least once a turn if they were woken,
//!    and they wait behind nobody.
//! 2. Neither the body nor a woken child waits for its poll without end, whoever else is always ready: children are
//!    polled in the order of their wakes, and who goes first, body or children, is `BodyTurn`'s (`children.rs`).
//!
//! Who may drive, and what every turn leaves behind, stands in `driver_turn.rs`.
//!
//! What only `run` can do, to poll the body and to drop it, is not done here: a turn returns it as an [`Event`].

use std::{
    mem,
    task::{Context, Poll, Waker},
};

use futures_util::task::waker_ref;

use super::{
    child::{Left, Seat},
    children::{Held, key_of},
    clock::Time,
    driver_turn::{Body, Event, Pending, RUN, Turn},
    panics::drop_quietly,
    state::{Core, GroupPhase, Run, Shared},
    turns::{self, Polled},
    verdict::Cause,
};
use crate::{
    cancel::{CancelReason, Interrupted},
    sync::MutexGuard,
};

/// Drives the group for a handle, or leaves its waker if somebody else is driving.
pub(super) fn turn<E: From<Interrupted>>(shared: &Shared<'_, E>, awaiter: u64, waker: &Waker) {
    if let Some(mut turn) = Turn::begin(shared, shared.lock(), awaiter, waker) {
        // Without a body there is no other event.
        let _rest = turn.advance(Body::None);
    }
}

/// The lock again, or what has to be done without it.
type Locked<'a, 'env, E> = Result<MutexGuard<'a, Core<'env, E>>, Event<'env, E>>;

impl<'a, 'env, E: From<Interrupted>> Turn<'a, 'env, E> {
    /// Goes on until there is something for whoever drives.
    pub(super) fn advance(&mut self, body: Body) -> Event<'env, E> {
        let shared = self.shared;
        match self.pending.take() {
            None => {}
            Some(Pending::Left(seat, child, left)) => self.record(seat, &child, left),
            Some(Pending::Close(cause)) => shared.close(cause),
        }
        let mut core = shared.lock();
        if mem::take(&mut self.body_polled) {
            // Whom it has woken itself comes before it too.
            turns::take_woken(&mut core.children.wakers.ready);
            core.children.end_body_poll();
        }
        loop {
            // Where the group as a whole stands.
            match core.phase {
                GroupPhase::Open if body == Body::Gone && core.children.live() == 0 => {
                    if !shared.finish(&mut core) {
                        drop(core);
                        shared.close(Cause::Finished);
                        core = shared.lock();
                    }
                    continue;
                }
                GroupPhase::Closing | GroupPhase::Closed
                    if body.is_alive() && core.verdict.interrupts_body() =>
                {
                    return Event::CutBody;
                }
                GroupPhase::Closing if core.children.is_gone() => {
                    shared.end_grace(core);
                    core = shared.lock();
                    continue;
                }
                GroupPhase::Closed if !body.is_alive() && Shared::is_over(&core) => {
                    return self.finish(core, body);
                }
                GroupPhase::Open | GroupPhase::Closing | GroupPhase::Closed => {}
            }
            // Before anybody is polled: nobody goes on who was cancelled.
            if body != Body::New && mem::take(&mut core.children.wakers.ready.parent) {
                core = match self.look_at_parent(core, body) {
                    Ok(locked) => locked,
                    Err(event) => return event,
                };
                continue;
            }
            if self.polled && !(turns::may_poll() && tokio::task::coop::has_budget_remaining()) {
                return self.yield_turn(core, body);
            }
            if body.is_alive() && core.children.let_body_go() {
                (self.polled, self.body_polled) = (true, true);
                drop(core);
                turns::begin_poll(Polled::Body);
                return Event::PollBody;
            }
            if let Some(key) = core.children.next_woken() {
                // Who is being ended is not polled any more.
                if core.phase != GroupPhase::Closed
                    && let Some((seat, child)) = core.children.woken(key)
                {
                    // While the lock is held: a `drop` on another thread must wait for this poll.
                    core.polling = true;
                    drop(core);
                    core = match self.poll_child(seat, child, body) {
                        Ok(locked) => locked,
                        Err(event) => return event,
                    };
                    shared.end_poll(&mut core);
                }
                continue;
            }
            let ready = &mut core.children.wakers.ready;
            if turns::take_woken(ready) || shared.signals.collect(ready) {
                continue;
            }
            // Children that are ready in the same turn as the deadline still give their results.
            if mem::take(&mut ready.timer) {
                core = match self.look_at_timer(core, body) {
                    Ok(locked) => locked,
                    Err(event) => return event,
                };
                continue;
            }
            if self.known.is_none() {
                // Outside the lock: a waker is code of others.
                drop(core);
                self.known = Some(self.waker.clone());
                core = shared.lock();
                continue;
            }
            match self.rest(core, body) {
                None => return Event::Rest,
                Some(locked) => core = locked,
            }
        }
    }

    /// Nothing is woken: registers the waker and ends the turn, unless something is woken now.
    fn rest(
        &mut self,
        mut core: MutexGuard<'a, Core<'env, E>>,
        body: Body,
    ) -> Option<MutexGuard<'a, Core<'env, E>>> {
        // The body, and the end of `run`, are only for `run` itself to go on with. The others have nothing to do
        // with it: told as well, they would come here in their turn and wake one another for ever.
        let for_run = core.children.wakers.ready.body
            || core.phase != GroupPhase::Open
            || core.children.live() == 0;
        let hand_over = (body == Body::None && core.run == Run::Active && for_run).then_some(RUN);
        let Some(waker) = self.known.take() else {
            return Some(core);
        };
        match self.shared.signals.end_turn(self.awaiter, waker, hand_over) {
            Ok(run) => {
                (core.parked, core.awaited) = (true, true);
                self.give_back(&mut core);
                drop(core);
                if let Some(run) = run {
                    run.wake();
                }
                None
            }
            Err(waker) => {
                self.known = Some(waker);
                Some(core)
            }
        }
    }

    /// Polled enough for one turn: the runtime and others have a go.
    fn yield_turn(
        &mut self,
        mut core: MutexGuard<'a, Core<'env, E>>,
        body: Body,
    ) -> Event<'env, E> {
        // A group whose children are always ready must not miss its deadline.
        if mem::take(&mut core.children.wakers.ready.timer) {
            core = match self.look_at_timer(core, body) {
                Ok(locked) => locked,
                Err(event) => return event,
            };
        }
        self.leave(core);
        self.waker.wake_by_ref();
        Event::Rest
    }

    /// Ends the last turn of the group.
    fn finish(&mut self, mut core: MutexGuard<'a, Core<'env, E>>, body: Body) -> Event<'env, E> {
        // Only `run` is told what has come of it.
        let over = (body == Body::Gone).then(|| Shared::conclude(&mut core));
        if core.awaited {
            // Somebody else may wait for just this.
            self.leave(core);
        } else {
            self.give_back(&mut core);
        }
        over.map_or(Event::Rest, Event::Over)
    }

    /// Polls a child once.
    fn poll_child(&mut self, seat: Seat, child: Held<'env, E>, body: Body) -> Locked<'a, 'env, E> {
        self.polled = true;
        turns::begin_poll(Polled::Child);
        let waker = self.seats.waker(key_of(seat), &self.shared.signals);
        waker.arm();
        let left = child.poll(&mut Context::from_waker(&waker_ref(waker)));
        match left {
            None => {
                let told = turns::was_told();
                drop(child);
                let mut core = self.shared.lock();
                if told {
                    core.children.tell(seat);
                }
                Ok(core)
            }
            Some(Left::Nothing) => {
                // First this side of the cell, so that the handle has it alone.
                drop(child);
                let mut core = self.shared.lock();
                core.children.remove(seat);
                Ok(core)
            }
            Some(left) => self.ended(seat, child, left, body),
        }
    }

    /// A child left an error or a panic, for the group or one that nobody will look at.
    fn ended(
        &mut self,
        seat: Seat,
        child: Held<'env, E>,
        left: Left<'env, E>,
        body: Body,
    ) -> Locked<'a, 'env, E> {
        let told = turns::was_told();
        let (told, closing) = {
            let mut core = self.shared.lock();
            let told_before = core.children.remove(seat);
            (told || told_before, core.verdict.cause.is_some())
        };
        let left = match left {
            // It only repeats what the group told it.
            Left::Error(error) if closing && told => {
                drop_quietly(error);
                Left::Nothing
            }
            left => left,
        };
        let ends_group = match left {
            Left::Panic(_) | Left::PanicAtEnd(_) => true,
            Left::Error(_) => !closing,
            Left::Nothing | Left::Unseen | Left::Unwinds(_) => false,
        };
        if ends_group && body.is_alive() {
            self.pending = Some(Pending::Left(seat, child, left));
            return Err(Event::CutBody);
        }
        self.record(seat, &child, left);
        Ok(self.shared.lock())
    }

    /// Writes down what a child has left; only then is its poll over.
    fn record(&self, seat: Seat, child: &Held<'env, E>, left: Left<'env, E>) {
        self.shared.record(seat, child, left);
        self.shared.end_poll(&mut self.shared.lock());
    }

    /// Ends the group, after the body is dropped if there is one.
    fn close(&mut self, cause: Cause, body: Body) -> Locked<'a, 'env, E> {
        if body.is_alive() {
            self.pending = Some(Pending::Close(cause));
            return Err(Event::CutBody);
        }
        self.shared.close(cause);
        Ok(self.shared.lock())
    }

    /// Looks at the token of the surrounding scope.
    fn look_at_parent(
        &mut self,
        mut core: MutexGuard<'a, Core<'env, E>>,
        body: Body,
    ) -> Locked<'a, 'env, E> {
        if core.phase != GroupPhase::Open {
            return Ok(core);
        }
        let Some(mut watch) = core.clock.take_watch(&self.shared.signals) else {
            return Ok(core);
        };
        drop(core);
        match watch.poll() {
            Poll::Pending => {
                let mut core = self.shared.lock();
                core.clock.put_watch(watch);
                Ok(core)
            }
            Poll::Ready(reason) => self.close(Cause::Parent(reason), body),
        }
    }

    /// Looks at the time limit, or the end of the grace.
    fn look_at_timer(
        &mut self,
        mut core: MutexGuard<'a, Core<'env, E>>,
        body: Body,
    ) -> Locked<'a, 'env, E> {
        let Some(mut timer) = core.clock.take_timer(&self.shared.signals) else {
            return Ok(core);
        };
        drop(core);
        let time = timer.poll();
        let mut core = self.shared.lock();
        core.clock.put_timer(timer);
        let cause = match time {
            Time::Left => return Ok(core),
            Time::Up => Cause::Deadline,
            Time::Lost => Cause::Parent(CancelReason::Shutdown),
        };
        match core.phase {
            GroupPhase::Open => {
                drop(core);
                return self.close(cause, body);
            }
            GroupPhase::Closing => self.shared.end_grace(core),
            GroupPhase::Closed => return Ok(core),
        }
        Ok(self.shared.lock())
    }
}

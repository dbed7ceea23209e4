//! The right to drive a group: how a thread gets it for one turn, and gives it back.
//!
//! # Invariants
//!
//! 1. At most one thread drives at a time (`Core::driving`). Whoever finds the group driven leaves a waker and goes.
//! 2. Whoever drives either finishes the group or leaves a waker that will be called.
//! 3. A turn never spans two polls of its task, so a driver that goes away leaves nothing half-done.

use std::{mem, task::Waker};

use super::{
    child::{Left, Seat},
    children::Held,
    ending::Over,
    state::{Core, Shared},
    turns::{self, Entered},
    verdict::Cause,
    wakers::WakerSeats,
};
use crate::{
    cancel::{Limited, limit_to},
    panics::{bury, caught},
    sync::MutexGuard,
};

/// Who `run` is among the awaiters; children have ids from one.
pub(super) const RUN: u64 = 0;

/// What comes next for whoever drives.
pub(super) enum Event<'env, E> {
    /// The body of `run` is to be polled.
    PollBody,
    /// The body of `run` is to be dropped at its await.
    CutBody,
    /// Nothing is to be done before the waker is called.
    Rest,
    /// Body and children are gone.
    Over(Over<'env, E>),
}

/// What the driver has of the body.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Body {
    /// It is not `run` that drives.
    None,
    /// It has not been polled. It is cut at an await, so it gets to its first one.
    New,
    Alive,
    /// It has finished, or was dropped.
    Gone,
}

impl Body {
    pub(super) fn is_alive(self) -> bool {
        matches!(self, Self::New | Self::Alive)
    }
}

/// A thread's right to drive the group, until it is given back.
pub(super) struct Turn<'a, 'env, E> {
    pub(super) shared: &'a Shared<'env, E>,
    pub(super) awaiter: u64,
    pub(super) waker: &'a Waker,
    /// What is registered when the turn ends, if it still wakes the right one; else that is cloned then.
    pub(super) known: Option<Waker>,
    pub(super) seats: WakerSeats,
    /// Has polled in this turn. One poll is always allowed, else a deep nest of groups would never reach its leaves.
    pub(super) polled: bool,
    driving: bool,
    /// The body has been polled since the last look.
    pub(super) body_polled: bool,
    /// What ends the group as soon as the body is dropped.
    pub(super) pending: Option<Pending<'env, E>>,
    _entered: Entered,
    /// The group's own limit, for code inside it that asks for one.
    _limited: Limited,
}

/// What ends a group.
pub(super) enum Pending<'env, E> {
    /// What a child has left.
    Left(Seat, Held<'env, E>, Left<'env, E>),
    /// The time limit, or somebody outside.
    Close(Cause),
}

impl<'a, 'env, E> Turn<'a, 'env, E> {
    /// Begins a turn; none if somebody else is driving, who will call the waker.
    pub(super) fn begin(
        shared: &'a Shared<'env, E>,
        mut core: MutexGuard<'a, Core<'env, E>>,
        awaiter: u64,
        waker: &'a Waker,
    ) -> Option<Self> {
        let mut spare = None;
        if core.driving {
            drop(core);
            // Cloned outside the lock, and dropped there if it is not needed: a waker is code of others.
            let fresh = waker.clone();
            core = shared.lock();
            if core.driving {
                (core.parked, core.awaited) = (true, true);
                let old = shared.signals.register(awaiter, fresh);
                drop(core);
                drop(old);
                return None;
            }
            spare = Some(fresh);
        }
        core.driving = true;
        let mut known = None;
        if mem::replace(&mut core.driven_once, true) {
            known = shared
                .signals
                .begin_turn(awaiter, &mut core.children.wakers.ready);
        } else {
            // Nobody has been woken before the first turn, and nobody waits.
            core.clock.start();
        }
        let limited = limit_to(core.clock.due());
        let seats = mem::take(&mut core.children.wakers.seats);
        drop(core);
        drop(spare);
        let stale = known.take_if(|known| !known.will_wake(waker));
        drop(stale);
        let entered = turns::enter_turn(shared.address(), shared.signals.address());
        Some(Self {
            shared,
            awaiter,
            waker,
            known,
            seats,
            polled: false,
            driving: true,
            body_polled: false,
            pending: None,
            _entered: entered,
            _limited: limited,
        })
    }

    /// The turn is over: nobody drives any more.
    pub(super) fn give_back(&mut self, core: &mut Core<'_, E>) {
        core.driving = false;
        self.driving = false;
        let wakers = &mut core.children.wakers;
        mem::swap(&mut wakers.seats, &mut self.seats);
        turns::end_turn(&mut wakers.ready);
    }

    /// Ends the turn although there may be more to do, and tells all who wait: any one may be parked for good.
    pub(super) fn leave(&mut self, mut core: MutexGuard<'_, Core<'_, E>>) {
        core.parked = true;
        self.give_back(&mut core);
        let others = self.shared.signals.stop_turn();
        drop(core);
        others.wake();
    }
}

impl<E> Drop for Turn<'_, '_, E> {
    /// A waker of others may panic in the middle of a turn; the group must stay usable for whoever is left.
    fn drop(&mut self) {
        if self.driving {
            // A second panic out of here would abort the process.
            if let Some(Pending::Left(seat, child, left)) = self.pending.take()
                && let Err(payload) = caught(|| self.shared.record(seat, &child, left))
            {
                bury(payload);
            }
            let mut core = self.shared.lock();
            self.shared.end_poll(&mut core);
            if let Err(payload) = caught(|| self.leave(core)) {
                bury(payload);
            }
        }
    }
}

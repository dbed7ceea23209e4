//! How a woken child finds its way to whoever drives the group.
//!
//! Every child, the body of `run`, the timer and the watch on the parent token have a waker of their own, so
//! that only what was woken is polled. Wakers have to be `'static` while children are not: this side knows
//! children by [`Key`] alone.
//!
//! # Invariants
//!
//! 1. A key names one child: its slot and the low half of its id. Should that come again in the same slot after four
//!    thousand million spawns, a late wake costs one poll.
//! 2. A waker is in the queue of woken keys at most once. The key of a task may be there once more, by its report.
//! 3. A wake comes either before a turn has ended, and is seen by it, or finds the wakers of all who wait.

use std::{
    collections::{BTreeMap, VecDeque},
    mem,
    panic::resume_unwind,
    task::Waker,
};

use crate::{
    panics::{bury, caught},
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
};

/// For how many wakes at once the next group, or the next turn, keeps the memory.
pub(super) const WOKEN_KEPT: usize = 512;

/// Names a child towards wakers: its slot, and which child it is there, since slots are used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) slot: u32,
    /// The low half of the child's id: invariant 1.
    pub(super) generation: u32,
}

impl Key {
    /// The body of `run`.
    pub(super) const BODY: Self = Self {
        slot: u32::MAX,
        generation: 0,
    };
    /// The deadline or the end of the grace period.
    pub(super) const TIMER: Self = Self {
        slot: u32::MAX - 1,
        generation: 0,
    };
    /// The token of the surrounding scope.
    pub(super) const PARENT: Self = Self {
        slot: u32::MAX - 2,
        generation: 0,
    };
}

/// Who is to be polled or looked at next.
#[derive(Default)]
pub(super) struct Queue {
    /// Children, in the order of the wakes.
    pub(super) children: VecDeque<Key>,
    /// The body of `run`.
    pub(super) body: bool,
    /// The deadline, or the end of the grace.
    pub(super) timer: bool,
    /// The token of the surrounding scope.
    pub(super) parent: bool,
}

impl Queue {
    fn push(&mut self, key: Key) {
        match key {
            Key::BODY => self.body = true,
            Key::TIMER => self.timer = true,
            Key::PARENT => self.parent = true,
            key => self.children.push_back(key),
        }
    }

    /// Moves woken keys behind those that are here.
    pub(super) fn take_in(&mut self, woken: impl Iterator<Item = Key>) {
        woken.for_each(|key| self.push(key));
    }

    pub(super) fn clear(&mut self) {
        self.children.clear();
        (self.body, self.timer, self.parent) = (false, false, false);
    }
}

/// Who was woken, and who wants to know.
#[derive(Default)]
pub(super) struct Signals {
    state: Mutex<State>,
    /// Whether anything is woken, as a hint to those who would look under the lock.
    some_woken: AtomicBool,
}

struct State {
    /// Woken and not yet taken by a driver, in the order of the wakes; each key at most once.
    woken: Vec<Key>,
    /// Somebody is driving and will look at `woken` before leaving. True until the first turn has ended: before that
    /// nobody waits.
    driven: bool,
    /// Those who wait for the group, any of whom can drive it.
    awaiters: Awaiters,
}

impl Default for State {
    fn default() -> Self {
        Self {
            woken: Vec::new(),
            driven: true,
            awaiters: Awaiters::default(),
        }
    }
}

/// The wakers of all who wait. Nearly always there is one, which needs no allocation.
#[derive(Default)]
pub(super) struct Awaiters {
    first: Option<(u64, Waker)>,
    others: Option<BTreeMap<u64, Waker>>,
}

impl Awaiters {
    /// Returns a waker that is no longer needed, to be dropped outside the lock.
    fn insert(&mut self, awaiter: u64, waker: Waker) -> Option<Waker> {
        match (&mut self.first, &mut self.others) {
            (None, None) => {
                self.first = Some((awaiter, waker));
                None
            }
            (Some((first, known)), _) if *first == awaiter => Some(mem::replace(known, waker)),
            (_, others) => others.get_or_insert_default().insert(awaiter, waker),
        }
    }

    fn remove(&mut self, awaiter: u64) -> Option<Waker> {
        match self.first.take_if(|(first, _)| *first == awaiter) {
            Some((_, waker)) => Some(waker),
            None => self.others.as_mut()?.remove(&awaiter),
        }
    }

    pub(super) fn wake(self) {
        let first = self.first.map(|(_, waker)| waker);
        match (first, self.others) {
            (Some(only), None) => only.wake(),
            (first, others) => {
                wake_all(
                    first
                        .into_iter()
                        .chain(others.into_iter().flat_map(BTreeMap::into_values)),
                );
            }
        }
    }
}

/// Wakers are code of others: one that panics keeps none of the rest from being called. The first panic goes on.
pub(super) fn wake_all(wakers: impl Iterator<Item = Waker>) {
    let mut first = None;
    for waker in wakers {
        if let Err(payload) = caught(|| waker.wake())
            && let Some(surplus) = first.replace(payload)
        {
            bury(surplus);
        }
    }
    if let Some(payload) = first {
        resume_unwind(payload);
    }
}

impl Signals {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing under this lock can panic half-way; a poisoned state is still whole.
        self.state
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Moves everything woken behind `ready`.
    fn drain(&self, state: &mut State, ready: &mut Queue) {
        // Relaxed: written under the lock alone; who reads an old value without it looks again before it rests.
        self.some_woken.store(false, Ordering::Relaxed);
        ready.take_in(state.woken.drain(..));
    }

    /// Tells these signals from others on a thread's stack.
    pub(super) fn address(&self) -> usize {
        std::ptr::from_ref(self) as usize
    }

    /// Begins a turn: from here to [`end_turn`](Self::end_turn) wakes are only collected.
    ///
    /// The first turn of a group needs none. Moves everything woken behind `ready`. The driver is awake, so its own
    /// waker is given back; it is registered anew at the end of the turn.
    pub(super) fn begin_turn(&self, awaiter: u64, ready: &mut Queue) -> Option<Waker> {
        let mut state = self.lock();
        state.driven = true;
        self.drain(&mut state, ready);
        state.awaiters.remove(awaiter)
    }

    /// Moves everything woken so far behind `ready`; false if there was nothing.
    pub(super) fn collect(&self, ready: &mut Queue) -> bool {
        if !self.some_woken.load(Ordering::Relaxed) {
            return false;
        }
        self.drain(&mut self.lock(), ready);
        true
    }

    /// Ends the turn with `waker` registered, unless something was woken meanwhile: then returns the waker.
    ///
    /// Gives back the waker of the awaiter named by `hand_over`, to be woken outside of locks.
    pub(super) fn end_turn(
        &self,
        awaiter: u64,
        waker: Waker,
        hand_over: Option<u64>,
    ) -> Result<Option<Waker>, Waker> {
        let mut state = self.lock();
        if !state.woken.is_empty() {
            return Err(waker);
        }
        state.driven = false;
        let told = hand_over.and_then(|awaiter| state.awaiters.remove(awaiter));
        // The turn began by taking this awaiter out, so nothing is replaced here.
        state.awaiters.insert(awaiter, waker);
        Ok(told)
    }

    /// Ends the turn although there may be more to do; gives back all who wait, who have to be told.
    #[must_use]
    pub(super) fn stop_turn(&self) -> Awaiters {
        let mut state = self.lock();
        state.driven = false;
        mem::take(&mut state.awaiters)
    }

    /// Registers one who waits while somebody else drives. Returns a waker to drop outside of locks.
    pub(super) fn register(&self, awaiter: u64, waker: Waker) -> Option<Waker> {
        self.lock().awaiters.insert(awaiter, waker)
    }

    pub(super) fn forget(&self, awaiter: u64) {
        let forgotten = self.lock().awaiters.remove(awaiter);
        drop(forgotten);
    }

    /// Wakes all who wait: one of them may be parked for good, so telling a single one could strand the rest.
    pub(super) fn notify(&self) {
        let awaiters = mem::take(&mut self.lock().awaiters);
        awaiters.wake();
    }

    /// Whether anything is woken that nobody has taken.
    pub(super) fn has_woken(&self) -> bool {
        self.some_woken.load(Ordering::Relaxed)
    }

    /// Forgets everything, for the next group.
    pub(super) fn clear(&self) {
        let (woken, awaiters) = {
            let mut state = self.lock();
            self.some_woken.store(false, Ordering::Relaxed);
            state.driven = true;
            // The memory stays unless it has grown large.
            let large = state.woken.capacity() > WOKEN_KEPT;
            let woken = if large {
                mem::take(&mut state.woken)
            } else {
                Vec::new()
            };
            state.woken.clear();
            (woken, mem::take(&mut state.awaiters))
        };
        drop((woken, awaiters));
    }

    pub(super) fn push(&self, key: Key) {
        let awaiters = {
            let mut state = self.lock();
            self.some_woken.store(true, Ordering::Relaxed);
            state.woken.push(key);
            if state.driven {
                Awaiters::default()
            } else {
                mem::take(&mut state.awaiters)
            }
        };
        awaiters.wake();
    }
}

//! The children of a group: their slots, whose turn it is, and who waits for a place under the limit.

use std::{collections::VecDeque, future::Future, pin::Pin, sync::Arc};

use super::{
    outcome::Ending,
    wake::{ChildWaker, Key, Signals},
};

/// A child's future; it publishes its own result and gives back only an error that concerns the group.
pub(super) type Work<'env, E> = Pin<Box<dyn Future<Output = Option<E>> + Send + 'env>>;

/// The slots of all live children. A slot is used again once its child has ended.
pub(super) struct Children<'env, E> {
    slots: Vec<Option<Child<'env, E>>>,
    free: Vec<u32>,
    /// Who is to be polled next, in the order of the wakes.
    pub(super) ready: VecDeque<Key>,
    /// Who has not started because the limit is reached, in spawn order.
    waiting: VecDeque<Key>,
    /// How many children may hold a place at once.
    limit: usize,
    /// How many hold one.
    holding: usize,
    /// Live children without the daemons.
    live: usize,
}

struct Child<'env, E> {
    id: u64,
    ending: Arc<dyn Ending + 'env>,
    stage: Stage<'env, E>,
    daemon: bool,
    /// Counts against the limit. A child that waits for a sibling without a place lends its own.
    holds: bool,
    /// Was handed the group's own cancellation; an error it returns after that is an echo of it.
    told: bool,
}

enum Stage<'env, E> {
    /// A place is kept for a future that is being made.
    Reserved {
        started: bool,
    },
    /// Not started: never polled before there is a place.
    Waiting(Work<'env, E>, Arc<ChildWaker>),
    Idle(Work<'env, E>, Arc<ChildWaker>),
    /// With the driver; if doomed meanwhile, the driver drops it when the poll returns.
    Polled {
        doomed: bool,
    },
}

/// A child on its way to be polled.
pub(super) struct Turn<'env, E> {
    pub(super) key: Key,
    pub(super) work: Work<'env, E>,
    pub(super) waker: Arc<ChildWaker>,
}

/// A child that ends without finishing: to be dropped outside the lock, then told.
pub(super) struct Doomed<'env, E> {
    pub(super) work: Option<(Work<'env, E>, Arc<ChildWaker>)>,
    pub(super) ending: Arc<dyn Ending + 'env>,
}

/// What a child is doing, for `Debug`.
#[derive(Clone, Copy, Debug)]
pub(super) enum Activity {
    Waiting,
    Idle,
    Polled,
}

impl<'env, E> Children<'env, E> {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
            ready: VecDeque::new(),
            waiting: VecDeque::new(),
            limit,
            holding: 0,
            live: 0,
        }
    }

    pub(super) fn live(&self) -> usize {
        self.live
    }

    pub(super) fn is_gone(&self) -> bool {
        self.free.len() == self.slots.len()
    }

    fn child(&mut self, key: Key) -> Option<&mut Child<'env, E>> {
        self.slots.get_mut(key.slot as usize)?.as_mut().filter(|child| child.id == key.id)
    }

    /// The key that the next child will have.
    pub(super) fn next_key(&self, id: u64) -> Key {
        let slot = self.free.last().copied().unwrap_or(self.slots.len() as u32);
        Key { slot, id }
    }

    /// Takes the place of `key`; true if the child may start at once.
    pub(super) fn reserve(&mut self, key: Key, ending: Arc<dyn Ending + 'env>, daemon: bool) -> bool {
        // A daemon serves the others; it must not take a place from them.
        let started = daemon || (self.holding < self.limit && self.waiting.is_empty());
        let holds = started && !daemon;
        let stage = Stage::Reserved { started };
        let child = Child { id: key.id, ending, stage, daemon, holds, told: false };
        match self.free.pop() {
            Some(slot) => self.slots[slot as usize] = Some(child),
            None => self.slots.push(Some(child)),
        }
        self.live += usize::from(!daemon);
        self.holding += usize::from(holds);
        if !started {
            self.waiting.push_back(key);
        }
        started
    }

    /// Adds a child that has its future.
    pub(super) fn add(
        &mut self,
        key: Key,
        ending: Arc<dyn Ending + 'env>,
        work: Work<'env, E>,
        signals: &Arc<Signals>,
        daemon: bool,
    ) {
        self.reserve(key, ending, daemon);
        let placed = self.fill(key, work, signals);
        debug_assert!(placed.is_ok(), "the place was taken a line above");
    }

    /// Gives the reserved child its future; hands it back if the child was doomed meanwhile.
    pub(super) fn fill(
        &mut self,
        key: Key,
        work: Work<'env, E>,
        signals: &Arc<Signals>,
    ) -> Result<(), Work<'env, E>> {
        let Some(child) = self.child(key) else { return Err(work) };
        let Stage::Reserved { started } = child.stage else { return Err(work) };
        let waker = ChildWaker::queued(signals, key);
        if started {
            child.stage = Stage::Idle(work, waker);
            self.ready.push_back(key);
        } else {
            child.stage = Stage::Waiting(work, waker);
        }
        Ok(())
    }

    /// Takes a woken child out to be polled; none if it is gone or not started.
    pub(super) fn begin_poll(&mut self, key: Key) -> Option<Turn<'env, E>> {
        let limited = self.limit != usize::MAX;
        let child = self.child(key)?;
        if !matches!(child.stage, Stage::Idle(..)) {
            return None;
        }
        let Stage::Idle(work, waker) = std::mem::replace(&mut child.stage, Stage::Polled { doomed: false })
        else {
            return None;
        };
        if limited && !child.holds && !child.daemon {
            // The sibling it waited for has ended; it takes its place back, over the limit if need be.
            child.holds = true;
            self.holding += 1;
        }
        Some(Turn { key, work, waker })
    }

    /// Puts a child back that is still pending; hands it out if it was doomed during the poll.
    pub(super) fn end_poll(
        &mut self,
        turn: Turn<'env, E>,
        lends: bool,
        told: bool,
    ) -> Option<Doomed<'env, E>> {
        let child = self.child(turn.key)?;
        child.told |= told;
        if let Stage::Polled { doomed: true } = child.stage {
            let ending = self.remove(turn.key)?;
            return Some(Doomed { work: Some((turn.work, turn.waker)), ending });
        }
        child.stage = Stage::Idle(turn.work, turn.waker);
        if lends && child.holds {
            child.holds = false;
            self.holding -= 1;
            self.start_waiting();
        }
        None
    }

    /// Whether an error of this child would only repeat the group's own cancellation.
    pub(super) fn was_told(&mut self, key: Key) -> bool {
        self.child(key).is_some_and(|child| child.told)
    }

    /// Frees the slot of a child that has ended.
    pub(super) fn remove(&mut self, key: Key) -> Option<Arc<dyn Ending + 'env>> {
        self.child(key)?;
        let child = self.slots[key.slot as usize].take()?;
        self.free.push(key.slot);
        self.live -= usize::from(!child.daemon);
        self.holding -= usize::from(child.holds);
        if child.holds {
            self.start_waiting();
        }
        Some(child.ending)
    }

    fn start_waiting(&mut self) {
        while self.holding < self.limit
            && let Some(key) = self.waiting.pop_front()
        {
            let Some(child) = self.child(key) else { continue };
            match std::mem::replace(&mut child.stage, Stage::Reserved { started: true }) {
                Stage::Waiting(work, waker) => {
                    child.stage = Stage::Idle(work, waker);
                    child.holds = true;
                    self.holding += 1;
                    self.ready.push_back(key);
                }
                // Its future is still being made; it will start when that is done.
                Stage::Reserved { .. } => {
                    child.holds = true;
                    self.holding += 1;
                }
                other => child.stage = other,
            }
        }
    }

    /// Ends one child; one that is being polled is left to its driver.
    pub(super) fn doom(&mut self, key: Key) -> Option<Doomed<'env, E>> {
        let child = self.child(key)?;
        match std::mem::replace(&mut child.stage, Stage::Polled { doomed: true }) {
            Stage::Idle(work, waker) => {
                let ending = self.remove(key)?;
                Some(Doomed { work: Some((work, waker)), ending })
            }
            Stage::Waiting(work, waker) => {
                self.waiting.retain(|waiting| *waiting != key);
                let ending = self.remove(key)?;
                Some(Doomed { work: Some((work, waker)), ending })
            }
            // `fill` will find nobody and drop the future.
            Stage::Reserved { .. } => Some(Doomed { work: None, ending: self.remove(key)? }),
            Stage::Polled { .. } => None,
        }
    }

    /// Ends all children, or only those that have not started, in spawn order.
    pub(super) fn doom_all(&mut self, only_waiting: bool) -> Vec<Doomed<'env, E>> {
        let mut keys: Vec<Key> = Vec::new();
        for (slot, child) in self.slots.iter().enumerate() {
            if let Some(child) = child
                && (!only_waiting
                    || matches!(child.stage, Stage::Waiting(..) | Stage::Reserved { started: false }))
            {
                keys.push(Key { slot: slot as u32, id: child.id });
            }
        }
        keys.sort_unstable_by_key(|key| key.id);
        // Nobody starts any more: a place that becomes free stays free.
        self.waiting.clear();
        keys.into_iter().filter_map(|key| self.doom(key)).collect()
    }

    /// Whether this child has no place yet.
    pub(super) fn is_waiting(&mut self, key: Key) -> bool {
        self.child(key).is_some_and(|child| {
            matches!(child.stage, Stage::Waiting(..) | Stage::Reserved { started: false })
        })
    }

    /// Who is alive and doing what, in spawn order.
    pub(super) fn activities(&self) -> Vec<(u64, Arc<dyn Ending + 'env>, Activity)> {
        let mut all: Vec<_> = self
            .slots
            .iter()
            .flatten()
            .map(|child| {
                let activity = match child.stage {
                    Stage::Reserved { started: false } | Stage::Waiting(..) => Activity::Waiting,
                    Stage::Reserved { started: true } | Stage::Idle(..) => Activity::Idle,
                    Stage::Polled { .. } => Activity::Polled,
                };
                (child.id, child.ending.clone(), activity)
            })
            .collect();
        all.sort_unstable_by_key(|(id, ..)| *id);
        all
    }
}

//! The children of a group: their slots, whose turn it is, and who waits for a place under the limit.

use std::{
    collections::VecDeque,
    mem,
    ops::Range,
    sync::atomic::{AtomicU64, Ordering},
};

use super::{label::Label, slots::Slots, wake::Key, wakers::Wakers, work::Work};

/// The slots of all live children. A slot is used again once its child has ended.
pub(super) struct Children<'env, E> {
    slots: Slots<Child<'env, E>>,
    /// The wakers of the slots, and who is ready to be polled.
    pub(super) wakers: Wakers,
    /// Who has not started because the limit is reached, in spawn order.
    waiting: VecDeque<Place>,
    /// How many children may hold a place at once.
    limit: usize,
    /// How many hold one.
    holding: usize,
    /// Live children without the daemons.
    live: usize,
}

/// A child's slot and id, as its handle knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) slot: u32,
    pub(super) id: u64,
}

impl Place {
    /// How wakers know the child.
    pub(super) fn key(self) -> Key {
        // The low half is meant.
        Key { slot: self.slot, generation: self.id as u32 }
    }
}

struct Child<'env, E> {
    id: u64,
    label: Label,
    stage: Stage<'env, E>,
    daemon: bool,
    /// Counts against the limit. A child that waits for a sibling without a place lends its own.
    holds: bool,
    /// Was handed the group's own cancellation; an error it returns after that is an echo of it.
    told: bool,
}

enum Stage<'env, E> {
    /// A place is kept for a child that is being made; if doomed meanwhile, its maker drops it.
    Reserved {
        started: bool,
        doomed: bool,
        /// Its task has reported its end already.
        woken: bool,
    },
    /// Not started: never polled before there is a place.
    Waiting(Work<'env, E>),
    Idle(Work<'env, E>),
    /// With the driver; if doomed meanwhile, the driver drops it when the poll returns.
    Polled {
        doomed: bool,
    },
}

/// A child on its way to be polled.
pub(super) struct Turn<'env, E> {
    pub(super) key: Key,
    pub(super) work: Work<'env, E>,
}

/// A child that ends without finishing: to be dropped outside the lock.
pub(super) struct Doomed<'env, E> {
    pub(super) work: Option<Work<'env, E>>,
    pub(super) label: Label,
}

/// What the group has to know of a child that has finished.
pub(super) struct Finished {
    pub(super) id: u64,
    pub(super) label: Label,
    /// Its error would only repeat the group's own cancellation.
    pub(super) told: bool,
}

/// What a child is doing, for `Debug`.
#[derive(Clone, Copy, Debug)]
pub(super) enum Activity {
    Waiting,
    Idle,
    Polled,
}

/// How many ids are taken at a time, so that groups on different cores seldom meet there.
const IDS_AT_ONCE: u64 = 64;

/// Ids are unique in the process, so that a child can be named in logs and on status pages; zero is never used.
static NEXT_ID: AtomicU64 = AtomicU64::new(1);

/// Takes `count` ids for good.
pub(super) fn take_ids(count: u64) -> Range<u64> {
    // Relaxed: only uniqueness counts.
    let first = NEXT_ID.fetch_add(count, Ordering::Relaxed);
    first..first + count
}

impl<'env, E> Children<'env, E> {
    pub(super) fn new(limit: usize, wakers: Wakers) -> Self {
        Self { slots: Slots::new(), wakers, waiting: VecDeque::new(), limit, holding: 0, live: 0 }
    }

    pub(super) fn live(&self) -> usize {
        self.live
    }

    pub(super) fn is_gone(&self) -> bool {
        self.slots.is_empty()
    }

    fn child(&mut self, place: Place) -> Option<&mut Child<'env, E>> {
        self.slots.get_mut(place.slot).filter(|child| child.id == place.id)
    }

    /// Where the next child goes.
    fn next_place(&mut self) -> Place {
        let ids = &mut self.wakers.ids;
        if ids.is_empty() {
            *ids = take_ids(IDS_AT_ONCE);
        }
        let id = ids.start;
        ids.start += 1;
        Place { slot: self.slots.next(), id }
    }

    /// Without a limit there is no account of places.
    fn is_limited(&self) -> bool {
        self.limit != usize::MAX
    }

    /// Whether another child could start at once.
    fn has_room(&self) -> bool {
        self.holding < self.limit && self.waiting.is_empty()
    }

    /// Adds a child.
    pub(super) fn add(&mut self, label: Label, work: Work<'env, E>, daemon: bool) -> Place {
        let place = self.next_place();
        // A daemon serves the others; it must not take a place from them.
        if daemon || self.has_room() {
            self.insert(place, label, Stage::Idle(work), daemon, self.is_limited() && !daemon);
            self.wakers.ready.push_back(place.key());
        } else {
            self.insert(place, label, Stage::Waiting(work), daemon, false);
            self.waiting.push_back(place);
        }
        place
    }

    /// Keeps a place for a child that is being made; true if it may start at once.
    pub(super) fn reserve(&mut self, label: Label) -> (Place, bool) {
        let place = self.next_place();
        let started = self.has_room();
        let holds = started && self.is_limited();
        self.insert(place, label, Stage::Reserved { started, doomed: false, woken: false }, false, holds);
        if !started {
            self.waiting.push_back(place);
        }
        (place, started)
    }

    fn insert(&mut self, place: Place, label: Label, stage: Stage<'env, E>, daemon: bool, holds: bool) {
        let child = Child { id: place.id, label, stage, daemon, holds, told: false };
        self.slots.insert(child);
        self.live += usize::from(!daemon);
        self.holding += usize::from(holds);
    }

    /// Gives the reserved child its work; hands it back if the child was doomed meanwhile.
    pub(super) fn fill(&mut self, place: Place, work: Work<'env, E>) -> Result<(), Work<'env, E>> {
        let Some(child) = self.child(place) else { return Err(work) };
        let Stage::Reserved { started, doomed: false, woken } = child.stage else { return Err(work) };
        // One that got its place while it was being made still has to be started.
        let ready = woken || started && !work.is_started();
        child.stage = if started { Stage::Idle(work) } else { Stage::Waiting(work) };
        if ready {
            self.wakers.ready.push_back(place.key());
        }
        Ok(())
    }

    /// Gives up the place of a child that was doomed while it was being made.
    pub(super) fn give_up(&mut self, place: Place) {
        if self.child(place).is_some() {
            self.remove(place.slot);
        }
    }

    /// Takes a woken child out to be polled; none if it is gone or not started.
    pub(super) fn begin_poll(&mut self, key: Key) -> Option<Turn<'env, E>> {
        let limited = self.is_limited();
        // A late wake carries the key of an earlier child of the slot.
        let child = self.slots.get_mut(key.slot).filter(|child| child.id as u32 == key.generation)?;
        let work = match mem::replace(&mut child.stage, Stage::Polled { doomed: false }) {
            Stage::Idle(work) => work,
            Stage::Reserved { started, doomed, .. } => {
                child.stage = Stage::Reserved { started, doomed, woken: true };
                return None;
            }
            other => {
                child.stage = other;
                return None;
            }
        };
        if limited && !child.holds && !child.daemon {
            // The sibling it waited for has ended; it takes its place back, over the limit if need be.
            child.holds = true;
            self.holding += 1;
        }
        Some(Turn { key, work })
    }

    /// Puts a child back that is still pending; hands it out if it was doomed during the poll.
    pub(super) fn end_poll(
        &mut self,
        turn: Turn<'env, E>,
        lends: bool,
        told: bool,
    ) -> Option<Doomed<'env, E>> {
        let Turn { key, work } = turn;
        let child = self.slots.get_mut(key.slot)?;
        child.told |= told;
        if let Stage::Polled { doomed: true } = child.stage {
            let label = self.remove(key.slot)?.label;
            return Some(Doomed { work: Some(work), label });
        }
        child.stage = Stage::Idle(work);
        let lent = lends && mem::take(&mut child.holds);
        if lent {
            self.holding -= 1;
            self.start_waiting();
        }
        None
    }

    /// Frees the slot of a child whose result is published.
    pub(super) fn free(&mut self, slot: u32) {
        let Some(child) = self.slots.get_mut(slot) else { return };
        let (daemon, holds) = (child.daemon, child.holds);
        self.slots.free(slot);
        self.gone(daemon, holds);
    }

    /// Frees the slot of a child that has ended otherwise.
    pub(super) fn finish(&mut self, slot: u32, told: bool) -> Option<Finished> {
        let child = self.remove(slot)?;
        Some(Finished { id: child.id, label: child.label, told: child.told || told })
    }

    fn remove(&mut self, slot: u32) -> Option<Child<'env, E>> {
        let child = self.slots.take(slot)?;
        self.gone(child.daemon, child.holds);
        Some(child)
    }

    fn gone(&mut self, daemon: bool, holds: bool) {
        self.live -= usize::from(!daemon);
        if holds {
            self.holding -= 1;
            self.start_waiting();
        }
    }

    fn start_waiting(&mut self) {
        while self.holding < self.limit
            && let Some(place) = self.waiting.pop_front()
        {
            let Some(child) = self.child(place) else { continue };
            child.holds = true;
            let making = Stage::Reserved { started: true, doomed: false, woken: false };
            match mem::replace(&mut child.stage, making) {
                Stage::Waiting(work) => {
                    child.stage = Stage::Idle(work);
                    self.wakers.ready.push_back(place.key());
                }
                // It is still being made; it starts when that is done.
                other => {
                    debug_assert!(matches!(other, Stage::Reserved { started: false, doomed: false, .. }));
                }
            }
            self.holding += 1;
        }
    }

    /// Ends one child; one that is being polled is left to its driver.
    pub(super) fn doom(&mut self, place: Place) -> Option<Doomed<'env, E>> {
        let child = self.child(place)?;
        match mem::replace(&mut child.stage, Stage::Polled { doomed: true }) {
            Stage::Idle(work) => {
                let label = self.remove(place.slot)?.label;
                Some(Doomed { work: Some(work), label })
            }
            Stage::Waiting(work) => {
                self.waiting.retain(|waiting| *waiting != place);
                let label = self.remove(place.slot)?.label;
                Some(Doomed { work: Some(work), label })
            }
            Stage::Reserved { started, woken, .. } => {
                child.stage = Stage::Reserved { started, doomed: true, woken };
                self.waiting.retain(|waiting| *waiting != place);
                None
            }
            Stage::Polled { .. } => None,
        }
    }

    /// Ends all children, or only those that have not started, in spawn order.
    pub(super) fn doom_all(&mut self, only_waiting: bool) -> Vec<Doomed<'env, E>> {
        if self.is_gone() {
            return Vec::new();
        }
        // Nobody starts any more: a place that becomes free stays free.
        self.waiting.clear();
        let places = self.slots.iter().filter_map(|(slot, child)| {
            let waits = matches!(child.stage, Stage::Waiting(..) | Stage::Reserved { started: false, .. });
            (waits || !only_waiting).then_some(Place { slot, id: child.id })
        });
        let mut places: Vec<Place> = places.collect();
        places.sort_unstable_by_key(|place| place.id);
        places.into_iter().filter_map(|place| self.doom(place)).collect()
    }

    /// Whether this child has no place yet.
    pub(super) fn is_waiting(&mut self, place: Place) -> bool {
        self.child(place).is_some_and(|child| {
            matches!(child.stage, Stage::Waiting(..) | Stage::Reserved { started: false, .. })
        })
    }

    /// Who is alive and doing what, in spawn order.
    pub(super) fn activities(&self) -> Vec<(u64, Label, Activity)> {
        let activity = |child: &Child<'env, E>| match child.stage {
            Stage::Reserved { started: false, .. } | Stage::Waiting(..) => Activity::Waiting,
            Stage::Reserved { started: true, .. } | Stage::Idle(..) => Activity::Idle,
            Stage::Polled { .. } => Activity::Polled,
        };
        let alive = self.slots.iter().map(|(_, child)| child);
        let mut all: Vec<_> = alive.map(|child| (child.id, child.label.clone(), activity(child))).collect();
        all.sort_unstable_by_key(|(id, ..)| *id);
        all
    }
}

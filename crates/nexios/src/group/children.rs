//! The children of a group: their slots, whose turn it is, and who waits for a place under the limit.

use std::{
    collections::BTreeMap,
    mem,
    ops::Range,
    sync::atomic::{AtomicU64, Ordering},
};

use super::{frames::POLLS_PER_TURN, label::Label, slots::Slots, wake::Key, wakers::Wakers, work::Work};

/// The slots of all live children. A slot is used again once its child has ended.
pub(super) struct Children<'env, E> {
    slots: Slots<Child<'env, E>>,
    /// The wakers of the slots, and who is ready to be polled.
    pub(super) wakers: Wakers,
    /// The slots of those who have not started because the limit is reached, by id, which is in spawn order.
    waiting: BTreeMap<u64, u32>,
    /// How many children may hold a place at once.
    limit: usize,
    /// How many hold one.
    holding: usize,
    /// Live children without the daemons.
    live: usize,
    /// Whose turn it is between the children and the body.
    body_turn: BodyTurn,
}

/// How long the body of `run` lets children go first, so that neither keeps the other from its turn.
///
/// It goes behind the children that were woken when it was last polled. If it has spawned any in that poll, then behind
/// all of them, those who wait for a place included, as soon as they get one: a body that is always ready spawns no
/// faster than its children are polled. Else it goes behind a turn's worth of them: children that spawn children hold up
/// a body no longer than that.
#[derive(Default)]
struct BodyTurn {
    /// How many polls of children come before the body.
    children_first: usize,
    /// Children with lower ids that get their place come before the body too.
    places_first: u64,
    /// The next id when the body's poll began.
    began_at: u64,
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
    /// Counts against the limit.
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
    pub(super) id: u64,
    pub(super) work: Work<'env, E>,
    pub(super) label: Label,
    /// A parallel child that had ended before it was doomed: what it has left is its own, no answer to the group's end.
    pub(super) had_ended: bool,
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
        Self {
            slots: Slots::new(),
            wakers,
            waiting: BTreeMap::new(),
            limit,
            holding: 0,
            live: 0,
            body_turn: BodyTurn::default(),
        }
    }

    /// Who is polled next, in the order of the wakes.
    pub(super) fn next_woken(&mut self) -> Option<Key> {
        let key = self.wakers.ready.pop_front();
        self.body_turn.children_first = self.body_turn.children_first.saturating_sub(1);
        key
    }

    /// Whether the children that come before the body have had their turn.
    pub(super) fn let_body_go(&self) -> bool {
        self.body_turn.children_first == 0 || self.wakers.ready.is_empty()
    }

    /// The body is about to be polled.
    pub(super) fn begin_body_poll(&mut self) {
        self.body_turn.began_at = self.wakers.ids.start;
    }

    /// The body was polled: it goes behind the children that are woken now.
    pub(super) fn end_body_poll(&mut self) {
        let (woken, next_id) = (self.wakers.ready.len(), self.wakers.ids.start);
        let has_spawned = next_id != self.body_turn.began_at;
        let most = if has_spawned { usize::MAX } else { POLLS_PER_TURN as usize };
        self.body_turn.children_first = woken.min(most);
        self.body_turn.places_first = if has_spawned { next_id } else { 0 };
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
            self.waiting.insert(place.id, place.slot);
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
            self.waiting.insert(place.id, place.slot);
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
        Some(Turn { key, work })
    }

    /// Puts a child back that is still pending; hands it out if it was doomed during the poll.
    pub(super) fn end_poll(&mut self, turn: Turn<'env, E>, told: bool) -> Option<Doomed<'env, E>> {
        let Turn { key, work } = turn;
        let child = self.slots.get_mut(key.slot)?;
        child.told |= told;
        if let Stage::Polled { doomed: true } = child.stage {
            return self.take_out(key.slot, work);
        }
        child.stage = Stage::Idle(work);
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
            && let Some((id, slot)) = self.waiting.pop_first()
        {
            self.start(Place { slot, id });
        }
    }

    /// Starts a child for which a sibling waits, over the limit: the sibling holds a place and does nothing with it.
    pub(super) fn start_awaited(&mut self, place: Place) {
        if self.waiting.remove(&place.id).is_some() {
            self.start(place);
        }
    }

    /// Gives a place to a child that has been taken from the waiting.
    fn start(&mut self, place: Place) {
        let Some(child) = self.child(place) else { return };
        child.holds = true;
        let making = Stage::Reserved { started: true, doomed: false, woken: false };
        match mem::replace(&mut child.stage, making) {
            Stage::Waiting(work) => {
                child.stage = Stage::Idle(work);
                self.wakers.ready.push_back(place.key());
                self.body_turn.children_first += usize::from(place.id < self.body_turn.places_first);
            }
            // It is still being made; it starts when that is done.
            other => {
                debug_assert!(matches!(other, Stage::Reserved { started: false, doomed: false, .. }));
            }
        }
        self.holding += 1;
    }

    /// Ends one child; one that is being polled is left to its driver.
    pub(super) fn doom(&mut self, place: Place) -> Option<Doomed<'env, E>> {
        let child = self.child(place)?;
        match mem::replace(&mut child.stage, Stage::Polled { doomed: true }) {
            Stage::Idle(work) => self.take_out(place.slot, work),
            Stage::Waiting(work) => {
                self.waiting.remove(&place.id);
                self.take_out(place.slot, work)
            }
            Stage::Reserved { started, woken, .. } => {
                child.stage = Stage::Reserved { started, doomed: true, woken };
                self.waiting.remove(&place.id);
                None
            }
            Stage::Polled { .. } => None,
        }
    }

    /// Frees the slot of a child that ends without finishing.
    fn take_out(&mut self, slot: u32, work: Work<'env, E>) -> Option<Doomed<'env, E>> {
        let child = self.remove(slot)?;
        let had_ended = work.has_ended();
        Some(Doomed { id: child.id, work, label: child.label, had_ended })
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

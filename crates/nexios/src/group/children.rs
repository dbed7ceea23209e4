//! The children of a group: where each one sits, who counts against the limit, and who waits for a place.

use std::{collections::BTreeMap, mem, ops::Range, sync::Arc};

use super::{
    child::{Member, Seat},
    slots::Slots,
    turns::POLLS_PER_TURN,
    wake::Key,
    wakers::Wakers,
};
use crate::work::identity::take_numbers;

/// A child as its group holds it.
pub(super) type Held<'env, E> = Arc<dyn Member<'env, E> + 'env>;

/// The list of all children that have not ended. A slot is used again once its child has.
pub(super) struct Children<'env, E> {
    slots: Slots<ChildEntry<'env, E>>,
    /// The wakers of the slots, and who is ready to be polled.
    pub(super) wakers: Wakers,
    /// Who has not started because the limit is reached: id and slot, in spawn order.
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

/// A child that is about to be ended.
pub(super) struct Ending<'env, E> {
    pub(super) seat: Seat,
    pub(super) child: Held<'env, E>,
    /// A task that had ended by itself: what it has left is its own, no answer to the group's end.
    pub(super) had_ended: bool,
}

impl<E> Ending<'_, E> {
    pub(super) fn look(&mut self) {
        self.had_ended = self.child.has_ended();
    }
}

struct ChildEntry<'env, E> {
    id: u64,
    child: Held<'env, E>,
    /// Does not keep the group open.
    daemon: bool,
    /// Counts against the limit.
    holds: bool,
    /// Was handed the group's own cancellation; an error it returns after that is an echo of it.
    told: bool,
}

/// How many ids are taken at a time, so that groups on different cores seldom meet there.
const IDS_AT_ONCE: u64 = 64;

/// Takes `count` ids for good. They are numbers of work, which a child is to whoever observes.
pub(super) fn take_ids(count: u64) -> Range<u64> {
    let first = take_numbers(count);
    first..first + count
}

/// How wakers know the child in this seat.
pub(super) fn key_of(seat: Seat) -> Key {
    // The low half is meant.
    Key {
        slot: seat.slot,
        generation: seat.id as u32,
    }
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
        let key = self.wakers.ready.children.pop_front();
        self.body_turn.children_first = self.body_turn.children_first.saturating_sub(1);
        key
    }

    /// Takes the body's wake, if the children that come before it have had their turn.
    pub(super) fn let_body_go(&mut self) -> bool {
        let ready = &mut self.wakers.ready;
        let goes = ready.body && (self.body_turn.children_first == 0 || ready.children.is_empty());
        if goes {
            ready.body = false;
            self.body_turn.began_at = self.wakers.ids.start;
        }
        goes
    }

    /// The body was polled: it goes behind the children that are woken now.
    pub(super) fn end_body_poll(&mut self) {
        let (woken, next_id) = (self.wakers.ready.children.len(), self.wakers.ids.start);
        let has_spawned = next_id != self.body_turn.began_at;
        let most = if has_spawned {
            usize::MAX
        } else {
            POLLS_PER_TURN as usize
        };
        self.body_turn.children_first = woken.min(most);
        self.body_turn.places_first = if has_spawned { next_id } else { 0 };
    }

    pub(super) fn live(&self) -> usize {
        self.live
    }

    pub(super) fn is_gone(&self) -> bool {
        self.slots.is_empty()
    }

    fn entry(&mut self, seat: Seat) -> Option<&mut ChildEntry<'env, E>> {
        self.slots
            .get_mut(seat.slot)
            .filter(|entry| entry.id == seat.id)
    }

    /// The id of the next child.
    pub(super) fn next_id(&mut self) -> u64 {
        let ids = &mut self.wakers.ids;
        if ids.is_empty() {
            *ids = take_ids(IDS_AT_ONCE);
        }
        let id = ids.start;
        ids.start += 1;
        id
    }

    /// Where the child with this id goes.
    pub(super) fn next_seat(&self, id: u64) -> Seat {
        Seat {
            slot: self.slots.next(),
            id,
        }
    }

    /// Without a limit there is no account of places.
    fn is_limited(&self) -> bool {
        self.limit != usize::MAX
    }

    /// Whether another child could start at once.
    fn has_room(&self) -> bool {
        self.holding < self.limit && self.waiting.is_empty()
    }

    /// Adds a child to the next seat; true if it may start at once. A daemon takes no place, and does not keep the group
    /// open.
    pub(super) fn add(&mut self, seat: Seat, child: Held<'env, E>, daemon: bool) -> bool {
        let starts = daemon || self.has_room();
        let holds = starts && !daemon && self.is_limited();
        self.holding += usize::from(holds);
        self.slots.insert(ChildEntry {
            id: seat.id,
            child,
            daemon,
            holds,
            told: false,
        });
        self.live += usize::from(!daemon);
        if !starts {
            self.waiting.insert(seat.id, seat.slot);
        }
        starts
    }

    /// A child that is to be polled; none if it is gone or has no place.
    pub(super) fn woken(&mut self, key: Key) -> Option<(Seat, Held<'env, E>)> {
        // A late wake carries the key of an earlier child of the slot.
        let entry = self
            .slots
            .get_mut(key.slot)
            .filter(|entry| entry.id as u32 == key.generation)?;
        let seat = Seat {
            slot: key.slot,
            id: entry.id,
        };
        let waits = !self.waiting.is_empty() && self.waiting.contains_key(&seat.id);
        (!waits).then(|| (seat, entry.child.clone()))
    }

    /// Remembers that the child was handed the group's own cancellation.
    pub(super) fn tell(&mut self, seat: Seat) {
        if let Some(entry) = self.entry(seat) {
            entry.told = true;
        }
    }

    /// Forgets a child that has ended; true if it was handed the group's own cancellation.
    #[inline(always)]
    pub(super) fn remove(&mut self, seat: Seat) -> bool {
        let Some(entry) = self.slots.take_if(seat.slot, |entry| entry.id == seat.id) else {
            return false;
        };
        self.live -= usize::from(!entry.daemon);
        if !self.waiting.is_empty() {
            self.waiting.remove(&seat.id);
        }
        if entry.holds {
            self.holding -= 1;
            self.start_waiting();
        }
        entry.told
    }

    fn start_waiting(&mut self) {
        while self.holding < self.limit
            && let Some((id, slot)) = self.waiting.pop_first()
        {
            self.start(Seat { slot, id });
        }
    }

    fn start(&mut self, seat: Seat) {
        if let Some(entry) = self.entry(seat) {
            entry.holds = true;
            self.holding += 1;
            self.wakers.ready.children.push_back(key_of(seat));
            self.body_turn.children_first += usize::from(seat.id < self.body_turn.places_first);
        }
    }

    /// Starts a child that waits for its place, over the limit.
    pub(super) fn start_now(&mut self, seat: Seat) {
        if self.waiting.remove(&seat.id).is_some() {
            self.start(seat);
        }
    }

    /// All children, or only those that have not started, in spawn order. None of the latter starts any more.
    pub(super) fn all_to_end(&mut self, only_waiting: bool) -> Vec<Ending<'env, E>> {
        if self.slots.is_empty() {
            return Vec::new();
        }
        let waiting = mem::take(&mut self.waiting);
        let mut children: Vec<_> = self
            .slots
            .iter()
            .map(|(slot, entry)| (Seat { slot, id: entry.id }, entry))
            .filter(|(seat, _)| !only_waiting || waiting.contains_key(&seat.id))
            .map(|(seat, entry)| Ending {
                seat,
                child: entry.child.clone(),
                had_ended: false,
            })
            .collect();
        children.sort_unstable_by_key(|ending| ending.seat.id);
        children
    }

    /// The child in this seat.
    pub(super) fn held(&mut self, seat: Seat) -> Option<Held<'env, E>> {
        self.entry(seat).map(|entry| entry.child.clone())
    }

    /// Everybody with whether they wait for a place, in spawn order.
    pub(super) fn all(&self) -> Vec<(u64, Held<'env, E>, bool)> {
        let alive = self.slots.iter().map(|(_, entry)| entry);
        let mut all: Vec<_> = alive
            .map(|entry| {
                (
                    entry.id,
                    entry.child.clone(),
                    self.waiting.contains_key(&entry.id),
                )
            })
            .collect();
        all.sort_unstable_by_key(|(id, ..)| *id);
        all
    }
}

//! The wakers of children, who belongs to which slot, and what a group leaves to the next one.

use std::{cell::RefCell, ops::Range, sync::Arc};

use futures_util::task::ArcWake;

use super::{
    panics::log_panic_text,
    turns,
    wake::{Key, Queue, Signals},
};
use crate::{
    panics::{bury, caught},
    sync::{
        atomic::{AtomicBool, AtomicU32, Ordering, fence},
        thread_local,
    },
};

/// How many wakers of one group are kept.
const SEATS_KEPT: usize = 128;
/// How many groups' wakers a thread keeps; more only helps where groups nest deeper.
const GROUPS_KEPT: usize = 8;

/// The waker of one slot.
pub(super) struct ChildWaker {
    signals: Arc<Signals>,
    slot: u32,
    /// Written only while nobody else has a clone.
    generation: AtomicU32,
    /// The child is in a queue already; cleared right before it is polled.
    queued: AtomicBool,
}

impl ChildWaker {
    pub(super) fn new(signals: &Arc<Signals>, key: Key) -> Arc<Self> {
        let generation = AtomicU32::new(key.generation);
        Arc::new(Self {
            signals: signals.clone(),
            slot: key.slot,
            generation,
            queued: AtomicBool::new(false),
        })
    }

    fn key(&self) -> Key {
        // Relaxed: a clone came to its thread after the last change.
        Key {
            slot: self.slot,
            generation: self.generation.load(Ordering::Relaxed),
        }
    }

    /// Allows the next wake; called right before the poll, so that a wake during the poll counts.
    pub(super) fn arm(&self) {
        // Relaxed: without a recorded wake there is nothing to see; a wake that comes now queues the child again.
        if self.queued.load(Ordering::Relaxed) {
            // AcqRel: what the waking side did before its wake is seen by the poll that follows.
            self.queued.swap(false, Ordering::AcqRel);
        }
    }

    /// Whether it is the waker of this child of its slot, or can be from now on.
    fn serves(self: &Arc<Self>, key: Key) -> bool {
        // Relaxed, here and below: see `key`.
        if self.generation.load(Ordering::Relaxed) == key.generation {
            return true;
        }
        let free = self.is_unused();
        if free {
            self.generation.store(key.generation, Ordering::Relaxed);
        }
        free
    }

    /// Nobody else has a clone, and no queue has the key.
    fn is_unused(self: &Arc<Self>) -> bool {
        if Arc::strong_count(self) != 1 {
            return false;
        }
        // Pairs with the release of the last clone: what was done through it is seen below.
        fence(Ordering::Acquire);
        !self.queued.load(Ordering::Relaxed)
    }
}

impl ArcWake for ChildWaker {
    fn wake_by_ref(this: &Arc<Self>) {
        // AcqRel: see `arm`.
        if !this.queued.swap(true, Ordering::AcqRel)
            && !turns::wake_here(this.signals.address(), this.key())
        {
            this.signals.push(this.key());
        }
    }
}

/// Tells the group of a task that is gone, however that came: its turn has come again.
pub(super) struct EndNotice {
    signals: Arc<Signals>,
    key: Key,
}

impl EndNotice {
    pub(super) fn new(signals: &Arc<Signals>, key: Key) -> Self {
        Self {
            signals: signals.clone(),
            key,
        }
    }
}

impl Drop for EndNotice {
    fn drop(&mut self) {
        // It goes as a part of the task: a panic of somebody's waker would be the task's end, or the process's if the task
        // has panicked itself.
        if let Err(payload) = caught(|| self.signals.push(self.key)) {
            log_panic_text(
                "a waker panicked as it was told that a child of a task group has ended",
                &payload,
            );
            bury(payload);
        }
    }
}

/// The wakers of the slots. They belong to whoever drives the group, and rest in it between two turns.
#[derive(Default)]
pub(super) struct WakerSeats {
    seats: Vec<Option<Arc<ChildWaker>>>,
}

impl WakerSeats {
    /// The waker for the next poll of the child with this key.
    #[inline]
    pub(super) fn waker(&mut self, key: Key, signals: &Arc<Signals>) -> &Arc<ChildWaker> {
        let slot = key.slot as usize;
        if self.seats.len() <= slot {
            self.seats.resize_with(slot + 1, || None);
        }
        let seat = &mut self.seats[slot];
        if !seat.as_ref().is_some_and(|waker| waker.serves(key)) {
            // Late wakes go on carrying the key of the earlier child and reach nobody.
            *seat = None;
        }
        seat.get_or_insert_with(|| ChildWaker::new(signals, key))
    }
}

/// The wakers of one group, and who is to be polled.
#[derive(Default)]
pub(super) struct Wakers {
    /// Empty while somebody drives.
    pub(super) seats: WakerSeats,
    /// Who is to be polled next. Lives here so that its memory is used again.
    pub(super) ready: Queue,
    /// The waker for the body of `run`.
    body: Option<Arc<ChildWaker>>,
    /// Ids for the next children. What is left of them serves the next group.
    pub(super) ids: Range<u64>,
}

impl Wakers {
    pub(super) fn body(&mut self, signals: &Arc<Signals>) -> Arc<ChildWaker> {
        self.body
            .take()
            .unwrap_or_else(|| ChildWaker::new(signals, Key::BODY))
    }

    pub(super) fn put_back_body(&mut self, waker: Arc<ChildWaker>) {
        if waker.is_unused() {
            self.body = Some(waker);
        }
    }
}

/// What another group has left on this thread, or something new.
pub(super) fn borrow() -> (Arc<Signals>, Wakers) {
    RECYCLED
        .try_with(|recycled| recycled.borrow_mut().pop())
        .ok()
        .flatten()
        .unwrap_or_default()
}

/// Leaves everything to the next group on this thread, if nothing else reaches the signals but these wakers and the
/// group that ends. `parked` says that the signals have been used for more than wakes.
pub(super) fn recycle(signals: &Arc<Signals>, mut wakers: Wakers, parked: bool) {
    let seats = &mut wakers.seats.seats;
    seats.truncate(SEATS_KEPT);
    let own = seats.iter().flatten().count() + usize::from(wakers.body.is_some()) + 1;
    // Of a large group nothing is kept: it would be the thread's for good.
    let large = seats.capacity().max(wakers.ready.children.capacity()) > 4 * SEATS_KEPT;
    if Arc::strong_count(signals) != own || large {
        return;
    }
    wakers.ready.clear();
    if parked || signals.has_woken() {
        signals.clear();
    }
    // A thread that is ending has no place for it; then it is just freed.
    let _ = RECYCLED.try_with(|recycled| {
        let mut recycled = recycled.borrow_mut();
        if recycled.len() < GROUPS_KEPT {
            recycled.push((signals.clone(), wakers));
        }
    });
}

thread_local! {
    #[allow(clippy::missing_const_for_thread_local, reason = "the model checker's macro takes no const block")]
    static RECYCLED: RefCell<Vec<(Arc<Signals>, Wakers)>> = RefCell::new(Vec::new());
}

#[cfg(all(test, not(nexios_shuttle)))]
mod tests {
    use super::*;

    #[test]
    fn a_large_group_leaves_no_large_memory_to_the_next() {
        let (signals, mut wakers) = (Arc::new(Signals::default()), Wakers::default());
        wakers.seats.waker(
            Key {
                slot: 100_000,
                generation: 1,
            },
            &signals,
        );
        recycle(&signals, wakers, false);
        let (_, next) = borrow();
        assert!(
            next.seats.seats.capacity() <= 4 * SEATS_KEPT,
            "{}",
            next.seats.seats.capacity()
        );
    }
}

//! How a woken child finds its way to whoever drives the group.
//!
//! Every child, the body of `run`, the timer and the watch on the parent token have a waker of their own, so
//! that only what was woken is polled. Wakers have to be `'static` while children are not: this side knows
//! children by [`Key`] alone.

use std::{
    cell::RefCell,
    collections::{BTreeMap, VecDeque},
    mem,
    sync::Arc,
    task::Waker,
};

use futures_util::task::ArcWake;

use crate::sync::{
    Mutex, MutexGuard,
    atomic::{AtomicBool, Ordering, fence},
    thread_local,
};

/// Names a waker: its slot, and which in number it is there, since slots are used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) slot: u32,
    pub(super) generation: u32,
}

impl Key {
    /// The body of `run`.
    pub(super) const BODY: Self = Self { slot: u32::MAX, generation: 0 };
    /// The deadline or the end of the grace period.
    pub(super) const TIMER: Self = Self { slot: u32::MAX - 1, generation: 0 };
    /// The token of the surrounding scope.
    pub(super) const PARENT: Self = Self { slot: u32::MAX - 2, generation: 0 };
}

/// Who was woken, and who wants to know.
#[derive(Default)]
pub(super) struct Signals {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Woken and not yet taken by a driver, in the order of the wakes; each key at most once.
    woken: Vec<Key>,
    /// The body was woken as well; it is kept apart, so that a turn can begin with it.
    body_woken: bool,
    /// Somebody is driving and will look at `woken` before leaving.
    driven: bool,
    /// Those who wait for the group, any of whom can drive it.
    awaiters: Awaiters,
}

/// The wakers of all who wait. Nearly always there is one, which needs no allocation.
#[derive(Default)]
pub(super) struct Awaiters {
    first: Option<(u64, Waker)>,
    others: BTreeMap<u64, Waker>,
}

impl Awaiters {
    /// Returns a waker that is no longer needed, to be dropped outside the lock.
    fn insert(&mut self, awaiter: u64, waker: Waker) -> Option<Waker> {
        match &mut self.first {
            None if self.others.is_empty() => {
                self.first = Some((awaiter, waker));
                None
            }
            Some((first, known)) if *first == awaiter => Some(mem::replace(known, waker)),
            _ => self.others.insert(awaiter, waker),
        }
    }

    fn remove(&mut self, awaiter: u64) -> Option<Waker> {
        match self.first.take_if(|(first, _)| *first == awaiter) {
            Some((_, waker)) => Some(waker),
            None => self.others.remove(&awaiter),
        }
    }

    pub(super) fn wake(self) {
        if let Some((_, waker)) = self.first {
            waker.wake();
        }
        for waker in self.others.into_values() {
            waker.wake();
        }
    }
}

impl Signals {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing under this lock can panic half-way; a poisoned state is still whole.
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Begins a turn: from here to [`end_turn`](Self::end_turn) wakes are only collected.
    ///
    /// Moves the woken children behind `ready` and says whether the body was woken too. The driver is awake, so its
    /// own waker is given back; it is registered anew at the end of the turn.
    pub(super) fn begin_turn(&self, awaiter: u64, ready: &mut VecDeque<Key>) -> (bool, Option<Waker>) {
        let mut state = self.lock();
        state.driven = true;
        ready.extend(state.woken.drain(..));
        (mem::take(&mut state.body_woken), state.awaiters.remove(awaiter))
    }

    /// Moves everything woken so far behind `ready`, the body too; false if there was nothing.
    pub(super) fn collect(&self, ready: &mut VecDeque<Key>) -> bool {
        let mut state = self.lock();
        ready.extend(state.woken.drain(..));
        if mem::take(&mut state.body_woken) {
            ready.push_back(Key::BODY);
        }
        !ready.is_empty()
    }

    /// Ends the turn with `waker` registered, unless something was woken meanwhile: then returns the waker.
    ///
    /// With `hand_over` the others are given back to be woken outside of locks.
    pub(super) fn end_turn(&self, awaiter: u64, waker: Waker, hand_over: bool) -> Result<Awaiters, Waker> {
        let mut state = self.lock();
        if state.body_woken || !state.woken.is_empty() {
            return Err(waker);
        }
        state.driven = false;
        let others = if hand_over { mem::take(&mut state.awaiters) } else { Awaiters::default() };
        // The turn began by taking this awaiter out, so nothing is replaced here.
        state.awaiters.insert(awaiter, waker);
        Ok(others)
    }

    /// Ends the turn although there may be more to do; somebody has to be told.
    pub(super) fn stop_turn(&self) {
        self.lock().driven = false;
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

    /// Forgets everything, for the next group.
    fn clear(&self) {
        let (woken, awaiters) = {
            let mut state = self.lock();
            state.driven = false;
            state.body_woken = false;
            // The memory stays unless it has grown large.
            let large = state.woken.capacity() > 4 * SEATS_KEPT;
            let woken = if large { mem::take(&mut state.woken) } else { Vec::new() };
            state.woken.clear();
            (woken, mem::take(&mut state.awaiters))
        };
        drop((woken, awaiters));
    }

    fn push(&self, key: Key) {
        let awaiters = {
            let mut state = self.lock();
            if key == Key::BODY {
                state.body_woken = true;
            } else {
                state.woken.push(key);
            }
            if state.driven { Awaiters::default() } else { mem::take(&mut state.awaiters) }
        };
        awaiters.wake();
    }
}

/// The waker of one slot.
pub(super) struct ChildWaker {
    signals: Arc<Signals>,
    key: Key,
    /// The child is in a queue already; cleared right before it is polled.
    queued: AtomicBool,
}

impl ChildWaker {
    pub(super) fn new(signals: &Arc<Signals>, key: Key) -> Arc<Self> {
        Arc::new(Self { signals: signals.clone(), key, queued: AtomicBool::new(false) })
    }

    /// Allows the next wake; called right before the poll, so that a wake during the poll counts.
    pub(super) fn arm(&self) {
        // Relaxed: without a recorded wake there is nothing to see; a wake that comes now queues the child again.
        if self.queued.load(Ordering::Relaxed) {
            // AcqRel: what the waking side did before its wake is seen by the poll that follows.
            self.queued.swap(false, Ordering::AcqRel);
        }
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
        if !this.queued.swap(true, Ordering::AcqRel) {
            this.signals.push(this.key);
        }
    }
}

/// The wakers of one group, by slot. A group that ends leaves them to the next one on its thread.
#[derive(Default)]
pub(super) struct Wakers {
    pub(super) signals: Arc<Signals>,
    seats: Vec<Seat>,
    /// Who is to be polled next, in the order of the wakes. Lives here so that its memory is used again.
    pub(super) ready: VecDeque<Key>,
    /// The waker for the body of `run`.
    body: Option<Arc<ChildWaker>>,
}

/// The waker of a slot and which in number it is there.
#[derive(Default)]
struct Seat {
    generation: u32,
    /// None while the child is being polled, or when the next child needs a new one.
    waker: Option<Arc<ChildWaker>>,
}

impl Wakers {
    /// Wakers that another group has left on this thread, or none yet.
    pub(super) fn new() -> Self {
        RECYCLED.try_with(|recycled| recycled.borrow_mut().pop()).ok().flatten().unwrap_or_default()
    }

    /// The key under which the child in `slot` is woken.
    pub(super) fn key(&mut self, slot: u32) -> Key {
        if self.seats.len() <= slot as usize {
            self.seats.resize_with(slot as usize + 1, Seat::default);
        }
        Key { slot, generation: self.seats[slot as usize].generation }
    }

    /// Whether the key is of the child that has the slot now.
    pub(super) fn is_current(&self, key: Key) -> bool {
        self.seats.get(key.slot as usize).is_some_and(|seat| seat.generation == key.generation)
    }

    /// Takes the waker of `slot` for a poll.
    pub(super) fn take(&mut self, slot: u32) -> Arc<ChildWaker> {
        let key = self.key(slot);
        let kept = self.seats[slot as usize].waker.take();
        kept.unwrap_or_else(|| ChildWaker::new(&self.signals, key))
    }

    pub(super) fn put_back(&mut self, waker: Arc<ChildWaker>) {
        if let Some(seat) = self.seats.get_mut(waker.key.slot as usize) {
            seat.waker = Some(waker);
        }
    }

    /// The child in `slot` has ended: its waker serves the next one, unless the key may still turn up.
    pub(super) fn retire(&mut self, slot: u32, polled_with: Option<Arc<ChildWaker>>, polled: bool) {
        // A child that has never started has no seat, and its key is nowhere.
        let Some(seat) = self.seats.get_mut(slot as usize) else { return };
        match polled_with.or_else(|| seat.waker.take()) {
            Some(waker) if polled && waker.is_unused() => seat.waker = Some(waker),
            // Late wakes, and a child's first place in the queue, carry the old generation and reach nobody.
            _ => seat.generation = seat.generation.wrapping_add(1),
        }
    }

    pub(super) fn body(&mut self) -> Arc<ChildWaker> {
        self.body.take().unwrap_or_else(|| ChildWaker::new(&self.signals, Key::BODY))
    }

    pub(super) fn put_back_body(&mut self, waker: Arc<ChildWaker>) {
        if waker.is_unused() {
            self.body = Some(waker);
        }
    }

    /// Leaves everything to the next group on this thread, if nobody else can reach it any more.
    pub(super) fn recycle(mut self) {
        self.seats.truncate(SEATS_KEPT);
        self.seats
            .iter_mut()
            .filter(|seat| seat.waker.as_ref().is_some_and(|waker| !waker.is_unused()))
            .for_each(|seat| {
                seat.waker = None;
                seat.generation = seat.generation.wrapping_add(1);
            });
        let own = self.seats.iter().filter(|seat| seat.waker.is_some()).count()
            + usize::from(self.body.is_some())
            + 1;
        if Arc::strong_count(&self.signals) != own || self.ready.capacity() > 4 * SEATS_KEPT {
            return;
        }
        self.ready.clear();
        self.signals.clear();
        // A thread that is ending has no place for it; then it is just freed.
        let _ = RECYCLED.try_with(|recycled| {
            let mut recycled = recycled.borrow_mut();
            if recycled.len() < GROUPS_KEPT {
                recycled.push(self);
            }
        });
    }
}

/// How many wakers of one group are kept.
const SEATS_KEPT: usize = 128;
/// How many groups' wakers a thread keeps; more only helps where groups nest deeper.
const GROUPS_KEPT: usize = 8;

thread_local! {
    #[allow(clippy::missing_const_for_thread_local, reason = "the model checker's macro takes no const block")]
    static RECYCLED: RefCell<Vec<Wakers>> = RefCell::new(Vec::new());
}

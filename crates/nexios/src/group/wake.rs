//! How a woken child finds its way to whoever drives the group.
//!
//! Every child, the body of `run`, the timer and the watch on the parent token have a waker of their own, so
//! that only what was woken is polled. Wakers have to be `'static` while children are not: this side knows
//! children by [`Key`] alone.

use std::{collections::BTreeMap, mem, sync::Arc, task::Waker};

use futures_util::task::ArcWake;

use crate::sync::{
    Mutex, MutexGuard,
    atomic::{AtomicBool, Ordering},
    thread_local,
};

/// Names a child for as long as the group lives: a slot and the child's id, since slots are used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) slot: u32,
    pub(super) id: u64,
}

impl Key {
    /// The body of `run`.
    pub(super) const BODY: Self = Self { slot: u32::MAX, id: 0 };
    /// The deadline or the end of the grace period.
    pub(super) const TIMER: Self = Self { slot: u32::MAX - 1, id: 0 };
    /// The token of the surrounding scope.
    pub(super) const PARENT: Self = Self { slot: u32::MAX - 2, id: 0 };
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
    /// The driver is awake, so its own waker is given back; it is registered anew at the end of the turn.
    pub(super) fn begin_turn(&self, awaiter: u64) -> Option<Waker> {
        let mut state = self.lock();
        state.driven = true;
        state.awaiters.remove(awaiter)
    }

    /// Moves everything woken so far behind `ready`; false if there was nothing.
    pub(super) fn collect(&self, ready: &mut std::collections::VecDeque<Key>) -> bool {
        let mut state = self.lock();
        let any = !state.woken.is_empty();
        ready.extend(state.woken.drain(..));
        any
    }

    /// Ends the turn with `waker` registered, unless something was woken meanwhile: then returns the waker.
    ///
    /// With `hand_over` the others are given back to be woken outside of locks.
    pub(super) fn end_turn(&self, awaiter: u64, waker: Waker, hand_over: bool) -> Result<Awaiters, Waker> {
        let mut state = self.lock();
        if !state.woken.is_empty() {
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

    fn push(&self, key: Key) {
        let awaiters = {
            let mut state = self.lock();
            state.woken.push(key);
            if state.driven { Awaiters::default() } else { mem::take(&mut state.awaiters) }
        };
        awaiters.wake();
    }
}

/// The waker of one child.
pub(super) struct ChildWaker {
    /// The group to tell; none while the waker waits to be used again.
    signals: Option<Arc<Signals>>,
    key: Key,
    /// The child is in a queue already; cleared right before it is polled.
    queued: AtomicBool,
}

impl ChildWaker {
    /// A waker whose child is on its way into a queue, made new or out of one that nobody holds any more.
    pub(super) fn queued(signals: &Arc<Signals>, key: Key) -> Arc<Self> {
        let signals = Some(signals.clone());
        if let Some(mut recycled) = take_recycled()
            && let Some(waker) = Arc::get_mut(&mut recycled)
        {
            *waker = Self { signals, key, queued: AtomicBool::new(true) };
            return recycled;
        }
        Arc::new(Self { signals, key, queued: AtomicBool::new(true) })
    }

    /// Allows the next wake; called right before the poll, so that a wake during the poll counts.
    pub(super) fn arm(&self) {
        // AcqRel: what the waking side did before its wake is seen by the poll that follows.
        self.queued.swap(false, Ordering::AcqRel);
    }

    /// Keeps the allocation for another child if no clone of the waker is left.
    pub(super) fn recycle(mut self: Arc<Self>) {
        if let Some(waker) = Arc::get_mut(&mut self) {
            waker.signals = None;
            put_recycled(self);
        }
    }
}

impl ArcWake for ChildWaker {
    fn wake_by_ref(this: &Arc<Self>) {
        // AcqRel: see `arm`.
        if !this.queued.swap(true, Ordering::AcqRel)
            && let Some(signals) = &this.signals
        {
            signals.push(this.key);
        }
    }
}

/// How many unused wakers a thread keeps.
const RECYCLED_PER_THREAD: usize = 256;

thread_local! {
    static RECYCLED: std::cell::RefCell<Vec<Arc<ChildWaker>>> = std::cell::RefCell::new(Vec::new());
}

fn take_recycled() -> Option<Arc<ChildWaker>> {
    RECYCLED.try_with(|recycled| recycled.borrow_mut().pop()).ok().flatten()
}

fn put_recycled(waker: Arc<ChildWaker>) {
    // A thread that is ending has no place for it; then it is just freed.
    let _ = RECYCLED.try_with(|recycled| {
        let mut recycled = recycled.borrow_mut();
        if recycled.len() < RECYCLED_PER_THREAD {
            recycled.push(waker);
        }
    });
}

//! A waker for each contender, so that a wake-up says whom it is for.
//!
//! # Invariants
//!
//! 1. The race stores its task's waker first and looks at `woken` afterwards; a wake sets `woken` first and
//!    wakes the task afterwards. Whichever comes second sees the other, so no wake-up is lost.
//! 2. An alarm is used for another contender only while nobody else holds a clone of it, and knows no task then.

use std::{cell::RefCell, sync::Arc, task::Waker};

use futures_util::task::{ArcWake, AtomicWaker};

use super::lineup::Lineup;
use crate::sync::{
    atomic::{AtomicBool, Ordering, fence},
    thread_local,
};

/// So many alarms a thread keeps for its next races.
const SPARES: usize = 16;

thread_local! {
    /// Alarms that nobody can ring.
    static SPARE: RefCell<Vec<Arc<Alarm>>> = const { RefCell::new(Vec::new()) };
}

/// The waker of one contender.
#[derive(Debug)]
pub(super) struct Alarm {
    /// Whether the contender was woken since its last poll.
    woken: AtomicBool,
    /// The waker of the task that polls the race.
    task: AtomicWaker,
}

impl Alarm {
    /// An alarm that nobody else holds, not woken, without a task.
    pub(super) fn take() -> Arc<Self> {
        // The list is gone when the thread ends; an alarm of its own is as good.
        let spare = SPARE.try_with(|spare| spare.borrow_mut().pop()).ok().flatten();
        spare.unwrap_or_else(|| Arc::new(Self { woken: AtomicBool::new(false), task: AtomicWaker::new() }))
    }

    /// Whether the contender was woken; the answer is used up.
    pub(super) fn take_woken(&self) -> bool {
        // Relaxed: a wake that is not seen here comes after the last poll of the task, and wakes it again.
        // AcqRel: what the waking side did before is visible to the poll that follows.
        self.woken.load(Ordering::Relaxed) && self.woken.swap(false, Ordering::AcqRel)
    }

    /// Names the task to wake; true when the contender was woken before it could be.
    pub(super) fn watch(&self, task: &Waker) -> bool {
        self.task.register(task);
        // Acquire pairs with the swap of a wake that came before the registration.
        self.woken.load(Ordering::Acquire)
    }

    /// Whether this is the only handle: then nobody can ring it any more.
    fn is_alone(alarm: &Arc<Self>) -> bool {
        // There are no weak handles, and nobody can clone the only one but its holder.
        let alone = Arc::strong_count(alarm) == 1;
        // Acquire: what others did with their handles before they dropped them is visible now.
        fence(Ordering::Acquire);
        alone
    }

    /// Whether nothing can cause another poll: nobody can ring it, and nobody has.
    pub(super) fn is_unheard(alarm: &Arc<Self>) -> bool {
        // Relaxed: `is_alone` has ordered it.
        Self::is_alone(alarm) && !alarm.woken.load(Ordering::Relaxed)
    }

    /// Makes an alarm that knows no task fit for another contender, if nobody else can ring it.
    pub(super) fn is_reusable(alarm: &Arc<Self>) -> bool {
        let alone = Self::is_alone(alarm);
        if alone {
            // Relaxed: as above.
            alarm.woken.store(false, Ordering::Relaxed);
        }
        alone
    }

    /// Keeps an alarm that knows no task for a later race of this thread, if nobody else can ring it.
    pub(super) fn keep(alarm: Arc<Self>) {
        if !Self::is_reusable(&alarm) {
            return;
        }
        let _thread_is_ending = SPARE.try_with(|spare| {
            let mut spare = spare.borrow_mut();
            if spare.len() < SPARES {
                spare.push(alarm);
            }
        });
    }

    /// Forgets the task, whose race is over for this contender or polls it right now.
    pub(super) fn forget(&self) {
        drop(self.task.take());
    }
}

impl ArcWake for Alarm {
    fn wake_by_ref(alarm: &Arc<Self>) {
        // AcqRel: publishes the waker's work to `take_woken`; a second wake before the poll adds nothing.
        if !alarm.woken.swap(true, Ordering::AcqRel) {
            alarm.task.wake();
        }
    }
}

/// The alarms of those contenders of a race that can be woken.
pub(super) struct Alarms {
    lineup: Lineup<Arc<Alarm>>,
}

impl Alarms {
    pub(super) fn new(contenders: usize) -> Self {
        Self { lineup: Lineup::of_holes(contenders) }
    }

    pub(super) fn get(&self, index: usize) -> Option<&Arc<Alarm>> {
        self.lineup.places().get(index)?.as_ref()
    }

    pub(super) fn set(&mut self, index: usize, alarm: Arc<Alarm>) {
        self.lineup.places_mut()[index] = Some(alarm);
    }

    /// Takes a contender's alarm away: it has ended, or nothing can wake it.
    pub(super) fn retire(&mut self, index: usize) {
        if let Some(alarm) = self.lineup.places_mut()[index].take() {
            // A waker that outlives its contender must not wake the task of a race that is over.
            alarm.forget();
            Alarm::keep(alarm);
        }
    }

    /// Names the task to wake; true when a contender was woken before it could be.
    pub(super) fn watch(&self, task: &Waker) -> bool {
        let alarms = self.lineup.places().iter().flatten();
        // Each of them, whatever the others say.
        alarms.fold(false, |woken, alarm| alarm.watch(task) | woken)
    }

    /// Forgets the task: the race is over.
    pub(super) fn forget(&self) {
        for alarm in self.lineup.places().iter().flatten() {
            alarm.forget();
        }
    }
}

impl Drop for Alarms {
    fn drop(&mut self) {
        for index in 0..self.lineup.places().len() {
            self.retire(index);
        }
    }
}

//! A waker for each candidate, so that a wake-up says whom it is for.
//!
//! # Invariants
//!
//! 1. The race stores its task's waker first and looks at `woken` afterwards; a wake sets `woken` first and
//!    wakes the task afterwards. Whichever comes second sees the other, so no wake-up is lost.
//! 2. An alarm is used for another candidate only while nobody else holds a clone of it.

use std::sync::Arc;

use futures_util::task::{ArcWake, AtomicWaker};

use crate::sync::atomic::{AtomicBool, Ordering};

/// The waker of one candidate.
#[derive(Debug)]
pub(super) struct Alarm {
    /// Whether the candidate was woken since its last poll.
    woken: AtomicBool,
    /// The waker of the task that polls the race.
    task: AtomicWaker,
}

impl Alarm {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self { woken: AtomicBool::new(false), task: AtomicWaker::new() })
    }

    /// Whether the candidate was woken; the answer is used up.
    pub(super) fn take_woken(&self) -> bool {
        // AcqRel: what the waking side did before is visible to the poll that follows.
        self.woken.swap(false, Ordering::AcqRel)
    }

    /// Names the task to wake; true when the candidate was woken before it could be.
    pub(super) fn watch(&self, task: &std::task::Waker) -> bool {
        self.task.register(task);
        // Acquire pairs with the swap of a wake that came before the registration.
        self.woken.load(Ordering::Acquire)
    }

    /// Forgets the task, whose race is over for this candidate.
    pub(super) fn forget(&self) {
        drop(self.task.take());
    }

    /// Whether this was the only handle and it has not been woken: then nothing can wake it any more.
    pub(super) fn is_unheard(alarm: &mut Arc<Self>) -> bool {
        // Relaxed: with no other handle there is no other thread to order against.
        Arc::get_mut(alarm).is_some_and(|alarm| !alarm.woken.load(Ordering::Relaxed))
    }

    /// Hands the alarm back for another candidate if nobody else can ring it.
    pub(super) fn recycle(mut alarm: Arc<Self>) -> Option<Arc<Self>> {
        let Some(own) = Arc::get_mut(&mut alarm) else {
            alarm.forget();
            return None;
        };
        // Relaxed: as above.
        own.woken.store(false, Ordering::Relaxed);
        own.task.take();
        Some(alarm)
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

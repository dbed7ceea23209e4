//! One live task: what its handle, its context, its driver and the registry share. It ends with the last of them; what
//! is remembered of it afterwards is a copy.
//!
//! # Invariants
//!
//! 1. The state is written under the registry's lock only, and never again once it is final.
//! 2. A cancellation is never taken back. Whoever brings it wakes the driver afterwards.
//! 3. The token, made when somebody first asks for it, has fired once a cancel reason is kept, whichever
//!    of the two came first: both steps pass through the lock of `known`.
//! 4. No waker and no observer is called, and nothing of the user's is dropped, under that lock.

use std::{
    borrow::Cow,
    fmt,
    panic::resume_unwind,
    sync::{Arc, OnceLock, PoisonError},
    task::Waker,
    time::SystemTime,
};

use futures_util::task::AtomicWaker;
use tokio::time::Instant;

use crate::{
    cancel::{CancelReason, CancelToken, TokenSource},
    panics::caught,
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicU8, Ordering},
    },
    work::concurrent::{ConcurrentWork, Saying},
};

use super::{
    facts::{Ended, Facts, shortened},
    info::{TaskId, TaskInfo, TaskState},
    wall_clock::TimeOfDay,
};

/// What a cancellation does to a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OnCancel {
    /// Its future is dropped at once: it has no way to hear of the cancellation.
    Drop,
    /// Its token fires, and it ends by itself.
    Ask,
}

/// What the driver has to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// Wait for a running slot.
    Wait,
    /// Poll the future.
    Poll,
    /// Poll the future, which was asked to end.
    PollAsked,
    /// Drop the future, polled before or not.
    Drop,
}

/// One task, from its admission until nobody holds it.
pub(super) struct Record {
    /// Unique in the process, in the order of admission.
    pub(super) id: TaskId,
    /// The name given by the user.
    pub(super) name: Cow<'static, str>,
    /// The key that no other live task of the registry may hold.
    pub(super) key: Option<Arc<str>>,
    /// What a cancellation does to this task.
    on_cancel: OnCancel,
    /// The `TaskState` as a byte.
    state: AtomicU8,
    /// Set once it is cancelled, after the reason was kept.
    cancelled: AtomicBool,
    /// Set once somebody has reported that the task ignores its cancellation.
    stuck: AtomicBool,
    /// Wakes the driver for a slot or a cancellation.
    driver: AtomicWaker,
    /// Made when first asked for: most tasks never need one.
    token: OnceLock<CancelToken>,
    /// What those are told who look; its end by the driver alone.
    pub(super) work: ConcurrentWork,
    /// What changes while it lives.
    known: Mutex<Known>,
}

struct Known {
    facts: Facts,
    /// Why the task was cancelled; the first reason stays.
    reason: Option<CancelReason>,
}

impl Record {
    /// A task with a new number, which waits for its slot unless it has `began`. Its `work` is to be announced.
    pub(super) fn new(
        name: Cow<'static, str>,
        key: Option<Arc<str>>,
        on_cancel: OnCancel,
        began: Option<Instant>,
    ) -> Self {
        let state = if began.is_some() {
            TaskState::Running
        } else {
            TaskState::Queued
        };
        let id = TaskId::next();
        Self {
            id,
            name,
            key,
            on_cancel,
            state: AtomicU8::new(state as u8),
            cancelled: AtomicBool::new(false),
            stuck: AtomicBool::new(false),
            driver: AtomicWaker::new(),
            token: OnceLock::new(),
            work: ConcurrentWork::numbered(id.into()),
            known: Mutex::new(Known {
                facts: Facts::new(began),
                reason: None,
            }),
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        // Only plain fields change under this lock; a poisoned one is still whole.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn state(&self) -> TaskState {
        // Acquire pairs with the release in `set_state`: who sees a final state sees the facts written before.
        TaskState::from_byte(self.state.load(Ordering::Acquire))
    }

    /// Changes the state; the caller holds the registry's lock.
    pub(super) fn set_state(&self, state: TaskState) {
        // Release: see `state`.
        self.state.store(state as u8, Ordering::Release);
    }

    /// Gives the task, which has waited, its slot; the caller holds the registry's lock.
    pub(super) fn begin(&self) {
        let mut known = self.known();
        // Cancelled while it waited: its driver, which is woken, finds it as it was and ends it without a poll.
        if known.reason.is_some() {
            return;
        }
        known.facts.began = Some(Instant::now());
        self.set_state(TaskState::Running);
    }

    /// Writes the final state; the caller holds the registry's lock. What is to be remembered is returned.
    pub(super) fn end(&self, state: TaskState, error: Option<String>, now: Instant) -> Ended {
        let mut known = self.known();
        known.facts.end(now);
        if error.is_some() {
            known.facts.told().error = error;
        }
        let facts = known.facts.clone();
        drop(known);
        // After the facts: who sees that it has ended finds them whole.
        self.set_state(state);
        Ended {
            id: self.id,
            name: self.name.clone(),
            state,
            facts,
        }
    }

    /// What the driver has to do now.
    pub(super) fn next(&self) -> Next {
        match (self.state(), self.has_reason()) {
            (TaskState::Queued, false) => Next::Wait,
            // Never polled, so there is nobody to be asked.
            (TaskState::Queued, true) => Next::Drop,
            // A drain has ended it: nobody will look at what it would still return.
            (state, _) if state.is_final() => Next::Drop,
            (_, false) => Next::Poll,
            (_, true) if self.is_asked() => Next::PollAsked,
            (_, true) => Next::Drop,
        }
    }

    /// Lets `waker` be woken by the next slot or cancellation.
    pub(super) fn watch(&self, waker: &Waker) {
        self.driver.register(waker);
    }

    /// Forgets the waker, which keeps a finished task of the runtime in memory.
    pub(super) fn unwatch(&self) {
        drop(self.driver.take());
    }

    /// Tells those who look that it is about to be polled, and that it is asked to end if somebody has fired its token.
    pub(super) fn said_polled(&self) {
        if self.work.is_observed() {
            self.work.started();
            if let Some(reason) = self.cancel_reason() {
                self.work.cancelling(reason);
            }
        }
    }

    /// Wakes the driver; not under a lock.
    pub(super) fn wake(&self) {
        self.driver.wake();
    }

    /// Cancels the task for `reason`; false if it had ended or was cancelled before.
    pub(super) fn cancel(&self, reason: CancelReason) -> bool {
        if self.state().is_final() {
            return false;
        }
        let mut known = self.known();
        if known.reason.is_some() {
            return false;
        }
        known.reason = Some(reason);
        drop(known);
        // Release: who sees it sees the reason.
        self.cancelled.store(true, Ordering::Release);
        // One that waits is never polled: it has nothing to clean up.
        if self.state() != TaskState::Queued {
            self.work.cancelling(reason);
        }
        // Looked for after the reason was kept: a token that is made later finds it and fires itself.
        let fired = caught(|| self.fire(reason));
        // Last: the driver looks at what it is woken for, once. Also when a waker of the token panics.
        self.wake();
        if let Err(payload) = fired {
            resume_unwind(payload);
        }
        true
    }

    /// Fires the token, if there is one; an end fires it as well, for whoever still holds it.
    pub(super) fn fire(&self, reason: CancelReason) {
        if let Some(token) = self.token.get() {
            token.cancel(reason);
        }
    }

    fn has_reason(&self) -> bool {
        // Acquire: see `cancel`.
        self.cancelled.load(Ordering::Acquire)
    }

    /// Whether the task was asked to end, also by somebody who has fired its token.
    pub(super) fn is_cancelled(&self) -> bool {
        self.has_reason() || self.token.get().is_some_and(CancelToken::is_cancelled)
    }

    /// Why it was asked to end, if it was.
    pub(super) fn cancel_reason(&self) -> Option<CancelReason> {
        let reason = self.known().reason;
        reason.or_else(|| self.token.get().and_then(CancelToken::reason))
    }

    /// Whether a cancellation leaves the end to the task itself.
    pub(super) fn is_asked(&self) -> bool {
        self.on_cancel == OnCancel::Ask
    }

    /// Marks the task as stuck; true the first time.
    pub(super) fn mark_stuck(&self) -> bool {
        // Relaxed: it only keeps a log line from being written twice.
        !self.stuck.swap(true, Ordering::Relaxed)
    }

    /// Whether the task was reported as stuck.
    pub(super) fn is_stuck(&self) -> bool {
        // Relaxed: see `mark_stuck`.
        self.stuck.load(Ordering::Relaxed)
    }

    pub(super) fn set_progress(&self, done: u64, total: u64) {
        if !self.state().is_final() {
            let mut known = self.known();
            let told = known.facts.told();
            (told.done, told.total) = (done, total);
            drop(known);
            self.work.said(|| Saying::Progress { done, total });
        }
    }

    pub(super) fn set_message(&self, message: String) {
        if !self.state().is_final() {
            // Cut before the lock is taken; the old one is dropped after it.
            let message = shortened(message);
            let to_tell = self.work.is_observed().then(|| message.clone());
            let old = self.known().facts.told().message.replace(message);
            drop(old);
            if let Some(message) = to_tell {
                self.work.said(|| Saying::Message(message));
            }
        }
    }

    /// Why the last attempt or run failed; there will be another one.
    pub(super) fn set_error(&self, error: String) {
        let error = shortened(error);
        if self.work.is_observed() {
            // An empty one would take it back.
            let text = if error.is_empty() {
                "(no text)"
            } else {
                &error
            };
            let (name, value) = ("last_error", text.to_owned());
            self.work.said(|| Saying::Attribute { name, value });
        }
        let old = self.known().facts.told().error.replace(error);
        drop(old);
    }

    pub(super) fn set_next_run(&self, next: Option<SystemTime>) -> bool {
        std::mem::replace(&mut self.known().facts.told().next_run, next) != next
    }

    /// One begins that has not begun with its task.
    pub(super) fn set_attempt(&self, attempt: u32) {
        self.known().facts.told().attempt = attempt;
        self.work.said(|| Saying::Attempt(attempt));
    }

    /// A copy for people to look at.
    pub(super) fn info(&self, day: &TimeOfDay) -> TaskInfo {
        // Before the state: an end fires the token too, and is seen by then.
        let asked = self.cancel_reason();
        // Before the facts, which may be newer than it; an end's are whole once it is seen.
        let state = self.state();
        let facts = self.known().facts.clone();
        facts.info(self.id, self.name.clone(), state, asked, day)
    }
}

impl TokenSource for Record {
    fn token(&self) -> CancelToken {
        if let Some(token) = self.token.get() {
            return token.clone();
        }
        let known = self.known();
        let (token, reason) = (
            self.token.get_or_init(CancelToken::new).clone(),
            known.reason,
        );
        drop(known);
        // Outside the lock, as it wakes those who wait for the token.
        if let Some(reason) = reason {
            token.cancel(reason);
        }
        token
    }
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Record")
            .field("id", &self.id)
            .field("name", &self.name)
            .field("state", &self.state())
            .finish_non_exhaustive()
    }
}

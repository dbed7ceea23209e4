//! What is known about one task, shared by its handle, its context, its driver and the registry.
//!
//! # Invariants
//!
//! 1. The state is written under the registry's lock only, and never again once it is final.
//! 2. An order only grows: none, ask, drop. Whoever raises it wakes the driver afterwards.
//! 3. The token, made when somebody first asks for it, has fired once a cancel reason is kept, whichever
//!    of the two came first: both steps pass through the lock of `details`.
//! 4. No waker is called, and nothing of the user's is dropped, under that lock.

use std::{
    borrow::Cow,
    fmt,
    sync::{Arc, OnceLock, PoisonError},
    time::Duration,
};

use futures_util::task::AtomicWaker;
use tokio::time::Instant;

use crate::{
    CancelReason, CancelToken,
    cancel::TokenSource,
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering},
    },
};

use super::{
    info::{TaskId, TaskInfo, TaskState},
    wall_clock::TimeOfDay,
};

/// Longest message or error text kept, in bytes; the rest is cut off.
const LONGEST_TEXT: usize = 4_096;

/// What a cancellation does to a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OnCancel {
    /// Its future is dropped at once: it has no way to hear of the cancellation.
    Drop,
    /// Its token fires, and it ends by itself.
    Ask,
}

/// What the driver is told to do, in the order of severity.
const NO_ORDER: u8 = 0;
const ASK: u8 = 1;
const DROP: u8 = 2;

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

/// Stands in `Record::waited` for a task that has no slot yet.
const STILL_WAITING: u64 = u64::MAX;

/// One task, from its admission until it is forgotten and nobody holds its handle.
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
    /// `NO_ORDER`, `ASK` or `DROP`.
    order: AtomicU8,
    /// Set once somebody has reported that the task ignores its cancellation.
    stuck: AtomicBool,
    /// Wakes the driver for a slot or an order.
    driver: AtomicWaker,
    /// When it was admitted, on tokio's clock.
    admitted: Instant,
    /// For how long it then waited for its slot, in nanoseconds; `STILL_WAITING` while it does. Written under
    /// the registry's lock.
    waited: AtomicU64,
    /// For how long it then ran, in nanoseconds; written before the final state is.
    ran: AtomicU64,
    /// Made when first asked for: most tasks never need one.
    token: OnceLock<CancelToken>,
    /// What changes while it runs.
    details: Mutex<Details>,
}

struct Details {
    /// Units of work done, as the task says.
    done: u64,
    /// Units of work in all, as the task says.
    total: u64,
    /// The current attempt, from 1.
    attempt: u32,
    /// The last message of the task.
    message: Option<String>,
    /// The text of the last error or panic.
    error: Option<String>,
    /// Why the task was cancelled; the first reason stays.
    cancelled: Option<CancelReason>,
}

impl Default for Details {
    fn default() -> Self {
        Self { done: 0, total: 0, attempt: 1, message: None, error: None, cancelled: None }
    }
}

impl Record {
    /// A task with a new number that waits for its slot.
    pub(super) fn new(
        name: Cow<'static, str>,
        key: Option<Arc<str>>,
        on_cancel: OnCancel,
        admitted: Instant,
    ) -> Self {
        Self {
            id: TaskId::next(),
            name,
            key,
            on_cancel,
            state: AtomicU8::new(TaskState::Queued as u8),
            order: AtomicU8::new(NO_ORDER),
            stuck: AtomicBool::new(false),
            driver: AtomicWaker::new(),
            admitted,
            waited: AtomicU64::new(STILL_WAITING),
            ran: AtomicU64::new(0),
            token: OnceLock::new(),
            details: Mutex::new(Details::default()),
        }
    }

    fn details(&self) -> MutexGuard<'_, Details> {
        // Only plain fields change under this lock; a poisoned one is still whole.
        self.details.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn state(&self) -> TaskState {
        // Acquire pairs with the release in `set_state`: who sees a final state sees the error kept before.
        TaskState::from_byte(self.state.load(Ordering::Acquire))
    }

    /// Changes the state; the caller holds the registry's lock.
    pub(super) fn set_state(&self, state: TaskState) {
        // Release: see `state`.
        self.state.store(state as u8, Ordering::Release);
    }

    /// Gives the task a slot right at its admission; the caller holds the registry's lock.
    pub(super) fn set_running(&self) {
        // Relaxed: the state publishes it.
        self.waited.store(0, Ordering::Relaxed);
        self.set_state(TaskState::Running);
    }

    /// Gives the task, which has waited, its slot; the caller holds the registry's lock.
    pub(super) fn set_promoted(&self) {
        // Relaxed: the state publishes it.
        self.waited.store(nanos(self.admitted.elapsed()), Ordering::Relaxed);
        self.set_state(TaskState::Running);
    }

    /// Writes the final state; the caller holds the registry's lock.
    pub(super) fn set_ended(&self, state: TaskState, elapsed: Duration) {
        // Relaxed: the state publishes it.
        self.ran.store(nanos(elapsed), Ordering::Relaxed);
        self.set_state(state);
    }

    /// When it got its slot.
    fn began(&self) -> Option<Instant> {
        // Relaxed: who sees it running sees this, and nobody else needs to.
        match self.waited.load(Ordering::Relaxed) {
            STILL_WAITING => None,
            waited => Some(self.admitted + Duration::from_nanos(waited)),
        }
    }

    /// How long the task has been running, or ran.
    pub(super) fn elapsed(&self) -> Duration {
        if self.state().is_final() {
            // Relaxed: published by the final state.
            return Duration::from_nanos(self.ran.load(Ordering::Relaxed));
        }
        // Relaxed: see `began`.
        match self.waited.load(Ordering::Relaxed) {
            STILL_WAITING => Duration::ZERO,
            waited => self.admitted.elapsed().saturating_sub(Duration::from_nanos(waited)),
        }
    }

    /// What the driver has to do now.
    pub(super) fn next(&self) -> Next {
        let state = self.state();
        // Acquire pairs with the release in `raise`: who sees an order sees the reason kept before it.
        let order = self.order.load(Ordering::Acquire);
        match (state, order) {
            (TaskState::Queued, NO_ORDER) => Next::Wait,
            (TaskState::Queued, _) => Next::Drop,
            (state, order) if state.is_final() || order == DROP => Next::Drop,
            (_, ASK) => Next::PollAsked,
            _ => Next::Poll,
        }
    }

    /// Lets `waker` be woken by the next slot or order.
    pub(super) fn watch(&self, waker: &std::task::Waker) {
        self.driver.register(waker);
    }

    /// Forgets the waker, which keeps a finished task of the runtime in memory.
    pub(super) fn unwatch(&self) {
        drop(self.driver.take());
    }

    /// Wakes the driver; not under a lock.
    pub(super) fn wake(&self) {
        self.driver.wake();
    }

    /// Cancels the task for `reason`; false if it had ended or was cancelled before.
    pub(super) fn cancel(&self, reason: CancelReason) -> bool {
        if self.state().is_final() || !self.keep_reason(reason) {
            return false;
        }
        self.raise(if self.on_cancel == OnCancel::Drop { DROP } else { ASK });
        self.fire();
        self.wake();
        true
    }

    fn raise(&self, order: u8) {
        // AcqRel: the reason was kept before, see `next`.
        self.order.fetch_max(order, Ordering::AcqRel);
    }

    fn keep_reason(&self, reason: CancelReason) -> bool {
        let mut details = self.details();
        let first = details.cancelled.is_none();
        details.cancelled.get_or_insert(reason);
        first
    }

    /// Fires the token, if there is one, with the reason that was kept.
    fn fire(&self) {
        let reason = self.details().cancelled;
        if let (Some(token), Some(reason)) = (self.token.get(), reason) {
            token.cancel(reason);
        }
    }

    /// Tells whoever still holds the token that the task has ended.
    pub(super) fn fire_at_end(&self, reason: CancelReason) {
        if let Some(token) = self.token.get() {
            token.cancel(reason);
        }
    }

    /// Whether the task was asked to end.
    pub(super) fn is_cancelled(&self) -> bool {
        // Acquire: see `next`.
        self.order.load(Ordering::Acquire) != NO_ORDER
            || self.token.get().is_some_and(CancelToken::is_cancelled)
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
            let mut details = self.details();
            (details.done, details.total) = (done, total);
        }
    }

    pub(super) fn set_message(&self, message: String) {
        if !self.state().is_final() {
            let old = self.details().message.replace(shortened(message));
            drop(old);
        }
    }

    pub(super) fn set_error(&self, error: String) {
        let old = self.details().error.replace(shortened(error));
        drop(old);
    }

    pub(super) fn set_attempt(&self, attempt: u32) {
        self.details().attempt = attempt;
    }

    /// A copy for people to look at.
    pub(super) fn info(&self, day: &TimeOfDay) -> TaskInfo {
        let (elapsed, started) = (self.elapsed(), self.began().map(|began| day.at(began)));
        let details = self.details();
        TaskInfo {
            id: self.id,
            name: self.name.clone(),
            state: self.state(),
            done: details.done,
            total: details.total,
            message: details.message.clone(),
            attempt: details.attempt,
            started,
            elapsed,
            error: details.error.clone(),
        }
    }
}

impl TokenSource for Record {
    fn token(&self) -> CancelToken {
        if let Some(token) = self.token.get() {
            return token.clone();
        }
        let (token, reason) = {
            let details = self.details();
            (self.token.get_or_init(CancelToken::new).clone(), details.cancelled)
        };
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

/// Enough for 584 years.
fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(STILL_WAITING - 1)
}

fn shortened(mut text: String) -> String {
    if text.len() > LONGEST_TEXT {
        let longest = LONGEST_TEXT - '…'.len_utf8();
        let cut = (0..=longest).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
        text.truncate(cut);
        text.push('…');
    }
    // What was cut off, or only reserved, is kept in memory otherwise.
    text.shrink_to_fit();
    text
}

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
    time::{Duration, SystemTime},
};

use futures_util::task::AtomicWaker;
use tokio::time::Instant;

use crate::{
    CancelReason, CancelToken,
    cancel::TokenSource,
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicU8, Ordering},
    },
};

use super::info::{TaskId, TaskInfo, TaskState};

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

/// When a task began to run.
#[derive(Debug, Clone, Copy)]
pub(super) struct Began {
    /// For people.
    wall: SystemTime,
    /// For the elapsed time.
    clock: Instant,
}

impl Began {
    pub(super) fn now() -> Self {
        Self { wall: SystemTime::now(), clock: Instant::now() }
    }
}

/// One task, from its admission until its future is gone and nobody holds its handle.
pub(super) struct Record {
    /// Unique within its registry, in the order of admission.
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
    /// When it was admitted, which is when it got its slot unless it had to wait.
    admitted: Began,
    /// Whether it had to wait for its slot; written under the registry's lock, before anybody else can see
    /// the task.
    waited: AtomicBool,
    /// When it got its slot, if it had to wait.
    promoted: OnceLock<Began>,
    /// Made when first asked for: most tasks never need one.
    token: OnceLock<CancelToken>,
    /// What changes while it runs.
    details: Mutex<Details>,
}

#[derive(Default)]
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

impl Record {
    pub(super) fn new(
        id: TaskId,
        name: Cow<'static, str>,
        key: Option<Arc<str>>,
        on_cancel: OnCancel,
    ) -> Self {
        Self {
            id,
            name,
            key,
            on_cancel,
            state: AtomicU8::new(TaskState::Queued as u8),
            order: AtomicU8::new(NO_ORDER),
            stuck: AtomicBool::new(false),
            driver: AtomicWaker::new(),
            admitted: Began::now(),
            waited: AtomicBool::new(false),
            promoted: OnceLock::new(),
            token: OnceLock::new(),
            details: Mutex::new(Details { attempt: 1, ..Details::default() }),
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

    /// Says that the task has to wait for its slot.
    pub(super) fn set_waiting(&self) {
        // Relaxed: the registry's lock publishes it.
        self.waited.store(true, Ordering::Relaxed);
    }

    /// Keeps the moment at which a task that waited got its slot.
    pub(super) fn set_promoted(&self) {
        let _ = self.promoted.set(Began::now());
    }

    fn began(&self) -> Option<&Began> {
        // Relaxed: see `set_waiting`.
        if self.waited.load(Ordering::Relaxed) { self.promoted.get() } else { Some(&self.admitted) }
    }

    /// How long the task has been running.
    pub(super) fn elapsed(&self) -> Duration {
        self.began().map_or(Duration::ZERO, |began| began.clock.elapsed())
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
    pub(super) fn info(&self) -> TaskInfo {
        let elapsed = self.elapsed();
        let details = self.details();
        let (message, error) = (details.message.clone(), details.error.clone());
        self.describe(&details, elapsed, message, error)
    }

    /// What the history keeps of a task that ran for `elapsed`; the texts are moved into it.
    pub(super) fn move_to_history(&self, elapsed: Duration) -> TaskInfo {
        let mut details = self.details();
        let (message, error) = (details.message.take(), details.error.take());
        self.describe(&details, elapsed, message, error)
    }

    fn describe(
        &self,
        details: &Details,
        elapsed: Duration,
        message: Option<String>,
        error: Option<String>,
    ) -> TaskInfo {
        TaskInfo {
            id: self.id,
            name: self.name.clone(),
            state: self.state(),
            done: details.done,
            total: details.total,
            message,
            attempt: details.attempt,
            started: self.began().map(|began| began.wall),
            elapsed,
            error,
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

fn shortened(mut text: String) -> String {
    if text.len() > LONGEST_TEXT {
        let cut = (0..=LONGEST_TEXT).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
        text.truncate(cut);
        text.push('…');
    }
    text
}

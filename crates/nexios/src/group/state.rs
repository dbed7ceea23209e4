//! What a group, its handles, its spawners and its driver share.
//!
//! # Invariants
//!
//! Those of the whole module; other pages point here.
//!
//! 1. The cause of the end is written once: the first one decides. A handle is told of its end only after that.
//! 2. No future is polled or dropped, no destructor, waker or hook called, under a lock. The locks are `Core` (here),
//!    `Signals` (`wake.rs`) and one for each child's cell (`outcome.rs`). `Signals` may be taken under `Core`, never the
//!    other way round; a cell is taken alone.
//! 3. Whoever polls the group either finishes it or leaves a waker that will be called.
//! 4. At most one thread drives at a time (`Core::driving`). Whoever finds the group driven leaves a waker and goes.
//! 5. When the phase is `Closed` no child is added and no child's poll begins. Only the body may still be polled, after
//!    `cancel()`.
//! 6. A key names one child: its slot and the low half of its id. Should that come again in the same slot after four
//!    thousand million spawns, a late wake costs one poll.
//! 7. A waker is in the queue of woken keys at most once.
//! 8. A cell ends once: with the child's result, or with the reason for which the child is dropped.
//! 9. Timer and token are looked at whatever is left of the budget of the task, at least once a turn if they were woken,
//!    and they wait behind nobody.
//! 10. Neither the body nor a woken child waits for its poll without end, whoever else is always ready: children are
//!     polled in the order of their wakes, and who goes first, body or children, is `BodyTurn`'s (`children.rs`).
//! 11. When `drop` of the group or of a started `run` returns, every in-task child has been dropped. The exception is a
//!     thread that is itself inside a child's poll or destructor: it does not wait, since it could wait for itself; then
//!     the polling thread drops the child as its poll returns.
//! 12. What is done for one child, its end and its cancellation too, costs the same however many there are (the limit's
//!     queue apart, which is a tree).

use std::{
    collections::BTreeMap,
    fmt,
    future::Future,
    panic::resume_unwind,
    pin::Pin,
    sync::{Arc, PoisonError},
    task::Waker,
};

use tokio::time::Instant;

use super::{
    builder::Settings,
    children::{Children, Place},
    clock::Clock,
    finalizers::Finalizers,
    unwinding::Unwinding,
    verdict::{Cause, Payload, Verdict},
    wake::{Others, Signals},
    wakers,
};
use crate::{
    CancelToken, Interrupted,
    sync::{Condvar, Mutex, MutexGuard},
};

/// The shared half of a group.
pub(super) struct Shared<'env, E> {
    pub(super) settings: Settings,
    pub(super) signals: Arc<Signals>,
    core: Mutex<Core<'env, E>>,
    /// Told when a poll or a round of destructors ends while somebody waits for it in `drop`.
    pub(super) quiet: Condvar,
}

/// How far the group is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Open,
    /// The token has fired; children have the grace period to end by themselves.
    Closing,
    Closed,
}

/// Whether the group was run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Run {
    NotYet,
    Active,
    Over,
}

/// What the lock protects.
pub(super) struct Core<'env, E> {
    pub(super) children: Children<'env, E>,
    pub(super) verdict: Verdict<E>,
    pub(super) phase: Phase,
    pub(super) run: Run,
    /// A thread is driving.
    pub(super) driving: bool,
    /// The driving thread is inside a child's poll.
    pub(super) polling: bool,
    /// Rounds of destructors that are running outside the lock.
    pub(super) dropping: usize,
    /// Somebody waits in `drop` for the polls and destructors to end.
    pub(super) drop_waits: bool,
    /// Somebody may have registered as awaiter since the last notification.
    pub(super) awaited: bool,
    /// The signals are not as they were made: somebody has waited for the group, or left it with work undone.
    pub(super) parked: bool,
    /// Somebody has driven the group at least once.
    pub(super) driven_once: bool,
    /// What was woken besides children and has not had its turn.
    pub(super) woken: Others,
    pub(super) clock: Clock,
    /// Who wants to be told when the end begins, though somebody else drives.
    pub(super) watchers: Option<BTreeMap<u64, Waker>>,
    /// Made when somebody asks for it.
    pub(super) token: Option<CancelToken>,
    /// What `run` waits for after its children.
    pub(super) left: Option<Box<Left<E>>>,
}

/// What is left when the children are gone. Dropped, it becomes the business of the process.
pub(super) struct Left<E> {
    /// Aborted parallel children that may still be unwinding.
    pub(super) unwinding: Unwinding<E>,
    pub(super) finalizers: Finalizers,
}

impl<E> Default for Left<E> {
    fn default() -> Self {
        Self { unwinding: Unwinding::default(), finalizers: Finalizers::default() }
    }
}

impl<E> Left<E> {
    /// Waits for the unwinding, then runs the finalizers; returns the first panic.
    pub(super) async fn settle(mut self) -> Option<Payload> {
        self.unwinding.wait().await;
        drop(self.unwinding);
        self.finalizers.run().await
    }
}

impl<E> Core<'_, E> {
    /// When the next limit is due, if any; the timer is set to it when it is looked at.
    pub(super) fn set_due(&mut self, due: Option<Instant>) {
        self.clock.due = due;
        self.woken.timer = due.is_some();
    }
}

impl<'env, E> Shared<'env, E> {
    pub(super) fn new(settings: Settings) -> Self {
        let clock = Clock::new(settings.timeout, settings.deadline, settings.parent.clone());
        let (signals, wakers) = wakers::borrow();
        let core = Core {
            children: Children::new(settings.limit, wakers),
            verdict: Verdict::new(),
            phase: Phase::Open,
            run: Run::NotYet,
            driving: false,
            polling: false,
            dropping: 0,
            drop_waits: false,
            awaited: false,
            parked: false,
            driven_once: false,
            woken: Others { body: true, ..clock.unseen() },
            clock,
            watchers: None,
            token: None,
            left: None,
        };
        Self { settings, signals, core: Mutex::new(core), quiet: Condvar::new() }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Core<'env, E>> {
        // Only our own code runs under the lock, and none of it panics half-way.
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells this group from others on a thread's stack.
    pub(super) fn address(&self) -> usize {
        std::ptr::from_ref(&self.quiet) as usize
    }

    /// Why nothing can be spawned any more, if so.
    pub(super) fn refusal(core: &Core<'env, E>) -> Option<Interrupted> {
        match core.phase {
            Phase::Open => None,
            _ => Some(core.verdict.cause.unwrap_or(Cause::OwnerDropped).interrupted()),
        }
    }

    /// Gives up the lock after a change that a driver has to see.
    pub(super) fn release(&self, mut core: MutexGuard<'_, Core<'env, E>>) {
        // A driver looks again before it leaves.
        let notify = !core.driving && std::mem::take(&mut core.awaited);
        drop(core);
        if notify {
            self.signals.notify();
        }
    }

    /// The token of the group, fired already if the group has ended.
    pub(super) fn token(&self) -> CancelToken {
        let (token, ended) = {
            let mut core = self.lock();
            let ended = core.verdict.cause;
            let parent = &self.settings.parent;
            let token = core
                .token
                .get_or_insert_with(|| parent.as_ref().map_or_else(CancelToken::new, CancelToken::child));
            (token.clone(), ended)
        };
        if let Some(cause) = ended {
            token.cancel(cause.reason());
        }
        token
    }

    /// Ends a group whose body and children have finished; false if there is more to it than writing that down.
    pub(super) fn finish(&self, core: &mut Core<'env, E>) -> bool {
        let simple = core.children.is_gone() && core.token.is_none() && core.watchers.is_none();
        if simple {
            core.verdict.cause = Some(Cause::Finished);
            core.phase = Phase::Closed;
            core.set_due(None);
        }
        simple
    }

    /// Whether a drop has nothing left to do.
    pub(super) fn is_settled(core: &Core<'env, E>) -> bool {
        Self::is_over(core) && !core.polling && !core.verdict.has_panic() && core.left.is_none()
    }

    /// As [`is_settled`](Self::is_settled), where nobody else can reach the group any more.
    pub(super) fn is_settled_alone(&mut self) -> bool {
        Self::is_settled(self.core.get_mut().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether everything has ended that `run` waits for, the body apart.
    pub(super) fn is_over(core: &Core<'env, E>) -> bool {
        core.phase == Phase::Closed && core.children.is_gone() && core.dropping == 0
    }

    /// A child's poll is over, and whatever had to be dropped after it.
    pub(super) fn end_poll(&self, core: &mut Core<'env, E>) {
        core.polling = false;
        if core.drop_waits {
            self.quiet.notify_all();
        }
    }

    /// A child waits for this one: it must not wait for a place in its turn.
    pub(super) fn start_awaited(&self, place: Place) {
        if self.settings.limit != usize::MAX {
            self.lock().children.start_awaited(place);
        }
    }

    /// Registers a waker that is called once when the group begins to end.
    pub(super) fn watch_end(&self, watcher: u64, waker: Waker) {
        let old = self.lock().watchers.get_or_insert_default().insert(watcher, waker);
        drop(old);
    }

    pub(super) fn forget_watcher(&self, watcher: u64) {
        let old = self.lock().watchers.as_mut().and_then(|watchers| watchers.remove(&watcher));
        drop(old);
    }

    /// The first panic, or the error that decided, for one who waits outside `run`.
    pub(super) fn take_failure(&self) -> Option<E> {
        let mut core = self.lock();
        if core.run == Run::Active {
            return None;
        }
        if let Some(payload) = core.verdict.take_panic() {
            drop(core);
            resume_unwind(payload);
        }
        core.verdict.take_primary()
    }
}

impl<E> fmt::Debug for Shared<'_, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (phase, cause, activities, suppressed, not_kept) = {
            let core = self.lock();
            let verdict = &core.verdict;
            (
                core.phase,
                verdict.cause,
                core.children.activities(),
                verdict.suppressed_count(),
                verdict.not_kept,
            )
        };
        let children: Vec<_> = activities
            .iter()
            .map(|(id, label, activity)| format!("#{id} {label}: {}", format!("{activity:?}").to_lowercase()))
            .collect();
        f.debug_struct("TaskGroup")
            .field("name", &self.settings.name)
            .field("phase", &phase)
            .field("cause", &cause)
            .field("children", &children)
            .field("suppressed", &suppressed)
            .field("not_kept", &not_kept)
            .finish()
    }
}

/// A boxed future of the group's own machinery.
pub(super) type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

impl<E> Drop for Shared<'_, E> {
    /// The last handle is gone: the wakers serve another group.
    fn drop(&mut self) {
        let core = self.core.get_mut().unwrap_or_else(PoisonError::into_inner);
        wakers::recycle(&self.signals, std::mem::take(&mut core.children.wakers), core.parked);
    }
}

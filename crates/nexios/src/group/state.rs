//! What a group, its handles, its spawners and its driver share.
//!
//! # Invariants
//!
//! Of the group as a whole. Those of a part are at the head of its file: of a turn `drive.rs`, of a child `child.rs`, of wakes
//! `wake.rs`.
//!
//! 1. The cause of the end is written once: the first one decides. A handle is told of its end only after that.
//! 2. No future is polled or dropped, no destructor, waker or hook called, under a lock. The locks are `Core` (here),
//!    `Signals` (`wake.rs`) and one for each child's cell (`child.rs`). `Signals` may be taken under `Core`, never the
//!    other way round; a cell is taken alone, and so is the lock of what is observed (`observed.rs`).
//! 3. When the phase is `Closed` no child is added and no child's poll begins. Only the body may still be polled, after
//!    `cancel()`.
//! 4. When `drop` of the group or of a started `run` returns, every in-task child has been dropped. The exception is a
//!    thread that is itself inside a child's poll or destructor: it does not wait, since it could wait for itself; then
//!    the polling thread drops the child as its poll returns.
//! 5. What is done for one child, its end and its cancellation too, costs the same however many there are (the limit's
//!    queue apart, which is a tree).

use std::{
    collections::BTreeMap,
    fmt,
    panic::{Location, resume_unwind},
    sync::{Arc, OnceLock, PoisonError},
    task::Waker,
};

use tokio::time::Instant;

use super::{
    afterwards::Afterwards,
    builder::GroupSettings,
    child::Seat,
    children::Children,
    clock::Clock,
    observed::ObservedGroup,
    verdict::{Cause, Verdict},
    wake::Signals,
    wakers,
};
use crate::{
    cancel::{CancelToken, Interrupted},
    sync::{Condvar, Mutex, MutexGuard},
};

/// The shared half of a group.
pub(super) struct Shared<'env, E> {
    pub(super) settings: GroupSettings,
    pub(super) made_at: &'static Location<'static>,
    /// What whoever observes is told of the group; empty if nobody observed when it was used.
    pub(super) observed: OnceLock<Arc<ObservedGroup>>,
    pub(super) signals: Arc<Signals>,
    core: Mutex<Core<'env, E>>,
    /// Told when a poll or a round of destructors ends while somebody waits for it in `drop`.
    pub(super) quiet: Condvar,
}

/// How far the group is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum GroupPhase {
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
    pub(super) phase: GroupPhase,
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
    pub(super) clock: Clock,
    /// Who wants to be told when the end begins, though somebody else drives.
    pub(super) watchers: Option<BTreeMap<u64, Waker>>,
    /// Made when somebody asks for it.
    pub(super) token: Option<CancelToken>,
    /// What is left when all children are gone. Rare, so on the heap.
    pub(super) afterwards: Option<Box<Afterwards<'env>>>,
}

impl<'env, E> Shared<'env, E> {
    pub(super) fn new(settings: GroupSettings, made_at: &'static Location<'static>) -> Self {
        let clock = Clock::new(settings.timeout, settings.deadline, settings.parent.clone());
        let (signals, mut wakers) = wakers::borrow();
        let ready = &mut wakers.ready;
        (ready.body, ready.timer, ready.parent) = (true, clock.has_limit(), clock.has_parent());
        let core = Core {
            children: Children::new(settings.limit, wakers),
            verdict: Verdict::new(),
            phase: GroupPhase::Open,
            run: Run::NotYet,
            driving: false,
            polling: false,
            dropping: 0,
            drop_waits: false,
            awaited: false,
            parked: false,
            driven_once: false,
            clock,
            watchers: None,
            token: None,
            afterwards: None,
        };
        Self {
            settings,
            made_at,
            observed: OnceLock::new(),
            signals,
            core: Mutex::new(core),
            quiet: Condvar::new(),
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Core<'env, E>> {
        // Only our own code runs under the lock. All that panics there is a timer without a runtime, before any change.
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The group as whoever observes sees it; it is made now, if this is its first use that is observed.
    ///
    /// Under the lock, so that whoever ends the group either has ended it before or finds this.
    #[cold]
    pub(super) fn observe(&self, core: MutexGuard<'_, Core<'env, E>>) -> &Arc<ObservedGroup> {
        let is_first = self.observed.get().is_none();
        let observed = self
            .observed
            .get_or_init(|| Arc::new(ObservedGroup::new(self.settings.parent.clone())));
        drop(core);
        if is_first {
            observed.announce(self.settings.name.as_deref(), self.made_at);
        }
        observed
    }

    /// The group is over, and no part of it is left that anybody here waits for.
    pub(super) fn end_observed(&self) {
        if let Some(observed) = self.observed.get() {
            observed.ended();
        }
    }

    /// Tells this group from others on a thread's stack.
    pub(super) fn address(&self) -> usize {
        std::ptr::from_ref(&self.quiet) as usize
    }

    /// Why nothing can be spawned any more, if so.
    pub(super) fn refusal(core: &Core<'env, E>) -> Option<Interrupted> {
        match core.phase {
            GroupPhase::Open => None,
            _ => Some(
                core.verdict
                    .cause
                    .unwrap_or(Cause::OwnerDropped)
                    .interrupted(),
            ),
        }
    }

    /// Whether those who wait have to be told of a change that a driver has to see.
    pub(super) fn takes_a_notice(core: &mut Core<'env, E>) -> bool {
        // A driver looks again before it leaves.
        !core.driving && std::mem::take(&mut core.awaited)
    }

    /// A handle has given the result of a task that the group has not looked at. The task's report is still on its way, or
    /// has woken those who wait.
    pub(super) fn leave_out(&self, seat: Seat) {
        self.lock().children.remove(seat);
    }

    /// The token of the group, fired already if the group has ended.
    pub(super) fn token(&self) -> CancelToken {
        let (token, ended) = {
            let mut core = self.lock();
            let ended = core.verdict.cause;
            let parent = &self.settings.parent;
            let token = core.token.get_or_insert_with(|| {
                parent
                    .as_ref()
                    .map_or_else(CancelToken::new, CancelToken::child)
            });
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
            core.phase = GroupPhase::Closed;
            core.set_due(None);
        }
        simple
    }

    /// Whether a drop has nothing left to do.
    pub(super) fn is_settled(core: &Core<'env, E>) -> bool {
        Self::is_over(core)
            && !core.polling
            && !core.verdict.has_panic()
            && core.afterwards.is_none()
    }

    /// As [`is_settled`](Self::is_settled), where nobody else can reach the group any more.
    pub(super) fn is_settled_alone(&mut self) -> bool {
        Self::is_settled(self.core.get_mut().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether everything has ended that `run` waits for, the body apart.
    pub(super) fn is_over(core: &Core<'env, E>) -> bool {
        core.phase == GroupPhase::Closed && core.children.is_gone() && core.dropping == 0
    }

    /// A child's poll is over, and whatever had to be dropped after it.
    pub(super) fn end_poll(&self, core: &mut Core<'env, E>) {
        core.polling = false;
        if core.drop_waits {
            self.quiet.notify_all();
        }
    }

    /// Starts a child that waits for its place: who awaits it is blocked, and has a place.
    pub(super) fn start_now(&self, seat: Seat) {
        if self.settings.limit != usize::MAX {
            // The driver of the group is further up this stack, and will see it.
            self.lock().children.start_now(seat);
        }
    }

    /// Registers a waker that is called once when the group begins to end.
    pub(super) fn watch_end(&self, watcher: u64, waker: Waker) {
        let old = self
            .lock()
            .watchers
            .get_or_insert_default()
            .insert(watcher, waker);
        drop(old);
    }

    pub(super) fn forget_watcher(&self, watcher: u64) {
        let old = self
            .lock()
            .watchers
            .as_mut()
            .and_then(|watchers| watchers.remove(&watcher));
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
        let (phase, cause, children, suppressed, not_kept) = {
            let core = self.lock();
            let verdict = &core.verdict;
            (
                core.phase,
                verdict.cause,
                core.children.all(),
                verdict.suppressed_count(),
                verdict.not_kept,
            )
        };
        let children: Vec<_> = children
            .iter()
            .map(|(id, child, waits)| {
                let doing = match (waits, child.is_polled()) {
                    (true, _) => "waiting",
                    (false, true) => "polled",
                    (false, false) => "idle",
                };
                format!("#{id} {}: {doing}", child.label())
            })
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

impl<E> Core<'_, E> {
    /// When the timer is due next; it will be looked at.
    pub(super) fn set_due(&mut self, due: Option<Instant>) {
        self.clock.set_due(due);
        self.children.wakers.ready.timer = due.is_some();
    }
}

impl<E> Drop for Shared<'_, E> {
    /// The last handle is gone: the wakers serve another group.
    fn drop(&mut self) {
        let core = self.core.get_mut().unwrap_or_else(PoisonError::into_inner);
        wakers::recycle(
            &self.signals,
            std::mem::take(&mut core.children.wakers),
            core.parked,
        );
    }
}

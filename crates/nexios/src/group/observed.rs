//! What whoever observes is told of a group and of its parts: children, items, finalizers.
//!
//! # Invariants
//!
//! 1. A part is told of as made after its group, and as ended before it; or it is handed over to the process before its group
//!    ends. With an item alive a group does not end: that is what its drop is for, which items cannot outlive.
//! 2. No observer is called under a lock.
//! 3. The lock here is taken alone, never under another one.
//! 4. A part is over when what it was made of is gone: its future says so itself, wherever and by whomever that is polled or
//!    dropped (`observed_future.rs`).

use std::{
    collections::BTreeMap,
    mem,
    panic::Location,
    sync::{Arc, OnceLock, PoisonError},
};

use super::verdict::Cause;
use crate::{
    cancel::{CancelReason, CancelToken, Interrupted},
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
    work::{
        Outcome, WorkId, WorkKind,
        concurrent::{ConcurrentWork, End},
        identity::take_numbers,
        observed::{Entered, New, Observed, Parent},
    },
};

/// A group that somebody observed at its first use.
pub(super) struct ObservedGroup {
    work: ConcurrentWork,
    /// Says why it is cancelled, if it is dropped.
    token: Option<CancelToken>,
    /// Why it ends; empty if it has just finished.
    ending: OnceLock<GroupEnding>,
    /// A part has failed, and others are dropped before the cause is written.
    is_failing: AtomicBool,
    /// The first panic that ends the group, which beats every other cause.
    panic: OnceLock<String>,
    parts: Mutex<Parts>,
}

struct GroupEnding {
    cause: Cause,
    /// A deadline is the group's own, and not that of what is around it.
    own_limit: bool,
}

struct Parts {
    /// Those that have not ended.
    alive: BTreeMap<u64, Arc<PartWork>>,
    /// The group has ended.
    over: bool,
}

/// What is said of a part by its group and by its future.
struct PartWork {
    id: u64,
    work: ConcurrentWork,
    kind: WorkKind,
    started: AtomicBool,
    /// Why it ends before it is through.
    fate: OnceLock<Fate>,
}

#[derive(Clone, Copy)]
enum Fate {
    Cancelled(CancelReason),
    Refused,
}

/// A part, as its future holds it.
pub(super) struct Part {
    work: Arc<PartWork>,
    /// None if it is the process's from the start.
    group: Option<Arc<ObservedGroup>>,
}

/// How a part is announced.
pub(super) struct Introduction<'a> {
    pub(super) id: u64,
    pub(super) kind: WorkKind,
    /// Else it is called by the place that made it.
    pub(super) name: Option<&'a str>,
    pub(super) made_at: Option<&'static Location<'static>>,
}

impl Introduction<'_> {
    fn announced(&self, parent: Parent) -> New<'_> {
        New {
            id: Some(WorkId(self.id)),
            parent,
            kind: self.kind,
            name: self.name,
            owner: None,
            made_at: self.made_at,
        }
    }

    /// Says that it was refused by a group that has ended: it is a part of whoever tried.
    pub(super) fn refused(&self) {
        Observed::made(|| self.announced(Parent::Current)).ended(&Outcome::Refused);
    }
}

// What is called on the way of every group is cold: those that nobody observes must not pay for it.
impl ObservedGroup {
    /// [`announce`](Self::announce) must follow; it may be made under a lock, for others to find it.
    pub(super) fn new(token: Option<CancelToken>) -> Self {
        let parts = Parts {
            alive: BTreeMap::new(),
            over: false,
        };
        Self {
            work: ConcurrentWork::numbered(WorkId(take_numbers(1))),
            token,
            ending: OnceLock::new(),
            is_failing: AtomicBool::new(false),
            panic: OnceLock::new(),
            parts: Mutex::new(parts),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Parts> {
        // Nothing of others runs under this lock.
        self.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says that the group is made and started.
    pub(super) fn announce(&self, name: Option<&str>, made_at: &'static Location<'static>) {
        self.work.announce(|| New {
            id: None,
            parent: Parent::Current,
            kind: WorkKind::Group,
            name,
            owner: None,
            made_at: Some(made_at),
        });
        self.started();
    }

    /// It has started, and that was told when this returns, whoever tells it.
    fn started(&self) {
        self.work.started();
    }

    /// The body of `run` is polled.
    #[cold]
    #[inline(never)]
    pub(super) fn enter(&self) -> Option<Entered> {
        self.work.enter()
    }

    /// The body of `run` is dropped.
    #[cold]
    #[inline(never)]
    pub(super) fn enter_blocking(&self) -> Option<Entered> {
        self.work.enter_blocking()
    }

    /// Says that a part is made.
    #[cold]
    #[inline(never)]
    pub(super) fn part(self: &Arc<Self>, introduction: &Introduction<'_>) -> Part {
        self.started();
        // What its group says of it waits until it is told of as made.
        let numbered = ConcurrentWork::numbered(WorkId(introduction.id));
        let work = PartWork::new(introduction, numbered);
        let over = {
            let mut parts = self.lock();
            if !parts.over {
                parts.alive.insert(work.id, work.clone());
            }
            parts.over
        };
        let parent = if over {
            Parent::Current
        } else {
            Parent::Of(self.work.id())
        };
        work.work.announce(|| introduction.announced(parent));
        Part {
            work,
            group: Some(self.clone()),
        }
    }

    /// Why a part is cancelled; the token says it for an owner that is dropped after it has fired.
    fn reason_of(&self, why: CancelReason) -> CancelReason {
        let fired = self
            .token
            .as_ref()
            .filter(|_| why == CancelReason::OwnerDropped)
            .and_then(CancelToken::reason);
        fired.unwrap_or(why)
    }

    /// A part has failed, and others are dropped before the cause is written.
    #[cold]
    #[inline(never)]
    pub(super) fn is_failing(&self) {
        self.is_failing.store(true, Ordering::Relaxed);
    }

    /// The cause of the end is written. `own_limit` says that a deadline is the group's own.
    #[cold]
    #[inline(never)]
    pub(super) fn closes(&self, cause: Cause, own_limit: bool) {
        // There is only one.
        let _ = self.ending.set(GroupEnding { cause, own_limit });
    }

    /// Tells of those who are cancelled and go on for a while: children that have started, if they have a grace, and the
    /// body of a group that was cancelled by itself.
    #[cold]
    #[inline(never)]
    pub(super) fn tell_who_lingers(&self, cause: Cause, graceful: bool) {
        let why = self.reason_of(cause.reason());
        let lingers = match cause {
            Cause::Requested => true,
            Cause::Parent(_) | Cause::Deadline => graceful,
            Cause::Finished | Cause::Failed | Cause::Panicked | Cause::OwnerDropped => false,
        };
        if lingers {
            self.work.cancelling(why);
        }
        if graceful {
            let alive: Vec<_> = self.lock().alive.values().cloned().collect();
            alive
                .iter()
                .filter(|part| part.is_child() && part.started.load(Ordering::Relaxed))
                .for_each(|part| part.work.cancelling(why));
        }
    }

    /// Why parts are cancelled that nobody ends for a reason of its own.
    fn why(&self) -> Option<CancelReason> {
        let ending = self.ending.get().map(|ending| ending.cause.reason());
        let failing = || self.is_failing.load(Ordering::Relaxed);
        ending
            .or_else(|| failing().then_some(CancelReason::SiblingFailed))
            .map(|why| self.reason_of(why))
    }

    /// How the group ends.
    fn end(&self) -> End {
        if let Some(text) = self.panic.get() {
            return End::Panicked(text.clone());
        }
        let Some(GroupEnding { cause, own_limit }) = self.ending.get() else {
            return End::Completed;
        };
        match cause {
            Cause::Finished => End::Completed,
            Cause::Failed => End::Failed(None),
            Cause::Panicked => End::Panicked(String::new()),
            Cause::Deadline if *own_limit => End::TimedOut,
            Cause::Requested | Cause::Parent(_) | Cause::Deadline | Cause::OwnerDropped => {
                End::Cancelled(self.reason_of(cause.reason()))
            }
        }
    }

    /// A panic ends the group.
    #[cold]
    #[inline(never)]
    pub(super) fn panicked(&self, text: &str) {
        // The first one counts.
        let _ = self.panic.set(text.to_owned());
    }

    fn alive(&self, id: u64) -> Option<Arc<PartWork>> {
        self.lock().alive.get(&id).cloned()
    }

    /// A child is ended.
    #[cold]
    #[inline(never)]
    pub(super) fn ends(&self, id: u64, why: Interrupted) {
        if let Some(part) = self.alive(id) {
            let why = self.reason_of(reason(why));
            // The first one counts.
            let _ = part.fate.set(Fate::Cancelled(why));
        }
    }

    /// A child was ended and is still there: its task unwinds, or it is in the middle of a poll.
    #[cold]
    #[inline(never)]
    pub(super) fn lingers(&self, id: u64, why: Interrupted) {
        if let Some(part) = self.alive(id) {
            part.work.cancelling(self.reason_of(reason(why)));
        }
    }

    /// The group is over: hands over what is left of it, and says so. Only the first call does.
    #[cold]
    #[inline(never)]
    pub(super) fn ended(&self) {
        self.started();
        let alive = {
            let mut parts = self.lock();
            let has_items = || parts.alive.values().any(|part| part.kind == WorkKind::Item);
            if parts.over || has_items() {
                return;
            }
            parts.over = true;
            mem::take(&mut parts.alive)
        };
        for part in alive.values() {
            part.work.handed_over();
        }
        self.work.ended(|| self.end());
    }
}

fn reason(why: Interrupted) -> CancelReason {
    match why {
        Interrupted::Cancelled(reason) => reason,
        Interrupted::DeadlineExceeded => CancelReason::Deadline,
    }
}

impl PartWork {
    fn new(introduction: &Introduction<'_>, work: ConcurrentWork) -> Arc<Self> {
        Arc::new(Self {
            id: introduction.id,
            work,
            kind: introduction.kind,
            started: AtomicBool::new(false),
            fate: OnceLock::new(),
        })
    }

    fn is_child(&self) -> bool {
        matches!(
            self.kind,
            WorkKind::Child | WorkKind::ParallelChild | WorkKind::Daemon
        )
    }
}

impl Part {
    /// A finalizer that comes after its group, and is the process's from the start.
    pub(super) fn adopted(introduction: &Introduction<'_>) -> Self {
        let work = ConcurrentWork::made(|| introduction.announced(Parent::Caused));
        Self {
            work: PartWork::new(introduction, work),
            group: None,
        }
    }

    pub(super) fn id(&self) -> u64 {
        self.work.id
    }

    /// It is about to be polled; said the first time.
    pub(super) fn started(&self) {
        if !self.work.started.swap(true, Ordering::Relaxed) {
            self.work.work.started();
        }
    }

    /// It is polled.
    pub(super) fn enter(&self) -> Option<Entered> {
        self.work.work.enter()
    }

    /// It is dropped.
    pub(super) fn enter_blocking(&self) -> Option<Entered> {
        self.work.work.enter_blocking()
    }

    /// Its group has not taken it after all.
    pub(super) fn refuse(&self) {
        let _ = self.work.fate.set(Fate::Refused);
    }

    /// It ended by itself.
    pub(super) fn ended(self, end: End) {
        self.work.work.ended(|| end);
        // Only now, so that its group does not end before it.
        if let Some(group) = &self.group {
            group.lock().alive.remove(&self.work.id);
        }
    }

    /// It ended with an error, which may only repeat what its group has told it.
    pub(super) fn failed(self, told: bool) {
        let echoes = told && self.work.is_child() && self.why().is_some();
        let end = if echoes {
            self.cut()
        } else {
            End::Failed(None)
        };
        self.ended(end);
    }

    /// Why its group ends.
    fn why(&self) -> Option<CancelReason> {
        self.group.as_ref().and_then(|group| group.why())
    }

    /// What has become of it if it is dropped now.
    pub(super) fn cut(&self) -> End {
        let fate = self.work.fate.get().copied();
        match (fate, self.work.kind) {
            (Some(Fate::Refused), _) => End::Refused,
            (Some(Fate::Cancelled(why)), _) => End::Cancelled(why),
            // No runtime is left for it, or no time.
            (None, WorkKind::Finalizer) => End::Cancelled(CancelReason::Shutdown),
            // Only its runtime drops a task whose group has not ended it.
            (None, WorkKind::ParallelChild) => {
                End::Cancelled(self.why().unwrap_or(CancelReason::Shutdown))
            }
            (None, _) => End::Cancelled(self.why().unwrap_or_else(|| {
                let dropped = CancelReason::OwnerDropped;
                let group = self.group.as_ref();
                group.map_or(dropped, |group| group.reason_of(dropped))
            })),
        }
    }

    /// Another handle for whoever may still have to refuse it.
    pub(super) fn twin(&self) -> Self {
        Self {
            work: self.work.clone(),
            group: self.group.clone(),
        }
    }
}

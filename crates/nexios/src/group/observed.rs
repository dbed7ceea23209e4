//! What whoever observes is told of a group and of its parts: children, items, finalizers.
//!
//! # Invariants
//!
//! 1. A part is told of as made after its group, and as ended before it; or it is handed over to the process before its group
//!    ends.
//! 2. No observer is called under a lock.
//! 3. A part is over when what it was made of is gone: its future says so itself, wherever and by whomever that is polled or
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
    observe::{
        Outcome, WorkId, WorkKind,
        concurrent::{ConcurrentWork, End},
        observed::{Entered, New, Observed, Parent},
        observers::is_within_a_call,
    },
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering},
        thread,
    },
};

/// A group that somebody observed at its first use.
pub(super) struct ObservedGroup {
    /// Empty until whoever uses the group first has said that it is made.
    work: OnceLock<ConcurrentWork>,
    /// Says why it is cancelled, if it is dropped.
    token: Option<CancelToken>,
    parts: Mutex<Parts>,
}

struct Parts {
    /// Those that have not ended; without their work until they are told of as made.
    alive: BTreeMap<u64, Option<Arc<PartWork>>>,
    /// Why those are cancelled that are still alive, if that is known before the cause.
    why: Option<CancelReason>,
    /// Why the group ends; none if it has just finished.
    cause: Option<Cause>,
    own_limit: bool,
    /// The first panic that ends the group, which beats every other cause.
    panic: Option<String>,
    /// The group has ended.
    over: bool,
}

/// What is said of a part by its group and by its future.
struct PartWork {
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
    id: u64,
    work: Arc<PartWork>,
    group: Arc<ObservedGroup>,
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

impl ObservedGroup {
    pub(super) fn new(token: Option<CancelToken>) -> Self {
        let parts = Parts {
            alive: BTreeMap::new(),
            why: None,
            cause: None,
            own_limit: false,
            panic: None,
            over: false,
        };
        Self {
            work: OnceLock::new(),
            token,
            parts: Mutex::new(parts),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Parts> {
        // Nothing of others runs under this lock.
        self.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says that the group is made and started. It is for who made this; the others wait until it is done.
    pub(super) fn announce(&self, name: Option<&str>, made_at: &'static Location<'static>) {
        let work = ConcurrentWork::made(|| New {
            id: None,
            parent: Parent::Current,
            kind: WorkKind::Group,
            name,
            owner: None,
            made_at: Some(made_at),
        });
        // Nobody else does this.
        let _ = self.work.set(work);
        self.say(ConcurrentWork::started);
    }

    fn say(&self, what: impl FnOnce(&ConcurrentWork)) {
        if let Some(work) = self.work.get() {
            what(work);
        }
    }

    /// The body of `run` is polled.
    pub(super) fn enter(&self) -> Option<Entered> {
        self.work.get().and_then(ConcurrentWork::enter)
    }

    /// The body of `run` is dropped.
    pub(super) fn enter_blocking(&self) -> Option<Entered> {
        self.work.get().and_then(ConcurrentWork::enter_blocking)
    }

    /// Says that a part is made.
    pub(super) fn part(self: &Arc<Self>, introduction: &Introduction<'_>) -> Part {
        while self.work.get().is_none() && !is_within_a_call() {
            thread::yield_now();
        }
        let mut parts = self.lock();
        let over = parts.over;
        if !over {
            parts.alive.insert(introduction.id, None);
        }
        drop(parts);
        let parent = if over {
            Parent::Current
        } else {
            Parent::Of(self.work.get().and_then(ConcurrentWork::id))
        };
        let work = PartWork::made(introduction, parent);
        if let Some(place) = self.lock().alive.get_mut(&introduction.id) {
            *place = Some(work.clone());
        }
        Part {
            id: introduction.id,
            work,
            group: self.clone(),
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
    pub(super) fn is_failing(&self) {
        self.lock().why.get_or_insert(CancelReason::SiblingFailed);
    }

    /// The cause of the end is written. `own_limit` says that a deadline is the group's own.
    pub(super) fn closes(&self, cause: Cause, own_limit: bool) {
        let mut parts = self.lock();
        (parts.cause, parts.own_limit) = (Some(cause), own_limit);
    }

    /// Tells of those who are cancelled and go on for a while: children that have started, if they have a grace, and the
    /// body of a group that was cancelled by itself.
    pub(super) fn tell_who_lingers(&self, cause: Cause, graceful: bool) {
        let why = self.reason_of(cause.reason());
        let lingers = match cause {
            Cause::Requested => true,
            Cause::Parent(_) | Cause::Deadline => graceful,
            Cause::Finished | Cause::Failed | Cause::Panicked | Cause::OwnerDropped => false,
        };
        if lingers {
            self.say(|work| work.cancelling(why));
        }
        if graceful {
            let alive: Vec<_> = self.lock().alive.values().flatten().cloned().collect();
            alive
                .iter()
                .filter(|part| part.is_child() && part.started.load(Ordering::Relaxed))
                .for_each(|part| part.work.cancelling(why));
        }
    }

    /// Why parts are cancelled that nobody ends for a reason of its own.
    fn why(&self) -> Option<CancelReason> {
        let parts = self.lock();
        let why = parts.cause.map(Cause::reason).or(parts.why);
        drop(parts);
        why.map(|why| self.reason_of(why))
    }

    /// How the group ends for this cause.
    fn end_for(&self, cause: Cause, own_limit: bool) -> End {
        match cause {
            Cause::Finished => End::Completed,
            Cause::Failed => End::Failed(None),
            Cause::Panicked => End::Panicked(String::new()),
            Cause::Deadline if own_limit => End::TimedOut,
            Cause::Requested | Cause::Parent(_) | Cause::Deadline | Cause::OwnerDropped => {
                End::Cancelled(self.reason_of(cause.reason()))
            }
        }
    }

    /// A panic ends the group.
    pub(super) fn panicked(&self, text: &str) {
        self.lock().panic.get_or_insert_with(|| text.to_owned());
    }

    fn alive(&self, id: u64) -> Option<Arc<PartWork>> {
        self.lock().alive.get(&id).cloned().flatten()
    }

    /// A child is ended.
    pub(super) fn ends(&self, id: u64, why: Interrupted) {
        if let Some(part) = self.alive(id) {
            let why = self.reason_of(reason(why));
            // The first one counts.
            let _ = part.fate.set(Fate::Cancelled(why));
        }
    }

    /// A child has been aborted, and unwinds.
    pub(super) fn unwinds(&self, id: u64, why: Interrupted) {
        if let Some(part) = self.alive(id) {
            part.work.cancelling(self.reason_of(reason(why)));
        }
    }

    /// The group is over: hands over what is left of it, and says so. Only the first call does.
    pub(super) fn ended(&self) {
        let (alive, panic, cause, own_limit) = loop {
            let mut parts = self.lock();
            if parts.over {
                return;
            }
            if parts.alive.values().any(Option::is_none) && !is_within_a_call() {
                // It is being told of as made.
                drop(parts);
                thread::yield_now();
                continue;
            }
            parts.over = true;
            let cause = parts.cause.unwrap_or(Cause::Finished);
            break (
                mem::take(&mut parts.alive),
                parts.panic.take(),
                cause,
                parts.own_limit,
            );
        };
        for part in alive.values().flatten() {
            part.work.handed_over();
        }
        let end = panic.map_or_else(|| self.end_for(cause, own_limit), End::Panicked);
        self.say(|work| work.ended(|| end));
    }
}

fn reason(why: Interrupted) -> CancelReason {
    match why {
        Interrupted::Cancelled(reason) => reason,
        Interrupted::DeadlineExceeded => CancelReason::Deadline,
    }
}

impl PartWork {
    fn made(introduction: &Introduction<'_>, parent: Parent) -> Arc<Self> {
        Arc::new(Self {
            work: ConcurrentWork::made(|| introduction.announced(parent)),
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
        let nobody = Arc::new(ObservedGroup::new(None));
        Self {
            id: introduction.id,
            work: PartWork::made(introduction, Parent::Caused),
            group: nobody,
        }
    }

    pub(super) fn id(&self) -> u64 {
        self.id
    }

    /// It is about to be polled for the first time.
    pub(super) fn started(&self) {
        self.work.started.store(true, Ordering::Relaxed);
        self.work.work.started();
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
        self.group.lock().alive.remove(&self.id);
    }

    /// It ended with an error, which may only repeat what its group has told it.
    pub(super) fn failed(self, told: bool) {
        let echoes = told && self.work.is_child() && self.group.why().is_some();
        let end = if echoes {
            self.cut()
        } else {
            End::Failed(None)
        };
        self.ended(end);
    }

    /// What has become of it if it is dropped now.
    pub(super) fn cut(&self) -> End {
        let fate = self.work.fate.get().copied();
        match (fate, self.work.kind) {
            (Some(Fate::Refused), _) => End::Refused,
            (Some(Fate::Cancelled(why)), _) => End::Cancelled(why),
            // No runtime is left for it, or no time.
            (None, WorkKind::Finalizer) => End::Cancelled(CancelReason::Shutdown),
            (None, kind) => {
                End::Cancelled(self.group.why().unwrap_or_else(|| match kind {
                    // Only its runtime drops a task whose group has not ended it.
                    WorkKind::ParallelChild => CancelReason::Shutdown,
                    _ => self.group.reason_of(CancelReason::OwnerDropped),
                }))
            }
        }
    }

    /// Another handle for whoever may still have to refuse it.
    pub(super) fn twin(&self) -> Self {
        Self {
            id: self.id,
            work: self.work.clone(),
            group: self.group.clone(),
        }
    }
}

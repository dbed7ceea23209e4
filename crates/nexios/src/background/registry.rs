//! The list of all tasks: who may start, who runs, who waits, who has ended.
//!
//! # Invariants
//!
//! 1. `shown` holds the live tasks and those of `finished`, and no others; live ones that have no slot are in `waiting`.
//! 2. A task waits only while all slots are taken, and starts in the order of its number.
//! 3. A final state is written once, together with the freed slot and key, under one lock: who sees the
//!    one sees the other. In the same step a copy takes the record's place in `shown`, so a list shows it once.
//! 4. `finished` holds the tasks that ended last, oldest first; what falls out is forgotten.
//! 5. Once `closed` nothing is admitted, for good.
//! 6. No waker, no observer and no code of the user's runs under the lock, and nothing of the user's is dropped under it.

use std::{
    borrow::Cow,
    collections::{BTreeSet, HashMap, HashSet, VecDeque},
    fmt,
    hash::BuildHasherDefault,
    panic::Location,
    sync::{Arc, OnceLock, PoisonError},
};

use tokio::{
    sync::{Notify, futures::Notified},
    time::Instant,
};

use crate::{
    cancel::{CancelReason, CancelToken},
    sync::{Mutex, MutexGuard},
    work::alive::{CensusEntry, LongLived},
};

use super::{
    bounds::Bounds,
    facts::{Ended, shortened},
    id_hasher::Spread,
    info::{BackgroundStats, TaskId, TaskInfo, TaskState},
    notices::Hook,
    observed::{self, LivingBackground},
    record::{OnCancel, Record},
    refusal::Refusal,
    runtime,
    wall_clock::{TimeOfDay, WallClock},
};

/// The tasks of one [`Background`](crate::Background).
pub(super) struct Registry {
    /// Its name for those who look: if none was given, the place where it was made.
    pub(super) label: Cow<'static, str>,
    bounds: Bounds,
    /// Told about failures; not by the registry itself.
    pub(super) hook: Hook,
    /// To tell when tasks began.
    clock: WallClock,
    /// Everything that changes together.
    tasks: Mutex<Tasks>,
    /// Fires when the registry is closed; scheduled tasks stop between two runs.
    closing: CancelToken,
    /// Told of every end once the registry is closed.
    changed: Notify,
    /// On the list of the living, from the first task on.
    entry: OnceLock<CensusEntry<dyn LivingBackground>>,
}

struct Tasks {
    /// Live tasks and finished ones, by number.
    shown: HashMap<TaskId, Shown, BuildHasherDefault<Spread>>,
    /// Live ones without a slot; the first starts next.
    waiting: BTreeSet<TaskId>,
    /// Finished ones, in the order of their ends.
    finished: VecDeque<TaskId>,
    /// The keys of live tasks.
    keys: HashSet<Arc<str>>,
    /// Totals since the start; `queued` and `running` in it are not kept up.
    totals: BackgroundStats,
    /// Whether new tasks are refused.
    closed: bool,
    /// Tasks that have ended but are not gone: their hook has not returned, their future is not dropped yet, or those who
    /// look have not been told.
    ending: usize,
}

/// A task as a list shows it. Of one that has ended nothing is held in memory but that.
#[derive(Clone)]
pub(super) enum Shown {
    Live(Arc<Record>),
    Ended(Ended),
}

impl Shown {
    fn info(self, day: &TimeOfDay) -> TaskInfo {
        match self {
            Self::Live(record) => record.info(day),
            Self::Ended(ended) => ended.info(day),
        }
    }
}

impl Registry {
    pub(super) fn new(label: Cow<'static, str>, bounds: Bounds, hook: Hook) -> Self {
        let tasks = Tasks {
            shown: HashMap::default(),
            waiting: BTreeSet::new(),
            finished: VecDeque::new(),
            keys: HashSet::new(),
            totals: BackgroundStats::default(),
            closed: false,
            ending: 0,
        };
        Self {
            label,
            bounds,
            hook,
            clock: WallClock::system(),
            tasks: Mutex::new(tasks),
            closing: CancelToken::new(),
            changed: Notify::new(),
            entry: OnceLock::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Tasks> {
        // No code of the user's runs under this lock; a poisoned one is still whole.
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a task in, as running if there is a slot; a refused one's name is handed back.
    pub(super) fn admit(
        self: &Arc<Self>,
        name: Cow<'static, str>,
        key: Option<Arc<str>>,
        on_cancel: OnCancel,
        made_at: &'static Location<'static>,
    ) -> Result<Arc<Record>, (Refusal, Cow<'static, str>)> {
        let now = Instant::now();
        let mut tasks = self.lock();
        let starts = tasks.running() < self.bounds.limit;
        let refusal = if tasks.closed {
            Refusal::ShuttingDown
        } else if key.as_ref().is_some_and(|key| tasks.keys.contains(key)) {
            Refusal::Duplicate
        } else if tasks.live() >= self.bounds.live
            || !starts && tasks.waiting.len() >= self.bounds.queue
        {
            Refusal::Full
        } else {
            // It gets its number under the lock, so that numbers tell the order of the admissions.
            let record = Arc::new(Record::new(name, key, on_cancel, starts.then_some(now)));
            if let Some(key) = &record.key {
                tasks.keys.insert(key.clone());
            }
            if !starts {
                tasks.waiting.insert(record.id);
            }
            tasks.shown.insert(record.id, Shown::Live(record.clone()));
            drop(tasks);
            self.entry.get_or_init(|| observed::enter(self.clone()));
            observed::admitted(&self.label, &record, made_at);
            return Ok(record);
        };
        tasks.totals.refused += 1;
        Err((refusal, name))
    }

    /// Ends a task in `state`; a task that has ended before keeps the state it ended in, which is the error.
    ///
    /// After a failure, or if anybody looks, [`gone`](Self::gone) must follow once it is reported and told.
    pub(super) fn settle(
        &self,
        record: &Record,
        state: TaskState,
        error: Option<String>,
    ) -> Result<(), TaskState> {
        let (now, error) = (Instant::now(), error.map(shortened));
        let mut tasks = self.lock();
        // Looked at under the lock: a drain may give up on the task at the same moment, and one of the two counts.
        if record.state().is_final() {
            return Err(record.state());
        }
        if state.is_failure() || record.work.is_observed() {
            // In one step with the end: a drain that sees it must wait for the hook, and for those who look.
            tasks.ending += 1;
        }
        let forgotten = tasks.end(record, state, error, now, self.bounds.history);
        let promoted = tasks.promote(self.bounds.limit);
        let closed = tasks.closed;
        drop(tasks);
        drop(forgotten);
        if let Some(promoted) = promoted {
            promoted.wake();
        }
        if closed {
            self.tell();
        }
        Ok(())
    }

    /// Marks a live task as waiting for its next attempt, or as running it.
    pub(super) fn set_retrying(&self, record: &Record, retrying: bool) {
        let tasks = self.lock();
        // A drain may have ended it.
        if !record.state().is_final() {
            record.set_state(if retrying {
                TaskState::Retrying
            } else {
                TaskState::Running
            });
        }
        drop(tasks);
    }

    /// Counts one run of a scheduled task that failed or panicked, not the task. [`gone`](Self::gone) must follow once it is
    /// reported.
    pub(super) fn count_failed_run(&self, state: TaskState) {
        let mut tasks = self.lock();
        match state {
            TaskState::Panicked => tasks.totals.panicked += 1,
            _ => tasks.totals.failed += 1,
        }
        tasks.ending += 1;
    }

    /// Says that the hook of a failure has returned, or that the future of a task that a drain had ended is
    /// dropped.
    pub(super) fn gone(&self) {
        self.lock().ending -= 1;
        self.tell();
    }

    /// Refuses new tasks from now on, for good; returns the live ones in the order of their numbers.
    pub(super) fn close(&self) -> Vec<Arc<Record>> {
        let mut tasks = self.lock();
        // In one step with the look: a task is refused, or the drain knows it.
        tasks.closed = true;
        tasks.live_in_order()
    }

    /// Ends, in the name of a drain, the live ones of `members` that `choose` picks, and returns them to be woken.
    ///
    /// What waits becomes cancelled and what runs abandoned.
    pub(super) fn end_all(
        &self,
        members: &[Arc<Record>],
        choose: impl Fn(&Arc<Record>) -> bool,
    ) -> Vec<Arc<Record>> {
        let (mut ended, mut forgotten) = (Vec::new(), Vec::new());
        let now = Instant::now();
        let mut tasks = self.lock();
        for record in members
            .iter()
            .filter(|record| !record.state().is_final() && choose(record))
        {
            let state = match record.state() {
                TaskState::Queued => TaskState::Cancelled,
                _ => TaskState::Abandoned,
            };
            forgotten.extend(tasks.end(record, state, None, now, self.bounds.history));
            // Until its driver, which is woken, has dropped the future. Nobody is promoted: the slot is free only then.
            tasks.ending += 1;
            ended.push(record.clone());
        }
        drop(tasks);
        drop(forgotten);
        ended
    }

    /// How many tasks have not ended.
    pub(super) fn live(&self) -> usize {
        self.lock().live()
    }

    /// How many tasks have not ended, unless some have ended that are not gone.
    pub(super) fn left(&self) -> Option<usize> {
        let tasks = self.lock();
        (tasks.ending == 0).then(|| tasks.live())
    }

    /// Live tasks in the order of their numbers, then finished ones, newest first.
    pub(super) fn list(&self) -> Vec<TaskInfo> {
        let tasks = self.lock();
        let live = tasks.live_in_order();
        let finished: Vec<_> = tasks
            .finished
            .iter()
            .rev()
            .filter_map(|id| tasks.shown.get(id))
            .cloned()
            .collect();
        drop(tasks);
        let day = self.clock.look();
        // What ends meanwhile has ended last.
        let (ended, live): (Vec<_>, Vec<_>) = live
            .iter()
            .map(|record| record.info(&day))
            .partition(|info| info.state.is_final());
        let finished = finished.into_iter().map(|finished| finished.info(&day));
        live.into_iter().chain(ended).chain(finished).collect()
    }

    /// The live and the finished ones whose numbers are smaller, in no order.
    fn before(&self, number: TaskId) -> Vec<TaskInfo> {
        let tasks = self.lock();
        let before = tasks.shown.iter().filter(|(id, _)| **id < number);
        let before: Vec<_> = before.map(|(_, task)| task.clone()).collect();
        drop(tasks);
        if before.is_empty() {
            return Vec::new();
        }
        let day = self.clock.look();
        before.into_iter().map(|task| task.info(&day)).collect()
    }

    /// A live task or a finished one.
    pub(super) fn task(&self, id: TaskId) -> Option<Shown> {
        self.lock().shown.get(&id).cloned()
    }

    /// Cancels a live task for `reason`; false if it has ended, was cancelled before or is not known.
    pub(super) fn cancel(&self, id: TaskId, reason: CancelReason) -> bool {
        matches!(self.task(id), Some(Shown::Live(record)) if record.cancel(reason))
    }

    /// What is to be seen of a task now.
    pub(super) fn info(&self, task: Shown) -> TaskInfo {
        task.info(&self.clock.look())
    }

    pub(super) fn stats(&self) -> BackgroundStats {
        let tasks = self.lock();
        BackgroundStats {
            queued: tasks.waiting.len(),
            running: tasks.running(),
            ..tasks.totals.clone()
        }
    }

    /// Resolves at the first change from now on, polled or not.
    pub(super) fn changes(&self) -> Notified<'_> {
        runtime::others_may_go_on();
        self.changed.notified()
    }

    /// Tells those who drain that something has changed.
    pub(super) fn tell(&self) {
        runtime::others_may_go_on();
        self.changed.notify_waiters();
    }

    /// The clock that tells when tasks began.
    pub(super) fn clock(&self) -> &WallClock {
        &self.clock
    }

    /// Fires when the registry is closed.
    pub(super) fn closing(&self) -> &CancelToken {
        &self.closing
    }
}

impl Tasks {
    /// How many tasks have not ended.
    fn live(&self) -> usize {
        self.shown.len() - self.finished.len()
    }

    /// How many tasks hold a slot.
    fn running(&self) -> usize {
        self.live() - self.waiting.len()
    }

    /// Frees everything a live task holds, and remembers it; who is forgotten for it is returned, to be dropped
    /// outside the lock.
    fn end(
        &mut self,
        record: &Record,
        state: TaskState,
        error: Option<String>,
        now: Instant,
        history: usize,
    ) -> Option<Shown> {
        if record.state() == TaskState::Queued {
            self.waiting.remove(&record.id);
        }
        if let Some(key) = &record.key {
            self.keys.remove(key);
        }
        self.totals.count(state);
        let ended = record.end(state, error, now);
        if let Some(shown) = self.shown.get_mut(&record.id) {
            // The record that was there is not the last one: whoever ends a task holds one.
            *shown = Shown::Ended(ended);
        }
        self.finished.push_back(record.id);
        if self.finished.len() <= history {
            return None;
        }
        let oldest = self.finished.pop_front()?;
        self.shown.remove(&oldest)
    }

    /// The live tasks in the order of their numbers.
    fn live_in_order(&self) -> Vec<Arc<Record>> {
        let live = |shown: &Shown| match shown {
            Shown::Live(record) => Some(record.clone()),
            Shown::Ended(_) => None,
        };
        let mut live: Vec<_> = self.shown.values().filter_map(live).collect();
        live.sort_unstable_by_key(|record| record.id);
        live
    }

    /// Gives a free slot to the task that has waited longest; the caller wakes it.
    fn promote(&mut self, limit: usize) -> Option<Arc<Record>> {
        if self.running() >= limit {
            return None;
        }
        let first = self.waiting.pop_first()?;
        let Some(Shown::Live(record)) = self.shown.get(&first) else {
            return None;
        };
        record.begin();
        Some(record.clone())
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tasks = self.lock();
        f.debug_struct("Background")
            .field("queued", &tasks.waiting.len())
            .field("running", &tasks.running())
            .field("finished", &tasks.finished.len())
            .field("closed", &tasks.closed)
            .finish_non_exhaustive()
    }
}

impl LongLived for Registry {
    type Stats = BackgroundStats;

    fn name(&self) -> Cow<'static, str> {
        self.label.clone()
    }

    fn stats(&self) -> BackgroundStats {
        Registry::stats(self)
    }
}

impl LivingBackground for Registry {
    fn cancel(&self, task: TaskId) -> bool {
        Registry::cancel(self, task, CancelReason::Requested)
    }

    fn tasks_before(&self, number: TaskId) -> Vec<TaskInfo> {
        self.before(number)
    }
}

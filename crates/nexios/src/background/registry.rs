//! The list of all tasks: who may start, who runs, who waits, who has ended.
//!
//! # Invariants
//!
//! 1. `live` holds the live tasks and no others; each is either counted in `running` or in `waiting`.
//! 2. A task waits only while all slots are taken, and starts in the order of its number.
//! 3. A final state is written once, together with the freed slot and key, under one lock: who sees the
//!    one sees the other.
//! 4. `history` shows the tasks that ended last, oldest first; what falls out is forgotten.
//! 5. Once `phase` has left `Open` nothing is admitted, and from `Cancelling` on nothing waits, so nothing
//!    starts.
//! 6. No waker and no code of the user's runs under the lock, and it is held for a bounded number of steps,
//!    however many tasks there are, except when a drain begins or changes its phase.

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashSet},
    fmt,
    sync::{Arc, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{Notify, futures::Notified},
    time::Instant,
};

use crate::{
    CancelToken,
    sync::{Mutex, MutexGuard},
};

use super::{
    BackgroundBuilder,
    drain::Draining,
    history::History,
    info::{BackgroundStats, TaskId, TaskInfo, TaskState},
    places::Places,
    record::{OnCancel, Record, Start},
    runtime,
    wall_clock::WallClock,
};

/// How many tasks are looked at under one lock when all are listed.
const AT_A_TIME: usize = 256;

/// A function that is told about every task that failed.
pub(super) type Hook = Arc<dyn Fn(&TaskInfo) + Send + Sync>;

/// Why a task was not admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    Full,
    ShuttingDown,
    Duplicate,
}

/// How far the end of the registry has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    /// New tasks are admitted.
    Open,
    /// Nothing is admitted; what waits still starts.
    Closing,
    /// Nothing starts; every token has fired.
    Cancelling,
    /// What is left has been cut off.
    Aborting,
}

/// The shared state behind every clone of a [`Background`](super::Background).
pub(super) struct Registry {
    /// Most tasks that run at once.
    limit: usize,
    /// Most tasks that wait.
    queue: usize,
    /// Most tasks that run and wait together.
    live: usize,
    /// Whether a drain also waits for the leftovers of task groups.
    pub(super) is_global: bool,
    /// To tell when tasks began.
    clock: WallClock,
    /// Everything that changes together.
    tasks: Mutex<Tasks>,
    /// Fires when the first drain begins; scheduled tasks stop between two runs.
    closing: CancelToken,
    /// Told of every end while a drain goes on.
    changed: Notify,
    /// Told about every task that failed.
    hook: Mutex<Option<Hook>>,
}

pub(super) struct Tasks {
    /// The number of the latest task.
    last_id: u64,
    /// Live tasks.
    live: Places,
    /// Tasks without a slot, by number; the first starts next.
    waiting: BTreeMap<u64, Arc<Record>>,
    /// How many tasks hold a slot.
    running: usize,
    /// Finished tasks.
    history: History,
    /// The keys of live tasks.
    keys: HashSet<Arc<str>>,
    /// Totals since the start; `queued` and `running` in it are not kept up.
    totals: BackgroundStats,
    /// How far the end has come.
    pub(super) phase: Phase,
    /// The drain that goes on, if one does.
    pub(super) draining: Option<Arc<Draining>>,
    /// Failed tasks whose hook has not returned.
    reporting: usize,
    /// Tasks that a drain has ended and whose futures are not dropped yet.
    unwinding: usize,
}

impl Registry {
    pub(super) fn new(builder: BackgroundBuilder, is_global: bool) -> Self {
        Self {
            limit: builder.limit,
            queue: builder.queue,
            live: builder.live,
            is_global,
            clock: WallClock::system(),
            tasks: Mutex::new(Tasks {
                last_id: 0,
                live: Places::default(),
                waiting: BTreeMap::new(),
                running: 0,
                history: History::new(builder.history),
                keys: HashSet::new(),
                totals: BackgroundStats::default(),
                phase: Phase::Open,
                draining: None,
                reporting: 0,
                unwinding: 0,
            }),
            closing: CancelToken::new(),
            changed: Notify::new(),
            hook: Mutex::new(builder.hook),
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Tasks> {
        // No code of the user's runs under this lock; a poisoned one is still whole.
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A number that no other task of this registry has.
    pub(super) fn next_id(&self) -> TaskId {
        self.lock().next_id()
    }

    /// Takes a task in, as running if there is a slot.
    pub(super) fn admit(
        &self,
        name: Cow<'static, str>,
        key: Option<Arc<str>>,
        on_cancel: OnCancel,
    ) -> Result<Arc<Record>, Refusal> {
        let now = Instant::now();
        let mut tasks = self.lock();
        let starts = tasks.running < self.limit;
        let refusal = if tasks.phase != Phase::Open {
            Refusal::ShuttingDown
        } else if key.as_ref().is_some_and(|key| tasks.keys.contains(key)) {
            Refusal::Duplicate
        } else if tasks.live.len() >= self.live || !starts && tasks.waiting.len() >= self.queue {
            Refusal::Full
        } else {
            let (id, place) = (tasks.next_id(), tasks.live.next());
            let (record, leavings) = tasks.history.record(Start { id, name, key, on_cancel, place, now });
            if let Some(key) = &record.key {
                tasks.keys.insert(key.clone());
            }
            if starts {
                record.set_running();
                tasks.running += 1;
            } else {
                tasks.waiting.insert(record.id.0, record.clone());
            }
            tasks.live.put(record.clone());
            drop(tasks);
            drop(leavings);
            return Ok(record);
        };
        tasks.totals.refused += 1;
        Err(refusal)
    }

    /// Ends a task in `state`; a task that has ended before keeps the state it ended in, which is the error.
    ///
    /// A failure comes back as it has to be reported; [`reported`](Self::reported) must follow.
    pub(super) fn settle(
        &self,
        record: &Record,
        state: TaskState,
        error: Option<String>,
    ) -> Result<Option<TaskInfo>, TaskState> {
        let elapsed = record.elapsed();
        let mut tasks = self.lock();
        if record.state().is_final() {
            return Err(record.state());
        }
        if let Some(error) = error {
            record.set_error(error);
        }
        let mut failure = None;
        if is_failure(state) {
            tasks.reporting += 1;
            failure = Some(TaskInfo { state, elapsed, ..record.info(&self.clock.look()) });
        }
        let forgotten = tasks.end(record, state, elapsed);
        let promoted = tasks.promote(self.limit);
        let draining = tasks.draining.is_some();
        drop(tasks);
        drop(forgotten);
        if let Some(promoted) = promoted {
            promoted.wake();
        }
        if draining {
            self.tell();
        }
        Ok(failure)
    }

    /// Marks a live task as waiting for its next attempt, or as running it.
    pub(super) fn set_retrying(&self, record: &Record, retrying: bool) {
        let tasks = self.lock();
        if !record.state().is_final() {
            record.set_state(if retrying { TaskState::Retrying } else { TaskState::Running });
        }
        drop(tasks);
    }

    /// Counts a panic that ended one run of a scheduled task, not the task.
    pub(super) fn count_panicked_run(&self, record: &Record, error: String) {
        let mut tasks = self.lock();
        record.set_error(error);
        tasks.totals.panicked += 1;
        tasks.reporting += 1;
    }

    /// Says that the hook of a failed task has returned.
    pub(super) fn reported(&self) {
        let mut tasks = self.lock();
        tasks.reporting -= 1;
        drop(tasks);
        self.tell();
    }

    /// Says that the future of a task that a drain had ended is dropped.
    pub(super) fn unwound(&self) {
        let mut tasks = self.lock();
        tasks.unwinding -= 1;
        drop(tasks);
        self.tell();
    }

    /// Ends, in the name of a drain, the live tasks that `choose` picks, and returns them to be woken.
    ///
    /// What waits becomes cancelled and what runs abandoned.
    pub(super) fn end_all(
        &self,
        tasks: &mut Tasks,
        members: &[Arc<Record>],
        choose: impl Fn(&Record) -> bool,
    ) -> Vec<Arc<Record>> {
        let mut ended = Vec::new();
        for record in members.iter().filter(|record| !record.state().is_final() && choose(record)) {
            let state = match record.state() {
                TaskState::Queued => TaskState::Cancelled,
                _ => TaskState::Abandoned,
            };
            tasks.end(record, state, record.elapsed());
            tasks.unwinding += 1;
            ended.push(record.clone());
        }
        ended
    }

    /// Live tasks in the order of their numbers, then finished ones, newest first.
    pub(super) fn list(&self) -> Vec<TaskInfo> {
        let mut live = Vec::new();
        let mut first = 0;
        while self.add_live(first, &mut live) {
            first += AT_A_TIME;
        }
        live.sort_unstable_by_key(|record| record.id);
        let mut finished = Vec::new();
        let mut ended = self.lock().history.ended();
        while self.add_finished(ended, &mut finished) {
            ended -= AT_A_TIME as u64;
        }
        let day = self.clock.look();
        let live: Vec<_> = live.iter().map(|record| record.info(&day)).collect();
        // What ended meanwhile may be among the finished already, which were looked at later.
        let (gone, live): (Vec<_>, Vec<_>) = live.into_iter().partition(|info| info.state.is_final());
        let seen: HashSet<TaskId> = match gone.is_empty() {
            true => HashSet::new(),
            false => finished.iter().map(|record| record.id).collect(),
        };
        let gone = gone.into_iter().filter(|info| !seen.contains(&info.id)).rev();
        live.into_iter().chain(gone).chain(finished.iter().map(|record| record.info(&day))).collect()
    }

    /// Adds some live records to `records`; false if there are no more.
    fn add_live(&self, first: usize, records: &mut Vec<Arc<Record>>) -> bool {
        records.reserve(AT_A_TIME);
        let tasks = self.lock();
        let some = tasks.live.some(first, AT_A_TIME);
        some.map(|some| records.extend(some.cloned())).is_some()
    }

    /// Adds some of the first `ended` finished records to `records`; false if there are no more.
    fn add_finished(&self, ended: u64, records: &mut Vec<Arc<Record>>) -> bool {
        records.reserve(AT_A_TIME);
        let before = records.len();
        records.extend(self.lock().history.some(ended, AT_A_TIME).cloned());
        records.len() - before == AT_A_TIME
    }

    /// A live or a finished task.
    pub(super) fn record(&self, id: TaskId) -> Option<Arc<Record>> {
        let tasks = self.lock();
        tasks.live.find(id.0).or_else(|| tasks.history.find(id.0)).cloned()
    }

    /// What is to be seen of a live or a finished task.
    pub(super) fn get(&self, id: TaskId) -> Option<TaskInfo> {
        self.record(id).map(|record| self.info(&record))
    }

    /// What is to be seen of `record` now.
    pub(super) fn info(&self, record: &Record) -> TaskInfo {
        record.info(&self.clock.look())
    }

    /// A live task.
    pub(super) fn find(&self, id: TaskId) -> Option<Arc<Record>> {
        self.lock().live.find(id.0).cloned()
    }

    pub(super) fn stats(&self) -> BackgroundStats {
        let tasks = self.lock();
        BackgroundStats { queued: tasks.waiting.len(), running: tasks.running, ..tasks.totals.clone() }
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

    /// Fires when the first drain begins.
    pub(super) fn closing(&self) -> &CancelToken {
        &self.closing
    }

    pub(super) fn hook(&self) -> Option<Hook> {
        self.hook.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn set_hook(&self, hook: Hook) {
        let old = self.hook.lock().unwrap_or_else(PoisonError::into_inner).replace(hook);
        drop(old);
    }
}

impl Tasks {
    fn next_id(&mut self) -> TaskId {
        self.last_id += 1;
        TaskId(self.last_id)
    }

    /// Frees everything a live task holds; its record is returned.
    fn leave(&mut self, record: &Record) -> Option<Arc<Record>> {
        if record.state() == TaskState::Queued {
            self.waiting.remove(&record.id.0);
        } else {
            self.running -= 1;
        }
        if let Some(key) = &record.key {
            self.keys.remove(key);
        }
        self.live.take(record)
    }

    /// Frees everything a live task holds, and remembers it; who is forgotten for it is returned, to be dropped
    /// outside the lock.
    fn end(&mut self, record: &Record, state: TaskState, elapsed: Duration) -> Option<Arc<Record>> {
        let left = self.leave(record);
        record.set_ended(state, elapsed);
        self.totals.count(state);
        left.and_then(|record| self.history.add(record))
    }

    /// Gives a free slot to the task that has waited longest; the caller wakes it.
    fn promote(&mut self, limit: usize) -> Option<Arc<Record>> {
        if self.running >= limit {
            return None;
        }
        let (_, record) = self.waiting.pop_first()?;
        self.running += 1;
        record.set_promoted();
        Some(record)
    }

    /// Whether every task has ended, its hook has returned and its future is gone.
    pub(super) fn is_idle(&self) -> bool {
        self.live.len() == 0 && self.reporting == 0 && self.unwinding == 0
    }

    /// The live tasks in the order of their numbers.
    pub(super) fn live_records(&self) -> Vec<Arc<Record>> {
        let mut records: Vec<_> = self.live.some(0, usize::MAX).into_iter().flatten().cloned().collect();
        records.sort_unstable_by_key(|record| record.id);
        records
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tasks = self.lock();
        f.debug_struct("Background")
            .field("queued", &tasks.waiting.len())
            .field("running", &tasks.running)
            .field("finished", &tasks.history.len())
            .field("phase", &tasks.phase)
            .finish_non_exhaustive()
    }
}

/// Whether a task that ended in `state` is reported as an error.
fn is_failure(state: TaskState) -> bool {
    matches!(state, TaskState::Failed | TaskState::Panicked | TaskState::TimedOut)
}

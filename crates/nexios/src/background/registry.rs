//! The list of all tasks: who may start, who runs, who waits, who has ended.
//!
//! # Invariants
//!
//! 1. `shown` holds the live tasks and those of `finished`, and no others; a live one is either counted in
//!    `running` or in `waiting`.
//! 2. A task waits only while all slots are taken, and starts in the order of its number.
//! 3. A final state is written once, together with the freed slot and key, under one lock: who sees the
//!    one sees the other.
//! 4. `finished` holds the tasks that ended last, oldest first; what falls out is forgotten.
//! 5. Once `closed` nothing is admitted, for good.
//! 6. No waker and no code of the user's runs under the lock, and nothing of the user's is dropped under it.

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap, HashSet, VecDeque},
    fmt,
    hash::{BuildHasherDefault, Hasher},
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
    info::{BackgroundStats, TaskId, TaskInfo, TaskState},
    record::{OnCancel, Record},
    runtime,
    wall_clock::WallClock,
};

/// How many tasks there may be.
#[derive(Debug, Clone)]
pub(super) struct Bounds {
    /// Most tasks that run at once.
    pub(super) limit: usize,
    /// Most tasks that wait.
    pub(super) queue: usize,
    /// Most tasks that run and wait together.
    pub(super) live: usize,
    /// Most finished tasks that are shown.
    pub(super) history: usize,
}

/// Why a task was not admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    Full,
    ShuttingDown,
    Duplicate,
}

/// The tasks of one [`Background`](crate::Background).
pub(super) struct Registry {
    bounds: Bounds,
    /// To tell when tasks began.
    clock: WallClock,
    /// Everything that changes together.
    tasks: Mutex<Tasks>,
    /// Fires when the registry is closed; scheduled tasks stop between two runs.
    closing: CancelToken,
    /// Told of every end once the registry is closed.
    changed: Notify,
}

struct Tasks {
    /// Live tasks and finished ones, by number.
    shown: HashMap<TaskId, Arc<Record>, BuildHasherDefault<TaskIdHasher>>,
    /// Tasks without a slot, by number; the first starts next.
    waiting: BTreeMap<TaskId, Arc<Record>>,
    /// How many tasks hold a slot.
    running: usize,
    /// The numbers of finished tasks in the order of their ends.
    finished: VecDeque<TaskId>,
    /// The keys of live tasks.
    keys: HashSet<Arc<str>>,
    /// Totals since the start; `queued` and `running` in it are not kept up.
    totals: BackgroundStats,
    /// Whether new tasks are refused.
    closed: bool,
    /// Tasks that have ended but are not gone: their hook has not returned, or their future is not dropped yet.
    ending: usize,
}

impl Registry {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            clock: WallClock::system(),
            tasks: Mutex::new(Tasks {
                shown: HashMap::default(),
                waiting: BTreeMap::new(),
                running: 0,
                finished: VecDeque::new(),
                keys: HashSet::new(),
                totals: BackgroundStats::default(),
                closed: false,
                ending: 0,
            }),
            closing: CancelToken::new(),
            changed: Notify::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Tasks> {
        // No code of the user's runs under this lock; a poisoned one is still whole.
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a task in, as running if there is a slot; a refused one's name is handed back.
    pub(super) fn admit(
        &self,
        name: Cow<'static, str>,
        key: Option<Arc<str>>,
        on_cancel: OnCancel,
    ) -> Result<Arc<Record>, (Refusal, Cow<'static, str>)> {
        let now = Instant::now();
        let mut tasks = self.lock();
        let starts = tasks.running < self.bounds.limit;
        let refusal = if tasks.closed {
            Refusal::ShuttingDown
        } else if key.as_ref().is_some_and(|key| tasks.keys.contains(key)) {
            Refusal::Duplicate
        } else if tasks.live() >= self.bounds.live || !starts && tasks.waiting.len() >= self.bounds.queue {
            Refusal::Full
        } else {
            if let Some(key) = &key {
                tasks.keys.insert(key.clone());
            }
            let record = Arc::new(Record::new(name, key, on_cancel, now));
            if starts {
                record.set_running();
                tasks.running += 1;
            } else {
                tasks.waiting.insert(record.id, record.clone());
            }
            tasks.shown.insert(record.id, record.clone());
            return Ok(record);
        };
        tasks.totals.refused += 1;
        Err((refusal, name))
    }

    /// Ends a task in `state`; a task that has ended before keeps the state it ended in, which is the error.
    ///
    /// A failure comes back as it has to be reported; [`gone`](Self::gone) must follow.
    pub(super) fn settle(
        &self,
        record: &Arc<Record>,
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
        if state.is_failure() {
            tasks.ending += 1;
            failure = Some(TaskInfo { state, elapsed, ..self.info(record) });
        }
        let forgotten = tasks.end(record, state, elapsed, self.bounds.history);
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

    /// Counts a panic that ended one run of a scheduled task, not the task. It comes back as it has to be
    /// reported; [`gone`](Self::gone) must follow.
    pub(super) fn panicked_run(&self, record: &Record, error: String) -> TaskInfo {
        let mut tasks = self.lock();
        record.set_error(error);
        tasks.totals.panicked += 1;
        tasks.ending += 1;
        drop(tasks);
        TaskInfo { state: TaskState::Panicked, ..self.info(record) }
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
        tasks.closed = true;
        tasks.live_records()
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
        let mut tasks = self.lock();
        for record in members.iter().filter(|record| !record.state().is_final() && choose(record)) {
            let state = match record.state() {
                TaskState::Queued => TaskState::Cancelled,
                _ => TaskState::Abandoned,
            };
            forgotten.extend(tasks.end(record, state, record.elapsed(), self.bounds.history));
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
        let live = tasks.live_records();
        let finished: Vec<_> =
            tasks.finished.iter().rev().filter_map(|id| tasks.shown.get(id)).cloned().collect();
        drop(tasks);
        let day = self.clock.look();
        // What ends meanwhile has ended last.
        let (ended, live): (Vec<_>, Vec<_>) =
            live.iter().map(|record| record.info(&day)).partition(|info| info.state.is_final());
        live.into_iter().chain(ended).chain(finished.iter().map(|record| record.info(&day))).collect()
    }

    /// A live or a finished task.
    pub(super) fn record(&self, id: TaskId) -> Option<Arc<Record>> {
        self.lock().shown.get(&id).cloned()
    }

    /// What is to be seen of `record` now.
    pub(super) fn info(&self, record: &Record) -> TaskInfo {
        record.info(&self.clock.look())
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

    /// Fires when the registry is closed.
    pub(super) fn closing(&self) -> &CancelToken {
        &self.closing
    }
}

/// Spreads numbers, which count up and which nobody else chooses, over a table.
#[derive(Default)]
struct TaskIdHasher(u64);

impl Hasher for TaskIdHasher {
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64(u64::from(*byte)));
    }

    fn write_u64(&mut self, number: u64) {
        // 2 to the 64, divided by the golden ratio (Knuth, The Art of Computer Programming, 6.4). Turned, as the table
        // looks at the upper and at the lower bits.
        self.0 = (self.0 ^ number).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(32);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

impl Tasks {
    /// How many tasks have not ended.
    fn live(&self) -> usize {
        self.running + self.waiting.len()
    }

    /// Frees everything a live task holds, and remembers it; who is forgotten for it is returned, to be dropped
    /// outside the lock.
    fn end(
        &mut self,
        record: &Arc<Record>,
        state: TaskState,
        elapsed: Duration,
        history: usize,
    ) -> Option<Arc<Record>> {
        if record.state() == TaskState::Queued {
            self.waiting.remove(&record.id);
        } else {
            self.running -= 1;
        }
        if let Some(key) = &record.key {
            self.keys.remove(key);
        }
        record.set_ended(state, elapsed);
        self.totals.count(state);
        self.finished.push_back(record.id);
        if self.finished.len() <= history {
            return None;
        }
        let oldest = self.finished.pop_front()?;
        self.shown.remove(&oldest)
    }

    /// The live tasks in the order of their numbers.
    fn live_records(&self) -> Vec<Arc<Record>> {
        let mut live: Vec<_> =
            self.shown.values().filter(|record| !record.state().is_final()).cloned().collect();
        live.sort_unstable_by_key(|record| record.id);
        live
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
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tasks = self.lock();
        f.debug_struct("Background")
            .field("queued", &tasks.waiting.len())
            .field("running", &tasks.running)
            .field("finished", &tasks.finished.len())
            .field("closed", &tasks.closed)
            .finish_non_exhaustive()
    }
}

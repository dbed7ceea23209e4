//! The list of all tasks: who may start, who runs, who waits, who has ended.
//!
//! # Invariants
//!
//! 1. `live` holds the live tasks and no others; each is either counted in `running` or in `waiting`.
//! 2. A task waits only while all slots are taken, and starts in the order of its number.
//! 3. A final state is written once, together with the freed slot and key, under one lock: who sees the
//!    one sees the other.
//! 4. `finished` holds at most `history` tasks, oldest first; what falls out is forgotten.
//! 5. Once `phase` has left `Open` nothing is admitted, and in `Cancelling` nothing starts.
//! 6. No waker and no code of the user's runs under the lock.

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap, HashSet, VecDeque},
    fmt,
    hash::{BuildHasherDefault, Hasher},
    sync::{Arc, PoisonError},
    time::Duration,
};

use tokio::sync::Notify;

use crate::{
    CancelToken,
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering},
    },
};

use super::{
    BackgroundBuilder,
    drain::Draining,
    info::{BackgroundStats, TaskId, TaskInfo, TaskState},
    record::{OnCancel, Record},
};

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
    /// Most finished tasks that stay visible.
    history: usize,
    /// Whether a drain also waits for the leftovers of task groups.
    pub(super) is_global: bool,
    /// The number of the latest task.
    last_id: AtomicU64,
    /// Everything that changes together.
    tasks: Mutex<Tasks>,
    /// Fires when the first drain begins; scheduled tasks stop between two runs.
    closing: CancelToken,
    /// Told of every end while a drain goes on.
    pub(super) changed: Notify,
    /// Told about every task that failed.
    hook: Mutex<Option<Hook>>,
}

pub(super) struct Tasks {
    /// Live tasks, by number.
    live: HashMap<u64, Arc<Record>, BuildHasherDefault<IdHasher>>,
    /// Tasks without a slot, by number; the first starts next.
    waiting: BTreeMap<u64, Arc<Record>>,
    /// How many tasks hold a slot.
    running: usize,
    /// Finished tasks, oldest first: copies, so that the records themselves are freed while they are warm.
    finished: VecDeque<TaskInfo>,
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
            history: builder.history,
            is_global,
            last_id: AtomicU64::new(0),
            tasks: Mutex::new(Tasks {
                live: HashMap::default(),
                waiting: BTreeMap::new(),
                running: 0,
                finished: VecDeque::new(),
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
        // Relaxed: only its uniqueness counts.
        TaskId(self.last_id.fetch_add(1, Ordering::Relaxed) + 1)
    }

    /// Takes a task in, as running if there is a slot.
    pub(super) fn admit(
        &self,
        name: Cow<'static, str>,
        key: Option<Arc<str>>,
        on_cancel: OnCancel,
    ) -> Result<Arc<Record>, Refusal> {
        let record = Arc::new(Record::new(self.next_id(), name, key, on_cancel));
        let mut tasks = self.lock();
        let refusal = if tasks.phase != Phase::Open {
            Refusal::ShuttingDown
        } else if record.key.as_ref().is_some_and(|key| tasks.keys.contains(key)) {
            Refusal::Duplicate
        } else if tasks.live.len() >= self.live {
            Refusal::Full
        } else if tasks.running < self.limit {
            record.set_state(TaskState::Running);
            tasks.running += 1;
            tasks.enter(&record);
            return Ok(record);
        } else if tasks.waiting.len() < self.queue {
            record.set_waiting();
            tasks.waiting.insert(record.id.0, record.clone());
            tasks.enter(&record);
            return Ok(record);
        } else {
            Refusal::Full
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
            failure = Some(TaskInfo { state, elapsed, ..record.info() });
        }
        let forgotten = tasks.end(record, state, elapsed, self.history);
        let promoted = tasks.promote(self.limit);
        let draining = tasks.draining.is_some();
        drop(tasks);
        drop(forgotten);
        if let Some(promoted) = promoted {
            promoted.wake();
        }
        if draining {
            self.changed.notify_waiters();
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
        self.changed.notify_waiters();
    }

    /// Says that the future of a task that a drain had ended is dropped.
    pub(super) fn unwound(&self) {
        let mut tasks = self.lock();
        tasks.unwinding -= 1;
        drop(tasks);
        self.changed.notify_waiters();
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
            tasks.end(record, state, record.elapsed(), self.history);
            tasks.unwinding += 1;
            ended.push(record.clone());
        }
        ended
    }

    /// Live tasks in the order of their numbers, then finished ones, newest first.
    pub(super) fn list(&self) -> Vec<TaskInfo> {
        let tasks = self.lock();
        let live = tasks.live_records();
        let finished: Vec<_> = tasks.finished.iter().rev().cloned().collect();
        drop(tasks);
        live.iter().map(|record| record.info()).chain(finished).collect()
    }

    /// A live or a finished task.
    pub(super) fn get(&self, id: TaskId) -> Option<TaskInfo> {
        let tasks = self.lock();
        match tasks.live.get(&id.0).cloned() {
            Some(record) => {
                drop(tasks);
                Some(record.info())
            }
            None => tasks.finished.iter().rev().find(|info| info.id == id).cloned(),
        }
    }

    /// A live task.
    pub(super) fn find(&self, id: TaskId) -> Option<Arc<Record>> {
        self.lock().live.get(&id.0).cloned()
    }

    pub(super) fn stats(&self) -> BackgroundStats {
        let tasks = self.lock();
        BackgroundStats { queued: tasks.waiting.len(), running: tasks.running, ..tasks.totals.clone() }
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
    fn enter(&mut self, record: &Arc<Record>) {
        if let Some(key) = &record.key {
            self.keys.insert(key.clone());
        }
        self.live.insert(record.id.0, record.clone());
    }

    /// Frees everything a live task holds, and remembers it; returns what it held and who is forgotten for
    /// it, to be dropped outside the lock.
    fn end(
        &mut self,
        record: &Record,
        state: TaskState,
        elapsed: Duration,
        history: usize,
    ) -> (Option<Arc<Record>>, Option<TaskInfo>) {
        if record.state() == TaskState::Queued {
            self.waiting.remove(&record.id.0);
        } else {
            self.running -= 1;
        }
        if let Some(key) = &record.key {
            self.keys.remove(key);
        }
        record.set_state(state);
        self.totals.count(state);
        let mut forgotten = None;
        if history > 0 {
            if self.finished.len() >= history {
                forgotten = self.finished.pop_front();
            }
            self.finished.push_back(record.move_to_history(elapsed));
        }
        (self.live.remove(&record.id.0), forgotten)
    }

    /// Gives a free slot to the task that has waited longest; the caller wakes it.
    fn promote(&mut self, limit: usize) -> Option<Arc<Record>> {
        if self.phase >= Phase::Cancelling || self.running >= limit {
            return None;
        }
        let (_, record) = self.waiting.pop_first()?;
        self.running += 1;
        record.set_promoted();
        record.set_state(TaskState::Running);
        Some(record)
    }

    /// Whether every task has ended, its hook has returned and its future is gone.
    pub(super) fn is_idle(&self) -> bool {
        self.live.is_empty() && self.reporting == 0 && self.unwinding == 0
    }

    /// The live tasks in the order of their numbers.
    pub(super) fn live_records(&self) -> Vec<Arc<Record>> {
        let mut records: Vec<_> = self.live.values().cloned().collect();
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
            .field("finished", &tasks.finished.len())
            .field("phase", &tasks.phase)
            .finish_non_exhaustive()
    }
}

/// Whether a task that ended in `state` is reported as an error.
fn is_failure(state: TaskState) -> bool {
    matches!(state, TaskState::Failed | TaskState::Panicked | TaskState::TimedOut)
}

/// Spreads consecutive numbers over the table: Fibonacci hashing (Knuth, TAOCP volume 3, 6.4).
#[derive(Default)]
struct IdHasher(u64);

impl Hasher for IdHasher {
    fn write_u64(&mut self, id: u64) {
        self.0 = id.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u64(self.0 ^ u64::from(byte));
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

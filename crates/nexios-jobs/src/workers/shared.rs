//! What the tasks of a process's workers share.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use nexios::CancelReason;
use tokio::{
    sync::{Notify, watch},
    task::AbortHandle,
    time::Instant,
};

use crate::{
    attempt_end::AttemptEnd,
    context::Attempt,
    engine::{End, Engine, Run, Worker, WorkerId},
    lock::lock,
    policy::Policy,
    state::JobState,
};

use super::{drains::Drains, kind_handler::KindHandler};

pub(super) struct Shared {
    pub(super) engine: Arc<dyn Engine>,
    pub(super) kinds: Vec<Arc<KindHandler>>,
    worker: Mutex<Worker>,
    running: Mutex<BTreeMap<Run, Running>>,
    pub(super) counts: Counts,
    /// Whether the database was there when it was last asked.
    pub(super) ready: AtomicBool,
    /// Wakes the dispatcher: a drain has begun, or goes on.
    pub(super) told: Notify,
    pub(super) drains: Drains,
    /// Set when all is over: the tasks of the workers end.
    pub(super) over: watch::Sender<bool>,
}

/// An attempt that runs, or whose end is not written yet.
struct Running {
    attempt: Arc<Attempt>,
    /// None if it was never begun.
    task: Option<AbortHandle>,
    /// Its future is gone; its end is to be written.
    ended: bool,
}

#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) completed: AtomicU64,
    pub(super) failed: AtomicU64,
    pub(super) restarts: AtomicU64,
    pub(super) recovered: AtomicU64,
}

impl Shared {
    pub(super) fn new(engine: Arc<dyn Engine>, kinds: Vec<Arc<KindHandler>>) -> Self {
        Self {
            engine,
            kinds,
            worker: Mutex::new(new_worker()),
            running: Mutex::default(),
            counts: Counts::default(),
            ready: AtomicBool::new(true),
            told: Notify::new(),
            drains: Drains::new(),
            over: watch::Sender::new(false),
        }
    }

    pub(super) fn worker(&self) -> Worker {
        lock(&self.worker).clone()
    }

    /// Takes a new number, as the lease of the old one is lost.
    pub(super) fn renumber(&self) -> Worker {
        let worker = new_worker();
        *lock(&self.worker) = worker.clone();
        worker
    }

    pub(super) fn begin(&self, attempt: Arc<Attempt>, task: Option<AbortHandle>) {
        let running = Running {
            ended: task.is_none(),
            task,
            attempt,
        };
        lock(&self.running).insert(running.attempt.run, running);
    }

    /// The future of an attempt is gone.
    pub(super) fn stopped(&self, attempt: &Attempt) {
        if let Some(running) = lock(&self.running).get_mut(&attempt.run) {
            running.ended = true;
        }
    }

    /// How an attempt ended, as it was written: `None` if the job was no longer in this run.
    pub(super) fn end(&self, attempt: &Attempt, end: &End, written: Option<JobState>) {
        lock(&self.running).remove(&attempt.run);
        // Relaxed: statistics, nobody synchronises through them.
        match written {
            Some(JobState::Completed) => {
                self.counts.completed.fetch_add(1, Ordering::Relaxed);
            }
            // Its history says so too, whatever the handler said after the cancel.
            Some(JobState::Cancelled) => {}
            _ if end.of_attempt() == AttemptEnd::Failed => {
                self.counts.failed.fetch_add(1, Ordering::Relaxed);
            }
            _ => {}
        }
        self.drains
            .note(Cow::Owned(attempt.kind.clone()), end, written);
        self.drains.changed();
    }

    /// Whether nothing runs, and nothing will.
    pub(super) fn is_idle(&self) -> bool {
        self.drains.is_closed() && self.count() == 0
    }

    pub(super) fn count(&self) -> usize {
        lock(&self.running).len()
    }

    /// Whether there are ends to be written.
    pub(super) fn has_unwritten(&self) -> bool {
        lock(&self.running).values().any(|running| running.ended)
    }

    /// The attempts that run.
    pub(super) fn attempts(&self) -> Vec<Arc<Attempt>> {
        let running = lock(&self.running);
        running
            .values()
            .map(|running| running.attempt.clone())
            .collect()
    }

    /// Fires the tokens of all that runs.
    pub(super) fn cancel_all(&self, reason: CancelReason) {
        for attempt in self.attempts() {
            attempt.token.cancel(reason);
        }
    }

    /// Fires the tokens of the kinds that are to end by now; when the next ones are to.
    pub(super) fn cancel_overdue(&self, limit: impl Fn(&Policy) -> Instant) -> Option<Instant> {
        let now = Instant::now();
        let limits = self
            .kinds
            .iter()
            .map(|kind| (&kind.name, limit(&kind.policy)));
        let (over, ahead): (Vec<_>, Vec<_>) = limits.partition(|(_, limit)| *limit <= now);
        for attempt in self.attempts() {
            if over.iter().any(|(name, _)| **name == attempt.kind) {
                attempt.token.cancel(CancelReason::Shutdown);
            }
        }
        ahead.into_iter().map(|(_, limit)| limit).min()
    }

    /// Drops the futures of all that runs; one that holds its thread goes on.
    pub(super) fn abort_all(&self) {
        let tasks: Vec<_> = {
            let running = lock(&self.running);
            running
                .values()
                .filter_map(|running| running.task.clone())
                .collect()
        };
        tasks.iter().for_each(AbortHandle::abort);
    }

    pub(super) fn ask_failed(&self) {
        self.ready.store(false, Ordering::Relaxed);
    }

    pub(super) fn ask_worked(&self) {
        self.ready.store(true, Ordering::Relaxed);
    }

    /// Waits until the tasks of the workers are to end.
    pub(super) async fn wait_until_over(&self) {
        let mut over = self.over.subscribe();
        // The sender is here.
        let _ = over.wait_for(|over| *over).await;
    }

    /// Everything is over; the names of what still runs.
    pub(super) fn finish(&self) -> Vec<Cow<'static, str>> {
        self.over.send_replace(true);
        self.told.notify_one();
        let left = self.attempts();
        left.iter()
            .map(|attempt| Cow::Owned(attempt.kind.clone()))
            .collect()
    }
}

fn new_worker() -> Worker {
    Worker {
        // Of a size that every database and every JSON reader keeps.
        id: WorkerId((crate::random::number() >> 11).cast_signed()),
        host: gethostname::gethostname().to_string_lossy().into_owned(),
        pid: std::process::id(),
    }
}

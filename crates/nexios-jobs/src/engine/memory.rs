//! Jobs in the memory of one process: the same semantics, for tests. Its clock is tokio's, so a paused one is paused here.

mod row;
mod table;

use std::{
    borrow::Cow,
    future::ready,
    sync::Mutex,
    time::{Duration, SystemTime},
};

use futures_util::future::BoxFuture;
use tokio::time::Instant;

use crate::{
    clock::{from_millis, millis, to_millis},
    engine::{
        Added, Claimed, ClaimedJob, Ended, Engine, Finished, NewJob, Renewal, Reply, Run,
        RunProgress, Tick, Wanted, Worker, WorkerId, changes::Changes,
    },
    error::JobsError,
    filter::Filter,
    id::JobId,
    info::{JobInfo, JobPage},
    lock::lock,
    transaction::Connection,
};

use table::Table;

#[derive(Debug)]
pub(crate) struct MemoryEngine {
    table: Mutex<Table>,
    changes: Changes,
    name: String,
    /// When it was made, by the time of day and by tokio's clock.
    made: (SystemTime, Instant),
}

impl MemoryEngine {
    pub(crate) fn new() -> Self {
        Self {
            table: Mutex::default(),
            changes: Changes::new(),
            name: crate::random::name(),
            made: (SystemTime::now(), Instant::now()),
        }
    }

    fn millis(&self) -> i64 {
        let (day, began) = self.made;
        to_millis(day).saturating_add(millis(began.elapsed()))
    }

    /// One step that changes something.
    fn change<T: Send + 'static>(&self, step: impl FnOnce(&mut Table, i64) -> T) -> Reply<'_, T> {
        let result = self.look(step);
        self.changes.tell();
        result
    }

    fn look<T: Send + 'static>(&self, step: impl FnOnce(&mut Table, i64) -> T) -> Reply<'_, T> {
        // No code of the user's runs under this lock.
        let mut table = lock(&self.table);
        let result = step(&mut table, self.millis());
        Box::pin(ready(Ok(result)))
    }
}

impl Engine for MemoryEngine {
    fn add(&self, jobs: Vec<NewJob>) -> Reply<'_, Vec<Added>> {
        self.change(|table, now| jobs.into_iter().map(|job| table.add(job, now)).collect())
    }

    fn add_in<'a>(&'a self, _: Connection<'a>, _: NewJob) -> Reply<'a, Added> {
        Box::pin(ready(Err(JobsError::WrongDatabase)))
    }

    fn get(&self, id: JobId) -> Reply<'_, Option<JobInfo>> {
        self.look(|table, now| table.get(id, now))
    }

    fn list(&self, filter: Filter) -> Reply<'_, JobPage> {
        self.look(|table, now| table.list(&filter, now))
    }

    fn cancel(&self, id: JobId) -> Reply<'_, bool> {
        self.change(|table, now| table.cancel(id, now))
    }

    fn retry(&self, id: JobId) -> Reply<'_, bool> {
        self.change(|table, now| table.retry(id, now))
    }

    fn delete(&self, id: JobId) -> Reply<'_, bool> {
        self.change(|table, _| table.delete(id))
    }

    fn prune(&self) -> Reply<'_, u64> {
        self.look(Table::prune)
    }

    fn set_paused(&self, kind: Cow<'static, str>, paused: bool) -> Reply<'_, ()> {
        self.change(|table, _| table.set_paused(kind, paused))
    }

    fn enroll(&self, _: Worker) -> Reply<'_, ()> {
        self.look(|_, _| ())
    }

    fn renew(&self, _: WorkerId) -> Reply<'_, Renewal> {
        self.look(|_, _| Renewal::default())
    }

    fn retire(&self, _: WorkerId) -> Reply<'_, ()> {
        self.look(|_, _| ())
    }

    fn claim(&self, worker: Worker, wanted: Vec<Wanted>) -> Reply<'_, Claimed> {
        // Nobody waits for a job to begin, so that nobody is told.
        self.look(|table, now| table.claim(&worker, &wanted, now))
    }

    fn finish(
        &self,
        ended: Vec<Ended>,
        worker: Worker,
        wanted: Vec<Wanted>,
    ) -> Reply<'_, Finished> {
        self.change(|table, now| {
            let ended = ended.into_iter();
            Finished {
                states: ended.map(|ended| table.finish(ended, now)).collect(),
                claimed: table.claim(&worker, &wanted, now),
            }
        })
    }

    fn recall(&self, _: WorkerId, _: Vec<Run>) -> Reply<'_, Vec<ClaimedJob>> {
        // No answer is lost here.
        Box::pin(ready(Ok(Vec::new())))
    }

    fn news(&self, worker: WorkerId, progress: Vec<RunProgress>) -> Reply<'_, Vec<Run>> {
        self.look(|table, _| {
            progress.iter().for_each(|progress| table.note(progress));
            table.cancelled(worker)
        })
    }

    fn tick(&self, tick: Tick, job: NewJob) -> Reply<'_, bool> {
        self.change(|table, now| {
            let is_new = table.note_tick(tick);
            if is_new {
                table.add(job, now);
            }
            is_new
        })
    }

    fn signal(&self, name: Cow<'static, str>) -> Reply<'_, ()> {
        self.change(|table, _| *table.signals.entry(name).or_default() += 1)
    }

    fn signal_count(&self, name: Cow<'static, str>) -> Reply<'_, i64> {
        self.look(|table, _| table.signals.get(&name).copied().unwrap_or(0))
    }

    fn now(&self) -> Reply<'_, SystemTime> {
        self.look(|_, now| from_millis(now))
    }

    fn changes(&self) -> &Changes {
        &self.changes
    }

    fn lease(&self) -> Option<Duration> {
        None
    }

    fn spawn(&self, task: BoxFuture<'static, ()>) {
        // Nobody else can take its jobs, so there is no lease to be held up.
        tokio::spawn(task);
    }

    fn name(&self) -> &str {
        &self.name
    }
}

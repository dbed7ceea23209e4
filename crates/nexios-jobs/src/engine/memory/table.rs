//! All jobs of the memory engine, in the orders in which they are looked for.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    time::Duration,
};

use crate::{
    engine::{Added, Claimed, Ended, NewJob, Run, RunProgress, Tick, Wanted, Worker, WorkerId},
    filter::Filter,
    id::JobId,
    info::{JobInfo, JobPage},
    state::JobState,
};

use super::row::{Place, Row};

#[derive(Debug, Default)]
pub(super) struct Table {
    last: i64,
    rows: BTreeMap<JobId, Row>,
    /// Those that wait, by their kind.
    queues: HashMap<Cow<'static, str>, Queue>,
    /// Those that run.
    running: BTreeSet<JobId>,
    /// Those that have ended, by when they may go.
    ended: BTreeSet<(i64, JobId)>,
    /// The living ones that have a key, by kind and key.
    keys: HashMap<(Cow<'static, str>, String), JobId>,
    paused: HashSet<Cow<'static, str>>,
    ticks: BTreeSet<(String, i64)>,
    pub(super) signals: BTreeMap<Cow<'static, str>, i64>,
}

#[derive(Debug, Default)]
struct Queue {
    /// Their time has come: by priority, then by time.
    due: BTreeSet<(i16, i64, JobId)>,
    /// By time.
    later: BTreeSet<(i64, JobId)>,
}

impl Queue {
    fn promote(&mut self, rows: &BTreeMap<JobId, Row>, now: i64) {
        while let Some(&(run_at, id)) = self.later.first()
            && run_at <= now
        {
            self.later.pop_first();
            if let Some(row) = rows.get(&id) {
                self.due.insert((row.priority, run_at, id));
            }
        }
    }
}

impl Table {
    pub(super) fn add(&mut self, job: NewJob, now: i64) -> Added {
        let key = job.key.clone().map(|key| (job.kind.clone(), key));
        if let Some(&id) = key.as_ref().and_then(|key| self.keys.get(key)) {
            return Added { id, was_new: false };
        }
        self.last += 1;
        let id = JobId(self.last);
        let run_at = job.when.moment(now);
        self.rows.insert(id, Row::new(id, job, run_at, now));
        self.wait(id);
        Added { id, was_new: true }
    }

    pub(super) fn get(&self, id: JobId, now: i64) -> Option<JobInfo> {
        self.rows.get(&id).map(|row| row.info(now))
    }

    pub(super) fn list(&self, filter: &Filter, now: i64) -> JobPage {
        let end = filter.before.unwrap_or(JobId(i64::MAX));
        let mut found = self
            .rows
            .range(..end)
            .rev()
            .map(|(_, row)| row)
            .filter(|row| {
                filter.kind.as_ref().is_none_or(|kind| *kind == row.kind)
                    && (filter.states.is_empty() || filter.states.contains(&row.state(now)))
                    && (filter.key.is_none() || filter.key == row.key)
            });
        let jobs: Vec<_> = found
            .by_ref()
            .take(filter.page())
            .map(|row| row.info(now))
            .collect();
        let next = found.next().and(jobs.last()).map(|job| job.id);
        JobPage { jobs, next }
    }

    pub(super) fn cancel(&mut self, id: JobId, now: i64) -> bool {
        let Some(row) = self.rows.get_mut(&id) else {
            return false;
        };
        match row.place {
            Place::Waiting => {
                self.leave(id);
                self.end(id, JobState::Cancelled, now);
                true
            }
            Place::Running(_) => {
                row.cancelled = true;
                true
            }
            Place::Ended { .. } => false,
        }
    }

    pub(super) fn retry(&mut self, id: JobId, now: i64) -> bool {
        let Some(row) = self.rows.get(&id) else {
            return false;
        };
        let may_revive = match row.place {
            Place::Waiting => true,
            Place::Running(_) => false,
            Place::Ended { state, .. } => {
                let key = row.key.clone().map(|key| (row.kind.clone(), key));
                state != JobState::Completed && key.is_none_or(|key| !self.keys.contains_key(&key))
            }
        };
        if may_revive {
            self.leave(id);
            if let Some(row) = self.rows.get_mut(&id) {
                row.revive(now);
            }
            self.wait(id);
        }
        may_revive
    }

    pub(super) fn delete(&mut self, id: JobId) -> bool {
        let is_running = self.running.contains(&id);
        if is_running {
            return false;
        }
        self.leave(id);
        self.rows.remove(&id).is_some()
    }

    pub(super) fn prune(&mut self, now: i64) -> u64 {
        let mut pruned = 0;
        while let Some(&(until, id)) = self.ended.first()
            && until <= now
        {
            self.ended.pop_first();
            pruned += u64::from(self.rows.remove(&id).is_some());
        }
        pruned
    }

    pub(super) fn set_paused(&mut self, kind: Cow<'static, str>, paused: bool) {
        if paused {
            self.paused.insert(kind);
        } else {
            self.paused.remove(&kind);
        }
    }

    pub(super) fn claim(&mut self, worker: &Worker, wanted: &[Wanted], now: i64) -> Claimed {
        let mut claimed = Claimed::default();
        let mut next: Option<i64> = None;
        for kind in wanted {
            if self.paused.contains(&kind.kind) {
                continue;
            }
            let Some(queue) = self.queues.get_mut(&kind.kind) else {
                continue;
            };
            queue.promote(&self.rows, now);
            for _ in 0..kind.slots {
                let Some((.., id)) = queue.due.pop_first() else {
                    break;
                };
                if let Some(row) = self.rows.get_mut(&id) {
                    claimed.jobs.push(row.start(worker, kind, now));
                    self.running.insert(id);
                }
            }
            let first = queue.later.first().map(|(run_at, _)| *run_at);
            next = next.into_iter().chain(first).min();
        }
        claimed.next = next.map(|time| Duration::from_millis((time - now).unsigned_abs()));
        claimed
    }

    pub(super) fn finish(&mut self, ended: Ended, now: i64) -> Option<JobState> {
        let id = ended.run.id;
        let row = self.rows.get_mut(&id).filter(|row| row.is_in(ended.run))?;
        row.finish(ended, now);
        let state = row.state(now);
        self.running.remove(&id);
        if let Some(until) = row.kept_until() {
            self.free_key(id);
            self.ended.insert((until, id));
        } else {
            self.wait(id);
        }
        Some(state)
    }

    pub(super) fn note(&mut self, progress: &RunProgress) {
        let run = progress.run;
        if let Some(row) = self.rows.get_mut(&run.id).filter(|row| row.is_in(run)) {
            row.note(&progress.progress);
        }
    }

    pub(super) fn cancelled(&self, worker: WorkerId) -> Vec<Run> {
        let running = self.running.iter().filter_map(|id| self.rows.get(id));
        running
            .filter(|row| row.cancelled && row.place == Place::Running(worker))
            .map(Row::run)
            .collect()
    }

    /// Notes a time of a schedule; false if it was noted before.
    pub(super) fn note_tick(&mut self, tick: Tick) -> bool {
        let memory = crate::clock::millis(tick.memory);
        self.ticks.retain(|(schedule, time)| {
            *schedule != tick.schedule || time.abs_diff(tick.time) <= memory.unsigned_abs()
        });
        self.ticks.insert((tick.schedule, tick.time))
    }

    /// Puts a job among those that wait, and its key among the living ones.
    fn wait(&mut self, id: JobId) {
        let Some(row) = self.rows.get(&id) else {
            return;
        };
        if let Some(key) = &row.key {
            self.keys.insert((row.kind.clone(), key.clone()), id);
        }
        let queue = self.queues.entry(row.kind.clone()).or_default();
        queue.later.insert((row.run_at, id));
    }

    /// Takes a job that does not run out of the order that it stands in.
    fn leave(&mut self, id: JobId) {
        let Some(row) = self.rows.get(&id) else {
            return;
        };
        if let Some(until) = row.kept_until() {
            self.ended.remove(&(until, id));
            return;
        }
        if let Some(queue) = self.queues.get_mut(&row.kind) {
            queue.later.remove(&(row.run_at, id));
            queue.due.remove(&(row.priority, row.run_at, id));
            if queue.later.is_empty() && queue.due.is_empty() {
                self.queues.remove(&row.kind);
            }
        }
        self.free_key(id);
    }

    fn end(&mut self, id: JobId, state: JobState, now: i64) {
        if let Some(row) = self.rows.get_mut(&id) {
            row.end(state, now);
            self.ended.extend(row.kept_until().map(|until| (until, id)));
        }
    }

    fn free_key(&mut self, id: JobId) {
        let Some(row) = self.rows.get(&id) else {
            return;
        };
        if let Some(key) = &row.key {
            self.keys.remove(&(row.kind.clone(), key.clone()));
        }
    }
}

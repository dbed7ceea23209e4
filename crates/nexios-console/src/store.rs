//! One bounded structure with all that was observed: fed by the core, read by pages, JSON and events.
//!
//! # Invariants
//!
//! 1. Whoever holds a lock of the store takes no other and calls nobody else's code; what is read is copied first and made
//!    into a page afterwards.
//! 2. A lock is held for one record, or for the copy of one part of the live work, which the bound on memory bounds.
//! 3. Everything that is kept is counted in `Memory` when it comes, and counted off when it goes; but for the last minute's numbers and
//!    the slow polls, which take some 40 KiB.
//! 4. Live work has at most half of the memory, with what has ended of requests that live; beyond it the newest is not taken in, and what
//!    is said of it later is ignored.
//! 5. What was kept goes, the longest unused route first, when all together is over the limit.

mod contests;
mod failures;
mod history;
mod live;
mod memory;
mod minute;
mod moment;
mod page;
mod recent;
mod routes;
mod slow_polls;
mod span;
#[cfg(test)]
pub(crate) mod tests;
mod text;
mod tree;

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use nexios::observe::{self, Observer, Outcome, Update, Work, WorkId, WorkKind};

use self::{
    contests::Contests,
    failures::Failures,
    history::{Edge, History},
    live::{Live, Lives},
    memory::Memory,
    minute::Minute,
    moment::{Clock, Moment},
    page::{Flapping, contest_name, described, race_kind},
    recent::{Finished, Recent},
    routes::Routes,
    slow_polls::{SlowPoll, SlowPolls},
    span::End,
    text::{LINE, NAME, bounded},
    tree::{Answer, Tree},
};
use crate::model::State;

#[derive(Debug)]
pub(crate) struct Store {
    clock: Clock,
    memory: Arc<Memory>,
    lives: Lives,
    routes: Routes,
    recent: Recent,
    contests: Contests,
    failures: Failures,
    history: History,
    minute: Minute,
    slow_polls: SlowPolls,
    flapping: Flapping,
    /// Of background tasks with smaller numbers it may not have been told; none until somebody tells it of work.
    since: OnceLock<WorkId>,
    /// Events that were heard.
    rev: AtomicU64,
    /// Pieces of work that were made.
    observed: AtomicU64,
    /// Those that were not kept, as there was no room.
    dropped: AtomicU64,
}

impl Store {
    /// With room for so many bytes.
    pub(crate) fn new(memory: usize) -> Self {
        let memory = Arc::new(Memory::new(memory));
        Self {
            clock: Clock::new(),
            lives: Lives::new(memory.clone()),
            routes: Routes::new(memory.clone()),
            recent: Recent::new(memory.clone()),
            contests: Contests::new(memory.clone()),
            failures: Failures::new(memory.clone()),
            history: History::new(memory.clone()),
            minute: Minute::new(),
            slow_polls: SlowPolls::default(),
            flapping: Flapping::default(),
            since: OnceLock::new(),
            rev: AtomicU64::new(0),
            observed: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            memory,
        }
    }

    /// From now on it is told of work with greater numbers; background tasks with smaller ones are looked up.
    pub(crate) fn told_since(&self, since: WorkId) {
        // Only once: it observes as long as it lives.
        let _ = self.since.set(since);
    }

    /// Grows with whatever is observed: nothing to render while it stands.
    pub(crate) fn rev(&self) -> u64 {
        // Relaxed: a statistic. What is read after it is at least as new.
        self.rev.load(Ordering::Relaxed)
    }

    /// The console's own requests are nobody's business: called by its router with `observe::current()`.
    pub(crate) fn disregard(&self, request: WorkId) {
        if let Some(tree) = self.lives.look(request, |live| live.tree.clone()).flatten() {
            tree.disregard();
        }
    }

    fn make(&self, id: WorkId, mut live: Live) {
        self.heard();
        self.observed.fetch_add(1, Ordering::Relaxed);
        let parents = live
            .parent
            .and_then(|parent| self.lives.look(parent, |parent| parent.tree.clone()));
        live.tree = parents.flatten();
        let (kind, made) = (live.kind, live.made);
        if kind == WorkKind::PoolJob {
            self.look_at_pools(Edge::Made, None, made);
        }
        if !self.memory.has_room_for_live() {
            self.drop_one();
            if let Some(tree) = live.tree {
                tree.miss();
            }
            return;
        }
        if kind == WorkKind::Request {
            live.tree = Some(Arc::new(Tree::new(
                id,
                live.name.clone(),
                made,
                self.memory.clone(),
            )));
        }
        self.lives.insert(id, Box::new(live));
        self.routes.make_room();
    }

    fn heard(&self) {
        self.rev.fetch_add(1, Ordering::Relaxed);
    }

    fn drop_one(&self) {
        self.dropped.fetch_add(1, Ordering::Relaxed);
    }

    /// Takes the pools' second, if nobody has yet. A job that says its end is still counted by its pool.
    fn look_at_pools(&self, edge: Edge, ends: Option<&str>, now: Moment) {
        if !self.history.is_due(edge, now) {
            return;
        }
        let mut pools = observe::snapshot().pools;
        for pool in pools
            .iter_mut()
            .filter(|pool| ends.is_some_and(|ends| *bounded(&pool.name, NAME) == *ends))
        {
            pool.stats.running = pool.stats.running.saturating_sub(1);
        }
        self.history.take(&pools, now);
    }

    /// A fact about live work.
    fn learn(&self, id: WorkId, name: &str, value: &str, now: Moment) {
        match name {
            "next_unix_ms" => {
                let next = value.parse().ok();
                return self.lives.update(id, |live| live.next_run_unix_ms = next);
            }
            "last_error" => {
                let error = (!value.is_empty()).then(|| bounded(value, LINE));
                return self.lives.update(id, |live| live.last_error = error);
            }
            _ => {}
        }
        let Some(tree) = self.lives.look(id, |live| live.tree.clone()).flatten() else {
            return;
        };
        // Only the request itself knows these, and not a part of it.
        if tree.root != id {
            return;
        }
        if name == "shed_by" {
            self.minute.shed(now);
        }
        tree.know(|facts| match name {
            "status" => facts.status = value.parse().ok(),
            "uri" => facts.uri = Some(bounded(value, LINE)),
            "response_bytes" => facts.response_bytes = value.parse().ok(),
            "deadline_ms" => facts.deadline = value.parse().ok().map(Duration::from_millis),
            _ => {}
        });
    }

    /// What it waited for has come, or it waits no longer: the wait is kept as a part of the request.
    fn resumed(&self, id: WorkId, now: Moment) {
        let mut waited = None;
        self.lives.update(id, |live| {
            let wait = live.waiting.take();
            let reason = live.cancelling.map(|(reason, _)| reason);
            waited = wait.zip(live.tree.clone()).map(|found| (found, reason));
        });
        let Some(((wait, tree), reason)) = waited else {
            return;
        };
        let failed = self.failures.since(&wait.name, wait.since);
        let state = match reason {
            Some(_) => State::Cancelled,
            None => failed.unwrap_or(State::Completed),
        };
        let end = End {
            state,
            reason,
            error: None,
        };
        if let Some(span) = wait.into_span(id, Some(now), end)
            && tree.keep(span)
        {
            self.drop_one();
        }
    }

    /// A request has ended.
    fn answered(&self, tree: Arc<Tree>, live: &Live, end: End, now: Moment) {
        let is_cancelled = end.state == State::Cancelled;
        // One that could still answer has not been cut off, and its time goes on to its answer.
        let cut_off = is_cancelled || end.state == State::TimedOut;
        let cancelled = live
            .cancelling
            .filter(|_| cut_off)
            .map(|(_, moment)| moment);
        let reason = end.reason;
        let answer = Answer {
            ended: now,
            end,
            cancelled,
        };
        let took = answer.took(live.made);
        let Some(bucket) = tree.answered(answer) else {
            return;
        };
        self.minute.took(took, now);
        if is_cancelled {
            self.minute.cancelled(&tree.route, reason, took, now);
        }
        self.routes.file(tree, bucket, now);
    }

    /// A candidate of a race or an attempt of a hedge has ended; its race lives longer.
    fn candidate_ended(&self, live: &Live, state: State, now: Moment) {
        let contest = live.parent.and_then(|race| {
            self.lives.look(race, |race| {
                let kind = race_kind(race.kind)?;
                Some((
                    kind,
                    Box::<str>::from(contest_name(&race.name, race.owner.as_deref())),
                ))
            })
        });
        if let Some((kind, name)) = contest.flatten() {
            let ran = live.started.map(|started| now.since(started));
            self.contests
                .candidate_ended(kind, &name, &live.name, state, ran);
        }
    }
}

impl Observer for Store {
    fn made(&self, work: &Work<'_>) {
        self.make(work.id, Live::made(work, self.clock.now()));
    }

    fn started(&self, id: WorkId) {
        self.heard();
        let now = self.clock.now();
        self.lives.update(id, |live| live.started = Some(now));
    }

    fn updated(&self, id: WorkId, update: &Update<'_>) {
        self.heard();
        let now = self.clock.now();
        match update {
            Update::Attribute { name, value } => self.learn(id, name, value, now),
            Update::SlowPoll(took) => {
                let work = self
                    .lives
                    .look(id, |live| (described(live), live.request()));
                if let Some((work, request)) = work {
                    self.slow_polls.push(SlowPoll {
                        id,
                        work,
                        request,
                        took: *took,
                        seen: now,
                    });
                }
            }
            Update::Resumed => self.resumed(id, now),
            _ => self.lives.update(id, |live| match update {
                Update::Progress { done, total } => live.progress = Some((*done, *total)),
                Update::Message(message) => live.say(message),
                Update::Cancelling(reason) => {
                    live.cancelling.get_or_insert((*reason, now));
                }
                Update::Attempt(attempt) => live.attempt = *attempt,
                Update::Waiting { name, on } => live.wait_for(name, *on, now),
                Update::Adopted => live.adopted = true,
                _ => {}
            }),
        }
    }

    fn ended(&self, id: WorkId, outcome: &Outcome<'_>) {
        self.heard();
        let Some(mut live) = self.lives.remove(id) else {
            return;
        };
        let now = self.clock.now();
        let end = End::new(outcome, live.cancelling.map(|(reason, _)| reason));
        let state = end.state;
        let tree = live.tree.take();
        match live.kind {
            WorkKind::Candidate | WorkKind::Attempt => self.candidate_ended(&live, state, now),
            WorkKind::Race | WorkKind::Hedge => {
                if let Some(kind) = race_kind(live.kind) {
                    self.contests.ended(
                        kind,
                        contest_name(&live.name, live.owner.as_deref()),
                        state,
                    );
                }
            }
            WorkKind::Computation => {
                self.failures
                    .ended(live.owner.as_deref().unwrap_or(&live.name), state, now);
            }
            WorkKind::PoolJob => {
                if state == State::Refused {
                    self.minute.shed(now);
                }
                self.look_at_pools(
                    Edge::Ended,
                    live.owner.as_deref().filter(|_| live.started.is_some()),
                    now,
                );
            }
            WorkKind::Background => {
                self.recent.push(Finished {
                    id,
                    live: *live,
                    end,
                    ended: now,
                });
                return;
            }
            WorkKind::Request => {
                if let Some(tree) = tree {
                    self.answered(tree, &live, end, now);
                }
                return;
            }
            _ => {}
        }
        if let Some(tree) = tree
            && tree.keep(live.into_span(id, end, now))
        {
            self.drop_one();
        }
    }
}

//! Claims jobs, starts attempts, writes how they ended; and goes on when the database was away.
//!
//! # Invariants
//!
//! 1. A slot is free again when the end of its job is written, so that no more ends wait than there are slots.
//! 2. No handler is polled in this task: it can be held up only by its runtime.
//! 3. A job is never run by two attempts of this process at once, also if its lease was lost between the two.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use nexios::Retry;
use tokio::{
    task::{Id, JoinError, JoinSet, yield_now},
    time::{Instant, sleep_until},
};

use crate::{
    context::Attempt,
    engine::{Cause, Claimed, ClaimedJob, End, Ended, Wanted, changes::Listener},
    error::JobsError,
    id::JobId,
    log::log,
    state::JobState,
};

use super::{
    attempt,
    kind_handler::KindHandler,
    shared::Shared,
    verdict::{Exit, verdict},
};

/// How often to look for jobs although nobody has told of any.
const LOOK_AGAIN: Duration = Duration::from_secs(30);

/// For how long a call that got no answer may still be written: longer than any call is waited for.
const DOUBT: Duration = Duration::from_secs(60);

/// How long an outage of the database may be waited for while a drain goes on.
const HURRY: Duration = Duration::from_millis(250);

pub(super) struct Dispatcher {
    shared: Arc<Shared>,
    changes: Listener,
    attempts: JoinSet<Exit>,
    /// What each task runs.
    tasks: HashMap<Id, Task>,
    /// How many jobs of each kind have a slot, in the order of the kinds.
    busy: Vec<usize>,
    /// Ends that are not written yet.
    unwritten: Vec<(Task, Ended)>,
    /// Claimed while an earlier attempt at them, whose lease was lost, still runs here.
    held: Vec<(usize, ClaimedJob)>,
    /// There may be something to claim.
    claims: bool,
    /// When the next job is due.
    next: Option<Instant>,
    outage: Outage,
}

#[derive(Clone)]
struct Task {
    attempt: Arc<Attempt>,
    /// The place of its kind.
    kind: usize,
}

/// The database is away.
struct Outage {
    pauses: Retry,
    /// In a row.
    failures: u32,
    /// When to ask again.
    until: Option<Instant>,
    /// Until when what got no answer may be written after all, and jobs be started that nobody here knows of.
    doubt: Option<Instant>,
    /// Whether there may be such jobs.
    recalls: bool,
}

/// The dispatcher is gone, and with it all that it has started.
struct Over(Arc<Shared>);

impl Drop for Over {
    fn drop(&mut self) {
        // Nobody renews the lease of jobs that were dropped with their runtime: others get them.
        self.0.over.send_replace(true);
        self.0.drains.close();
    }
}

impl Dispatcher {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self {
            changes: shared.engine.changes().listen(),
            busy: vec![0; shared.kinds.len()],
            shared,
            attempts: JoinSet::new(),
            tasks: HashMap::new(),
            unwritten: Vec::new(),
            held: Vec::new(),
            claims: true,
            next: None,
            outage: Outage {
                pauses: Retry::exponential(Duration::from_millis(500), Duration::from_secs(30)),
                failures: 0,
                until: None,
                doubt: None,
                recalls: false,
            },
        }
    }

    /// Works until a drain is over.
    pub(super) async fn run(mut self) {
        let _over = Over(self.shared.clone());
        while !*self.shared.over.borrow() {
            let closing = self.shared.drains.has_begun();
            if closing {
                self.release_held();
                self.shared.drains.close();
            }
            if self.outage.until.is_none() {
                self.recall().await;
            }
            if self.outage.until.is_none() {
                self.write(!closing).await;
            }
            if self.outage.until.is_none() && !closing {
                self.claim().await;
            }
            self.wait().await;
        }
    }

    async fn wait(&mut self) {
        // With a claim to be made, or in an outage, there is nothing that news could add.
        let listens = !self.claims && self.outage.until.is_none();
        let again = Instant::now() + LOOK_AGAIN;
        let due = [self.next, self.outage.doubt].into_iter().flatten().min();
        let moment = self.outage.until.or(due).unwrap_or(again);
        tokio::select! {
            Some(joined) = self.attempts.join_next_with_id(), if !self.attempts.is_empty() => {
                self.ended(joined);
                // What is about to end is written in the same step: a step is what a busy worker waits for.
                yield_now().await;
                while let Some(joined) = self.attempts.try_join_next_with_id() {
                    self.ended(joined);
                }
                self.start_held();
            }
            () = self.changes.changed(), if listens => self.claims = true,
            () = self.shared.told.notified() => self.claims = true,
            () = sleep_until(moment) => {
                self.claims = true;
                self.next = None;
                self.outage.until = None;
                if self.outage.doubt.is_some_and(|doubt| doubt <= Instant::now()) {
                    self.outage.doubt = None;
                    self.outage.recalls = true;
                }
            }
        }
    }

    /// Starts what a call has claimed whose answer was lost.
    async fn recall(&mut self) {
        if !self.outage.recalls {
            return;
        }
        let running = self.tasks.values().map(|task| task.attempt.run);
        let unwritten = self.unwritten.iter().map(|(_, ended)| ended.run);
        let held = self.held.iter().map(|(_, job)| job.run);
        let known = running.chain(unwritten).chain(held).collect();
        let shared = self.shared.clone();
        match shared.engine.recall(shared.worker().id, known).await {
            Ok(jobs) => {
                self.outage.recalls = false;
                let running = self.running();
                for job in jobs {
                    self.take(job, &running);
                }
            }
            Err(error) => self.failed(&error),
        }
    }

    async fn claim(&mut self) {
        let wanted = self.wanted();
        if !self.claims || wanted.is_empty() {
            return;
        }
        let shared = self.shared.clone();
        self.claims = false;
        match shared.engine.claim(shared.worker(), wanted).await {
            Ok(claimed) => {
                self.asked();
                self.claimed(claimed);
            }
            Err(error) => {
                self.claims = true;
                self.failed(&error);
            }
        }
    }

    fn claimed(&mut self, claimed: Claimed) {
        self.next = claimed
            .next
            .and_then(|next| Instant::now().checked_add(next));
        let running = self.running();
        for job in claimed.jobs {
            self.take(job, &running);
        }
        if self.shared.drains.has_begun() {
            self.release_held();
        }
    }

    /// The jobs whose futures are still there.
    fn running(&self) -> BTreeSet<JobId> {
        let tasks = self.tasks.values();
        tasks.map(|task| task.attempt.run.id).collect()
    }

    /// What there are slots for, once all ends are written.
    fn wanted(&self) -> Vec<Wanted> {
        let mut busy = self.busy.clone();
        for (task, _) in &self.unwritten {
            if let Some(busy) = busy.get_mut(task.kind) {
                *busy = busy.saturating_sub(1);
            }
        }
        let slots = self.shared.kinds.iter().zip(busy);
        let slots = slots.map(|(kind, busy)| kind.policy.concurrency.saturating_sub(busy));
        let kinds = self.shared.kinds.iter().zip(slots);
        kinds
            .filter(|(_, slots)| *slots > 0)
            .map(|(kind, slots)| Wanted {
                kind: kind.name.clone(),
                slots,
                attempts: kind.policy.attempts,
                keep: kind.policy.keep,
            })
            .collect()
    }

    fn take(&mut self, job: ClaimedJob, running: &BTreeSet<JobId>) {
        let Some(kind) = self
            .shared
            .kinds
            .iter()
            .position(|kind| *kind.name == job.kind)
        else {
            return;
        };
        if let Some(busy) = self.busy.get_mut(kind) {
            *busy += 1;
        }
        if running.contains(&job.run.id) || self.shared.drains.has_begun() {
            self.held.push((kind, job));
        } else {
            self.start(kind, job);
        }
    }

    fn start(&mut self, kind: usize, job: ClaimedJob) {
        let Some(handler) = self.shared.kinds.get(kind).cloned() else {
            return;
        };
        let attempt = self.attempt(&handler, &job);
        let running = attempt::run(attempt.clone(), job.args, handler);
        let handle = self.attempts.spawn(running);
        self.shared.begin(attempt.clone(), Some(handle.clone()));
        self.tasks.insert(handle.id(), Task { attempt, kind });
    }

    fn attempt(&self, handler: &KindHandler, job: &ClaimedJob) -> Arc<Attempt> {
        let limit = handler.policy.timeout;
        // A limit beyond what the clock can tell is none.
        let deadline = limit.and_then(|limit| Instant::now().checked_add(limit));
        Arc::new(Attempt::new(self.shared.engine.name(), job, deadline))
    }

    /// Starts what was held, if the attempt before it is gone.
    fn start_held(&mut self) {
        let running = self.running();
        let (held, free) = std::mem::take(&mut self.held)
            .into_iter()
            .partition(|(_, job)| running.contains(&job.run.id));
        self.held = held;
        for (kind, job) in free {
            self.start(kind, job);
        }
    }

    /// Hands back what was claimed and is not begun.
    fn release_held(&mut self) {
        for (kind, job) in std::mem::take(&mut self.held) {
            let Some(handler) = self.shared.kinds.get(kind) else {
                continue;
            };
            let attempt = self.attempt(handler, &job);
            self.shared.begin(attempt.clone(), None);
            self.settle(Task { attempt, kind }, Exit::CutOff);
        }
    }

    fn ended(&mut self, joined: Result<(Id, Exit), JoinError>) {
        let (id, exit) = match joined {
            Ok((id, exit)) => (id, exit),
            // Cut off by a drain; a panic is caught within.
            Err(error) => (error.id(), Exit::CutOff),
        };
        if let Some(task) = self.tasks.remove(&id) {
            self.shared.stopped(&task.attempt);
            self.settle(task, exit);
        }
    }

    /// Decides what an end means, which is then to be written.
    fn settle(&mut self, task: Task, exit: Exit) {
        let Some(handler) = self.shared.kinds.get(task.kind) else {
            return;
        };
        let Attempt {
            run, number, token, ..
        } = &*task.attempt;
        let ended = Ended {
            run: *run,
            end: verdict(exit, token.reason(), *number, &handler.policy),
            progress: task.attempt.progress().map(|(progress, _)| progress),
        };
        self.unwritten.push((task, ended));
    }

    /// Writes the ends, and claims in their places.
    async fn write(&mut self, claims: bool) {
        if self.unwritten.is_empty() {
            return;
        }
        let ended = self
            .unwritten
            .iter()
            .map(|(_, ended)| ended.clone())
            .collect();
        let wanted = if claims { self.wanted() } else { Vec::new() };
        let shared = self.shared.clone();
        match shared.engine.finish(ended, shared.worker(), wanted).await {
            Ok(finished) => {
                self.asked();
                let unwritten = std::mem::take(&mut self.unwritten);
                for ((task, ended), written) in unwritten.into_iter().zip(finished.states) {
                    tell(&task.attempt, &ended.end, written);
                    if let Some(busy) = self.busy.get_mut(task.kind) {
                        *busy = busy.saturating_sub(1);
                    }
                    shared.end(&task.attempt, &ended.end, written);
                }
                self.claimed(finished.claimed);
                // What has begun to wait meanwhile is told of. Only slots that are free all the same may be for others.
                self.claims = !claims;
            }
            Err(error) => self.failed(&error),
        }
    }

    fn asked(&mut self) {
        if std::mem::take(&mut self.outage.failures) > 0 {
            log(|| tracing::info!("the store of jobs is back"));
        }
        self.shared.ask_worked();
    }

    fn failed(&mut self, error: &JobsError) {
        let outage = &mut self.outage;
        outage.failures = outage.failures.saturating_add(1);
        let mut pause = outage.pauses.delay_after(outage.failures);
        if self.shared.drains.has_begun() {
            pause = pause.min(HURRY);
        }
        outage.until = Some(Instant::now() + pause);
        outage.doubt = Some(Instant::now() + DOUBT);
        outage.recalls = true;
        // Relaxed: a statistic.
        self.shared.counts.restarts.fetch_add(1, Ordering::Relaxed);
        self.shared.ask_failed();
        log(
            || tracing::warn!(%error, ?pause, "the store of jobs failed; it is asked again after a pause"),
        );
    }
}

/// One line about a job that was given up, about an attempt that failed, and about an end that came too late.
fn tell(attempt: &Attempt, end: &End, written: Option<JobState>) {
    let Attempt {
        kind, number, run, ..
    } = attempt;
    let (id, attempt) = (run.id, *number);
    match (written, end) {
        (Some(JobState::Dead), End::Dead(error)) => {
            log(|| tracing::error!(kind, %id, attempt, error, "the job is dead"));
        }
        (Some(JobState::Failed), End::Failed(error)) => {
            log(|| tracing::error!(kind, %id, attempt, error, "the job failed"));
        }
        (
            Some(state),
            End::Again {
                after,
                cause: Cause::Failed(error),
            },
        ) if !state.is_final() => {
            log(|| {
                tracing::warn!(kind, %id, attempt, error, ?after, "an attempt failed, the job is tried again");
            });
        }
        (None, _) => {
            log(|| {
                tracing::warn!(kind, %id, attempt, "the end of an attempt was refused: its lease was lost");
            });
        }
        _ => {}
    }
}

//! From what is said of work to numbers.

use std::{
    collections::{HashMap, HashSet},
    sync::OnceLock,
    time::{Duration, Instant},
};

use nexios::{
    CancelReason,
    observe::{Observer, Outcome, RegisteredTask, Update, Work, WorkId, WorkKind, tasks_before},
};

use super::{
    attempt::Attempt,
    families::Families,
    label::{Labels, Value},
    measured::{Live, Measured},
    names::{Names, Pairs},
    words,
};

/// A job that was refused after so long had a place in the queue, or waited for one; who is sent away at the door, is at once.
const AT_ONCE: Duration = Duration::from_millis(1);

pub(super) struct Measuring {
    families: Families,
    live: Live,
    /// Tasks by name, with the group that they are in.
    tasks: Pairs,
    /// Races and hedges by name, with who takes part.
    races: Pairs,
    pools: Names,
    backgrounds: Names,
    lazies: Names,
    routes: Names,
    /// It is told of background tasks with greater numbers; none until it observes.
    since: OnceLock<WorkId>,
}

impl Measuring {
    pub(super) fn new(families: Families) -> Self {
        Self {
            families,
            live: Live::default(),
            tasks: Pairs::default(),
            races: Pairs::default(),
            pools: Names::default(),
            backgrounds: Names::default(),
            lazies: Names::default(),
            routes: Names::default(),
            since: OnceLock::new(),
        }
    }

    /// From now on it is told of work with greater numbers; background tasks with smaller ones are looked up.
    pub(super) fn told_since(&self, since: WorkId) {
        // Only once: it observes as long as it lives.
        let _ = self.since.set(since);
    }

    /// Forgets a request that is not to be counted.
    pub(super) fn disregard(&self, request: WorkId) {
        if self.live.with(request, |work| work.kind) == Some(WorkKind::Request) {
            self.live.remove(request);
        }
    }

    /// How many background tasks of each name live: those that we were told of, and those of the registries that began before.
    /// Counted by their numbers when somebody asks, so that none is counted twice and none is left behind.
    pub(super) fn backgrounds(&self) -> Vec<(Value, usize)> {
        // First: what is made or ends meanwhile is in the one or the other.
        let earlier = self.since.get().map(|since| tasks_before(*since));
        let mut counts: HashMap<Value, usize> = HashMap::new();
        for name in self.backgrounds.all() {
            counts.insert(name, 0);
        }
        let mut told = HashSet::new();
        self.live.each(|id, work| {
            if work.kind == WorkKind::Background {
                told.insert(id);
                *counts.entry(work.name.clone()).or_default() += 1;
            }
        });
        for RegisteredTask { task, .. } in earlier.into_iter().flatten() {
            if !task.state.is_final() && !told.contains(&task.id.into()) {
                let name = self.backgrounds.value(&task.name);
                *counts.entry(name).or_default() += 1;
            }
        }
        let mut counts: Vec<_> = counts.into_iter().collect();
        counts.sort_unstable_by(|(name, _), (other, _)| str::cmp(name, other));
        counts
    }

    /// The two labels that work is counted under.
    fn labels(&self, work: &Work<'_>) -> (Value, Value) {
        let owner = work.owner.unwrap_or(work.name);
        let alone = |name: Value| (name, Value::NONE);
        match work.kind {
            WorkKind::Request => alone(self.routes.value(route(work.name))),
            WorkKind::Background => alone(self.backgrounds.value(work.name)),
            WorkKind::PoolJob => alone(self.pools.value(owner)),
            WorkKind::Computation => alone(self.lazies.value(owner)),
            WorkKind::Group => alone(self.tasks.second_alone(work.name)),
            WorkKind::Race | WorkKind::Hedge => alone(self.races.first_alone(work.name)),
            WorkKind::Candidate | WorkKind::Attempt => {
                let race = self.parent(work, |race| race.name.clone());
                let race = race.unwrap_or_else(|| self.races.first_alone(owner));
                let (race, candidate) = self.races.values(&race, work.name);
                (candidate, race)
            }
            _ => {
                let group = self.parent(work, |parent| match parent.kind {
                    WorkKind::Group => parent.name.clone(),
                    kind if is_task(kind) => parent.within.clone(),
                    _ => Value::NONE,
                });
                self.tasks.values(work.name, &group.unwrap_or(Value::NONE))
            }
        }
    }

    fn parent<T>(&self, work: &Work<'_>, f: impl FnOnce(&Measured) -> T) -> Option<T> {
        self.live.with(work.parent?, |parent| f(parent))
    }

    fn task_ended(&self, work: &Measured, outcome: &Outcome<'_>) {
        let [name, group] = task(work);
        self.families
            .task_active
            .get_or_create(&Labels([name.clone(), group.clone()]))
            .dec();
        let labels = Labels([name, group, ended(outcome), wrong(words::error(outcome))]);
        record(
            self.families.task_duration.get_or_create(&labels),
            work.made.elapsed(),
        );
    }

    fn job_ended(&self, work: &Measured, outcome: &Outcome<'_>) {
        let pool = ("nexios_pool_name", work.name.clone());
        if let Some(started) = work.started {
            return record(
                self.families.pool_use.get_or_create(&Labels([pool])),
                started.elapsed(),
            );
        }
        let reason = match outcome {
            Outcome::Refused if work.made.elapsed() < AT_ONCE => "saturated",
            Outcome::Refused | Outcome::TimedOut => "timeout",
            Outcome::Cancelled(CancelReason::Deadline) => "deadline",
            Outcome::Cancelled(CancelReason::Shutdown) => "shutdown",
            _ => "cancelled",
        };
        self.families
            .pool_rejections
            .get_or_create(&Labels([pool, ("reason", reason.into())]))
            .inc();
    }

    fn race_ended(&self, work: &Measured, strategy: &'static str, outcome: &Outcome<'_>) {
        let labels = Labels([
            race(work.name.clone()),
            ("strategy", strategy.into()),
            ended(outcome),
        ]);
        record(
            self.families.race_duration.get_or_create(&labels),
            work.made.elapsed(),
        );
    }

    fn candidate_ended(&self, work: &Measured, outcome: &Outcome<'_>) {
        let race = race(work.within.clone());
        if matches!(outcome, Outcome::Won) {
            let labels = Labels([race.clone(), ("winner", work.name.clone())]);
            self.families.race_wins.get_or_create(&labels).inc();
        }
        if work.hedges && work.started.is_some() {
            let result = if matches!(outcome, Outcome::Won) {
                "won"
            } else {
                "wasted"
            };
            self.families
                .race_hedges
                .get_or_create(&Labels([race, ("result", result.into())]))
                .inc();
        }
    }

    fn background_ended(&self, work: &Measured, outcome: &Outcome<'_>) {
        let name = ("nexios_background_name", work.name.clone());
        if let Some(started) = work.started {
            let labels = Labels([name.clone(), ended(outcome), wrong(words::error(outcome))]);
            record(
                self.families.background_duration.get_or_create(&labels),
                started.elapsed(),
            );
            if work.attempt != Attempt::None {
                self.attempt_ended(name.1, words::outcome(outcome));
            }
        }
    }

    fn attempt_changed(&self, id: WorkId, update: &Update<'_>) {
        let ended = self.live.with(id, |work| {
            let outcome = work.attempt.updated(update)?;
            (work.kind == WorkKind::Background).then(|| (work.name.clone(), outcome))
        });
        if let Some((name, outcome)) = ended.flatten() {
            self.attempt_ended(name, outcome.into());
        }
    }

    fn attempt_ended(&self, name: Value, outcome: Value) {
        let name = ("nexios_background_name", name);
        self.families
            .background_attempts
            .get_or_create(&Labels([name, ("nexios_outcome", outcome)]))
            .inc();
    }

    fn computation_ended(&self, work: &Measured, outcome: &Outcome<'_>) {
        let name = ("nexios_lazy_name", work.name.clone());
        let labels = Labels([name, ended(outcome), wrong(words::error(outcome))]);
        record(
            self.families.lazy_init.get_or_create(&labels),
            work.made.elapsed(),
        );
    }

    fn request_ended(&self, work: &Measured, outcome: &Outcome<'_>) {
        let route = ("http_route", work.name.clone());
        let reason = match outcome {
            Outcome::Cancelled(reason) => *reason,
            Outcome::TimedOut => CancelReason::Deadline,
            // One that could still answer after it was cancelled was cancelled all the same.
            _ => match work.cancelled {
                Some((_, reason)) => reason,
                None => return,
            },
        };
        let labels = Labels([route.clone(), ("reason", words::cancelled(reason))]);
        self.families
            .request_cancellations
            .get_or_create(&labels)
            .inc();
        if let Some((since, _)) = work.cancelled {
            let result = if matches!(outcome, Outcome::Panicked(_)) {
                "panicked"
            } else {
                "finished"
            };
            let labels = Labels([route, ("result", result.into())]);
            record(
                self.families.request_cleanup.get_or_create(&labels),
                since.elapsed(),
            );
        }
    }
}

impl Observer for Measuring {
    fn made(&self, work: &Work<'_>) {
        let (name, within) = self.labels(work);
        let measured = Measured {
            kind: work.kind,
            name,
            within,
            made: Instant::now(),
            started: None,
            cancelled: None,
            count: 0,
            hedges: work.kind == WorkKind::Attempt && work.name != "attempt 1",
            attempt: Attempt::First,
        };
        if is_child(work.kind)
            && let Some(group) = work.parent
        {
            self.live
                .with(group, |group| group.count = group.count.saturating_add(1));
        }
        let labels = (measured.kind, task(&measured));
        if !self.live.insert(work.id, measured) {
            self.families.unmeasured.inc();
            return;
        }
        match labels {
            (kind, labels) if is_task(kind) => {
                self.families
                    .task_active
                    .get_or_create(&Labels(labels))
                    .inc();
            }
            _ => {}
        }
    }

    fn started(&self, id: WorkId) {
        let now = Instant::now();
        let started = self.live.with(id, |work| {
            work.started = Some(now);
            let waited = now.duration_since(work.made);
            (
                work.kind,
                work.name.clone(),
                work.within.clone(),
                waited,
                work.hedges,
            )
        });
        let Some((kind, name, within, waited, hedges)) = started else {
            return;
        };
        match kind {
            WorkKind::PoolJob => {
                let labels = Labels([("nexios_pool_name", name)]);
                record(self.families.pool_wait.get_or_create(&labels), waited);
            }
            WorkKind::Attempt if hedges => {
                let labels = Labels([race(within), ("result", "launched".into())]);
                self.families.race_hedges.get_or_create(&labels).inc();
            }
            kind if is_task(kind) => {
                let labels = Labels([("nexios_task_name", name)]);
                record(self.families.task_queue.get_or_create(&labels), waited);
            }
            _ => {}
        }
    }

    fn updated(&self, id: WorkId, update: &Update<'_>) {
        match update {
            Update::Cancelling(reason) => {
                let now = Instant::now();
                self.live
                    .with(id, |work| work.cancelled = Some((now, *reason)));
            }
            Update::Attribute {
                name: "last_error" | "next_unix_ms",
                ..
            }
            | Update::Attempt(_) => self.attempt_changed(id, update),
            Update::Adopted => {
                let leaked = self
                    .live
                    .with(id, |work| (work.kind, work.name.clone(), work.cancelled));
                // A finalizer is made to outlive its group.
                let Some((kind, name, cancelled)) = leaked else {
                    return;
                };
                if is_task(kind) && kind != WorkKind::Finalizer {
                    let reason = cancelled.map_or(CancelReason::OwnerDropped, |(_, reason)| reason);
                    let labels = Labels([
                        ("nexios_task_name", name),
                        ("reason", reason.as_str().into()),
                    ]);
                    self.families.task_leaked.get_or_create(&labels).inc();
                }
            }
            _ => {}
        }
    }

    fn ended(&self, id: WorkId, outcome: &Outcome<'_>) {
        let Some(work) = self.live.remove(id) else {
            return;
        };
        match work.kind {
            WorkKind::Request => self.request_ended(&work, outcome),
            WorkKind::Background => self.background_ended(&work, outcome),
            WorkKind::PoolJob => self.job_ended(&work, outcome),
            WorkKind::Race => self.race_ended(&work, "first", outcome),
            WorkKind::Hedge => self.race_ended(&work, "hedge", outcome),
            WorkKind::Candidate | WorkKind::Attempt => self.candidate_ended(&work, outcome),
            WorkKind::Computation => self.computation_ended(&work, outcome),
            WorkKind::Group => {
                let group = ("nexios_group_name", work.name.clone());
                let labels = Labels([group.clone(), ended(outcome)]);
                record(
                    self.families.group_duration.get_or_create(&labels),
                    work.made.elapsed(),
                );
                self.families
                    .group_size
                    .get_or_create(&Labels([group]))
                    .observe(f64::from(work.count));
            }
            kind if is_task(kind) => self.task_ended(&work, outcome),
            _ => {}
        }
    }
}

/// What `nexios_task_*` is of.
fn is_task(kind: WorkKind) -> bool {
    is_child(kind) || matches!(kind, WorkKind::Finalizer | WorkKind::Custom)
}

/// What a group is the size of.
fn is_child(kind: WorkKind) -> bool {
    matches!(
        kind,
        WorkKind::Child | WorkKind::ParallelChild | WorkKind::Daemon | WorkKind::Item
    )
}

/// The route without its method, which the name of a request begins with.
fn route(name: &str) -> &str {
    name.split_once(' ').map_or(name, |(_, route)| route)
}

fn task(work: &Measured) -> [(&'static str, Value); 2] {
    [
        ("nexios_task_name", work.name.clone()),
        ("nexios_group_name", work.within.clone()),
    ]
}

fn race(name: Value) -> (&'static str, Value) {
    ("nexios_race_name", name)
}

fn ended(outcome: &Outcome<'_>) -> (&'static str, Value) {
    ("nexios_outcome", words::outcome(outcome))
}

fn wrong(error: Value) -> (&'static str, Value) {
    ("error_type", error)
}

fn record(
    histogram: impl std::ops::Deref<Target = prometheus_client::metrics::histogram::Histogram>,
    span: Duration,
) {
    histogram.observe(span.as_secs_f64());
}

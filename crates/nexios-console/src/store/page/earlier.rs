//! Background tasks that began before the store was told of any: nobody tells it of those, so they are looked up in their
//! registries whenever somebody looks.

use std::{
    collections::HashSet,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use nexios::{
    TaskInfo, TaskState,
    observe::{RegisteredTask, WorkId, WorkKind, tasks_before},
};

use super::{eta::eta, work::running_slot};
use crate::{
    model::{BackgroundTask, Progress, Schedule, Sensitive, State, Work, milliseconds},
    store::{
        Store,
        moment::Moment,
        text::{LINE, NAME, bounded},
    },
};

/// A task that began before the store was told of any.
pub(super) struct Earlier {
    pub(super) task: BackgroundTask,
    pub(super) schedule: Option<Schedule>,
}

impl Earlier {
    pub(super) fn id(&self) -> WorkId {
        WorkId(self.task.work.id)
    }

    pub(super) fn lives(&self) -> bool {
        self.task.ended_unix_ms.is_none()
    }
}

impl Store {
    /// The live ones in the order of their numbers, and those that have ended since the store was made.
    pub(super) fn earlier(&self, now: Moment) -> Vec<Earlier> {
        let Some(since) = self.since.get() else {
            return Vec::new();
        };
        let began_unix_ms = self.clock.unix_ms(Moment::FIRST);
        let mut earlier: Vec<_> = tasks_before(*since)
            .into_iter()
            // When one ended that had not begun is not known, and it has done nothing.
            .filter(|found| found.task.started.is_some() || !found.task.state.is_final())
            .map(|found| self.earlier_task(found, now))
            .filter(|earlier| {
                let ended = earlier.task.ended_unix_ms;
                ended.is_none_or(|ended| ended >= began_unix_ms)
            })
            .collect();
        if !earlier.is_empty() {
            // One that was made while the store began may have told it of itself. Looked for among the live before those that
            // have ended, as that is the way they go.
            earlier.retain(|earlier| self.lives.look(earlier.id(), |_| ()).is_none());
            let recent: HashSet<_> = self.recent.all().iter().map(|task| task.id).collect();
            earlier.retain(|earlier| !recent.contains(&earlier.id()));
        }
        earlier
    }

    fn earlier_task(&self, found: RegisteredTask, now: Moment) -> Earlier {
        let RegisteredTask { registry, task, .. } = found;
        let registry = bounded(&registry, NAME).into_string();
        let is_final = task.state.is_final();
        let now_unix_ms = self.clock.unix_ms(now);
        let elapsed = task.elapsed;
        let whole_elapsed_ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
        let made_unix_ms = match task.started {
            // What waits for its slot has waited longer than the store is there; nobody knows for how long.
            None => self.clock.unix_ms(Moment::FIRST),
            // By the clock that nobody sets, as long as it runs.
            Some(_) if !is_final => now_unix_ms.saturating_sub(whole_elapsed_ms),
            Some(started) => unix_ms(started),
        };
        let age = Duration::from_millis(now_unix_ms.saturating_sub(made_unix_ms));
        let next_unix_ms = task.next_run.map(unix_ms);
        let waits = task.state == TaskState::Queued;
        let progress = progress(&task);
        let eta = eta((task.done, task.total), elapsed).filter(|_| !is_final);
        let name = bounded(&task.name, NAME).into_string();
        let schedule = next_unix_ms.map(|_| Schedule {
            name: name.clone(),
            next_unix_ms,
        });
        let work = Work {
            id: task.id.0,
            parent: None,
            link: None,
            kind: WorkKind::Background,
            name,
            owner: Some(registry.clone()),
            state: state(&task),
            made_unix_ms,
            age_ms: milliseconds(age),
            waited_ms: if waits { milliseconds(age) } else { 0.0 },
            waits_since_unix_ms: None,
            waiting_for: waits.then(|| running_slot(Some(&registry))),
            progress,
            attempt: task.attempt,
            reason: task.cancelling,
            error: task
                .error
                .map(|error| Sensitive::new(bounded(&error, LINE))),
            can_cancel: !is_final,
        };
        let ended_unix_ms = is_final.then(|| made_unix_ms.saturating_add(whole_elapsed_ms));
        let task = BackgroundTask {
            work,
            registry: Some(registry),
            eta_ms: eta.map(milliseconds),
            ended_unix_ms,
            elapsed_ms: milliseconds(elapsed),
        };
        Earlier { task, schedule }
    }
}

fn progress(task: &TaskInfo) -> Option<Progress> {
    let has_counted = task.done > 0 || task.total > 0;
    let message = task.message.as_deref();
    (has_counted || message.is_some()).then(|| Progress {
        done: has_counted.then_some(task.done),
        total: has_counted.then_some(task.total),
        message: message.map(|message| Sensitive::new(bounded(message, LINE))),
    })
}

fn state(task: &TaskInfo) -> State {
    match task.state {
        TaskState::Queued => State::Waiting,
        TaskState::Completed => State::Completed,
        TaskState::Failed => State::Failed,
        TaskState::Panicked => State::Panicked,
        TaskState::TimedOut => State::TimedOut,
        TaskState::Cancelled | TaskState::Abandoned => State::Cancelled,
        _ if task.cancelling.is_some() => State::Cancelling,
        _ => State::Running,
    }
}

fn unix_ms(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

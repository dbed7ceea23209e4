//! What those are told of tasks who look, and what they see of a registry.
//!
//! A task is told of when it is admitted, outside of the registry's lock; what others say of it before that waits. Its end
//! is told by its driver, when the future is gone, whoever has ended it.

use std::{panic::Location, sync::Arc};

use crate::{
    cancel::CancelReason,
    work::{
        Outcome, WorkKind,
        alive::{Census, CensusEntry, LongLived},
        concurrent::End,
        observed::{New, Observed, Parent},
    },
};

use super::{
    info::{BackgroundStats, TaskId, TaskInfo, TaskState},
    record::Record,
};

/// The registries that are alive and have had a task.
pub(crate) static ALIVE: Census<dyn LivingBackground> = Census::new();

/// A registry of background tasks, as those see it who look around.
pub(crate) trait LivingBackground: LongLived<Stats = BackgroundStats> {
    /// False if no live task has this number.
    fn cancel(&self, task: TaskId) -> bool;

    /// Its tasks with smaller numbers, live and remembered, in no order.
    fn tasks_before(&self, number: TaskId) -> Vec<TaskInfo>;
}

/// Takes a registry in among the living.
pub(super) fn enter(registry: Arc<dyn LivingBackground>) -> CensusEntry<dyn LivingBackground> {
    ALIVE.enter(Arc::downgrade(&registry))
}

/// A task was taken in: a root, which outlives whoever started it.
#[inline]
pub(super) fn admitted(owner: &str, record: &Record, made_at: &'static Location<'static>) {
    record.work.announce(|| New {
        id: None,
        parent: Parent::Caused,
        kind: WorkKind::Background,
        name: Some(&record.name),
        owner: Some(owner),
        made_at: Some(made_at),
    });
}

/// A task was refused: a part of whoever has tried, as nothing outlives that.
pub(super) fn refused(owner: &str, id: TaskId, name: &str, made_at: &'static Location<'static>) {
    let new = || New {
        id: Some(id.into()),
        parent: Parent::Current,
        kind: WorkKind::Background,
        name: Some(name),
        owner: Some(owner),
        made_at: Some(made_at),
    };
    Observed::made(new).ended(&Outcome::Refused);
}

/// A task has ended in `state`, and its future is gone.
#[cold]
pub(super) fn ended(record: &Record, state: TaskState, error: Option<String>) {
    record.work.ended(|| end(record, state, error));
}

fn end(record: &Record, state: TaskState, error: Option<String>) -> End {
    match state {
        TaskState::Completed => End::Completed,
        TaskState::Failed => End::Failed(error),
        TaskState::Panicked => End::Panicked(error.unwrap_or_default()),
        TaskState::TimedOut => End::TimedOut,
        // Without a reason by a drain that has found it waiting, or by the end of its runtime.
        TaskState::Cancelled => {
            End::Cancelled(record.cancel_reason().unwrap_or(CancelReason::Shutdown))
        }
        TaskState::Abandoned | TaskState::Queued | TaskState::Running | TaskState::Retrying => {
            End::Cancelled(CancelReason::Shutdown)
        }
    }
}

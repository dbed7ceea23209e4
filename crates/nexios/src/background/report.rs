//! What the log and the hook are told. Every end is told at most once.

use super::{
    info::{TaskInfo, TaskState},
    outcome::contain,
    record::Record,
    registry::Registry,
};

/// A task, or one run of a scheduled task, failed as `info` says.
pub(super) fn failure(registry: &Registry, info: &TaskInfo) {
    let (name, id, attempt) = (info.name.as_ref(), info.id.0, info.attempt);
    let error = info.error.as_deref().unwrap_or_default();
    match info.state {
        TaskState::TimedOut => {
            let ran = info.elapsed;
            tracing::error!(task = name, id, attempt, ?ran, "background task reached its time limit");
        }
        TaskState::Panicked => tracing::error!(task = name, id, attempt, error, "background task panicked"),
        _ => tracing::error!(task = name, id, attempt, error, "background task failed"),
    }
    if let Some(hook) = registry.hook()
        && let Err(panic) = contain(move || hook(info))
    {
        tracing::error!(task = name, id, panic, "the error hook panicked");
    }
}

/// An attempt failed and another one follows.
pub(super) fn retry(record: &Record, attempt: u32, error: &str, delay: std::time::Duration) {
    let (task, id) = (record.name.as_ref(), record.id.0);
    tracing::info!(task, id, attempt, error, ?delay, "background task will be tried again");
}

/// A task goes on although it was asked to end.
pub(super) fn stuck(record: &Record) {
    if record.mark_stuck() {
        tracing::warn!(
            task = record.name.as_ref(),
            id = record.id.0,
            "background task ignores its cancellation"
        );
    }
}

/// A task that was reported as stuck has ended after all.
pub(super) fn unstuck(record: &Record) {
    tracing::info!(task = record.name.as_ref(), id = record.id.0, "stuck background task has ended");
}

/// A drain gave up on a task.
pub(super) fn abandoned(record: &Record) {
    if record.mark_stuck() {
        tracing::warn!(
            task = record.name.as_ref(),
            id = record.id.0,
            "background task abandoned, it ignores its cancellation"
        );
    }
}

/// A task was dropped by its runtime.
pub(super) fn cut_off(record: &Record) {
    tracing::warn!(
        task = record.name.as_ref(),
        id = record.id.0,
        "background task cut off by the end of its runtime"
    );
}

/// A future was refused, and nobody but its handle can tell.
pub(super) fn refused(name: &str) {
    tracing::warn!(task = name, "background task refused");
}

//! What the log and the hook are told. Every end is told at most once.

use std::sync::{Arc, PoisonError};

use crate::{log, sync::Mutex};

use super::{
    info::{TaskInfo, TaskState},
    record::Record,
};

/// A function that is told about every task that failed.
pub(super) type Function = Arc<dyn Fn(&TaskInfo) + Send + Sync>;

/// Where the function of the user's is kept, which may be changed at any time.
#[derive(Default)]
pub(super) struct Hook(Mutex<Option<Function>>);

impl Hook {
    pub(super) fn new(function: Option<Function>) -> Self {
        Self(Mutex::new(function))
    }

    pub(super) fn set(&self, function: Function) {
        let old = self
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .replace(function);
        drop(old);
    }

    fn get(&self) -> Option<Function> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// A task, or one run of a scheduled task, failed as `info` says.
pub(super) fn failure(hook: &Hook, info: &TaskInfo) {
    let (name, id, attempt) = (info.name.as_ref(), info.id.0, info.attempt);
    let error = info.error.as_deref().unwrap_or_default();
    log::say(|| match info.state {
        TaskState::TimedOut => {
            let ran = info.elapsed;
            tracing::error!(
                task = name,
                id,
                attempt,
                ?ran,
                "background task reached its time limit"
            );
        }
        TaskState::Panicked => {
            tracing::error!(task = name, id, attempt, error, "background task panicked");
        }
        _ => tracing::error!(task = name, id, attempt, error, "background task failed"),
    });
    if let Some(function) = hook.get() {
        log::contain(
            move || function(info),
            |panic| tracing::error!(task = name, id, panic, "the error hook panicked"),
        );
    }
}

/// An attempt failed and another one follows.
pub(super) fn retry(record: &Record, attempt: u32, error: &str, delay: std::time::Duration) {
    let (task, id) = (record.name.as_ref(), record.id.0);
    log::say(|| {
        tracing::info!(
            task,
            id,
            attempt,
            error,
            ?delay,
            "background task will be tried again"
        );
    });
}

/// A task goes on although it was asked to end.
pub(super) fn stuck(record: &Record) {
    if record.mark_stuck() {
        let (task, id) = (record.name.as_ref(), record.id.0);
        log::say(|| tracing::warn!(task, id, "background task ignores its cancellation"));
    }
}

/// A task that was reported as stuck has ended after all.
pub(super) fn unstuck(record: &Record) {
    let (task, id) = (record.name.as_ref(), record.id.0);
    log::say(|| tracing::info!(task, id, "stuck background task has ended"));
}

/// A drain gave up on a task.
pub(super) fn abandoned(record: &Record) {
    if record.mark_stuck() {
        let (task, id) = (record.name.as_ref(), record.id.0);
        log::say(|| {
            tracing::warn!(
                task,
                id,
                "background task abandoned, it ignores its cancellation"
            );
        });
    }
}

/// A task was dropped by its runtime.
pub(super) fn cut_off(record: &Record) {
    let (task, id) = (record.name.as_ref(), record.id.0);
    log::say(|| {
        tracing::warn!(
            task,
            id,
            "background task cut off by the end of its runtime"
        );
    });
}

/// A future was refused, and nobody but its handle can tell.
pub(super) fn refused(name: &str) {
    log::say(|| tracing::warn!(task = name, "background task refused"));
}

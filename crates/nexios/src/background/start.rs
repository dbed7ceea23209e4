//! The steps that every task begins with: it is admitted, its work is made, its driver is spawned.

use std::{borrow::Cow, future::Future, panic::Location, sync::Arc};

use tracing::Level;

use crate::log;

use super::{
    attempts::{self, Judge, WorkLimits},
    context::TaskContext,
    driver::{EndGuard, TaskDriver},
    exit::Exit,
    info::TaskId,
    notices, observed,
    record::OnCancel,
    refusal::{BackgroundError, NotAdmitted},
    registry::Registry,
    runtime,
    task::BackgroundTask,
};

/// What a task is admitted with.
#[derive(Debug)]
pub(super) struct TaskSpec {
    registry: Arc<Registry>,
    pub(super) name: Cow<'static, str>,
    pub(super) key: Option<Arc<str>>,
    pub(super) limits: WorkLimits,
}

impl TaskSpec {
    pub(super) fn new(registry: Arc<Registry>, name: impl Into<Cow<'static, str>>) -> Self {
        Self {
            registry,
            name: name.into(),
            key: None,
            limits: WorkLimits::default(),
        }
    }

    /// Takes the task in, or hands `source` back. From here on whatever panics ends the task.
    #[track_caller]
    pub(super) fn admit<F>(
        self,
        on_cancel: OnCancel,
        source: F,
    ) -> Result<(EndGuard, F), NotAdmitted<F>> {
        // Before the admission: a caller without a runtime leaves no task behind.
        runtime::require();
        let made_at = Location::caller();
        let admitted = self.registry.admit(self.name, self.key, on_cancel, made_at);
        match admitted {
            Ok(record) => Ok((EndGuard::new(self.registry, record), source)),
            Err((refusal, name)) => {
                let id = TaskId::next();
                observed::refused(&self.registry.label, id, &name, made_at);
                // A closure goes back to its owner; of a future only the handle tells, which nobody may hold.
                if on_cancel == OnCancel::Drop {
                    notices::refused(&name);
                }
                Err(NotAdmitted {
                    id,
                    refusal,
                    source,
                })
            }
        }
    }
}

/// Starts a task whose closure is called once.
#[track_caller]
pub(super) fn spawn_once<J, T, F, Fut>(
    spec: TaskSpec,
    closure: F,
) -> Result<BackgroundTask<T>, BackgroundError<F>>
where
    T: Send + 'static,
    J: Judge<T>,
    F: FnOnce(TaskContext) -> Fut + Send + 'static,
    Fut: Future<Output = T> + Send + 'static,
{
    let limits = spec.limits;
    let (end, closure) = spec.admit(OnCancel::Ask, closure)?;
    let work = attempts::once::<T, J, _, _>(end.record.clone(), closure);
    // The record is cloned where it is needed: most tasks have no limit.
    let record = || end.record.clone();
    Ok(match (limits.run, limits.grace) {
        (None, None) => run(end, work),
        (Some(limit), None) => {
            let work = attempts::within(record(), limit, work);
            run(end, work)
        }
        (limit, Some(grace)) => {
            let work = attempts::graced(record(), grace, work);
            let work = match limit {
                None => work,
                Some(limit) => attempts::within(record(), limit, work),
            };
            run(end, work)
        }
    })
}

/// Hands the work of an admitted task to the runtime.
pub(super) fn run<T, W>(end: EndGuard, work: W) -> BackgroundTask<T>
where
    T: Send + 'static,
    W: Future<Output = Exit<T>> + Send + 'static,
{
    let record = end.record.clone();
    let span = log::span(Level::INFO, || {
        tracing::info_span!(
            "background_task",
            name = record.name.as_ref(),
            id = record.id.0
        )
    });
    let join = runtime::spawn(TaskDriver::new(end, span, work));
    BackgroundTask::running(record, join)
}

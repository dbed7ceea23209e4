//! How a task looks in JSON.

use std::{borrow::Cow, time::UNIX_EPOCH};

use nexios::{CancelReason, TaskInfo};
use serde::Serialize;
use serde_json::{Map, Value};

/// The whole answer of `GET /tasks/status`.
#[derive(Serialize)]
pub(crate) struct Status {
    active_tasks: usize,
    tasks: Vec<TaskView>,
    #[serde(flatten)]
    fields: Map<String, Value>,
}

impl Status {
    pub(crate) fn new(tasks: Vec<TaskInfo>, mut fields: Map<String, Value>) -> Self {
        fields.remove("active_tasks");
        fields.remove("tasks");
        let active_tasks = tasks.iter().filter(|task| !task.state.is_final()).count();
        Status {
            active_tasks,
            tasks: tasks.into_iter().map(TaskView::from).collect(),
            fields,
        }
    }
}

#[derive(Serialize)]
pub(crate) struct TaskView {
    id: u64,
    pub(crate) name: Cow<'static, str>,
    pub(crate) state: &'static str,
    /// The same for the program.
    #[serde(skip)]
    pub(crate) has_ended: bool,
    cancelling: Option<&'static str>,
    done: u64,
    total: u64,
    message: Option<String>,
    attempt: u32,
    elapsed_ms: u64,
    error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_run_unix_ms: Option<u64>,
}

impl From<TaskInfo> for TaskView {
    fn from(task: TaskInfo) -> Self {
        TaskView {
            id: task.id.0,
            name: task.name,
            state: task.state.as_str(),
            has_ended: task.state.is_final(),
            cancelling: task.cancelling.map(CancelReason::as_str),
            done: task.done,
            total: task.total,
            message: task.message,
            attempt: task.attempt,
            elapsed_ms: u64::try_from(task.elapsed.as_millis()).unwrap_or(u64::MAX),
            error: task.error,
            next_run_unix_ms: task.next_run.map(|next| {
                let since = next.duration_since(UNIX_EPOCH).unwrap_or_default();
                u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
            }),
        }
    }
}

//! Routes that show and cancel background tasks.

mod events;
mod view;

use std::{collections::BTreeMap, fmt, sync::Arc};

use axum::{
    Json, Router,
    extract::{Path, State},
    http::StatusCode,
    routing::{get, post},
};
use nexios::{Background, TaskId};
use serde_json::Value;

use crate::{OrProblem, Problem};
use view::{Status, TaskView};

/// Makes the routes that show and cancel the tasks of one registry.
///
/// | route | answer |
/// |---|---|
/// | `GET /tasks/status` | `{"active_tasks":n,"tasks":[{"id","name","state","done","total","elapsed_ms","error"}]}` |
/// | `GET /tasks/events` | server-sent events: one `task` with such a task for each change, looked for every 250 ms |
/// | `GET /tasks/{id}` | one such task, or 404 |
/// | `POST /tasks/{id}/cancel` | 202 and the task as it is now; 404 unknown, 409 already ended |
///
/// They tell names and errors of tasks: put them where only those come who may know. [`TaskRoutes`] adds
/// fields of your own.
///
/// # Examples
///
/// ```no_run
/// use axum::Router;
/// use nexios::Background;
/// use nexios_axum::task_routes;
///
/// let app: Router = Router::new().merge(task_routes(Background::global().clone()));
/// ```
pub fn task_routes(background: Background) -> Router {
    TaskRoutes::new(background).into_router()
}

/// Builds the task routes with more fields in `GET /tasks/status`.
///
/// # Examples
///
/// ```no_run
/// use axum::Router;
/// use nexios::Background;
/// use nexios_axum::TaskRoutes;
///
/// let app: Router = TaskRoutes::new(Background::global().clone()).field("workers", || 4).into_router();
/// ```
#[must_use]
pub struct TaskRoutes {
    background: Background,
    fields: BTreeMap<String, Field>,
}

type Field = Box<dyn Fn() -> Value + Send + Sync>;

impl TaskRoutes {
    /// Starts with the tasks of `background` and no more fields.
    pub fn new(background: Background) -> Self {
        TaskRoutes { background, fields: BTreeMap::new() }
    }

    /// Adds a field to the status, read anew for every answer; `active_tasks` and `tasks` cannot be replaced.
    pub fn field<V: Into<Value>>(
        mut self,
        name: impl Into<String>,
        read: impl Fn() -> V + Send + Sync + 'static,
    ) -> Self {
        self.fields.insert(name.into(), Box::new(move || read().into()));
        self
    }

    /// Makes the routes.
    pub fn into_router(self) -> Router {
        Router::new()
            .route("/tasks/status", get(status))
            .route("/tasks/events", get(events::events))
            .route("/tasks/{id}", get(task))
            .route("/tasks/{id}/cancel", post(cancel))
            .with_state(Arc::new(self))
    }
}

impl fmt::Debug for TaskRoutes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskRoutes").field("fields", &self.fields.keys()).finish_non_exhaustive()
    }
}

async fn status(State(routes): State<Arc<TaskRoutes>>) -> Json<Status> {
    let fields = routes.fields.iter().map(|(name, read)| (name.clone(), read())).collect();
    Json(Status::new(routes.background.list(), fields))
}

async fn task(
    State(routes): State<Arc<TaskRoutes>>,
    OrProblem(Path(id)): OrProblem<Path<u64>>,
) -> Result<Json<TaskView>, Problem> {
    find(&routes.background, TaskId(id)).map(Json)
}

async fn cancel(
    State(routes): State<Arc<TaskRoutes>>,
    OrProblem(Path(id)): OrProblem<Path<u64>>,
) -> Result<(StatusCode, Json<TaskView>), Problem> {
    let id = TaskId(id);
    let cancelled = routes.background.cancel(id);
    let task = find(&routes.background, id)?;
    if !cancelled {
        return Err(Problem::conflict("The task has already ended.").with("state", task.state));
    }
    Ok((StatusCode::ACCEPTED, Json(task)))
}

fn find(background: &Background, id: TaskId) -> Result<TaskView, Problem> {
    let task =
        background.get(id).ok_or_else(|| Problem::not_found("There is no such task.").with("task", id.0))?;
    Ok(TaskView::from(task))
}

//! A list of what is to do, in memory.

use std::{
    collections::BTreeMap,
    process::ExitCode,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, Path, Query, State},
    http::StatusCode,
    routing::{get, patch},
};
use nexios_axum::{
    NexiosApp, OrProblem, Problem, RequestLayer, method_not_allowed, not_found, run,
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

#[derive(Debug, Clone, Serialize)]
pub(crate) struct Todo {
    id: Uuid,
    text: String,
    completed: bool,
}

/// In the order in which they were made, as their ids begin with the time.
#[derive(Clone)]
pub(crate) struct Todos {
    todos: Arc<Mutex<BTreeMap<Uuid, Todo>>>,
    most: usize,
}

impl Todos {
    pub(crate) fn new(most: usize) -> Self {
        let todos = Arc::default();
        Todos { todos, most }
    }

    /// A change is one insertion or one field, so a panic leaves nothing half done.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<Uuid, Todo>> {
        self.todos.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug, Deserialize)]
struct Page {
    offset: Option<usize>,
    limit: Option<usize>,
}

#[derive(Debug, Deserialize)]
struct CreateTodo {
    text: String,
}

#[derive(Debug, Deserialize)]
struct UpdateTodo {
    text: Option<String>,
    completed: Option<bool>,
}

fn unknown() -> Problem {
    Problem::not_found("There is no such todo.")
}

async fn list(
    OrProblem(Query(page)): OrProblem<Query<Page>>,
    State(todos): State<Todos>,
) -> Json<Vec<Todo>> {
    let todos = todos.lock();
    let page = todos
        .values()
        .skip(page.offset.unwrap_or(0))
        .take(page.limit.unwrap_or(usize::MAX));
    Json(page.cloned().collect())
}

async fn create(
    State(todos): State<Todos>,
    OrProblem(Json(input)): OrProblem<Json<CreateTodo>>,
) -> Result<(StatusCode, Json<Todo>), Problem> {
    let most = todos.most;
    let mut todos = todos.lock();
    if todos.len() >= most {
        let full = Problem::new(StatusCode::INSUFFICIENT_STORAGE);
        return Err(full.detail(format!("There are {most} todos. Do one of them first.")));
    }
    let todo = Todo {
        id: Uuid::now_v7(),
        text: input.text,
        completed: false,
    };
    todos.insert(todo.id, todo.clone());
    Ok((StatusCode::CREATED, Json(todo)))
}

async fn update(
    OrProblem(Path(id)): OrProblem<Path<Uuid>>,
    State(todos): State<Todos>,
    OrProblem(Json(input)): OrProblem<Json<UpdateTodo>>,
) -> Result<Json<Todo>, Problem> {
    // Found and changed under one lock: nobody else's change is lost, and what is deleted stays so.
    let mut todos = todos.lock();
    let todo = todos.get_mut(&id).ok_or_else(unknown)?;
    if let Some(text) = input.text {
        todo.text = text;
    }
    if let Some(completed) = input.completed {
        todo.completed = completed;
    }
    Ok(Json(todo.clone()))
}

async fn delete(
    OrProblem(Path(id)): OrProblem<Path<Uuid>>,
    State(todos): State<Todos>,
) -> Result<StatusCode, Problem> {
    let deleted = todos.lock().remove(&id);
    deleted.map(|_| StatusCode::NO_CONTENT).ok_or_else(unknown)
}

/// The longest body, in bytes.
pub(crate) const LONGEST: usize = 16 * 1024;

pub(crate) fn app(todos: Todos, patience: Duration) -> NexiosApp {
    let router = Router::new()
        .route("/todos", get(list).post(create))
        .route("/todos/{id}", patch(update).delete(delete))
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(DefaultBodyLimit::max(LONGEST))
        .with_state(todos);
    NexiosApp::new(router).requests(RequestLayer::new().deadline(patience))
}

pub(crate) fn main() -> ExitCode {
    run(app(Todos::new(10_000), Duration::from_secs(10)).serve("127.0.0.1:3000"))
}

//! A service with one route: it starts in order, has its health at `/healthz` and `/readyz`, and ends in order at SIGTERM.

use std::process::ExitCode;

use axum::{Json, Router, extract::Path, routing::get};
use nexios::{Interrupted, TaskGroup};
use nexios_axum::{NexiosApp, Problem, run};
use serde_json::{Value, json};

async fn visits(name: &str) -> Result<usize, Interrupted> {
    Ok(name.len())
}

async fn greeting(name: &str) -> Result<String, Interrupted> {
    Ok(format!("hello {name}"))
}

/// Two parts of the answer at the same time. Whatever ends the group early is a problem document with the right status.
async fn hello(Path(name): Path<String>) -> Result<Json<Value>, Problem> {
    let group = TaskGroup::new();
    let (greeting, visits) = group
        .run(async {
            let (greeting, visits) = (group.spawn(greeting(&name)), group.spawn(visits(&name)));
            Ok((greeting.await?, visits.await?))
        })
        .await?;
    Ok(Json(json!({ "greeting": greeting, "visits": visits })))
}

pub(crate) fn app() -> NexiosApp {
    NexiosApp::new(Router::new().route("/hello/{name}", get(hello)))
}

fn main() -> ExitCode {
    run(async { app().serve("127.0.0.1:8080").await })
}

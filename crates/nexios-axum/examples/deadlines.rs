//! One deadline for a request and all that it starts: the service's own, or a shorter one that the caller sends along.

use std::{process::ExitCode, time::Duration};

use axum::{Router, routing::get};
use nexios::{Interrupted, TaskGroup};
use nexios_axum::{Deadline, DeadlineHeader, NexiosApp, Problem, RequestLayer, RouteDeadline, run};
use tokio::time::sleep;

async fn slow_source() -> Result<&'static str, Interrupted> {
    sleep(Duration::from_secs(60)).await;
    Ok("at last")
}

/// Knows nothing of deadlines: its group is cut off in time to answer 504.
async fn report() -> Result<&'static str, Problem> {
    let group = TaskGroup::new();
    Ok(group
        .run(async { group.spawn(slow_source()).await })
        .await?)
}

/// What is left, which is also what a call to another service should be given.
async fn left() -> String {
    let left = Deadline::current().remaining();
    left.map_or(String::from("no limit"), |left| left.as_secs().to_string())
}

pub(crate) fn app() -> NexiosApp {
    let router = Router::new()
        .route("/report", get(report))
        .route("/left", get(left))
        .route(
            "/export",
            get(left).layer(RouteDeadline::of(Duration::from_secs(300))),
        );
    let requests = RequestLayer::new()
        .deadline(Duration::from_secs(10))
        .deadline_headers([
            DeadlineHeader::ConnectTimeoutMs,
            DeadlineHeader::GrpcTimeout,
        ]);
    NexiosApp::new(router).requests(requests)
}

fn main() -> ExitCode {
    run(async { app().serve("127.0.0.1:8080").await })
}

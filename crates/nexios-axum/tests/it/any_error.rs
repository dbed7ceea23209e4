//! Errors of any kind in a handler: what the client is told of them.

use std::io;

use anyhow::Context;
use axum::{BoxError, Router, http::StatusCode, routing::get as on_get};
use nexios::{BackgroundFailure, CancelReason, Interrupted, PoolError, TaskGroup};
use nexios_axum::{OrInternal, Problem, RequestGroup, RequestLayer};

use crate::{
    answer::{Answer, get},
    log,
};

fn not_found() -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, "no such file")
}

/// The line of the log that has this id.
fn line_of(problem: &Problem) -> serde_json::Value {
    let id = problem.member("id").and_then(|id| id.as_str()).unwrap();
    let lines = log::lines_with(id);
    let [line] = &lines[..] else {
        panic!("{lines:?}")
    };
    line.clone()
}

#[test]
fn any_error_is_a_fault_of_our_own_and_the_log_has_its_causes() {
    log::start();
    let error = Err::<(), _>(anyhow::Error::new(not_found()).context("read the settings"));
    let problem = error.or_internal().unwrap_err();
    assert_eq!(problem.status(), 500);
    assert_eq!(
        line_of(&problem)["cause"],
        "read the settings: no such file"
    );
    let boxed: BoxError = not_found().into();
    assert_eq!(Problem::from(boxed).status(), 500);
    let text = Err::<(), _>("a text").or_internal().unwrap_err();
    assert_eq!(line_of(&text)["cause"], "a text");
}

#[test]
fn what_is_known_among_the_causes_is_what_it_would_be_alone() {
    let known: [(BoxError, u16); 6] = [
        (Interrupted::DeadlineExceeded.into(), 504),
        (Interrupted::Cancelled(CancelReason::Shutdown).into(), 503),
        (
            Interrupted::Cancelled(CancelReason::ClientDisconnected).into(),
            499,
        ),
        (PoolError::Saturated.into(), 503),
        (BackgroundFailure::TimedOut.into(), 504),
        (Problem::not_found("no such article").into(), 404),
    ];
    for (error, status) in known {
        let text = error.to_string();
        let wrapped = io::Error::other(error);
        let problem = Err::<(), _>(wrapped).or_internal().unwrap_err();
        assert_eq!(problem.status(), status, "{text}");
    }
}

#[test]
fn a_problem_comes_out_of_an_anyhow_error_as_it_went_in() {
    fn article() -> anyhow::Result<()> {
        Err(Problem::not_found("no such article").with("article", 7))
            .context("look it up")
            .context("show it")
    }
    let problem = Problem::from(article().unwrap_err());
    assert_eq!(problem.status(), 404);
    assert_eq!(problem.member("article").unwrap(), 7);
    assert_eq!(problem.to_string(), "Not Found: no such article");
}

/// As people write it: `anyhow` inside, a problem at the handler's end, `?` between them.
#[tokio::test(start_paused = true)]
async fn a_group_of_anyhow_errors_answers_504_at_its_deadline() {
    async fn handler() -> Result<String, Problem> {
        let group = TaskGroup::builder()
            .timeout(std::time::Duration::from_secs(1))
            .build();
        let text = group
            .run(async {
                let never = group.spawn(std::future::pending::<anyhow::Result<String>>());
                never.await.context("ask the service")
            })
            .await?;
        Ok(text)
    }
    let app = Router::new().route("/", on_get(handler));
    Answer::from(&app, get("/")).await.problem(504);
}

#[tokio::test]
async fn the_group_of_a_request_fails_with_a_problem_or_a_status() {
    async fn problem(group: RequestGroup) -> Result<String, Problem> {
        let child = group.spawn(async { Err::<String, _>(Problem::conflict("taken")) });
        group.run(child).await
    }
    async fn status(group: RequestGroup<StatusCode>) -> Result<String, StatusCode> {
        let child = group.spawn(async { Ok("fine".to_owned()) });
        group.cancel();
        group.run(child).await
    }
    let app = Router::new()
        .route("/problem", on_get(problem))
        .route("/status", on_get(status))
        .layer(RequestLayer::new());
    Answer::from(&app, get("/problem")).await.problem(409);
    assert_eq!(Answer::from(&app, get("/status")).await.status, 503);
}

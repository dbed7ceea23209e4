//! The answers that are given in place of a handler's, as the app shows them.

use std::{future::pending, time::Duration};

use axum::{
    Router,
    body::Body,
    http::Request,
    response::{Html, IntoResponse},
    routing::get as on_get,
};
use nexios::{CancelReason, CancelToken};
use nexios_axum::{RequestLayer, ShedLayer, Threshold};

use crate::{
    answer::{Answer, get},
    asking::ask,
    log,
    service::eventually,
    shed,
};

/// Shows a page to browsers.
fn with_pages() -> RequestLayer {
    RequestLayer::new().render(|answer| {
        let accept = answer.headers().get("accept")?.to_str().ok()?;
        let (problem, path) = (answer.problem(), answer.uri().path());
        let page = format!(
            "{} {path} {} {:?}",
            answer.method(),
            problem.text()?,
            problem.member("id").is_some()
        );
        accept.contains("html").then(|| Html(page).into_response())
    })
}

fn from_a_browser(path: &str) -> Request<Body> {
    Request::get(path)
        .header("accept", "text/html")
        .body(Body::empty())
        .unwrap()
}

fn expect_page(answer: &Answer, status: u16, text: &str) {
    assert_eq!(answer.status.as_u16(), status, "{}", answer.body);
    assert_eq!(
        answer.header("content-type"),
        Some("text/html; charset=utf-8")
    );
    assert_eq!(answer.body, text);
}

#[tokio::test(start_paused = true)]
async fn the_app_shows_a_deadline_and_the_status_stays() {
    let layer = with_pages().deadline(Duration::from_secs(1));
    let app = Router::new()
        .route("/shown/late", on_get(pending::<()>))
        .layer(layer);
    let answer = Answer::from(&app, from_a_browser("/shown/late")).await;
    expect_page(
        &answer,
        504,
        "GET /shown/late The work did not end in its time. false",
    );
    Answer::from(&app, get("/shown/late")).await.problem(504);
    assert_eq!(log::access("/shown/late").len(), 2);
}

#[tokio::test(start_paused = true)]
async fn the_app_shows_the_shutdown_and_what_clients_act_upon_stays() {
    let shutdown = CancelToken::new();
    let app = Router::new()
        .route("/shown/end", on_get(pending::<()>))
        .layer(with_pages().shutdown(shutdown.clone()));
    let asking = ask(&app, from_a_browser("/shown/end")).await;
    shutdown.cancel(CancelReason::Shutdown);
    // One that was under way, and one that is refused.
    for answer in [
        asking.answer().await,
        Answer::from(&app, from_a_browser("/shown/end")).await,
    ] {
        expect_page(
            &answer,
            503,
            "GET /shown/end The service is shutting down. false",
        );
        assert_eq!(
            (answer.header("retry-after"), answer.header("connection")),
            (Some("1"), Some("close"))
        );
    }
}

#[tokio::test]
async fn the_app_shows_a_panic_with_its_id() {
    let handler = on_get(async || -> String { panic!("row 7 of secrets") });
    let app = Router::new()
        .route("/shown/panic", handler)
        .layer(with_pages());
    let answer = Answer::from(&app, from_a_browser("/shown/panic")).await;
    expect_page(
        &answer,
        500,
        "GET /shown/panic The fault is ours and has been logged. true",
    );
}

#[tokio::test]
async fn the_app_shows_what_a_shed_layer_answers() {
    let (pool, release) = shed::busy().await;
    shed::queue(&pool, 1);
    eventually(async || (pool.stats().queued == 1).then_some(())).await;
    let handler =
        on_get(async || "let in").layer(ShedLayer::new().watch(&pool, Threshold::Queued(1)));
    let app = Router::new()
        .route("/shown/shed", handler)
        .layer(with_pages());
    let answer = Answer::from(&app, from_a_browser("/shown/shed")).await;
    expect_page(
        &answer,
        503,
        "GET /shown/shed The service has more work than it can do. false",
    );
    assert_eq!(answer.header("retry-after"), Some("1"));
    drop(release);
}

#[tokio::test(start_paused = true)]
async fn an_app_that_panics_while_it_shows_costs_only_the_page() {
    let layer = RequestLayer::new()
        .deadline(Duration::from_secs(1))
        .render(|_| panic!("no paper"));
    let app = Router::new()
        .route("/shown/broken", on_get(pending::<()>))
        .layer(layer);
    Answer::from(&app, from_a_browser("/shown/broken"))
        .await
        .problem(504);
}

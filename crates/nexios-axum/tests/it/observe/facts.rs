//! What a request says of itself.

use std::{convert::Infallible, time::Duration};

use axum::{
    Router,
    body::Body,
    http::{Method, Request, StatusCode},
    routing::{any, get},
};
use nexios::observe;
use nexios_axum::{RequestLayer, RouteDeadline};
use tower::ServiceExt;

use super::recorder::Recorder;
use crate::answer::Answer;

/// Asks, and reads the answer to its end.
async fn ask(app: Router, request: Request<Body>) -> Answer {
    Answer::of(
        app.layer(RequestLayer::new())
            .oneshot(request)
            .await
            .unwrap(),
    )
    .await
}

fn request(path: &str) -> Request<Body> {
    Request::get(path).body(Body::empty()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_request_is_called_by_its_method_and_its_route_and_says_its_facts() {
    let (recorder, _observing) = Recorder::begin("GET /facts/{id}");
    let app = Router::new().route("/facts/{id}", get(async || "seven"));
    ask(app, request("/facts/7?page=2")).await;
    let said = |name, value| {
        format!("GET /facts/{{id}}: Attribute {{ name: {name:?}, value: {value:?} }}")
    };
    let expected = [
        "GET /facts/{id}: made as request".to_owned(),
        "GET /facts/{id}: started".to_owned(),
        said("uri", "/facts/7?page=2"),
        said("status", "200"),
        said("response_bytes", "5"),
        "GET /facts/{id}: Completed".to_owned(),
    ];
    assert_eq!(recorder.whole().await, expected);
}

#[tokio::test(start_paused = true)]
async fn a_path_without_a_route_is_no_name() {
    let (recorder, _observing) = Recorder::begin("PATCH <unmatched>");
    let request = Request::patch("/facts-nowhere")
        .body(Body::empty())
        .unwrap();
    ask(Router::new(), request).await;
    assert_eq!(
        recorder.story().await,
        ["made as request", "started", "Completed"]
    );
    assert_eq!(recorder.attribute("status"), ["404"]);
    assert_eq!(recorder.attribute("uri"), ["/facts-nowhere"]);
}

#[tokio::test(start_paused = true)]
async fn a_method_that_a_client_made_up_is_no_name() {
    let (recorder, _observing) = Recorder::begin("_OTHER /facts-method");
    let app = Router::new().route("/facts-method", any(async || ()));
    let method = Method::from_bytes(b"BREW-7").unwrap();
    let request = Request::builder().method(method).uri("/facts-method");
    ask(app, request.body(Body::empty()).unwrap()).await;
    assert_eq!(recorder.attribute("status"), ["200"]);
}

#[tokio::test(start_paused = true)]
async fn what_a_handler_and_its_body_make_is_part_of_the_request() {
    let (recorder, _observing) = Recorder::begin("GET /facts-parts");
    let handler = async || {
        observe::custom("page").run(async {}).await;
        let rows = observe::custom("rows");
        let body = futures_util::stream::once(async move {
            let row = observe::custom("row");
            row.end(&observe::Outcome::Completed);
            drop(rows);
            Ok::<_, Infallible>("row")
        });
        Body::from_stream(body)
    };
    let app = Router::new().route("/facts-parts", get(handler));
    ask(app, request("/facts-parts")).await;
    let story = recorder.story().await;
    for made in [
        "page: made as custom in",
        "rows: made as custom in",
        "row: made as custom in",
    ] {
        let line = format!("{made} GET /facts-parts");
        assert!(story.contains(&line), "{story:?}");
    }
    assert_eq!(story.last().unwrap(), "Completed", "{story:?}");
}

#[tokio::test(start_paused = true)]
async fn what_a_body_has_left_ends_before_its_request() {
    let (recorder, _observing) = Recorder::begin("GET /facts-left");
    let handler = async || {
        let kept = observe::custom("kept");
        let rows = futures_util::stream::iter([Ok::<_, Infallible>("row")]);
        let mut rows = Box::pin(rows);
        // A stream that keeps what it has when it has ended.
        Body::from_stream(futures_util::stream::poll_fn(move |cx| {
            let _ = &kept;
            futures_util::Stream::poll_next(rows.as_mut(), cx)
        }))
    };
    ask(
        Router::new().route("/facts-left", get(handler)),
        request("/facts-left"),
    )
    .await;
    let story = recorder.story().await;
    assert_eq!(story[story.len() - 2..], ["kept: Completed", "Completed"]);
}

#[tokio::test(start_paused = true)]
async fn the_limit_of_a_request_is_said_and_said_anew_by_its_route() {
    let (recorder, _observing) = Recorder::begin("GET /facts-limit");
    let handler = get(async || ()).layer(RouteDeadline::of(Duration::from_secs(3)));
    let app = Router::new()
        .route("/facts-limit", handler)
        .layer(RequestLayer::new().deadline(Duration::from_secs(9)));
    app.oneshot(request("/facts-limit")).await.unwrap();
    recorder.whole().await;
    assert_eq!(recorder.attribute("deadline_ms"), ["9000", "3000"]);
}

#[tokio::test(start_paused = true)]
async fn an_answer_from_500_on_has_failed_and_one_below_has_not() {
    let (recorder, _observing) = Recorder::begin("GET /facts-502");
    let app = Router::new()
        .route("/facts-502", get(async || StatusCode::BAD_GATEWAY))
        .route("/facts-404", get(async || StatusCode::NOT_FOUND));
    ask(app.clone(), request("/facts-502")).await;
    assert_eq!(recorder.story().await.last().unwrap(), "Failed(None)");
    let (recorder, _observing) = Recorder::begin("GET /facts-404");
    ask(app, request("/facts-404")).await;
    assert_eq!(recorder.story().await.last().unwrap(), "Completed");
}

#[tokio::test]
async fn a_poll_that_holds_its_thread_is_said() {
    let (recorder, _observing) = Recorder::begin("GET /facts-slow");
    let handler = async || std::thread::sleep(Duration::from_millis(150));
    ask(
        Router::new().route("/facts-slow", get(handler)),
        request("/facts-slow"),
    )
    .await;
    let story = recorder.story().await;
    assert!(
        story.iter().any(|line| line.starts_with("SlowPoll")),
        "{story:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn two_layers_are_one_request() {
    let (recorder, _observing) = Recorder::begin("GET /facts-twice");
    let app = Router::new()
        .route("/facts-twice", get(async || ()))
        .layer(RequestLayer::new().deadline(Duration::from_secs(5)));
    ask(app, request("/facts-twice")).await;
    let story = recorder.story().await;
    assert_eq!(story, ["made as request", "started", "Completed"]);
    assert_eq!(recorder.attribute("deadline_ms"), ["5000"]);
}

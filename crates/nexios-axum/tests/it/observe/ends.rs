//! How a request ends, on a clock that the test moves: a client leaves by dropping the future, as hyper does it.

use std::{convert::Infallible, future::pending, time::Duration};

use axum::{
    Router,
    body::Body,
    http::{Request, StatusCode},
    routing::get as on_get,
};
use futures_util::{StreamExt, stream};
use http_body_util::BodyExt;
use nexios::{CancelReason, CancelToken, TaskGroup, observe};
use nexios_axum::{OnDisconnect, Problem, RequestLayer, RequestToken};
use tokio::time::sleep;
use tower::ServiceExt;

use super::recorder::Recorder;
use crate::{
    answer::{Answer, get},
    asking::ask,
};

/// A child that does not end by itself, and a cleanup of 50 ms.
async fn page() -> Result<&'static str, Problem> {
    let group = TaskGroup::<Problem>::new();
    group.defer(async {
        let cleanup = observe::custom("cleanup");
        cleanup.run(sleep(Duration::from_millis(50))).await;
    });
    group
        .run(async { group.spawn(pending::<Result<&str, Problem>>()).await })
        .await
}

fn with(uri: &str, name: &str, value: &str) -> Request<Body> {
    Request::get(uri)
        .header(name, value)
        .body(Body::empty())
        .unwrap()
}

/// The lines about the request itself, from the first word of its end on.
async fn end(recorder: &Recorder) -> Vec<String> {
    let mut story = recorder.story().await;
    story.retain(|line| !line.contains(": ") || line.starts_with("SlowPoll"));
    story.drain(..2);
    story
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_is_said_at_once_and_the_request_ends_after_its_groups_cleanup() {
    let (recorder, _observing) = Recorder::begin("GET /ends-left");
    let app = Router::new()
        .route("/ends-left", on_get(page))
        .layer(RequestLayer::new());
    let asking = ask(&app, get("/ends-left")).await;
    drop(asking);
    let lines = recorder.lines();
    assert_eq!(
        lines.last().unwrap(),
        "GET /ends-left: Cancelling(ClientDisconnected)"
    );
    assert_eq!(recorder.attribute("status"), ["499"]);
    let story = recorder.story().await;
    let at = |line: &str| {
        story
            .iter()
            .position(|other| other == line)
            .unwrap_or_else(|| panic!("{line} in {story:#?}"))
    };
    assert!(at("Cancelling(ClientDisconnected)") < at("cleanup: Completed"));
    assert_eq!(at("Cancelled(ClientDisconnected)"), story.len() - 1);
}

#[tokio::test(start_paused = true)]
async fn a_request_whose_deadline_passes_has_timed_out_and_ends_after_its_cleanup() {
    for (layer, request) in [
        (
            RequestLayer::new().deadline(Duration::from_secs(1)),
            get("/ends-late"),
        ),
        (
            RequestLayer::new(),
            with("/ends-late", "connect-timeout-ms", "1000"),
        ),
    ] {
        let (recorder, _observing) = Recorder::begin("GET /ends-late");
        let careful = async |token: RequestToken| {
            token.cancelled().await;
            sleep(Duration::from_millis(50)).await;
        };
        let app = Router::new()
            .route("/ends-late", on_get(careful))
            .layer(layer);
        let answer = Answer::from(&app, request).await;
        assert_eq!(answer.status, StatusCode::GATEWAY_TIMEOUT);
        let last = recorder.lines().pop().unwrap();
        assert!(last.contains("response_bytes"), "it cleans up: {last}");
        assert_eq!(end(&recorder).await, ["Cancelling(Deadline)", "TimedOut"]);
        assert_eq!(recorder.attribute("status"), ["504"]);
        assert_eq!(recorder.attribute("deadline_ms"), ["1000"]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_fails_because_of_the_deadline_has_timed_out_too() {
    let (recorder, _observing) = Recorder::begin("GET /ends-own");
    let app = Router::new()
        .route(
            "/ends-own",
            on_get(async || {
                let group = TaskGroup::<Problem>::new();
                group.run(pending::<Result<(), Problem>>()).await
            }),
        )
        .layer(RequestLayer::new().deadline(Duration::from_secs(1)));
    let answer = Answer::from(&app, get("/ends-own")).await;
    assert_eq!(answer.status, StatusCode::GATEWAY_TIMEOUT);
    assert_eq!(end(&recorder).await, ["Cancelling(Deadline)", "TimedOut"]);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_comes_expired_has_timed_out() {
    let (recorder, _observing) = Recorder::begin("GET /ends-expired");
    let app = Router::new()
        .route("/ends-expired", on_get(async || ()))
        .layer(RequestLayer::new());
    Answer::from(&app, with("/ends-expired", "connect-timeout-ms", "0")).await;
    assert_eq!(end(&recorder).await.last().unwrap(), "TimedOut");
    assert_eq!(recorder.attribute("status"), ["504"]);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_the_shutdown_ends_is_cancelled_by_it_after_its_cleanup() {
    let (recorder, _observing) = Recorder::begin("GET /ends-shutdown");
    let token = CancelToken::new();
    let app = Router::new()
        .route("/ends-shutdown", on_get(page))
        .layer(RequestLayer::new().shutdown(token.clone()));
    let asking = ask(&app, get("/ends-shutdown")).await;
    token.cancel(CancelReason::Shutdown);
    let answer = asking.answer().await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    let said = end(&recorder).await;
    assert_eq!(said, ["Cancelling(Shutdown)", "Cancelled(Shutdown)"]);
    let story = recorder.story().await;
    assert!(
        story.contains(&"cleanup: Completed".to_owned()),
        "{story:#?}"
    );
    // One that comes later is refused for the same reason.
    let (recorder, _observing) = Recorder::begin("GET /ends-shutdown");
    Answer::from(&app, get("/ends-shutdown")).await;
    assert_eq!(end(&recorder).await.last().unwrap(), "Cancelled(Shutdown)");
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_panics_ends_its_request_with_the_text() {
    let (recorder, _observing) = Recorder::begin("GET /ends-panic");
    let handler = async || {
        if true {
            panic!("no {}", "rows");
        }
    };
    let app = Router::new()
        .route("/ends-panic", on_get(handler))
        .layer(RequestLayer::new());
    Answer::from(&app, get("/ends-panic")).await;
    assert_eq!(end(&recorder).await, ["Panicked(\"no rows\")"]);
    assert_eq!(recorder.attribute("status"), ["500"]);
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_the_cleanup_is_said_though_the_client_has_left() {
    let (recorder, _observing) = Recorder::begin("GET /ends-late-panic");
    let handler = async |token: RequestToken| {
        token.cancelled().await;
        if true {
            panic!("no cleanup");
        }
    };
    let app = Router::new()
        .route("/ends-late-panic", on_get(handler))
        .layer(RequestLayer::new());
    drop(ask(&app, get("/ends-late-panic")).await);
    let said = end(&recorder).await;
    assert_eq!(
        said,
        ["Cancelling(ClientDisconnected)", "Panicked(\"no cleanup\")"]
    );
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_goes_on_without_its_client_is_not_said_to_be_cancelled() {
    let (recorder, _observing) = Recorder::begin("GET /ends-detached");
    let handler = on_get(async || sleep(Duration::from_secs(2)).await);
    let app = Router::new()
        .route("/ends-detached", handler.layer(OnDisconnect::Detached))
        .layer(RequestLayer::new());
    drop(ask(&app, get("/ends-detached")).await);
    assert_eq!(recorder.attribute("status"), ["499"]);
    let lives = recorder.story();
    sleep(Duration::from_secs(1)).await;
    assert!(
        !recorder
            .lines()
            .iter()
            .any(|line| line.contains("Cancelled"))
    );
    lives.await;
    assert_eq!(end(&recorder).await, ["Cancelled(ClientDisconnected)"]);
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_is_dropped_at_once_ends_its_request_at_once() {
    let (recorder, _observing) = Recorder::begin("GET /ends-immediate");
    let handler = on_get(pending::<()>);
    let app = Router::new()
        .route("/ends-immediate", handler.layer(OnDisconnect::Immediate))
        .layer(RequestLayer::new());
    drop(ask(&app, get("/ends-immediate")).await);
    assert_eq!(
        recorder.lines().last().unwrap(),
        "GET /ends-immediate: Cancelled(ClientDisconnected)"
    );
}

#[tokio::test(start_paused = true)]
async fn a_request_nobody_has_begun_with_ends_when_it_is_dropped() {
    let (recorder, _observing) = Recorder::begin("GET /ends-unpolled");
    let app = Router::new().route("/ends-unpolled", on_get(pending::<()>));
    let mut service = tower::Layer::layer(&RequestLayer::new(), app.into_service::<Body>());
    drop(tower::Service::call(&mut service, get("/ends-unpolled")));
    let story = recorder.lines();
    assert!(story.is_empty() || story.last().unwrap().contains("Cancelled"));
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_cut_was_cancelled_and_its_parts_before_it() {
    let (recorder, _observing) = Recorder::begin("GET /ends-cut");
    let handler = async || {
        let rows = observe::custom("rows");
        let first = stream::iter([Ok::<_, Infallible>("first")]);
        Body::from_stream(first.chain(stream::pending()).map(move |row| {
            let _ = &rows;
            row
        }))
    };
    let app = Router::new()
        .route("/ends-cut", on_get(handler))
        .layer(RequestLayer::new());
    let mut body = app.oneshot(get("/ends-cut")).await.unwrap().into_body();
    body.frame().await.unwrap().unwrap();
    drop(body);
    let story = recorder.story().await;
    assert_eq!(
        story[story.len() - 3..],
        [
            "Cancelling(ClientDisconnected)",
            "rows: Completed",
            "Cancelled(ClientDisconnected)"
        ]
    );
    assert_eq!(recorder.attribute("status"), ["200"]);
    assert_eq!(recorder.attribute("response_bytes"), ["5"]);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_fails_or_panics_is_the_end_of_its_request() {
    let (recorder, _observing) = Recorder::begin("GET /ends-broken");
    let handler = async |panics: axum::http::HeaderMap| {
        let panics = panics.contains_key("x-panics");
        Body::from_stream(stream::once(async move {
            assert!(!panics, "no row");
            Err::<&str, _>(std::io::Error::other("the rows ended"))
        }))
    };
    let app = Router::new()
        .route("/ends-broken", on_get(handler))
        .layer(RequestLayer::new());
    let response = app.clone().oneshot(get("/ends-broken")).await.unwrap();
    assert!(response.into_body().collect().await.is_err());
    assert_eq!(end(&recorder).await, ["Failed(Some(\"the rows ended\"))"]);

    let (recorder, _observing) = Recorder::begin("GET /ends-broken");
    let response = app.oneshot(with("/ends-broken", "x-panics", "yes")).await;
    let reading = tokio::spawn(response.unwrap().into_body().collect());
    assert!(reading.await.unwrap_err().is_panic());
    assert_eq!(end(&recorder).await, ["Panicked(\"no row\")"]);
}

#[tokio::test(start_paused = true)]
async fn a_stream_hears_of_the_shutdown_and_completes_if_it_ends_by_itself() {
    let (recorder, _observing) = Recorder::begin("GET /ends-stream");
    let token = CancelToken::new();
    let closing = token.clone();
    let handler = async move || {
        let rows = stream::pending::<Result<&str, Infallible>>();
        Body::from_stream(nexios_axum::until_cancelled(&closing, rows))
    };
    let app = Router::new()
        .route("/ends-stream", on_get(handler))
        .layer(RequestLayer::new().shutdown(token.clone()));
    let body = app.oneshot(get("/ends-stream")).await.unwrap().into_body();
    let reading = tokio::spawn(body.collect());
    sleep(Duration::from_secs(1)).await;
    token.cancel(CancelReason::Shutdown);
    reading.await.unwrap().unwrap();
    assert_eq!(end(&recorder).await, ["Cancelling(Shutdown)", "Completed"]);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_the_shutdown_cuts_off_was_cancelled_by_it() {
    let (recorder, _observing) = Recorder::begin("GET /ends-stream-cut");
    let token = CancelToken::new();
    let rows = async || Body::from_stream(stream::pending::<Result<&str, Infallible>>());
    let app = Router::new()
        .route("/ends-stream-cut", on_get(rows))
        .layer(RequestLayer::new().shutdown(token.clone()));
    let body = app
        .oneshot(get("/ends-stream-cut"))
        .await
        .unwrap()
        .into_body();
    let reading = tokio::spawn(body.collect());
    sleep(Duration::from_secs(1)).await;
    token.cancel(CancelReason::Shutdown);
    sleep(Duration::from_secs(1)).await;
    assert_eq!(
        recorder.lines().last().unwrap(),
        "GET /ends-stream-cut: Cancelling(Shutdown)"
    );
    reading.abort();
    assert_eq!(
        end(&recorder).await,
        ["Cancelling(Shutdown)", "Cancelled(Shutdown)"]
    );
}

#[tokio::test(start_paused = true)]
async fn who_waits_until_no_request_is_live_has_heard_of_all_their_ends() {
    let (recorder, _observing) = Recorder::begin("GET /ends-idle");
    let layer = RequestLayer::new();
    let requests = layer.requests();
    let app = Router::new().route("/ends-idle", on_get(page)).layer(layer);
    drop(ask(&app, get("/ends-idle")).await);
    requests.idle().await;
    assert_eq!(
        recorder.lines().last().unwrap(),
        "GET /ends-idle: Cancelled(ClientDisconnected)"
    );
}

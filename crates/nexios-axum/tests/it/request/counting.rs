//! Counts and lines in the log.

use std::{convert::Infallible, time::Duration};

use axum::{Router, body::Body, response::Response, routing::get as on_get};
use nexios_axum::RequestLayer;
use tokio::time::sleep;
use tower::{Layer, ServiceExt, service_fn};
use tracing::{Instrument, info_span};

use crate::{
    answer::{Answer, get},
    asking::ask,
    log,
};

#[tokio::test(start_paused = true)]
async fn an_answered_request_has_one_line_with_method_route_status_and_time() {
    log::start();
    let handler = on_get(async || {
        sleep(Duration::from_millis(120)).await;
        "done"
    });
    let app = Router::new()
        .route("/counting/{id}/line", handler)
        .layer(RequestLayer::new());
    let asked = Answer::from(&app, get("/counting/7/line"))
        .instrument(info_span!("request", id = "line-1"));
    assert_eq!(asked.await.body, "done");
    let lines = log::access("/counting/{id}/line");
    assert_eq!(lines.len(), 1, "{lines:?}");
    let line = &lines[0];
    assert_eq!(
        (&line["level"], &line["message"]),
        (&"INFO".into(), &"answered".into())
    );
    assert_eq!(
        (&line["method"], &line["status"]),
        (&"GET".into(), &200.into())
    );
    assert_eq!(
        (&line["duration_ms"], &line["span"]["id"]),
        (&120.into(), &"line-1".into())
    );
    assert_eq!(line.get("aborted"), None);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_matches_no_route_is_logged_by_its_path_alone() {
    log::start();
    let app = Router::new()
        .route("/", on_get(async || ()))
        .layer(RequestLayer::new());
    assert_eq!(
        Answer::from(&app, get("/counting/nowhere")).await.status,
        404
    );
    let line = &log::access_of_path("/counting/nowhere")[0];
    assert_eq!((&line["status"], line.get("route")), (&404.into(), None));
}

#[tokio::test(start_paused = true)]
async fn clones_of_a_layer_and_several_routers_count_into_the_same_requests() {
    let layer = RequestLayer::new();
    let requests = layer.requests();
    let waits = || on_get(async || sleep(Duration::from_secs(1)).await);
    let one = Router::new()
        .route("/counting/one", waits())
        .layer(layer.clone());
    let two = Router::new().route("/counting/two", waits().layer(layer));
    let asking = [
        ask(&one, get("/counting/one")).await,
        ask(&two, get("/counting/two")).await,
    ];
    assert_eq!(requests.live(), 2);
    for asking in asking {
        asking.answer().await;
    }
    assert_eq!((requests.live(), requests.stats().started), (0, 2));
}

#[tokio::test(start_paused = true)]
async fn idle_returns_at_once_when_nothing_lives_and_waits_for_the_last_request() {
    let layer = RequestLayer::new();
    let requests = layer.requests();
    requests.idle().await;
    let app = Router::new().route(
        "/counting/idle",
        on_get(async || sleep(Duration::from_secs(5)).await),
    );
    let app = app.layer(layer);
    let first = ask(&app, get("/counting/idle")).await;
    sleep(Duration::from_secs(1)).await;
    let second = ask(&app, get("/counting/idle")).await;
    let begun = tokio::time::Instant::now();
    let idle = tokio::spawn({
        let requests = requests.clone();
        async move {
            requests.idle().await;
            begun.elapsed()
        }
    });
    first.answer().await;
    second.answer().await;
    assert_eq!(idle.await.unwrap(), Duration::from_secs(5));
}

#[tokio::test(start_paused = true)]
async fn an_error_of_the_service_inside_is_no_disconnect() {
    log::start();
    let layer = RequestLayer::new();
    let requests = layer.requests();
    let failing = layer.layer(service_fn(async |_| Err::<Response<Body>, _>("broken")));
    assert_eq!(
        failing.oneshot(get("/counting/broken")).await.unwrap_err(),
        "broken"
    );
    assert_eq!((requests.live(), requests.stats().disconnected), (0, 0));
    assert_eq!(log::access_of_path("/counting/broken").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_layer_wraps_any_service_of_http() {
    let service = service_fn(async |_| Ok::<_, Infallible>(Response::new(Body::from("plain"))));
    let response = RequestLayer::new()
        .layer(service)
        .oneshot(get("/counting/plain"))
        .await
        .unwrap();
    assert_eq!(Answer::of(response).await.body, "plain");
}

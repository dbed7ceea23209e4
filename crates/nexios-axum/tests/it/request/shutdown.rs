//! The shutdown token of the layer.

use std::{future::pending, time::Duration};

use axum::{Router, routing::get as on_get};
use nexios::{CancelReason, CancelToken};
use nexios_axum::{OnDisconnect, RequestLayer, RequestToken};
use tokio::time::{Instant, sleep};

use crate::{
    answer::{Answer, get},
    asking::{ask, diary},
    log,
};

#[tokio::test(start_paused = true)]
async fn a_handler_that_does_not_answer_is_answered_for_and_rescued() {
    let (diary, mut reader) = diary();
    let shutdown = CancelToken::new();
    let layer = RequestLayer::new().shutdown(shutdown.clone());
    let requests = layer.requests();
    let handler = async move |token: RequestToken| {
        diary.write(token.cancelled().await);
        sleep(Duration::from_secs(1)).await;
        diary.write("cleaned up");
    };
    let app = Router::new()
        .route("/shutdown/slow", on_get(handler))
        .layer(layer);
    let asking = ask(&app, get("/shutdown/slow")).await;

    let begun = Instant::now();
    shutdown.cancel(CancelReason::Shutdown);
    let answer = asking.answer().await;
    answer.problem(503);
    assert_eq!(
        (answer.header("retry-after"), answer.header("connection")),
        (Some("1"), Some("close"))
    );
    assert_eq!(begun.elapsed(), Duration::ZERO);
    assert_eq!((requests.live(), requests.rescued()), (0, 1));
    requests.idle().await;
    assert_eq!(reader.written(), ["Shutdown", "cleaned up"]);
    assert_eq!(
        (requests.stats().shut_down, requests.stats().disconnected),
        (1, 0)
    );
    let lines = log::access("/shutdown/slow");
    assert_eq!(
        (&lines[0]["status"], &lines[1]["cleanup"]),
        (&503.into(), &"finished".into())
    );
}

#[tokio::test(start_paused = true)]
async fn all_live_requests_hear_of_it_whatever_their_policy() {
    let (diary, mut reader) = diary();
    let shutdown = CancelToken::new();
    let layer = RequestLayer::new()
        .shutdown(shutdown.clone())
        .grace(Duration::ZERO);
    let requests = layer.requests();
    let handler = async move |token: RequestToken| {
        diary.write(token.cancelled().await);
        pending::<()>().await;
    };
    let app = Router::new()
        .route(
            "/shutdown/detached",
            on_get(handler.clone()).layer(OnDisconnect::Detached),
        )
        .route(
            "/shutdown/now",
            on_get(handler.clone()).layer(OnDisconnect::Immediate),
        )
        .route("/shutdown/usual", on_get(handler))
        .layer(layer);
    let mut asking = Vec::new();
    for route in ["/shutdown/detached", "/shutdown/now", "/shutdown/usual"] {
        asking.push(ask(&app, get(route)).await);
    }
    shutdown.cancel(CancelReason::Shutdown);
    for asking in asking {
        asking.answer().await.problem(503);
    }
    requests.idle().await;
    assert_eq!(reader.written(), ["Shutdown"; 3]);
}

#[tokio::test(start_paused = true)]
async fn a_rescued_handler_that_is_detached_hears_of_it_too() {
    let (diary, mut reader) = diary();
    let shutdown = CancelToken::new();
    let layer = RequestLayer::new()
        .shutdown(shutdown.clone())
        .grace(Duration::from_secs(1));
    let requests = layer.requests();
    let handler = async move |token: RequestToken| {
        diary.write(token.cancelled().await);
        pending::<()>().await;
    };
    let handler = on_get(handler).layer(OnDisconnect::Detached);
    let app = Router::new()
        .route("/shutdown/rescued", handler)
        .layer(layer);
    drop(ask(&app, get("/shutdown/rescued")).await);
    sleep(Duration::from_secs(100)).await;
    assert_eq!(requests.rescued(), 1);
    let begun = Instant::now();
    shutdown.cancel(CancelReason::Shutdown);
    requests.idle().await;
    assert_eq!(
        (begun.elapsed(), reader.written()),
        (Duration::from_secs(1), vec!["Shutdown".to_owned()])
    );
}

#[tokio::test(start_paused = true)]
async fn later_requests_are_refused_without_running() {
    let (diary, mut reader) = diary();
    let shutdown = CancelToken::new();
    let layer = RequestLayer::new().shutdown(shutdown.clone());
    let requests = layer.requests();
    let app = Router::new()
        .route("/shutdown/later", on_get(async move || diary.write("ran")))
        .layer(layer);
    shutdown.cancel(CancelReason::Shutdown);
    let answer = Answer::from(&app, get("/shutdown/later")).await;
    answer.problem(503);
    assert_eq!(answer.header("connection"), Some("close"));
    assert!(reader.written().is_empty());
    assert_eq!(
        (
            requests.stats().started,
            requests.stats().shut_down,
            requests.live()
        ),
        (1, 1, 0)
    );
}

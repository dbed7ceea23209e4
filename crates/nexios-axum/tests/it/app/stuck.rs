//! Handlers that do not come to an end.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use axum::{Router, routing::get};
use nexios::{CancelReason, CancelScope, CancelToken, TaskGroup};
use nexios_axum::{NexiosApp, RequestLayer};
use tokio::time::Instant;

use super::{app, ms, start};

#[tokio::test]
async fn a_stuck_handler_is_answered_503_cancelled_and_given_up_by_its_route() {
    let router = Router::new().route("/stuck/{id}", get(std::future::pending::<&str>));
    let running = start(app(router).requests(RequestLayer::new().grace(ms(100)))).await;
    let mut client = running.client().await;
    client.begin("/stuck/7?token=secret").await;
    tokio::time::sleep(ms(50)).await;
    let begun = Instant::now();
    let stopping = tokio::spawn(running.stop());
    let reply = client.reply().await;
    assert_eq!(reply.status, 503);
    assert!(reply.says_close(), "{}", reply.head);
    assert!(
        (ms(1_400)..ms(1_900)).contains(&begun.elapsed()),
        "{:?}",
        begun.elapsed()
    );
    let report = stopping.await.unwrap();
    assert_eq!(report.abandoned.len(), 1, "{report:?}");
    assert!(
        report.abandoned[0].starts_with("request GET /stuck/"),
        "{report:?}"
    );
    assert!(!report.abandoned[0].contains("secret"), "{report:?}");
    assert!(report.elapsed < ms(2_000), "{report:?}");
}

#[tokio::test]
async fn a_handler_that_listens_cleans_up_and_nothing_is_given_up() {
    let cleaned = Arc::new(AtomicBool::new(false));
    let done = cleaned.clone();
    let handler = async move || {
        let reason = CancelScope::current().unwrap().token().cancelled().await;
        assert_eq!(reason, CancelReason::Shutdown);
        tokio::time::sleep(ms(50)).await;
        done.store(true, Ordering::Relaxed);
        "never seen"
    };
    let running = start(app(Router::new().route("/", get(handler)))).await;
    let mut client = running.client().await;
    client.begin("/").await;
    tokio::time::sleep(ms(50)).await;
    let stopping = tokio::spawn(running.stop());
    assert_eq!(client.reply().await.status, 503);
    let report = stopping.await.unwrap();
    assert!(report.is_clean(), "{report:?}");
    assert!(cleaned.load(Ordering::Relaxed));
}

/// A group made in a handler needs no wiring to hear of the shutdown.
#[tokio::test]
async fn a_task_group_in_a_handler_is_cancelled_with_the_reason_shutdown() {
    let seen = Arc::new(std::sync::Mutex::new(None));
    let reason = seen.clone();
    let handler = async move || {
        let group = TaskGroup::<nexios::Interrupted>::new();
        let end = group
            .run(async { group.spawn(std::future::pending::<Result<(), _>>()).await })
            .await;
        *reason.lock().unwrap() = Some(end);
    };
    let running = start(app(Router::new().route("/", get(handler)))).await;
    let mut client = running.client().await;
    client.begin("/").await;
    tokio::time::sleep(ms(50)).await;
    assert!(running.stop().await.is_clean());
    let cancelled = nexios::Interrupted::Cancelled(CancelReason::Shutdown);
    assert_eq!(*seen.lock().unwrap(), Some(Err(cancelled)));
}

/// A layer of the router's own, as a service has that puts others around it.
#[tokio::test]
async fn a_layer_that_the_router_has_already_is_told_and_waited_for() {
    let layer = RequestLayer::new().shutdown(CancelToken::new());
    let router = Router::new()
        .route("/", get(std::future::pending::<&str>))
        .layer(layer.clone());
    let running = start(app(router).requests_of(&layer)).await;
    let mut client = running.client().await;
    client.begin("/").await;
    tokio::time::sleep(ms(50)).await;
    assert_eq!(layer.requests().live(), 1);
    let stopping = tokio::spawn(running.stop());
    assert_eq!(client.reply().await.status, 503);
    let report = stopping.await.unwrap();
    // Its grace is longer than the time for cancelling, and cut at its end.
    assert_eq!(report.abandoned, ["request GET /"]);
    assert!(report.elapsed < ms(2_200), "{report:?}");
    let stats = layer.requests().stats();
    assert_eq!(
        (stats.live, stats.rescued, stats.started, stats.cut_off),
        (0, 0, 1, 1)
    );
}

#[test]
#[should_panic(expected = "the layer needs a token")]
fn a_layer_that_nothing_could_tell_is_refused() {
    drop(NexiosApp::new(Router::new()).requests_of(&RequestLayer::new()));
}

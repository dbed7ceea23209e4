//! Ways in which a rescue can go wrong; each has happened to somebody.

use std::{future::pending, time::Duration};

use axum::{Router, routing::get as on_get};
use nexios::CancelScope;
use nexios_axum::{OnDisconnect, RequestLayer, RequestToken};
use tokio::time::{sleep, timeout};
use tracing::{Instrument, info_span};

use crate::{
    answer::{Answer, get},
    asking::{ask, diary},
    log,
};

/// Trap 1: a guard that is dropped by the unwinding thread would poll the future again.
#[tokio::test(start_paused = true)]
async fn a_panicked_handler_is_never_polled_again() {
    let (diary, mut reader) = diary();
    let layer = RequestLayer::new();
    let requests = layer.requests();
    let handler = async move || -> String {
        let _dropped = diary.at_drop("dropped");
        sleep(Duration::from_secs(1)).await;
        diary.write("polled");
        panic!("row 7 of secrets");
    };
    let app = Router::new()
        .route("/trap/panic", on_get(handler))
        .layer(layer);
    log::start();
    let answer = Answer::from(&app, get("/trap/panic")).await;
    let id = answer.problem(500)["id"].as_str().unwrap().to_owned();
    assert!(!answer.body.contains("secrets"), "{}", answer.body);
    requests.idle().await;
    assert_eq!(reader.written(), ["polled", "dropped"]);
    let stats = requests.stats();
    assert_eq!(
        (stats.panicked, stats.rescues, stats.disconnected),
        (1, 0, 0)
    );
    let lines = log::lines_with(&id);
    assert!(
        lines[0]["cause"]
            .as_str()
            .unwrap()
            .contains("row 7 of secrets"),
        "{lines:?}"
    );
    assert_eq!(log::access("/trap/panic")[0]["status"], 500);
}

/// Trap 1, when the thread unwinds for another reason: the handler is rescued, and nobody says 499.
#[tokio::test(start_paused = true)]
async fn a_request_dropped_by_a_panic_outside_is_not_taken_for_a_disconnect() {
    let (diary, mut reader) = diary();
    let layer = RequestLayer::new();
    let requests = layer.requests();
    let handler = async move |token: RequestToken| diary.write(token.cancelled().await);
    let app = Router::new()
        .route("/trap/outside", on_get(handler))
        .layer(layer);
    let asking = ask(&app, get("/trap/outside")).await;
    let unwound = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || {
        let _asking = asking;
        panic!("somebody else");
    }));
    assert!(unwound.is_err());
    requests.idle().await;
    assert_eq!(reader.written(), ["OwnerDropped"]);
    assert_eq!(requests.stats().disconnected, 0);
    assert_eq!(log::access("/trap/outside")[0]["status"], 500);
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_the_cleanup_is_contained_and_logged() {
    let layer = RequestLayer::new();
    let requests = layer.requests();
    let handler = async move |token: RequestToken| -> String {
        token.cancelled().await;
        panic!("mop and bucket");
    };
    let app = Router::new()
        .route("/trap/cleanup", on_get(handler))
        .layer(layer);
    drop(ask(&app, get("/trap/cleanup")).await);
    requests.idle().await;
    assert_eq!(
        (requests.stats().panicked, requests.stats().cut_off),
        (1, 0)
    );
    assert_eq!(log::access("/trap/cleanup")[1]["cleanup"], "panicked");
    assert!(
        log::lines_with("mop and bucket")
            .iter()
            .any(|line| line["level"] == "ERROR")
    );
}

/// Trap 2: what is task-local must go along with the handler.
#[tokio::test(start_paused = true)]
async fn scope_and_span_go_along_with_a_rescued_handler() {
    let layer = RequestLayer::new();
    let requests = layer.requests();
    let (diary, mut reader) = diary();
    let handler = async move |token: RequestToken| {
        token.cancelled().await;
        tracing::info!("marker-7f3 cleaning up");
        let scope = CancelScope::current().expect("the scope is there");
        diary.write(scope.token().reason());
    };
    let app = Router::new()
        .route("/trap/scope", on_get(handler))
        .layer(layer);
    let asking = ask(&app, get("/trap/scope"))
        .instrument(info_span!("request", id = "span-7f3"))
        .await;
    drop(asking);
    requests.idle().await;
    assert_eq!(reader.written(), ["Some(ClientDisconnected)"]);
    let lines = log::lines_with("marker-7f3");
    assert_eq!(lines[0]["span"]["id"], "span-7f3", "{lines:?}");
    for line in log::access("/trap/scope") {
        assert_eq!(line["span"]["id"], "span-7f3", "{line}");
    }
}

/// Trap 3: a server that is dropped after its runtime.
#[test]
fn a_request_dropped_without_a_runtime_is_dropped_at_once() {
    let (diary, mut reader) = diary();
    let layer = RequestLayer::new();
    let requests = layer.requests();
    let handler = async move |token: RequestToken| {
        let _dropped = diary.at_drop("dropped");
        token.cancelled().await;
        pending::<()>().await;
    };
    let app = Router::new()
        .route("/trap/no-runtime", on_get(handler))
        .layer(layer);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let asking = runtime.block_on(ask(&app, get("/trap/no-runtime")));
    drop(runtime);
    drop(asking);
    assert_eq!(reader.written(), ["dropped"]);
    assert_eq!(
        (
            requests.live(),
            requests.rescued(),
            requests.stats().unrescued
        ),
        (0, 0, 1)
    );
}

/// Trap 3: a runtime that ends drops what it runs, and what is spawned on it meanwhile.
#[test]
fn the_end_of_the_runtime_cuts_rescued_handlers_off_and_leaves_no_count() {
    let (diary, mut reader) = diary();
    let layer = RequestLayer::new();
    let requests = layer.requests();
    let handler = async move || {
        let _dropped = diary.at_drop("dropped");
        pending::<()>().await;
    };
    let app = Router::new()
        .route("/trap/end", on_get(handler))
        .layer(layer);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let asking = runtime.block_on(async {
        drop(ask(&app, get("/trap/end")).await);
        ask(&app, get("/trap/end")).await
    });
    // The server's own task, which is dropped by the runtime with the request in it.
    runtime.spawn(async move {
        let _asking = asking;
        pending::<()>().await;
    });
    drop(runtime);
    assert_eq!(reader.written(), ["dropped", "dropped"]);
    assert_eq!(
        (
            requests.live(),
            requests.rescued(),
            requests.stats().cut_off
        ),
        (0, 0, 2)
    );
    let lines = log::access("/trap/end");
    assert_eq!(
        lines
            .iter()
            .filter(|line| line["cleanup"] == "cut off")
            .count(),
        2,
        "{lines:?}"
    );
}

/// Trap 4: a limit outside the layer looks like a client that left; our own does not.
#[tokio::test(start_paused = true)]
async fn an_outer_time_limit_is_taken_for_a_disconnect_and_the_deadline_is_not() {
    let (diary, mut reader) = diary();
    let handler = async move |token: RequestToken| diary.write(token.cancelled().await);
    let app = |layer| {
        Router::new()
            .route("/trap/limit", on_get(handler.clone()))
            .layer(layer)
    };

    let outer = RequestLayer::new();
    let requests = outer.requests();
    let asking = ask(&app(outer), get("/trap/limit")).await;
    assert!(
        timeout(Duration::from_secs(1), asking.answer())
            .await
            .is_err()
    );
    requests.idle().await;
    assert_eq!(
        (requests.stats().disconnected, requests.stats().expired),
        (1, 0)
    );
    assert_eq!(reader.written(), ["ClientDisconnected"]);

    let own = RequestLayer::new().deadline(Duration::from_secs(1));
    let requests = own.requests();
    Answer::from(&app(own), get("/trap/limit")).await;
    assert_eq!(
        (requests.stats().disconnected, requests.stats().rescues),
        (0, 0)
    );
    assert_eq!(reader.written(), ["Deadline"]);
}

/// Trap 6: a storm of disconnects must not pile up work.
#[tokio::test(start_paused = true)]
async fn beyond_the_limit_handlers_are_dropped_at_once() {
    let (diary, mut reader) = diary();
    let layer = RequestLayer::new().rescue_limit(2);
    let requests = layer.requests();
    let handler = on_get(async move || {
        let _dropped = diary.at_drop("dropped");
        pending::<()>().await;
    });
    let app = Router::new()
        .route("/trap/cap", handler.layer(OnDisconnect::Detached))
        .layer(layer);
    let mut asking = Vec::new();
    for _ in 0..5 {
        asking.push(ask(&app, get("/trap/cap")).await);
    }
    drop(asking);
    assert_eq!(reader.written(), ["dropped"; 3]);
    let stats = requests.stats();
    assert_eq!(
        (
            stats.rescued,
            stats.rescues,
            stats.unrescued,
            stats.disconnected
        ),
        (2, 2, 3, 5)
    );
    requests.abort_rescued();
    requests.idle().await;
    assert_eq!(reader.written(), ["dropped"; 2]);
}

/// Trap 6: readers who leave are many, and must not stop a payment half-way.
#[tokio::test(start_paused = true)]
async fn other_handlers_take_no_place_of_a_detached_one() {
    let (diary, mut reader) = diary();
    let layer = RequestLayer::new().rescue_limit(1);
    let requests = layer.requests();
    let pay = async move |token: RequestToken| {
        sleep(Duration::from_secs(1)).await;
        diary.write(token.reason());
    };
    let app = Router::new()
        .route("/trap/read", on_get(async || pending::<()>().await))
        .route("/trap/pay", on_get(pay).layer(OnDisconnect::Detached))
        .layer(layer);
    for path in ["/trap/read", "/trap/read", "/trap/pay"] {
        drop(ask(&app, get(path)).await);
    }
    assert_eq!((requests.rescued(), requests.stats().unrescued), (2, 1));
    requests.idle().await;
    assert_eq!(reader.written(), ["None"]);
}

#[tokio::test(start_paused = true)]
async fn a_place_among_the_rescued_is_free_again_at_the_end_of_the_rescue() {
    let layer = RequestLayer::new()
        .rescue_limit(1)
        .grace(Duration::from_secs(1));
    let requests = layer.requests();
    let app = Router::new()
        .route("/trap/place", on_get(async || pending::<()>().await))
        .layer(layer);
    for _ in 0..3 {
        drop(ask(&app, get("/trap/place")).await);
        requests.idle().await;
    }
    assert_eq!(
        (requests.stats().rescues, requests.stats().unrescued),
        (3, 0)
    );
}

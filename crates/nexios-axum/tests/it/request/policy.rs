//! What becomes of a handler whose client has gone: cooperative, detached, immediate.

use std::{
    convert::Infallible,
    future::{pending, poll_fn},
    time::Duration,
};

use axum::{Router, body::Body, http::Request, response::Response, routing::get as on_get};
use nexios_axum::{OnDisconnect, RequestLayer, RequestToken};
use tokio::time::{Instant, sleep};
use tower::{Layer, Service, service_fn};

use crate::{
    answer::{Answer, get},
    asking::{Diary, ask, diary},
    log,
};

/// Waits for its token, then cleans up for `cleanup`.
async fn clean_up_after(diary: Diary, token: RequestToken, cleanup: Duration) {
    let _dropped = diary.at_drop("dropped");
    diary.write(token.cancelled().await);
    sleep(cleanup).await;
    diary.write("cleaned up");
}

fn cooperative(route: &'static str, diary: Diary, cleanup: Duration) -> Router {
    Router::new().route(
        route,
        on_get(move |token| clean_up_after(diary, token, cleanup)),
    )
}

#[tokio::test(start_paused = true)]
async fn the_token_fires_and_the_cleanup_runs_to_its_end_in_the_grace() {
    let (diary, mut reader) = diary();
    let layer = RequestLayer::new();
    let requests = layer.requests();
    let app = cooperative("/policy/cleanup", diary, Duration::from_millis(1_900)).layer(layer);
    let asking = ask(&app, get("/policy/cleanup")).await;
    assert_eq!((requests.live(), requests.rescued()), (1, 0));

    drop(asking);
    assert_eq!((requests.live(), requests.rescued()), (0, 1));
    requests.idle().await;
    assert_eq!(
        reader.written(),
        ["ClientDisconnected", "cleaned up", "dropped"]
    );
    let stats = requests.stats();
    assert_eq!((stats.live, stats.rescued, stats.disconnected), (0, 0, 1));
    assert_eq!((stats.rescues, stats.cut_off, stats.unrescued), (1, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn an_answered_request_has_no_task_of_its_own() {
    let handler = on_get(async || {
        sleep(Duration::from_secs(1)).await;
        tokio::runtime::Handle::current()
            .metrics()
            .num_alive_tasks()
            .to_string()
    });
    let layer = RequestLayer::new()
        .deadline(Duration::from_secs(5))
        .shutdown(nexios::CancelToken::new());
    let app = Router::new().route("/policy/no-task", handler).layer(layer);
    assert_eq!(Answer::from(&app, get("/policy/no-task")).await.body, "0");
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_ignores_its_token_is_dropped_at_the_end_of_the_grace() {
    let (diary, mut reader) = diary();
    let layer = RequestLayer::new().grace(Duration::from_secs(3));
    let requests = layer.requests();
    let handler = on_get(async move || {
        let _dropped = diary.at_drop("dropped");
        pending::<()>().await;
    });
    let app = Router::new().route("/policy/ignores", handler).layer(layer);
    let asking = ask(&app, get("/policy/ignores")).await;

    let begun = Instant::now();
    drop(asking);
    assert!(reader.written().is_empty());
    requests.idle().await;
    assert_eq!(begun.elapsed(), Duration::from_secs(3));
    assert_eq!(reader.written(), ["dropped"]);
    assert_eq!(requests.stats().cut_off, 1);
    let lines = log::access("/policy/ignores");
    assert_eq!(lines[0]["status"], 499, "{lines:?}");
    assert_eq!(
        (&lines[1]["cleanup"], &lines[1]["cleanup_ms"]),
        (&"cut off".into(), &3_000.into())
    );
}

#[tokio::test(start_paused = true)]
async fn a_route_has_a_grace_of_its_own() {
    let (diary, mut reader) = diary();
    let layer = RequestLayer::new().grace(Duration::ZERO);
    let requests = layer.requests();
    let handler = on_get(move |token| clean_up_after(diary, token, Duration::from_secs(9)));
    let handler = handler.layer(OnDisconnect::Cooperative {
        grace: Duration::from_secs(10),
    });
    let app = Router::new()
        .route("/policy/own-grace", handler)
        .layer(layer);
    drop(ask(&app, get("/policy/own-grace")).await);
    requests.idle().await;
    assert_eq!(
        reader.written(),
        ["ClientDisconnected", "cleaned up", "dropped"]
    );
}

#[tokio::test(start_paused = true)]
async fn a_detached_handler_goes_on_as_if_nothing_had_happened() {
    let (diary, mut reader) = diary();
    let layer = RequestLayer::new().grace(Duration::from_secs(1));
    let requests = layer.requests();
    let handler = async move |token: RequestToken| {
        sleep(Duration::from_secs(3_600)).await;
        diary.write(token.reason());
        tokio::spawn(async move { diary.write(token.cancelled().await) });
    };
    let handler = on_get(handler).layer(OnDisconnect::Detached);
    let app = Router::new()
        .route("/policy/detached", handler)
        .layer(layer);
    drop(ask(&app, get("/policy/detached")).await);
    requests.idle().await;
    assert_eq!(reader.next().await, "None");
    assert_eq!(reader.next().await, "Finished");
    assert_eq!(
        (requests.stats().disconnected, requests.stats().cut_off),
        (1, 0)
    );
}

#[tokio::test(start_paused = true)]
async fn a_detached_handler_still_has_its_deadline_and_then_the_grace() {
    let (diary, mut reader) = diary();
    let layer = RequestLayer::new()
        .deadline(Duration::from_secs(60))
        .grace(Duration::from_secs(1));
    let requests = layer.requests();
    let handler = async move |token: RequestToken| {
        diary.write(token.cancelled().await);
        pending::<()>().await;
    };
    let app = Router::new()
        .route(
            "/policy/late",
            on_get(handler).layer(OnDisconnect::Detached),
        )
        .layer(layer);
    let begun = Instant::now();
    drop(ask(&app, get("/policy/late")).await);
    requests.idle().await;
    assert_eq!(begun.elapsed(), Duration::from_secs(61));
    assert_eq!(reader.written(), ["Deadline"]);
}

#[tokio::test(start_paused = true)]
async fn an_immediate_handler_is_gone_when_the_drop_returns_and_its_token_has_fired() {
    let (diary, mut reader) = diary();
    let layer = RequestLayer::new();
    let requests = layer.requests();
    let handler = async move |token: RequestToken| {
        let watching = diary.clone();
        tokio::spawn(async move { watching.write(token.cancelled().await) });
        let _dropped = diary.at_drop("dropped");
        pending::<()>().await;
    };
    let app = Router::new()
        .route(
            "/policy/now",
            on_get(handler).layer(OnDisconnect::Immediate),
        )
        .layer(layer);
    drop(ask(&app, get("/policy/now")).await);
    assert_eq!(reader.written(), ["dropped"]);
    assert_eq!(
        (
            requests.live(),
            requests.rescued(),
            requests.stats().rescues
        ),
        (0, 0, 0)
    );
    assert_eq!(reader.next().await, "ClientDisconnected");
    assert_eq!(log::access("/policy/now").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_never_began_has_nothing_to_clean_up() {
    let (diary, mut reader) = diary();
    let layer = RequestLayer::new();
    let requests = layer.requests();
    let mut service = layer.layer(service_fn(move |_| {
        let dropped = diary.at_drop("dropped");
        async move {
            let _dropped = dropped;
            Ok::<_, Infallible>(Response::new(Body::empty()))
        }
    }));
    poll_fn(|cx| Service::<Request<Body>>::poll_ready(&mut service, cx))
        .await
        .unwrap();
    drop(service.call(get("/policy/unpolled")));
    assert_eq!(reader.written(), ["dropped"]);
    assert_eq!(
        (
            requests.live(),
            requests.stats().disconnected,
            requests.stats().rescues
        ),
        (0, 1, 0)
    );
}

#[tokio::test(start_paused = true)]
async fn a_policy_without_its_layer_changes_nothing_and_warns_once() {
    log::start();
    let app = Router::new().route(
        "/policy/alone",
        on_get(async || "fine").layer(OnDisconnect::Detached),
    );
    for _ in 0..2 {
        assert_eq!(Answer::from(&app, get("/policy/alone")).await.body, "fine");
    }
    let warnings = log::lines_with("OnDisconnect").len();
    assert_eq!(warnings, 1);
}

#[tokio::test(start_paused = true)]
async fn the_last_step_of_a_shutdown_drops_rescued_handlers() {
    let (diary, mut reader) = diary();
    let layer = RequestLayer::new();
    let requests = layer.requests();
    let handler = async move || {
        let _dropped = diary.at_drop("dropped");
        pending::<()>().await;
    };
    let handler = on_get(handler).layer(OnDisconnect::Detached);
    let app = Router::new().route("/policy/abort", handler).layer(layer);
    drop(ask(&app, get("/policy/abort")).await);
    let late = ask(&app, get("/policy/abort")).await;
    requests.abort_rescued();
    assert_eq!(reader.next().await, "dropped");
    drop(late);
    assert_eq!(
        reader.written(),
        ["dropped"],
        "a handler left after that is dropped at once"
    );
    requests.idle().await;
    assert_eq!(
        (requests.stats().cut_off, requests.stats().unrescued),
        (1, 1)
    );
}

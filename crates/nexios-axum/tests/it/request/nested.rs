//! A layer inside another one: still one request.

use std::{future::pending, time::Duration};

use axum::{Router, routing::get as on_get};
use nexios::Background;
use nexios_axum::{BackgroundTasks, Deadline, NexiosApp, RequestLayer};
use tokio::time::Instant;
use tower::ServiceExt;

use crate::{
    answer::{Answer, get},
    asking::ask,
    log,
    service::{eventually, read_until, send_get},
};

#[tokio::test(start_paused = true)]
async fn a_layer_inside_another_makes_no_second_request() {
    log::start();
    let (outer, inner) = (RequestLayer::new(), RequestLayer::new());
    let (counted, not_counted) = (outer.requests(), inner.requests());
    let app = Router::new()
        .route("/nested/one", on_get(async || "one"))
        .layer(inner)
        .layer(outer);
    assert_eq!(Answer::from(&app, get("/nested/one")).await.body, "one");
    assert_eq!(
        (counted.stats().started, not_counted.stats().started),
        (1, 0)
    );
    assert_eq!(log::access("/nested/one").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_layer_inside_another_sets_deadline_grace_and_registry() {
    let background = Background::new();
    let inner = RequestLayer::new()
        .deadline(Duration::from_secs(3))
        .grace(Duration::from_secs(7))
        .background(background.clone());
    let outer = RequestLayer::new()
        .deadline(Duration::from_secs(60))
        .background(Background::new());
    let requests = outer.requests();
    let handler = async |tasks: BackgroundTasks, deadline: Deadline| {
        assert_eq!(
            Deadline::current().at(),
            deadline.at(),
            "the scope has the same deadline"
        );
        drop(tasks.spawn("nested", |_task| async {}));
        pending::<()>().await;
    };
    let app = Router::new()
        .route("/nested/set", on_get(handler))
        .layer(inner)
        .layer(outer);
    let begun = Instant::now();
    Answer::from(&app, get("/nested/set")).await.problem(504);
    assert_eq!(begun.elapsed(), Duration::from_secs(3));
    requests.idle().await;
    assert_eq!(begun.elapsed(), Duration::from_secs(10));
    assert_eq!(background.list().len(), 1);
    assert_eq!(requests.stats().expired, 1);
}

#[tokio::test(start_paused = true)]
async fn what_a_layer_inside_another_leaves_alone_stays() {
    let outer = RequestLayer::new()
        .deadline(Duration::from_secs(3))
        .grace(Duration::from_secs(7));
    let requests = outer.requests();
    let app = Router::new()
        .route("/nested/kept", on_get(pending::<()>))
        .layer(RequestLayer::new())
        .layer(outer);
    let begun = Instant::now();
    Answer::from(&app, get("/nested/kept")).await.problem(504);
    requests.idle().await;
    assert_eq!(begun.elapsed(), Duration::from_secs(10));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_is_one_line_with_two_layers() {
    let outer = RequestLayer::new();
    let requests = outer.requests();
    let app = Router::new()
        .route("/nested/gone", on_get(pending::<()>))
        .layer(RequestLayer::new())
        .layer(outer);
    drop(ask(&app, get("/nested/gone")).await);
    requests.idle().await;
    let lines = log::access("/nested/gone");
    assert_eq!(
        lines.iter().filter(|line| line["status"] == 499).count(),
        1,
        "{lines:?}"
    );
    assert_eq!(requests.stats().rescues, 1);
}

/// What a handler asks of another router of its own is another request.
#[tokio::test(start_paused = true)]
async fn a_request_that_a_handler_makes_is_one_of_its_own() {
    let (outer, inner) = (RequestLayer::new(), RequestLayer::new());
    let (asking, asked) = (outer.requests(), inner.requests());
    let other = Router::new()
        .route("/nested/other", on_get(async || "other"))
        .layer(inner);
    let handler = async move || other.oneshot(get("/nested/other")).await.unwrap();
    let app = Router::new()
        .route("/nested/asks", on_get(handler))
        .layer(outer);
    assert_eq!(Answer::from(&app, get("/nested/asks")).await.body, "other");
    assert_eq!((asking.stats().started, asked.stats().started), (1, 1));
}

#[tokio::test]
async fn the_layer_of_a_router_in_an_app_makes_no_second_line() {
    log::start();
    let router = Router::new()
        .route("/nested/app", on_get(async || "here"))
        .layer(RequestLayer::new());
    let app = NexiosApp::new(router)
        .background(Background::new())
        .without_signals()
        .accepting(Duration::ZERO);
    let handle = app.handle();
    let service = tokio::spawn(app.serve("127.0.0.1:0"));
    let address = handle.ready().await.unwrap().to_string();
    let mut client = send_get(
        address.strip_prefix("http://").unwrap().parse().unwrap(),
        "/nested/app",
    )
    .await;
    read_until(&mut client, "here").await;
    eventually(async || (!log::access("/nested/app").is_empty()).then_some(())).await;
    handle.stop();
    assert!(service.await.unwrap().unwrap().is_clean());
    assert_eq!(log::access("/nested/app").len(), 1);
}

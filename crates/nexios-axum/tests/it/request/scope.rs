//! In a handler the request's scope is current: a plain `TaskGroup::new()` ends with the request.

use std::{future::pending, time::Duration};

use axum::{Router, body::Body, http::Request, routing::get as on_get};
use nexios::{CancelReason, CancelScope, CancelToken, Interrupted, TaskGroup, ThreadPool};
use nexios_axum::{Deadline, DeadlineSource, Problem, RequestGroup, RequestLayer, RequestToken};
use tokio::time::Instant;

use crate::{
    answer::{Answer, get},
    asking::{Diary, ask, diary},
    log,
};

/// A handler with a group whose only child never ends; tells how the group ended.
async fn group_of_one(diary: Diary) -> Result<(), Problem> {
    let group = TaskGroup::new();
    let outcome: Result<(), Interrupted> = group.run(async { group.spawn(pending()).await }).await;
    diary.write(outcome);
    Ok(outcome?)
}

#[tokio::test(start_paused = true)]
async fn a_group_is_cancelled_when_the_client_goes_away() {
    let (diary, mut reader) = diary();
    let layer = RequestLayer::new();
    let requests = layer.requests();
    let app = Router::new()
        .route("/scope/gone", on_get(move || group_of_one(diary)))
        .layer(layer);
    drop(ask(&app, get("/scope/gone")).await);
    requests.idle().await;
    assert_eq!(reader.written(), ["Err(Cancelled(ClientDisconnected))"]);
}

#[tokio::test(start_paused = true)]
async fn a_group_is_cancelled_at_the_deadline_and_the_handler_may_still_answer() {
    let (diary, mut reader) = diary();
    let layer = RequestLayer::new().deadline(Duration::from_secs(3));
    let requests = layer.requests();
    let app = Router::new()
        .route("/scope/late", on_get(move || group_of_one(diary)))
        .layer(layer);
    let begun = Instant::now();
    Answer::from(&app, get("/scope/late")).await.problem(504);
    assert_eq!(begun.elapsed(), Duration::from_secs(3));
    assert_eq!(reader.written(), ["Err(DeadlineExceeded)"]);
    assert_eq!(requests.stats().rescues, 0);
}

#[tokio::test(start_paused = true)]
async fn a_group_is_cancelled_by_the_shutdown_and_the_handler_may_still_answer() {
    let (diary, mut reader) = diary();
    let shutdown = CancelToken::new();
    let layer = RequestLayer::new().shutdown(shutdown.clone());
    let app = Router::new()
        .route("/scope/shutdown", on_get(move || group_of_one(diary)))
        .layer(layer);
    let asking = ask(&app, get("/scope/shutdown")).await;
    shutdown.cancel(CancelReason::Shutdown);
    let answer = asking.answer().await;
    answer.problem(503);
    assert_eq!(answer.header("connection"), Some("close"));
    assert_eq!(reader.written(), ["Err(Cancelled(Shutdown))"]);
}

/// On the real clock: a paused one would run ahead while the pool's thread works.
#[tokio::test]
async fn the_closure_of_a_pool_hears_of_the_disconnect() {
    let (diary, mut reader) = diary();
    let layer = RequestLayer::new();
    let requests = layer.requests();
    let pool = ThreadPool::builder().threads(1).build();
    let handler = async move || {
        let closure_diary = diary.clone();
        let waiting = pool.run_with(move |token| {
            closure_diary.write("running");
            while !token.is_cancelled() {
                std::thread::yield_now();
            }
            closure_diary.write(token.reason());
        });
        let _ = waiting.await;
    };
    let app = Router::new()
        .route("/scope/pool", on_get(handler))
        .layer(layer);
    let asking = ask(&app, get("/scope/pool")).await;
    assert_eq!(reader.next().await, "running");
    drop(asking);
    assert_eq!(reader.next().await, "Some(ClientDisconnected)");
    requests.idle().await;
}

#[tokio::test(start_paused = true)]
async fn the_extracted_token_is_the_one_of_the_scope_and_fires_at_the_end() {
    let (diary, mut reader) = diary();
    let handler = async move |RequestToken(token): RequestToken| {
        let scoped = CancelScope::current().unwrap().token();
        diary.write((token.is_cancelled(), scoped.is_cancelled()));
        tokio::spawn(async move {
            let both = (token.cancelled().await, scoped.cancelled().await);
            diary.write(both);
        });
    };
    let app = Router::new()
        .route("/scope/token", on_get(handler))
        .layer(RequestLayer::new());
    Answer::from(&app, get("/scope/token")).await;
    assert_eq!(reader.next().await, "(false, false)");
    assert_eq!(reader.next().await, "(Finished, Finished)");
}

#[tokio::test(start_paused = true)]
async fn the_extracted_group_is_named_after_the_route_and_dropped_with_the_handler() {
    let (diary, mut reader) = diary();
    let handler = async move |RequestGroup(group): RequestGroup<Problem>| {
        diary.write(format!("{group:?}").contains("/scope/{kind}"));
        let dropped = diary.at_drop("child dropped");
        drop(group.spawn(async move {
            let _dropped = dropped;
            pending::<Result<(), _>>().await
        }));
        diary.write("answering");
    };
    let app = Router::new()
        .route("/scope/{kind}", on_get(handler))
        .layer(RequestLayer::new());
    Answer::from(&app, get("/scope/group")).await;
    assert_eq!(reader.written(), ["true", "answering", "child dropped"]);
}

#[tokio::test(start_paused = true)]
async fn the_extracted_group_ends_at_the_deadline() {
    let handler = async move |RequestGroup(group): RequestGroup<Problem>| {
        group
            .run(async { group.spawn(pending::<Result<(), Problem>>()).await })
            .await
    };
    let app = Router::new()
        .route("/scope/group-late", on_get(handler))
        .layer(RequestLayer::new());
    let request = Request::get("/scope/group-late")
        .header("connect-timeout-ms", "250")
        .body(Body::empty());
    let begun = Instant::now();
    Answer::from(&app, request.unwrap()).await.problem(504);
    assert_eq!(begun.elapsed(), Duration::from_millis(250));
}

#[tokio::test(start_paused = true)]
async fn without_the_layer_extractors_are_inert_and_warn_once_each() {
    log::start();
    let handler = async |token: RequestToken, deadline: Deadline, group: RequestGroup<Problem>| {
        let nothing_left = group.run(async { Ok(group.len()) }).await.unwrap();
        format!(
            "{} {:?} {nothing_left}",
            token.is_cancelled(),
            deadline.remaining()
        )
    };
    let app = Router::new().route("/scope/inert", on_get(handler));
    for _ in 0..2 {
        assert_eq!(
            Answer::from(&app, get("/scope/inert")).await.body,
            "false None 0"
        );
    }
    for item in ["RequestToken", "\"Deadline\"", "RequestGroup"] {
        let mut lines = log::lines_with(item);
        lines.retain(|line| {
            line["message"]
                .as_str()
                .unwrap()
                .contains("no RequestLayer")
        });
        assert_eq!(lines.len(), 1, "{lines:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn without_the_layer_extractors_take_the_current_scope() {
    let token = CancelToken::new();
    token.cancel(CancelReason::Requested);
    let scope = CancelScope::new(token, Some(Instant::now() + Duration::from_secs(7)));
    let handler = async |token: RequestToken, deadline: Deadline| {
        assert_eq!(deadline.source(), Some(DeadlineSource::Scope));
        format!("{:?} {:?}", token.reason(), deadline.remaining())
    };
    let app = Router::new().route("/scope/outer", on_get(handler));
    let answer = scope.run(Answer::from(&app, get("/scope/outer"))).await;
    assert_eq!(answer.body, "Some(Requested) Some(7s)");
}

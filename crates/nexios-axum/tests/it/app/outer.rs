//! Layers of the user's around the request layer.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    extract::Request,
    middleware::{Next, from_fn},
    routing::get,
};
use nexios_axum::{NexiosApp, RequestLayer};
use tower_http::cors::CorsLayer;

use super::{Client, Reply, app, ms, start};

fn router() -> Router {
    Router::new()
        .route("/", get(async || "hello"))
        .route("/stuck", get(std::future::pending::<&str>))
        .route("/broken", get(async || -> &'static str { panic!("a bug") }))
}

async fn ask(client: &mut Client, path: &str) -> Reply {
    client
        .send(&format!(
            "GET {path} HTTP/1.1\r\nhost: test\r\norigin: https://elsewhere.example\r\n\r\n"
        ))
        .await;
    client.reply().await
}

fn may_be_read_elsewhere(reply: &Reply) -> bool {
    reply
        .head
        .to_lowercase()
        .contains("access-control-allow-origin: *")
}

#[tokio::test]
async fn a_page_on_another_origin_can_read_the_answers_of_the_request_layer_too() {
    let short = RequestLayer::new().deadline(ms(50)).grace(Duration::ZERO);
    let running = start(app(router()).requests(short).outer(CorsLayer::permissive())).await;
    let mut client = running.client().await;
    for (path, status) in [
        ("/", 200),
        ("/stuck", 504),
        ("/broken", 500),
        ("/nowhere", 404),
    ] {
        let reply = ask(&mut client, path).await;
        assert_eq!(reply.status, status, "{path}");
        assert!(may_be_read_elsewhere(&reply), "{path}: {}", reply.head);
    }
    client
        .send("OPTIONS / HTTP/1.1\r\nhost: test\r\norigin: https://elsewhere.example\r\naccess-control-request-method: GET\r\n\r\n")
        .await;
    let preflight = client.reply().await;
    assert_eq!(preflight.status, 200);
    assert!(
        preflight
            .head
            .to_lowercase()
            .contains("access-control-allow-methods"),
        "{}",
        preflight.head
    );
    running.stop().await;
}

#[tokio::test]
async fn a_page_on_another_origin_can_read_the_503_of_the_shutdown() {
    let running = start(
        app(router())
            .shutdown_limit(ms(800))
            .outer(CorsLayer::permissive()),
    )
    .await;
    let mut client = running.client().await;
    let asking = tokio::spawn(async move { ask(&mut client, "/stuck").await });
    tokio::time::sleep(ms(50)).await;
    running.stop().await;
    let reply = asking.await.unwrap();
    assert_eq!(reply.status, 503);
    assert!(may_be_read_elsewhere(&reply), "{}", reply.head);
}

/// Notes its turn.
fn turn(app: NexiosApp, turns: &Arc<AtomicUsize>, which: usize) -> NexiosApp {
    let turns = turns.clone();
    app.outer(from_fn(move |request: Request, next: Next| {
        let turns = turns.clone();
        async move {
            turns
                .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |turns| {
                    Some(turns * 10 + which)
                })
                .unwrap();
            next.run(request).await
        }
    }))
}

#[tokio::test]
async fn the_last_outer_layer_is_the_outermost_and_health_is_outside_of_all() {
    let turns = Arc::new(AtomicUsize::new(0));
    let app = turn(turn(app(router()), &turns, 1), &turns, 2);
    let running = start(app).await;
    let mut client = running.client().await;
    assert_eq!(
        (
            client.get("/livez").await.status,
            turns.load(Ordering::SeqCst)
        ),
        (200, 0)
    );
    assert_eq!(
        (client.get("/").await.status, turns.load(Ordering::SeqCst)),
        (200, 21)
    );
    running.stop().await;
}

#[tokio::test]
async fn outer_layers_are_around_the_router_of_an_app_with_a_request_layer_of_its_own() {
    let own = RequestLayer::new()
        .shutdown(nexios::CancelToken::new())
        .deadline(ms(50))
        .grace(Duration::ZERO);
    let app = app(router().layer(own.clone()))
        .requests_of(&own)
        .outer(CorsLayer::permissive());
    let running = start(app).await;
    let mut client = running.client().await;
    let reply = ask(&mut client, "/stuck").await;
    assert_eq!((reply.status, may_be_read_elsewhere(&reply)), (504, true));
    running.stop().await;
}

//! Clients that would hold up a shutdown: streams, sockets, half heads, answers nobody reads.

use std::convert::Infallible;

use axum::{
    Router,
    body::Body,
    extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade},
    response::{Sse, sse::Event},
    routing::get,
};
use futures_util::{Stream, StreamExt, stream};
use nexios::{CancelReason, CancelScope, CancelToken};
use nexios_axum::{ServiceLife, until_cancelled};
use tokio::time::Instant;

use super::{Client, app, eventually, ms, start};

fn ticks() -> impl Stream<Item = Result<Event, Infallible>> {
    stream::unfold(0_u32, |tick| async move {
        tokio::time::sleep(ms(5)).await;
        Some((Ok(Event::default().data(tick.to_string())), tick + 1))
    })
}

/// The same events with and without an end.
fn events() -> Router {
    // As a service has it that knows no extractors, such as one of tonic's.
    let by_extension = async |request: axum::extract::Request| {
        let life = request.extensions().get::<ServiceLife>().unwrap();
        Sse::new(life.until_closing(ticks()))
    };
    Router::new()
        .route("/endless", get(async || Sse::new(ticks())))
        .route("/extension", get(by_extension))
        .route(
            "/ending",
            get(async |life: ServiceLife| {
                let goodbye = stream::iter([Ok(Event::default().data("goodbye"))]);
                Sse::new(life.until_closing(ticks()).chain(goodbye))
            }),
        )
}

#[tokio::test]
async fn a_stream_with_the_life_of_the_service_ends_in_order_when_it_closes() {
    let running = start(app(events())).await;
    let mut client = running.client().await;
    client.begin("/ending").await;
    client.until(b"data: 3").await;
    let report = running.stop().await;
    assert!(report.is_clean(), "{report:?}");
    assert!(report.elapsed < ms(1_000), "{report:?}");
    let rest = String::from_utf8(client.rest().await).unwrap();
    assert!(rest.contains("data: goodbye"), "{rest}");
    assert!(
        rest.ends_with("\r\n0\r\n\r\n"),
        "the body has its end: {rest}"
    );
}

#[tokio::test]
async fn the_life_of_the_service_is_in_the_extensions_of_every_request() {
    let running = start(app(events())).await;
    let mut client = running.client().await;
    client.begin("/extension").await;
    client.until(b"data: 3").await;
    let report = running.stop().await;
    assert!(report.is_clean() && report.cut_off.is_empty(), "{report:?}");
    assert!(report.elapsed < ms(1_000), "{report:?}");
    assert!(
        client.rest().await.ends_with(b"\r\n0\r\n\r\n"),
        "the body has its end"
    );
}

#[tokio::test]
async fn a_stream_without_it_is_cut_off_within_the_bound_named_and_no_failure_unless_asked() {
    for strict in [false, true] {
        let app = app(events());
        let running = start(if strict { app.fail_on_cut_off() } else { app }).await;
        let mut client = running.client().await;
        client.begin("/endless").await;
        client.until(b"data: 3").await;
        let report = running.stop().await;
        assert_eq!(
            (&report.cut_off, report.abandoned.len()),
            (&vec!["stream GET /endless".to_owned()], 0)
        );
        assert_eq!(report.is_clean(), !strict);
        assert!(report.elapsed < ms(2_200), "{report:?}");
        let rest = String::from_utf8(client.rest().await).unwrap();
        assert!(
            !rest.ends_with("\r\n0\r\n\r\n"),
            "a body that was cut off must not look complete: {rest}"
        );
    }
}

#[tokio::test]
async fn outside_an_app_a_stream_has_no_end_of_its_own_but_any_token_can_give_it_one() {
    use axum::{extract::FromRequestParts, http::Request};
    let (mut parts, ()) = Request::new(()).into_parts();
    let life = ServiceLife::from_request_parts(&mut parts, &())
        .await
        .unwrap();
    assert!(!life.closing().is_cancelled());
    let token = CancelToken::new();
    let mut numbers = Box::pin(until_cancelled(&token, stream::iter(1..)));
    assert_eq!(numbers.next().await, Some(1));
    token.cancel(CancelReason::Requested);
    assert_eq!(numbers.next().await, None);
}

async fn polite(socket: &mut WebSocket, closing: CancelToken) {
    loop {
        tokio::select! {
            _ = closing.cancelled() => break,
            message = socket.recv() => {
                let Some(Ok(message)) = message else { return };
                if socket.send(message).await.is_err() {
                    return;
                }
            }
        }
    }
    let frame = CloseFrame {
        code: 1001,
        reason: "shutdown".into(),
    };
    let _ = socket.send(Message::Close(Some(frame))).await;
}

fn sockets() -> Router {
    let polite = async |upgrade: WebSocketUpgrade, life: ServiceLife| {
        let tracked = life.track("chat");
        upgrade.on_upgrade(|mut socket| {
            tracked.run(async move |closing| polite(&mut socket, closing).await)
        })
    };
    let stubborn = async |upgrade: WebSocketUpgrade, life: ServiceLife| {
        let tracked = life.track("feed");
        upgrade.on_upgrade(|socket| {
            tracked.run(async move |_| {
                let _socket = socket;
                std::future::pending::<()>().await;
            })
        })
    };
    let scoped = async |upgrade: WebSocketUpgrade, life: ServiceLife| {
        let tracked = life.track("scoped");
        upgrade.on_upgrade(|socket| {
            tracked.run(async move |_| {
                let _socket = socket;
                let reason = CancelScope::current().unwrap().token().cancelled().await;
                assert_eq!(reason, CancelReason::Shutdown);
            })
        })
    };
    Router::new()
        .route("/polite", get(polite))
        .route("/stubborn", get(stubborn))
        .route("/scoped", get(scoped))
}

async fn upgrade(client: &mut Client, path: &str) {
    client
        .send(&format!(
            "GET {path} HTTP/1.1\r\nhost: test\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
             sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        ))
        .await;
    let head = client.until(b"\r\n\r\n").await;
    assert!(head.starts_with("HTTP/1.1 101"), "{head}");
}

#[tokio::test]
async fn a_tracked_websocket_is_told_of_the_end_and_waited_for() {
    let running = start(app(sockets())).await;
    let mut client = running.client().await;
    upgrade(&mut client, "/polite").await;
    assert_eq!(running.handle.sockets(), 1);
    // Its connection has handed it on, so only the count of sockets knows of it.
    eventually(async || (running.handle.connections() == 0).then_some(())).await;
    let handle = running.handle.clone();
    let report = running.stop().await;
    assert!(report.is_clean(), "{report:?}");
    assert_eq!(handle.sockets(), 0);
    // A close frame from the server: 0x88, its length, status 1001, reason.
    assert_eq!(client.rest().await, b"\x88\x0a\x03\xe9shutdown");
}

/// It is in no list of connections any more, and is one of the sockets that the system has all the same.
#[tokio::test]
async fn a_websocket_keeps_the_place_of_its_connection() {
    let running = start(app(sockets()).connections(1)).await;
    let mut socket = running.client().await;
    upgrade(&mut socket, "/polite").await;
    eventually(async || (running.handle.connections() == 0).then_some(())).await;
    assert_eq!(running.client().await.get("/nothing").await.status, 503);
    drop(socket);
    eventually(async || (running.client().await.get("/nothing").await.status == 404).then_some(()))
        .await;
    running.stop().await;
}

#[tokio::test]
async fn a_websocket_that_does_not_listen_is_dropped_within_the_bound_and_named() {
    let running = start(app(sockets())).await;
    let (mut stubborn, mut scoped) = (running.client().await, running.client().await);
    upgrade(&mut stubborn, "/stubborn").await;
    upgrade(&mut scoped, "/scoped").await;
    let report = running.stop().await;
    assert_eq!(report.abandoned, ["socket feed"]);
    assert!(
        (ms(1_800)..ms(2_200)).contains(&report.elapsed),
        "{report:?}"
    );
    assert!(stubborn.rest().await.is_empty());
    assert!(scoped.rest().await.is_empty());
}

/// WEB 2.2: plain `axum::serve` waits for it without a limit.
#[tokio::test]
async fn half_a_head_is_not_waited_for() {
    let running = start(app(events())).await;
    let (mut half, mut preface) = (running.client().await, running.client().await);
    half.send("GET /ending HTTP/1.1\r\nhost: te").await;
    preface.send("PRI * HTTP/2.0\r\n\r\nSM").await;
    let mut second = running.client().await;
    second.begin("/nothing").await;
    assert_eq!(second.reply().await.status, 404);
    second.send("GET /ending HTTP/1.1\r\n").await;
    eventually(async || (running.handle.connections() == 3).then_some(())).await;
    tokio::time::sleep(ms(50)).await;
    let begun = Instant::now();
    let report = running.stop().await;
    assert!(report.is_clean(), "no work was lost: {report:?}");
    assert!(begun.elapsed() < ms(1_000));
    for client in [&mut half, &mut preface, &mut second] {
        assert!(client.rest().await.is_empty());
    }
}

#[tokio::test]
async fn an_answer_that_is_read_slowly_comes_whole_and_one_that_is_not_read_is_named() {
    const SIZE: usize = 20_000_000;
    let router = Router::new().route("/large", get(async || Body::from(vec![b'x'; SIZE])));
    let running = start(app(router.clone())).await;
    let mut slow = running.client().await;
    slow.begin("/large").await;
    slow.until(b"\r\n\r\n").await;
    tokio::time::sleep(ms(50)).await;
    let stopping = tokio::spawn(running.stop());
    // Longer than a connection without requests is kept.
    tokio::time::sleep(ms(800)).await;
    assert_eq!(slow.rest().await.len(), SIZE);
    let report = stopping.await.unwrap();
    assert!(report.is_clean(), "{report:?}");

    let running = start(app(router)).await;
    let mut deaf = running.client().await;
    deaf.begin("/large").await;
    deaf.until(b"\r\n\r\n").await;
    let report = running.stop().await;
    assert_eq!(report.abandoned.len(), 1, "{report:?}");
    assert!(report.elapsed < ms(2_200), "{report:?}");
}

//! Clients that are there, answer pings, and do not ask or read: HTTP/1 and HTTP/2 are cut off alike.

use std::time::Duration;

use axum::{Router, body::Body, http::Request, routing::get};
use futures_util::{StreamExt, stream};
use h2::client::SendRequest;
use tokio::{net::TcpStream, task::JoinHandle, time::Instant};

use super::{Running, app, eventually, ms, soon, start};

/// A client with windows of its own; its connection answers pings whatever becomes of the requests.
async fn connect(
    running: &Running,
    window: u32,
) -> (SendRequest<bytes::Bytes>, JoinHandle<Result<(), h2::Error>>) {
    let stream = TcpStream::connect(running.address).await.unwrap();
    let mut client = h2::client::Builder::new();
    let (requests, connection) = client
        .initial_window_size(window)
        .handshake(stream)
        .await
        .unwrap();
    (requests, tokio::spawn(connection))
}

fn request(path: &str) -> Request<()> {
    Request::get(format!("http://test{path}")).body(()).unwrap()
}

/// `/large` is one piece of a megabyte, `/events` a stream with one event and no end.
fn router() -> Router {
    let events = async || {
        let first = stream::iter([Ok::<_, std::convert::Infallible>("first")]);
        Body::from_stream(first.chain(stream::pending()))
    };
    Router::new()
        .route("/", get(async || "hello"))
        .route("/large", get(async || vec![b'x'; 1_000_000]))
        .route("/events", get(events))
        .route(
            "/slow",
            get(async || {
                tokio::time::sleep(ms(1_200)).await;
                "slow"
            }),
        )
}

#[tokio::test]
async fn an_idle_connection_of_http2_is_told_goodbye_and_ends() {
    let running = start(app(router()).head_limit(ms(200))).await;
    let (mut requests, connection) = connect(&running, 65_535).await;
    let begun = Instant::now();
    let (answer, _) = requests.send_request(request("/"), true).unwrap();
    let body = soon(answer).await.unwrap().into_body();
    drop(body);
    // With its request handle still there: it is the server that ends it, in order.
    soon(connection).await.unwrap().unwrap();
    assert!(
        (ms(900)..ms(5_000)).contains(&begun.elapsed()),
        "{:?}",
        begun.elapsed()
    );
    assert!(soon(requests.ready()).await.is_err());
    eventually(async || (running.handle.connections() == 0).then_some(())).await;
    running.stop().await;
}

#[tokio::test]
async fn a_connection_whose_answers_nobody_reads_ends() {
    for window in [0, 1] {
        let running = start(app(router()).dead_peer_limit(ms(600))).await;
        let (mut requests, connection) = connect(&running, window).await;
        let mut unread = Vec::new();
        for _ in 0..100 {
            let (answer, _) = requests.send_request(request("/"), true).unwrap();
            unread.push(soon(answer).await.unwrap().into_body());
        }
        let begun = Instant::now();
        eventually(async || (running.handle.connections() == 0).then_some(())).await;
        assert!(
            (ms(300)..ms(8_000)).contains(&begun.elapsed()),
            "window {window}: {:?}",
            begun.elapsed()
        );
        drop((unread, requests));
        let _ = soon(connection).await.unwrap();
        assert!(running.stop().await.is_clean());
    }
}

#[tokio::test]
async fn one_answer_that_nobody_reads_takes_none_of_the_others_along() {
    let running = start(app(router()).dead_peer_limit(ms(600))).await;
    let (mut requests, connection) = connect(&running, 10).await;
    let mut ask = |path: &str| requests.send_request(request(path), true).unwrap().0;
    let (large, slow, events) = (ask("/large"), ask("/slow"), ask("/events"));
    let mut large = soon(large).await.unwrap().into_body();
    let mut events = soon(events).await.unwrap().into_body();
    assert_eq!(soon(events.data()).await.unwrap().unwrap(), "first");
    events.flow_control().release_capacity(5).unwrap();
    assert_eq!(soon(large.data()).await.unwrap().unwrap().len(), 10);
    let end = soon(large.data()).await.unwrap().unwrap_err();
    assert_eq!(end.reason(), Some(h2::Reason::CANCEL));
    assert_eq!(
        soon(slow).await.unwrap().status(),
        200,
        "it took twice as long"
    );
    assert!(
        tokio::time::timeout(ms(1_000), events.data())
            .await
            .is_err(),
        "it may have something to say"
    );
    assert!(!connection.is_finished());
    drop((large, events, requests));
    soon(connection).await.unwrap().unwrap();
    running.stop().await;
}

#[tokio::test]
async fn an_answer_that_is_read_slowly_and_a_stream_that_has_nothing_to_say_stay() {
    let running = start(app(router()).dead_peer_limit(ms(400)).head_limit(ms(300))).await;
    let (mut requests, connection) = connect(&running, 65_535).await;
    let (answer, _) = requests.send_request(request("/events"), true).unwrap();
    let mut events = soon(answer).await.unwrap().into_body();
    assert_eq!(soon(events.data()).await.unwrap().unwrap(), "first");
    let (answer, _) = requests.send_request(request("/large"), true).unwrap();
    let mut large = soon(answer).await.unwrap().into_body();
    let (mut read, begun) = (0, Instant::now());
    while let Some(piece) = soon(large.data()).await {
        let piece = piece.unwrap();
        read += piece.len();
        // Its windows hold four pieces; all of them take more than four times the limit.
        if begun.elapsed() < ms(2_000) {
            tokio::time::sleep(ms(30)).await;
        }
        large.flow_control().release_capacity(piece.len()).unwrap();
    }
    assert_eq!(read, 1_000_000);
    assert!(begun.elapsed() > ms(1_200), "{:?}", begun.elapsed());
    let (answer, _) = requests.send_request(request("/"), true).unwrap();
    assert_eq!(soon(answer).await.unwrap().status(), 200);
    assert!(
        tokio::time::timeout(ms(50), events.data()).await.is_err(),
        "it still may have something to say"
    );
    drop((events, requests));
    soon(connection).await.unwrap().unwrap();
    running.stop().await;
}

#[tokio::test]
async fn nobody_who_does_not_read_takes_the_whole_time_of_a_shutdown() {
    let running = start(app(router()).shutdown_limit(Duration::from_secs(60))).await;
    let (mut requests, connection) = connect(&running, 0).await;
    let mut unread = Vec::new();
    for _ in 0..100 {
        let (answer, _) = requests.send_request(request("/"), true).unwrap();
        unread.push(soon(answer).await.unwrap().into_body());
    }
    // Of HTTP/1: the system takes the first megabytes, and no more.
    let mut deaf = running.client().await;
    deaf.send(&"GET /large HTTP/1.1\r\nhost: test\r\n\r\n".repeat(40))
        .await;
    tokio::time::sleep(ms(100)).await;
    let report = running.stop().await;
    assert!(report.elapsed < Duration::from_secs(10), "{report:?}");
    assert!(
        report.is_clean(),
        "nothing of ours was given up: {report:?}"
    );
    assert_eq!(
        report
            .cut_off
            .iter()
            .filter(|name| *name == "response to GET /")
            .count(),
        100,
        "{report:?}"
    );
    assert!(
        report
            .cut_off
            .iter()
            .any(|name| name.ends_with("that it does not read")),
        "{report:?}"
    );
    drop((unread, requests, deaf));
    let _ = soon(connection).await.unwrap();
}

#[tokio::test]
async fn idle_connections_of_http2_close_at_once_when_the_service_does() {
    let running = start(app(router()).shutdown_limit(Duration::from_secs(60))).await;
    let (mut requests, connection) = connect(&running, 65_535).await;
    let (answer, _) = requests.send_request(request("/"), true).unwrap();
    drop(soon(answer).await.unwrap());
    let report = running.stop().await;
    assert!(
        report.is_clean() && report.elapsed < ms(2_000),
        "{report:?}"
    );
    soon(connection).await.unwrap().unwrap();
    drop(requests);
}

#[tokio::test]
async fn an_answer_of_http1_that_nobody_reads_is_cut_off() {
    let running = start(app(router()).dead_peer_limit(ms(500))).await;
    let mut deaf = running.client().await;
    deaf.send(&"GET /large HTTP/1.1\r\nhost: test\r\n\r\n".repeat(40))
        .await;
    let begun = Instant::now();
    eventually(async || (running.handle.connections() == 0).then_some(())).await;
    assert!(begun.elapsed() < ms(8_000), "{:?}", begun.elapsed());
    drop(deaf);
    running.stop().await;
}

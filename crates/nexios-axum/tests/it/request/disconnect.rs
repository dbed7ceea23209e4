//! Disconnects as hyper sees them, on real sockets under plain `axum::serve`, and those that it cannot see.

use std::{future::pending, net::SocketAddr, time::Duration};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{Path, Request},
    routing::{get as on_get, post as on_post},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use nexios::{Background, Interrupted, TaskGroup};
use nexios_axum::{NexiosApp, OnDisconnect, RequestLayer, RequestToken, Requests};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::sleep,
};

use crate::{
    asking::{Diary, Reader, diary},
    log,
    service::{eventually, read_until, send, send_get, serve},
};

/// Waits for its token, and cleans up a little longer than an instant.
async fn careful(diary: &Diary, token: RequestToken) {
    diary.write("began");
    diary.write(token.cancelled().await);
    sleep(Duration::from_millis(20)).await;
    diary.write("cleaned up");
}

async fn service(layer: RequestLayer) -> (SocketAddr, Requests, Reader) {
    let (diary, reader) = diary();
    let requests = layer.requests();
    let (get_diary, body_diary, unread_diary) = (diary.clone(), diary.clone(), diary);
    let on_body = async move |token: RequestToken, body: Bytes| {
        assert_eq!(body, "hello");
        careful(&body_diary, token).await;
    };
    let on_unread = async move |token: RequestToken, request: Request| {
        careful(&unread_diary, token).await;
        drop(request);
    };
    let app = Router::new()
        .route(
            "/gone/get",
            on_get(async move |token: RequestToken| careful(&get_diary, token).await),
        )
        .route("/gone/body", on_post(on_body))
        .route("/gone/unread", on_post(on_unread))
        .layer(layer);
    (serve(app).await, requests, reader)
}

async fn expect_cleanup(mut reader: Reader, requests: &Requests) {
    assert_eq!(reader.next().await, "ClientDisconnected");
    assert_eq!(reader.next().await, "cleaned up");
    requests.idle().await;
    assert_eq!(
        (requests.stats().disconnected, requests.stats().rescues),
        (1, 1)
    );
}

#[tokio::test]
async fn http1_close_fires_the_token_and_is_499_in_the_log() {
    let (address, requests, mut reader) = service(RequestLayer::new()).await;
    let client = send_get(address, "/gone/get").await;
    assert_eq!(reader.next().await, "began");
    assert!(
        log::access("/gone/get")
            .iter()
            .all(|line| line["status"] != 499)
    );
    drop(client);
    expect_cleanup(reader, &requests).await;
    let lines = log::access("/gone/get");
    assert!(
        lines
            .iter()
            .any(|line| line["status"] == 499 && line["method"] == "GET"),
        "{lines:?}"
    );
    assert!(
        lines.iter().any(|line| line["cleanup"] == "finished"),
        "{lines:?}"
    );
}

#[tokio::test]
async fn http1_close_after_a_body_that_was_read_is_seen() {
    let (address, requests, mut reader) = service(RequestLayer::new()).await;
    let head = "POST /gone/body HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\nhello";
    let client = send(address, head).await;
    assert_eq!(reader.next().await, "began");
    drop(client);
    expect_cleanup(reader, &requests).await;
}

/// hyper takes a client that only stops to write for one that has gone.
#[tokio::test]
async fn http1_half_close_is_a_disconnect() {
    let (address, requests, mut reader) = service(RequestLayer::new()).await;
    let mut client = send_get(address, "/gone/get").await;
    assert_eq!(reader.next().await, "began");
    client.shutdown().await.unwrap();
    expect_cleanup(reader, &requests).await;
    assert_eq!(
        client.read(&mut [0; 16]).await.unwrap(),
        0,
        "no answer comes"
    );
}

#[tokio::test]
async fn http2_reset_of_one_stream_ends_that_request_alone() {
    let (address, requests, mut reader) = service(RequestLayer::new()).await;
    let socket = TokioIo::new(TcpStream::connect(address).await.unwrap());
    let (mut client, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), socket)
            .await
            .unwrap();
    tokio::spawn(connection);
    let ask = || {
        Request::get(format!("http://{address}/gone/get"))
            .body(Body::empty())
            .unwrap()
    };
    let first = tokio::spawn(client.send_request(ask()));
    assert_eq!(reader.next().await, "began");
    let second = tokio::spawn(client.send_request(ask()));
    assert_eq!(reader.next().await, "began");
    first.abort();
    assert_eq!(reader.next().await, "ClientDisconnected");
    assert_eq!(reader.next().await, "cleaned up");
    eventually(async || (requests.rescued() == 0).then_some(())).await;
    assert_eq!((requests.live(), requests.stats().disconnected), (1, 1));
    second.abort();
    requests.idle().await;
    assert_eq!(requests.stats().disconnected, 2);
}

/// The blind spots of HTTP/1: nobody reads from the socket, so nobody sees its end; only the deadline does.
async fn unseen_but_for_the_deadline(request: &str) {
    let layer = RequestLayer::new().deadline(Duration::from_millis(300));
    let (address, requests, mut reader) = service(layer).await;
    let client = send(address, request).await;
    assert_eq!(reader.next().await, "began");
    drop(client);
    assert_eq!(reader.next().await, "Deadline");
    assert_eq!(reader.next().await, "cleaned up");
    eventually(async || (requests.rescued() == 0).then_some(())).await;
    assert_eq!(
        (requests.stats().expired, requests.stats().disconnected),
        (1, 0)
    );
}

#[tokio::test]
async fn http1_cannot_see_a_close_while_a_body_is_unread_and_the_deadline_ends_the_request() {
    unseen_but_for_the_deadline(
        "POST /gone/unread HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000\r\n\r\nhello",
    )
    .await;
}

#[tokio::test]
async fn http1_cannot_see_a_close_behind_a_pipelined_request_and_the_deadline_ends_the_first() {
    let pipelined =
        "GET /gone/get HTTP/1.1\r\nhost: x\r\n\r\nGET /nowhere HTTP/1.1\r\nhost: x\r\n\r\n";
    unseen_but_for_the_deadline(pipelined).await;
}

#[tokio::test]
async fn http1_cannot_see_a_close_behind_a_stray_line_end_and_the_deadline_ends_the_request() {
    unseen_but_for_the_deadline("GET /gone/get HTTP/1.1\r\nhost: x\r\n\r\n\r\n").await;
}

#[tokio::test]
async fn a_panic_is_an_answer_and_the_connection_goes_on() {
    let layer = RequestLayer::new();
    let app = Router::new()
        .route(
            "/gone/panic",
            on_get(async || -> String { panic!("row 7 of secrets") }),
        )
        .route("/gone/well", on_get(async || "well"))
        .layer(layer);
    let address = serve(app).await;
    let mut client = send_get(address, "/gone/panic").await;
    let answer = read_until(&mut client, "}").await;
    assert!(answer.starts_with("HTTP/1.1 500"), "{answer}");
    assert!(
        answer.contains("application/problem+json") && !answer.contains("secrets"),
        "{answer}"
    );
    client
        .write_all(b"GET /gone/well HTTP/1.1\r\nhost: x\r\n\r\n")
        .await
        .unwrap();
    read_until(&mut client, "well").await;
}

#[tokio::test]
async fn a_group_in_the_handler_is_cancelled_by_a_real_disconnect() {
    let (diary, mut reader) = diary();
    let handler = async move || {
        diary.write("began");
        let group = TaskGroup::new();
        let outcome: Result<(), Interrupted> =
            group.run(async { group.spawn(pending()).await }).await;
        diary.write(outcome);
    };
    let layer = RequestLayer::new();
    let requests = layer.requests();
    let address = serve(
        Router::new()
            .route("/gone/group", on_get(handler))
            .layer(layer),
    )
    .await;
    let client = send_get(address, "/gone/group").await;
    assert_eq!(reader.next().await, "began");
    drop(client);
    assert_eq!(reader.next().await, "Err(Cancelled(ClientDisconnected))");
    requests.idle().await;
}

/// A server may have read the head of a request and find its client gone before it has begun with it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_detached_request_whose_client_closes_at_once_runs_or_leaves_a_line() {
    log::start();
    let (diary, mut reader) = diary();
    let handler = async move |Path(number): Path<usize>| {
        diary.write(number);
        sleep(Duration::from_millis(20)).await;
    };
    let layer = RequestLayer::new();
    let requests = layer.requests();
    let route = on_post(handler).layer(OnDisconnect::Detached);
    let app = NexiosApp::new(Router::new().route("/at-once/{number}", route)).requests(layer);
    let app = app
        .background(Background::new())
        .without_signals()
        .accepting(Duration::ZERO);
    let handle = app.handle();
    let service = tokio::spawn(app.serve("127.0.0.1:0"));
    let address = handle.ready().await.unwrap().to_string();
    let address: SocketAddr = address.strip_prefix("http://").unwrap().parse().unwrap();
    for number in 0..200 {
        let head =
            format!("POST /at-once/{number} HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n");
        drop(send(address, &head).await);
    }
    eventually(async || {
        let left = |number: &usize| log::access_of_path(&format!("/at-once/{number}")).is_empty();
        (0..200).all(|number| !left(&number)).then_some(())
    })
    .await;
    requests.idle().await;
    for number in 0..200 {
        let lines = log::access_of_path(&format!("/at-once/{number}"));
        let answers = lines
            .iter()
            .filter(|line| line.get("status").is_some())
            .count();
        assert_eq!(
            answers, 1,
            "one line for the request, run or not: {lines:?}"
        );
    }
    assert!(!reader.written().is_empty(), "most of them run");
    handle.stop();
    service.await.unwrap().unwrap();
}

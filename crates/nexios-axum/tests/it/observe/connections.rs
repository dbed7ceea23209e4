//! The same where the end is one of a connection, over real sockets.

use std::{convert::Infallible, future::pending};

use axum::{
    Router,
    body::{Body, Bytes},
    http::Request,
    routing::get,
};
use futures_util::{StreamExt, stream};
use nexios_axum::{Phase, RequestLayer, RequestToken, ServiceLife};
use tokio::net::TcpStream;

use super::recorder::Recorder;
use crate::app::{Running, app, eventually, ms, start};

/// Waits for its end, and cleans up for 50 ms.
async fn careful(token: RequestToken) {
    token.cancelled().await;
    tokio::time::sleep(ms(50)).await;
}

/// One event, and then none.
async fn events() -> Body {
    let first = stream::iter([Ok::<_, Infallible>("data: first\n\n")]);
    Body::from_stream(first.chain(stream::pending()))
}

async fn until_said(recorder: &Recorder, text: &str) {
    eventually(async || {
        recorder
            .lines()
            .iter()
            .any(|line| line.contains(text))
            .then_some(())
    })
    .await;
}

fn tail(story: &[String]) -> &[String] {
    &story[2..]
}

#[tokio::test]
async fn a_connection_that_is_closed_cancels_its_request_which_ends_after_its_cleanup() {
    let (recorder, _observing) = Recorder::begin("GET /closed");
    let running = start(app(Router::new().route("/closed", get(careful)))).await;
    let mut client = running.client().await;
    client.begin("/closed").await;
    until_said(&recorder, "started").await;
    drop(client);
    let said = recorder.story().await;
    let expected = [
        "Cancelling(ClientDisconnected)",
        "Cancelled(ClientDisconnected)",
    ];
    assert_eq!(tail(&said), expected);
    assert_eq!(recorder.attribute("status"), ["499"]);
    running.stop().await;
}

#[tokio::test]
async fn a_reset_of_its_stream_of_http2_cancels_a_request() {
    let (recorder, _observing) = Recorder::begin("GET /reset");
    let running = start(app(Router::new().route("/reset", get(careful)))).await;
    let stream = TcpStream::connect(running.address).await.unwrap();
    let (mut requests, connection) = h2::client::handshake(stream).await.unwrap();
    let connection = tokio::spawn(connection);
    let request = Request::get("http://test/reset").body(()).unwrap();
    let (answer, mut body): (_, h2::SendStream<Bytes>) =
        requests.send_request(request, true).unwrap();
    until_said(&recorder, "started").await;
    body.send_reset(h2::Reason::CANCEL);
    let said = recorder.story().await;
    let expected = [
        "Cancelling(ClientDisconnected)",
        "Cancelled(ClientDisconnected)",
    ];
    assert_eq!(tail(&said), expected);
    drop((answer, requests));
    connection.abort();
    running.stop().await;
}

#[tokio::test]
async fn a_stream_whose_client_leaves_was_cancelled_by_it() {
    let (recorder, _observing) = Recorder::begin("GET /events-left");
    let running = start(app(Router::new().route("/events-left", get(events)))).await;
    let mut client = running.client().await;
    client.begin("/events-left").await;
    client.until(b"first").await;
    drop(client);
    let said = recorder.story().await;
    let expected = [
        "Cancelling(ClientDisconnected)",
        "Cancelled(ClientDisconnected)",
    ];
    assert_eq!(tail(&said), expected);
    assert_eq!(recorder.attribute("status"), ["200"]);
    assert_eq!(recorder.attribute("response_bytes"), ["13"]);
    running.stop().await;
}

async fn shut_down(running: Running) {
    running.handle.stop();
    running.ended().await;
}

#[tokio::test]
async fn what_the_end_of_the_service_aborts_ends_once_and_by_the_shutdown() {
    // The handler does not listen, the stream does not know of the end.
    for (name, path) in [
        ("GET /aborted-handler", "/aborted-handler"),
        ("GET /aborted-stream", "/aborted-stream"),
    ] {
        let (recorder, _observing) = Recorder::begin(name);
        let router = Router::new()
            .route("/aborted-handler", get(pending::<()>))
            .route("/aborted-stream", get(events));
        let running = start(app(router).shutdown_limit(ms(600))).await;
        let mut client = running.client().await;
        client.begin(path).await;
        until_said(&recorder, "started").await;
        if path.ends_with("stream") {
            client.until(b"first").await;
        }
        shut_down(running).await;
        let said = recorder.story().await;
        let expected = ["Cancelling(Shutdown)", "Cancelled(Shutdown)"];
        assert_eq!(tail(&said), expected, "{path}");
    }
}

#[tokio::test]
async fn a_service_that_is_dropped_ends_its_requests() {
    let (recorder, _observing) = Recorder::begin("GET /dropped");
    let router = Router::new().route("/dropped", get(pending::<()>));
    let running = start(app(router).requests(RequestLayer::new().grace(ms(20)))).await;
    let mut client = running.client().await;
    client.begin("/dropped").await;
    until_said(&recorder, "started").await;
    running.abort().await;
    let said = recorder.story().await;
    assert_eq!(tail(&said).len(), 2, "{said:?}");
    assert_eq!(tail(&said)[1], "Cancelled(Shutdown)");
}

#[tokio::test]
async fn a_runtime_that_ends_ends_its_requests() {
    let (recorder, observing) = Recorder::begin("GET /runtime");
    let ended = recorder.clone();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let router = Router::new().route("/runtime", get(pending::<()>));
            let running = start(app(router)).await;
            let mut client = running.client().await;
            client.begin("/runtime").await;
            until_said(&recorder, "started").await;
        });
        drop(runtime);
    })
    .join()
    .unwrap();
    let said = ended.story().await;
    assert_eq!(
        said.iter()
            .filter(|line| line.starts_with("Cancelled"))
            .count(),
        1,
        "{said:?}"
    );
    drop(observing);
}

#[tokio::test]
async fn a_request_sees_the_phase_of_its_service() {
    let phase = async |life: ServiceLife| life.phase().as_str();
    let running = start(app(Router::new().route("/phase", get(phase))).accepting(ms(400))).await;
    let mut client = running.client().await;
    assert_eq!(client.get("/phase").await.body, "ready");
    running.handle.stop();
    running.handle.reached(Phase::Draining).await;
    assert_eq!(running.client().await.get("/phase").await.body, "draining");
    running.ended().await;
}

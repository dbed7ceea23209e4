//! The examples do what they say, with real clients.

#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

#[path = "../../examples/deadlines.rs"]
#[allow(dead_code, reason = "its `main`")]
mod deadlines;
#[path = "../../examples/disconnect.rs"]
#[allow(dead_code, reason = "its `main`")]
mod disconnect;
#[path = "../../examples/hello.rs"]
#[allow(dead_code, reason = "its `main`")]
mod hello;
#[path = "../../examples/plain_axum.rs"]
#[allow(dead_code, reason = "its `main`")]
mod plain_axum;
#[path = "../../examples/streams.rs"]
#[allow(dead_code, reason = "its `main`")]
mod streams;
#[path = "../../examples/tonic.rs"]
#[allow(dead_code, reason = "its `main`")]
mod tonic_service;

use std::{
    future::IntoFuture,
    net::SocketAddr,
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use futures_util::StreamExt;
use hyper_util::{client::legacy, rt::TokioExecutor};
use nexios::{Background, CancelReason, CancelToken};
use nexios_axum::{AppHandle, NexiosApp, ServeError, ShutdownReport};
use reqwest::{Client, StatusCode};
use tokio::{net::TcpListener, task::JoinHandle};
use tonic::{Code, Request};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

/// A service on a port of its own.
struct Running {
    address: SocketAddr,
    handle: AppHandle,
    served: JoinHandle<Result<ShutdownReport, ServeError>>,
}

impl Running {
    async fn start(app: NexiosApp) -> Self {
        let handle = app.handle();
        let served = tokio::spawn(app.without_signals().serve("127.0.0.1:0"));
        let address = handle.ready().await.and_then(|address| address.tcp());
        Self {
            address: address.expect("it listens"),
            handle,
            served,
        }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    async fn stop(self) -> ShutdownReport {
        self.handle.stop();
        self.served.await.unwrap().unwrap()
    }
}

/// The status and the text of an answer.
async fn get(url: String) -> (StatusCode, String) {
    let answer = reqwest::get(url).await.unwrap();
    (answer.status(), answer.text().await.unwrap())
}

/// Looks again and again, for at most 20 seconds.
async fn eventually(is_so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < Duration::from_secs(20), "it never was so");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn hello_answers_and_ends_in_order() {
    let running = Running::start(hello::app()).await;
    let (status, text) = get(running.url("/hello/ada")).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(text, r#"{"greeting":"hello ada","visits":3}"#);
    assert_eq!(get(running.url("/readyz")).await.0, StatusCode::OK);
    assert_eq!(get(running.url("/nothing")).await.0, StatusCode::NOT_FOUND);
    assert!(running.stop().await.is_clean());
}

#[tokio::test]
async fn a_handler_puts_things_in_order_and_another_finishes_when_their_clients_leave() {
    let ledger = disconnect::Ledger::default();
    let running = Running::start(disconnect::app(ledger.clone())).await;
    for path in ["/reserve", "/pay"] {
        let impatient = Client::builder().timeout(Duration::from_millis(50)).build();
        let gone = impatient.unwrap().post(running.url(path)).send().await;
        assert!(gone.unwrap_err().is_timeout());
    }
    eventually(|| ledger.undone.load(Ordering::Relaxed) == 1).await;
    eventually(|| ledger.paid.load(Ordering::Relaxed) == 1).await;
    assert!(running.stop().await.is_clean());
}

#[tokio::test]
async fn the_shorter_of_two_deadlines_holds_for_all_that_a_request_starts() {
    let running = Running::start(deadlines::app()).await;
    let begun = Instant::now();
    let request = Client::new().get(running.url("/report"));
    let answer = request.header("connect-timeout-ms", "300").send().await;
    assert_eq!(answer.unwrap().status(), StatusCode::GATEWAY_TIMEOUT);
    assert!(begun.elapsed() < Duration::from_secs(5));
    assert_eq!(get(running.url("/left")).await.1, "9");
    assert_eq!(get(running.url("/export")).await.1, "299");
    assert!(running.stop().await.is_clean());
}

#[tokio::test]
async fn events_and_sockets_end_with_the_service() {
    let running = Running::start(streams::app()).await;
    let events = reqwest::get(running.url("/events")).await.unwrap();
    let mut events = events.bytes_stream();
    assert_eq!(events.next().await.unwrap().unwrap(), "data: 1\n\n");
    let url = format!("ws://{}/chat", running.address);
    let (mut chat, _) = tokio_tungstenite::connect_async(url).await.unwrap();
    let report = running.stop().await;
    assert!(report.is_clean() && report.cut_off.is_empty(), "{report:?}");
    let last = chat.next().await.unwrap().unwrap();
    assert_eq!(last.to_text().unwrap(), "the service ends, come again");
    // To its end, and not to an error.
    while let Some(event) = events.next().await {
        event.unwrap();
    }
}

#[tokio::test]
async fn plain_axum_has_requests_and_tasks_as_well() {
    let (background, end) = (Background::new(), CancelToken::new());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = plain_axum::router(&background, &end);
    tokio::spawn(axum::serve(listener, router).into_future());
    let sent = Client::new().post(format!("http://{address}/send"));
    let id = sent.send().await.unwrap().text().await.unwrap();
    let (_, tasks) = get(format!("http://{address}/tasks/status")).await;
    assert!(
        tasks.contains(&format!("\"id\":{id}")) || tasks.contains(&format!("\"id\":\"{id}\"")),
        "{tasks}"
    );
    end.cancel(CancelReason::Shutdown);
}

#[tokio::test]
async fn the_timeout_of_a_grpc_client_is_the_deadline_of_its_call() {
    let running = Running::start(tonic_service::app()).await;
    // It sends its deadline and leaves the rest to the server; a channel of tonic's would watch it too.
    let client = legacy::Client::builder(TokioExecutor::new())
        .http2_only(true)
        .build_http();
    let mut client = HealthClient::with_origin(client, running.url("").parse().unwrap());
    let check = |service: &str| {
        let service = service.to_owned();
        Request::new(HealthCheckRequest { service })
    };
    assert_eq!(
        client.check(check("up")).await.unwrap().into_inner().status,
        1
    );
    let mut slow = check("slow");
    slow.set_timeout(Duration::from_millis(200));
    let begun = Instant::now();
    let status = client.check(slow).await.unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded, "{status:?}");
    assert!(begun.elapsed() < Duration::from_secs(5));
    drop(client);
    assert!(running.stop().await.is_clean());
}

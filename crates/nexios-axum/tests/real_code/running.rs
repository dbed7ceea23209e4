//! A service on a port of its own, and clients that ask it.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use nexios::Background;
use nexios_axum::{AppHandle, NexiosApp, Phase, ServeError, ShutdownReport};
use reqwest::{Response, StatusCode, header::CONTENT_TYPE};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinHandle,
};

/// Longer than anything here takes on a machine that has other things to do.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) handle: AppHandle,
    served: JoinHandle<Result<ShutdownReport, ServeError>>,
}

impl Running {
    pub(crate) async fn start(app: NexiosApp) -> Self {
        // The global registry can be drained once in a process.
        let app = app.background(Background::new()).without_signals();
        let app = app.accepting(Duration::ZERO);
        let handle = app.handle();
        let served = tokio::spawn(app.serve("127.0.0.1:0"));
        let address = handle.ready().await.and_then(|address| address.tcp());
        Self {
            address: address.expect("it listens"),
            handle,
            served,
        }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) async fn get(&self, path: &str) -> Response {
        reqwest::get(self.url(path)).await.unwrap()
    }

    /// Sends the text as it is, and leaves the connection open.
    pub(crate) async fn send(&self, text: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(text.as_bytes()).await.unwrap();
        stream
    }

    /// Tells it to end, and waits until it has begun with that.
    pub(crate) async fn close(&self) {
        self.handle.stop();
        self.handle.reached(Phase::Closing).await;
    }

    pub(crate) async fn ended(self) -> ShutdownReport {
        soon(self.served).await.unwrap().unwrap()
    }

    pub(crate) async fn stop(self) -> ShutdownReport {
        self.handle.stop();
        self.ended().await
    }
}

/// Waits for what should not take long.
pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    let waited = tokio::time::timeout(PATIENCE, future).await;
    waited.expect("it takes too long")
}

/// Looks again and again.
pub(crate) async fn eventually(is_so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE, "it never was so");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Reads what the other side sends until it closes.
pub(crate) async fn rest(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    soon(stream.read_to_end(&mut bytes)).await.unwrap();
    String::from_utf8(bytes).unwrap()
}

/// Checks that an answer is a problem document with that status, and returns it.
pub(crate) async fn problem(answer: Response, status: StatusCode) -> Value {
    assert_eq!(answer.status(), status);
    assert_eq!(answer.headers()[CONTENT_TYPE], "application/problem+json");
    let problem: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
    assert_eq!(problem["status"], status.as_u16());
    problem
}

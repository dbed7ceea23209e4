use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, header::HOST, uri::Authority},
    response::{IntoResponse, Response},
    routing::get,
};
use hyper_util::{client::legacy, rt::TokioExecutor};
use nexios_axum::{NexiosApp, RequestLayer};
use reqwest::{Client, StatusCode};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use crate::{
    running::{PATIENCE, Running, eventually, problem, soon},
    services::reverse_proxy::app,
};

/// What the server behind has seen.
#[derive(Clone, Default)]
struct Upstream {
    /// The query and the headers of the last request.
    asked: Arc<Mutex<(String, HeaderMap)>>,
    /// There is one more for each request that is under way.
    under_way: Arc<()>,
}

impl Upstream {
    async fn answer(State(upstream): State<Upstream>, request: Request) -> Response {
        let query = request.uri().query().unwrap_or_default().to_owned();
        let wait = query == "wait";
        let headers = request.headers().clone();
        *upstream.asked() = (query, headers);
        if wait {
            std::future::pending::<()>().await;
        }
        ([("x-of", "the upstream")], "Hello, world!").into_response()
    }

    /// A server that notices at once when nobody waits for its answer any more.
    async fn start(&self) -> Running {
        let router = Router::new().route("/", get(Self::answer));
        let at_once = RequestLayer::new().grace(Duration::ZERO);
        let app = NexiosApp::new(router.with_state(self.clone())).requests(at_once);
        let running = Running::start(app).await;
        // A service keeps some for requests to come.
        drop(running.get("/").await);
        running
    }

    fn asked(&self) -> MutexGuard<'_, (String, HeaderMap)> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn header(&self, name: &str) -> Option<String> {
        let value = self.asked().1.get(name)?.clone();
        Some(value.to_str().unwrap().to_owned())
    }

    fn query(&self) -> String {
        self.asked().0.clone()
    }
}

fn authority(running: &Running) -> Authority {
    running.address.to_string().parse().unwrap()
}

#[tokio::test]
async fn the_answer_of_the_upstream_is_passed_on() {
    let upstream = Upstream::default();
    let behind = upstream.start().await;
    let proxy = Running::start(app(authority(&behind), PATIENCE)).await;
    let answer = proxy.get("/?for=them").await;
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(answer.headers()["x-of"], "the upstream");
    assert_eq!(answer.text().await.unwrap(), "Hello, world!");
    assert_eq!(upstream.query(), "for=them");
    // The name by which the client knows it.
    let host = proxy.address.to_string();
    assert_eq!(upstream.header(HOST.as_str()), Some(host));
    assert_eq!(proxy.get("/other").await.status(), StatusCode::NOT_FOUND);
    assert!(proxy.stop().await.is_clean());
}

#[tokio::test]
async fn a_client_of_http_2_is_served_though_the_upstream_speaks_http_1() {
    let behind = Upstream::default().start().await;
    let proxy = Running::start(app(authority(&behind), PATIENCE)).await;
    let client = legacy::Client::builder(TokioExecutor::new())
        .http2_only(true)
        .build_http::<Body>();
    let answer = client.get(proxy.url("/").parse().unwrap()).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
}

#[tokio::test]
async fn an_upstream_that_is_away_is_a_502() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let nobody = listener.local_addr().unwrap().to_string();
    drop(listener);
    let proxy = Running::start(app(nobody.parse().unwrap(), PATIENCE)).await;
    let problem = problem(proxy.get("/").await, StatusCode::BAD_GATEWAY).await;
    // Nothing of where it is.
    assert!(!problem.to_string().contains("127.0.0.1"), "{problem}");
    assert!(proxy.stop().await.is_clean());
}

#[tokio::test]
async fn an_upstream_that_takes_too_long_is_a_504_and_was_told_what_time_it_has() {
    let upstream = Upstream::default();
    let behind = upstream.start().await;
    let proxy = Running::start(app(authority(&behind), Duration::from_millis(500))).await;
    let answer = soon(proxy.get("/?wait")).await;
    problem(answer, StatusCode::GATEWAY_TIMEOUT).await;
    let told = upstream.header("x-envoy-expected-rq-timeout-ms").unwrap();
    assert!((1..500).contains(&told.parse::<u64>().unwrap()), "{told}");
    assert!(proxy.stop().await.is_clean());
}

/// The grace is that of requests which have something to clean up: this one has not.
#[tokio::test]
async fn a_client_that_leaves_takes_its_call_of_the_upstream_along() {
    let upstream = Upstream::default();
    let behind = upstream.start().await;
    let idle = Arc::strong_count(&upstream.under_way);
    let patient = RequestLayer::new().grace(2 * PATIENCE);
    let proxy = Running::start(app(authority(&behind), PATIENCE).requests(patient)).await;
    let left = Client::new()
        .get(proxy.url("/?wait"))
        .timeout(Duration::from_millis(300));
    assert!(left.send().await.unwrap_err().is_timeout());
    assert_eq!(upstream.query(), "wait");
    eventually(|| Arc::strong_count(&upstream.under_way) == idle).await;
    assert!(proxy.stop().await.is_clean());
}

#[tokio::test]
async fn what_is_meant_for_one_hop_goes_no_further() {
    let upstream = Upstream::default();
    let behind = upstream.start().await;
    let proxy = Running::start(app(authority(&behind), PATIENCE)).await;
    let request = Client::new().get(proxy.url("/"));
    let request = request
        .header("connection", "x-next, keep-alive")
        .header("x-next", "for the proxy")
        .header("x-all", "for the upstream")
        .header("te", "trailers")
        .header("proxy-authorization", "secret");
    assert_eq!(request.send().await.unwrap().status(), StatusCode::OK);
    assert_eq!(upstream.header("x-all").unwrap(), "for the upstream");
    for name in ["x-next", "te", "proxy-authorization"] {
        assert_eq!(upstream.header(name), None, "{name}");
    }
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_not_taken_for_a_whole_one() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let upstream = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let _ = stream.read(&mut [0; 1024]).await.unwrap();
        let half = b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf";
        stream.write_all(half).await.unwrap();
    });
    let proxy = Running::start(app(upstream.parse().unwrap(), PATIENCE)).await;
    let answer = proxy.get("/").await;
    assert_eq!(answer.status(), StatusCode::OK);
    assert!(soon(answer.bytes()).await.is_err());
}

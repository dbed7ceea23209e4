//! The same over HTTP/2, with hyper's own client.

use std::convert::Infallible;

use axum::{Router, body::Body, http::Request, routing::get};
use futures_util::{StreamExt, stream};
use http_body_util::BodyExt;
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use nexios_axum::{Phase, ServiceLife};
use tokio::{net::TcpStream, task::JoinHandle};

use super::{Running, app, eventually, ms, soon, start};

struct Http2 {
    requests: SendRequest<Body>,
    connection: JoinHandle<hyper::Result<()>>,
}

async fn connect(running: &Running) -> Http2 {
    let stream = TokioIo::new(TcpStream::connect(running.address).await.unwrap());
    let (requests, connection) = http2::handshake(TokioExecutor::new(), stream)
        .await
        .unwrap();
    Http2 {
        requests,
        connection: tokio::spawn(connection),
    }
}

impl Http2 {
    fn get(&mut self, path: &str) -> impl Future<Output = hyper::Result<String>> + use<> {
        let request = Request::get(format!("http://test{path}"))
            .body(Body::empty())
            .unwrap();
        let answer = self.requests.send_request(request);
        async {
            let answer = answer.await?;
            assert!(answer.headers().get("connection").is_none());
            let status = answer.status().as_u16();
            let body = answer.into_body().collect().await?.to_bytes();
            Ok(format!("{status} {}", String::from_utf8_lossy(&body)))
        }
    }
}

fn router() -> Router {
    let endless = async |life: ServiceLife| {
        let first = stream::iter([Ok::<_, Infallible>("first")]);
        Body::from_stream(life.until_closing(first.chain(stream::pending())))
    };
    Router::new()
        .route("/", get(async || "hello"))
        .route("/endless", get(endless))
        .route("/stuck", get(std::future::pending::<&str>))
        .route(
            "/slow",
            get(async || {
                tokio::time::sleep(ms(300)).await;
                "slow"
            }),
        )
}

#[tokio::test]
async fn while_draining_a_connection_ends_after_its_requests_and_a_new_one_is_let_in() {
    let running = start(app(router()).accepting(ms(700))).await;
    let mut old = connect(&running).await;
    assert_eq!(soon(old.get("/")).await.unwrap(), "200 hello");
    let slow = tokio::spawn(old.get("/slow"));
    tokio::time::sleep(ms(50)).await;
    running.handle.stop();
    soon(running.handle.reached(Phase::Draining)).await;
    assert_eq!(soon(slow).await.unwrap().unwrap(), "200 slow");
    assert!(
        soon(old.connection).await.unwrap().is_ok(),
        "told to go elsewhere"
    );
    assert_eq!(running.handle.phase(), Phase::Draining);
    let mut new = connect(&running).await;
    assert_eq!(soon(new.get("/")).await.unwrap(), "200 hello");
    assert!(running.ended().await.is_clean());
    assert!(soon(new.connection).await.unwrap().is_ok());
}

#[tokio::test]
async fn requests_under_way_are_answered_and_stuck_ones_are_given_up() {
    let running = start(app(router())).await;
    let mut client = connect(&running).await;
    let slow = tokio::spawn(client.get("/slow"));
    let stuck = tokio::spawn(client.get("/stuck"));
    tokio::time::sleep(ms(50)).await;
    let report = running.stop().await;
    assert_eq!(soon(slow).await.unwrap().unwrap(), "200 slow");
    assert!(soon(stuck).await.unwrap().unwrap().starts_with("503 "));
    assert_eq!(report.abandoned, ["request GET /stuck"]);
    assert!(report.elapsed < ms(2_200), "{report:?}");
}

#[tokio::test]
async fn an_idle_connection_holds_up_nothing() {
    let running = start(app(router())).await;
    let mut idle = connect(&running).await;
    assert_eq!(soon(idle.get("/")).await.unwrap(), "200 hello");
    // Never asks for anything.
    let silent = connect(&running).await;
    eventually(async || (running.handle.connections() == 2).then_some(())).await;
    let report = running.stop().await;
    assert!(
        report.is_clean() && report.elapsed < ms(1_000),
        "{report:?}"
    );
    assert!(soon(idle.connection).await.unwrap().is_ok());
    let _ = soon(silent.connection).await.unwrap();
}

#[tokio::test]
async fn a_stream_hears_of_the_close() {
    let running = start(app(router())).await;
    let mut client = connect(&running).await;
    let stream = tokio::spawn(client.get("/endless"));
    tokio::time::sleep(ms(50)).await;
    assert!(!stream.is_finished());
    let report = running.stop().await;
    assert!(
        report.is_clean() && report.elapsed < ms(1_000),
        "{report:?}"
    );
    assert_eq!(soon(stream).await.unwrap().unwrap(), "200 first");
}

#[tokio::test]
async fn a_connection_that_has_asked_once_may_be_idle() {
    let running = start(app(router()).head_limit(ms(100))).await;
    let mut client = connect(&running).await;
    assert_eq!(soon(client.get("/")).await.unwrap(), "200 hello");
    tokio::time::sleep(ms(350)).await;
    assert_eq!(soon(client.get("/")).await.unwrap(), "200 hello");
    running.stop().await;
}

#[tokio::test]
async fn an_answer_that_panics_takes_no_other_of_its_connection_along() {
    let panics = async || {
        Body::from_stream(stream::poll_fn(
            |_| -> std::task::Poll<Option<Result<&str, Infallible>>> { panic!("row 7") },
        ))
    };
    let running = start(app(router().route("/panics", get(panics)))).await;
    let mut client = connect(&running).await;
    let slow = tokio::spawn(client.get("/slow"));
    assert!(soon(client.get("/panics")).await.is_err());
    assert_eq!(soon(slow).await.unwrap().unwrap(), "200 slow");
    assert!(running.stop().await.is_clean());
}

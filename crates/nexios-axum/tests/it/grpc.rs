//! gRPC calls, with tonic's own client and server: what the layer answers is an answer in gRPC's terms.

use std::{
    convert::Infallible,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use axum::{Router, body::Body, http::Request};
use bytes::{Buf, BufMut};
use futures_util::{Stream, StreamExt, stream};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use nexios::{Background, CancelReason, CancelToken};
use nexios_axum::{NexiosApp, RequestLayer, ShedLayer, Threshold};
use tokio::time::{Instant, sleep};
use tonic::{
    Code, Status,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    server::{Grpc, NamedService, ServerStreamingService, UnaryService},
    service::Routes,
    transport::{Channel, Endpoint},
};
use tower::{Service, ServiceExt};

use crate::{
    log,
    service::{eventually, serve},
    shed,
};

/// Messages are texts.
#[derive(Clone, Copy, Default)]
struct Text;

impl Codec for Text {
    type Encode = String;
    type Decode = String;
    type Encoder = Text;
    type Decoder = Text;

    fn encoder(&mut self) -> Text {
        Text
    }

    fn decoder(&mut self) -> Text {
        Text
    }
}

impl Encoder for Text {
    type Item = String;
    type Error = Status;

    fn encode(&mut self, text: String, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put_slice(text.as_bytes());
        Ok(())
    }
}

impl Decoder for Text {
    type Item = String;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<String>, Status> {
        let mut text = vec![0; buffer.remaining()];
        buffer.copy_to_slice(&mut text);
        Ok(String::from_utf8(text).ok())
    }
}

type Answering<T> = Pin<Box<dyn Future<Output = Result<tonic::Response<T>, Status>> + Send>>;
type Texts = Pin<Box<dyn Stream<Item = Result<String, Status>> + Send>>;

/// The service: a method for each way to answer. It counts how often it is run.
#[derive(Clone, Default)]
struct Greeter(Arc<AtomicUsize>);

impl NamedService for Greeter {
    const NAME: &'static str = "test.Greeter";
}

struct Method(String);

impl UnaryService<String> for Method {
    type Response = String;
    type Future = Answering<String>;

    fn call(&mut self, request: tonic::Request<String>) -> Answering<String> {
        let method = self.0.clone();
        Box::pin(async move {
            match method.as_str() {
                "Slow" => sleep(Duration::from_secs(60)).await,
                "Panic" => panic!("row 7 of secrets"),
                "Refuse" => return Err(Status::already_exists("again")),
                _ => {}
            }
            Ok(tonic::Response::new(format!(
                "hello {}",
                request.into_inner()
            )))
        })
    }
}

impl ServerStreamingService<String> for Method {
    type Response = String;
    type ResponseStream = Texts;
    type Future = Answering<Texts>;

    fn call(&mut self, _: tonic::Request<String>) -> Answering<Texts> {
        let fails = self.0 == "StreamThatFails";
        let texts = stream::iter(["one", "two"]).map(|text| Ok(text.to_owned()));
        let end = stream::iter(fails.then(|| Err(Status::data_loss("no three"))));
        Box::pin(async { Ok(tonic::Response::new(Box::pin(texts.chain(end)) as Texts)) })
    }
}

impl Service<Request<tonic::body::Body>> for Greeter {
    type Response = axum::http::Response<tonic::body::Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<tonic::body::Body>) -> Self::Future {
        self.0.fetch_add(1, Ordering::SeqCst);
        let method = request.uri().path().rsplit('/').next().unwrap().to_owned();
        Box::pin(async move {
            let mut grpc = Grpc::new(Text);
            Ok(match method.starts_with("Stream") {
                true => grpc.server_streaming(Method(method), request).await,
                false => grpc.unary(Method(method), request).await,
            })
        })
    }
}

fn router(greeter: &Greeter) -> Router {
    Routes::new(greeter.clone()).into_axum_router()
}

async fn channel(address: SocketAddr) -> Channel {
    Endpoint::from_shared(format!("http://{address}"))
        .unwrap()
        .connect()
        .await
        .unwrap()
}

/// A client that sends its deadline and leaves the rest to the server.
fn patient(address: SocketAddr) -> tonic::client::Grpc<Client<HttpConnector, tonic::body::Body>> {
    let client = Client::builder(TokioExecutor::new())
        .http2_only(true)
        .build_http();
    tonic::client::Grpc::with_origin(client, format!("http://{address}").parse().unwrap())
}

/// Calls a method of the service through any client of tonic's.
macro_rules! call {
    ($client:expr, $kind:ident, $method:literal, $timeout:expr) => {{
        let mut request = tonic::Request::new("you".to_owned());
        if let Some(timeout) = $timeout {
            request.set_timeout(timeout);
        }
        let mut client = $client;
        client.ready().await.unwrap();
        client
            .$kind(
                request,
                concat!("/test.Greeter/", $method).parse().unwrap(),
                Text,
            )
            .await
    }};
}

const NONE: Option<Duration> = None;
const SHORT: Option<Duration> = Some(Duration::from_millis(100));

#[tokio::test]
async fn a_call_past_its_deadline_is_deadline_exceeded_every_time() {
    let greeter = Greeter::default();
    let address = serve(router(&greeter).layer(RequestLayer::new())).await;
    let client = patient(address);
    for _ in 0..40 {
        let began = Instant::now();
        let status = call!(client.clone(), unary, "Slow", SHORT).unwrap_err();
        assert_eq!(status.code(), Code::DeadlineExceeded, "{status:?}");
        assert_eq!(status.message(), "The work did not end in its time.");
        assert!(
            began.elapsed() >= Duration::from_millis(100),
            "{:?}",
            began.elapsed()
        );
    }
    assert_eq!(greeter.0.load(Ordering::SeqCst), 40);
}

/// tonic's channel has a clock of its own, and calls its end `Cancelled`. Whichever clock is first, nobody takes the
/// server for one that is away.
#[tokio::test]
async fn a_client_with_a_clock_of_its_own_never_takes_the_server_for_unavailable() {
    let app = NexiosApp::new(router(&Greeter::default()));
    let app = app
        .background(Background::new())
        .without_signals()
        .accepting(Duration::ZERO);
    let handle = app.handle();
    let service = tokio::spawn(app.serve("127.0.0.1:0"));
    let address = handle.ready().await.unwrap().to_string();
    let channel = channel(address.strip_prefix("http://").unwrap().parse().unwrap()).await;
    for _ in 0..40 {
        let status = call!(
            tonic::client::Grpc::new(channel.clone()),
            unary,
            "Slow",
            SHORT
        )
        .unwrap_err();
        let own = status.code() == Code::Cancelled && status.message() == "Timeout expired";
        assert!(own || status.code() == Code::DeadlineExceeded, "{status:?}");
    }
    drop(channel);
    handle.stop();
    service.await.unwrap().unwrap();
}

/// As gRPC's retry policies do: what is unavailable is tried again.
#[tokio::test]
async fn a_call_past_its_deadline_is_not_tried_again() {
    let greeter = Greeter::default();
    let layer = RequestLayer::new().deadline(Duration::from_millis(50));
    let channel = channel(serve(router(&greeter).layer(layer)).await).await;
    let mut last = None;
    for _ in 0..4 {
        let status = call!(
            tonic::client::Grpc::new(channel.clone()),
            unary,
            "Slow",
            NONE
        )
        .unwrap_err();
        let unavailable = status.code() == Code::Unavailable;
        last = Some(status);
        if !unavailable {
            break;
        }
    }
    assert_eq!(last.unwrap().code(), Code::DeadlineExceeded);
    assert_eq!(
        greeter.0.load(Ordering::SeqCst),
        1,
        "the handler is run once"
    );
}

#[tokio::test]
async fn a_panic_is_internal_with_the_id_of_the_log() {
    let channel =
        channel(serve(router(&Greeter::default()).layer(RequestLayer::new())).await).await;
    let status = call!(tonic::client::Grpc::new(channel), unary, "Panic", NONE).unwrap_err();
    assert_eq!(status.code(), Code::Internal, "{status:?}");
    assert!(!status.message().contains("secrets"), "{status:?}");
    let id = status
        .message()
        .rsplit(' ')
        .next()
        .unwrap()
        .trim_end_matches('.')
        .to_owned();
    let lines = log::lines_with(&id);
    assert!(
        lines[0]["cause"]
            .as_str()
            .unwrap()
            .contains("row 7 of secrets"),
        "{lines:?}"
    );
}

#[tokio::test]
async fn the_shutdown_is_unavailable() {
    let shutdown = CancelToken::new();
    let layer = RequestLayer::new().shutdown(shutdown.clone());
    let requests = layer.requests();
    let channel = channel(serve(router(&Greeter::default()).layer(layer)).await).await;
    let client = tonic::client::Grpc::new(channel);
    let waiting = client.clone();
    let waiting = tokio::spawn(async move { call!(waiting, unary, "Slow", NONE) });
    eventually(async || (requests.live() == 1).then_some(())).await;
    shutdown.cancel(CancelReason::Shutdown);
    for status in [
        waiting.await.unwrap().unwrap_err(),
        call!(client, unary, "Hello", NONE).unwrap_err(),
    ] {
        assert_eq!(status.code(), Code::Unavailable, "{status:?}");
        assert_eq!(status.message(), "The service is shutting down.");
    }
}

#[tokio::test]
async fn a_call_that_is_shed_is_unavailable_with_or_without_a_request_layer() {
    let (pool, release) = shed::busy().await;
    shed::queue(&pool, 1);
    eventually(async || (pool.stats().queued == 1).then_some(())).await;
    let greeter = Greeter::default();
    let bare = router(&greeter).layer(ShedLayer::new().watch(&pool, Threshold::Queued(1)));
    for app in [bare.clone().layer(RequestLayer::new()), bare] {
        let channel = channel(serve(app).await).await;
        let status = call!(tonic::client::Grpc::new(channel), unary, "Hello", NONE).unwrap_err();
        assert_eq!(status.code(), Code::Unavailable, "{status:?}");
        assert_eq!(
            status.message(),
            "The service has more work than it can do."
        );
    }
    assert_eq!(greeter.0.load(Ordering::SeqCst), 0);
    drop(release);
}

#[tokio::test]
async fn good_answers_failures_and_streams_pass_untouched() {
    let layer = RequestLayer::new().deadline(Duration::from_secs(60));
    let requests = layer.requests();
    let channel = channel(serve(router(&Greeter::default()).layer(layer)).await).await;
    let client = tonic::client::Grpc::new(channel);
    let answer = call!(client.clone(), unary, "Hello", NONE).unwrap();
    assert_eq!(answer.get_ref(), "hello you");
    let status = call!(client.clone(), unary, "Refuse", NONE).unwrap_err();
    assert_eq!(
        (status.code(), status.message()),
        (Code::AlreadyExists, "again")
    );
    let mut texts = call!(client.clone(), server_streaming, "Stream", NONE)
        .unwrap()
        .into_inner();
    assert_eq!(texts.message().await.unwrap().as_deref(), Some("one"));
    assert_eq!(texts.message().await.unwrap().as_deref(), Some("two"));
    assert_eq!(texts.message().await.unwrap(), None);
    let mut texts = call!(client, server_streaming, "StreamThatFails", NONE)
        .unwrap()
        .into_inner();
    while let Ok(Some(_)) = texts.message().await {}
    eventually(async || (requests.live() == 0).then_some(())).await;
    assert_eq!(requests.stats().aborted, 0);
    for (method, grpc_status) in [("Refuse", 6), ("Stream", 0), ("StreamThatFails", 15)] {
        let lines = log::access(&format!("/test.Greeter/{method}"));
        assert_eq!(lines.len(), 1, "the log names the method: {lines:?}");
        assert_eq!(
            (&lines[0]["status"], &lines[0]["grpc_status"]),
            (&200.into(), &grpc_status.into())
        );
    }
    assert!(log::access("/test.Greeter/{*rest}").is_empty());
}

fn raw(content_type: &str, timeout: &str) -> Request<Body> {
    let request = Request::post("/test.Greeter/Late").header("content-type", content_type);
    request
        .header("grpc-timeout", timeout)
        .body(Body::empty())
        .unwrap()
}

/// On the wire: the deadline that the client sent is its own to watch, so the server gives it a moment more.
#[tokio::test(start_paused = true)]
async fn the_server_ends_a_call_a_moment_after_its_client_and_never_after_its_own_limit() {
    let slow = || axum::routing::post(async || sleep(Duration::from_secs(60)).await);
    let app = || Router::new().route("/{service}/{*rest}", slow());
    let unlimited = app().layer(RequestLayer::new());
    let limited = app().layer(RequestLayer::new().deadline(Duration::from_millis(110)));
    for (app, content_type, took) in [
        (&unlimited, "application/grpc", 120),
        (&unlimited, "application/grpc+proto", 120),
        (&limited, "application/grpc", 110),
        // Nobody else is given more than asked for.
        (&unlimited, "application/json", 100),
    ] {
        let began = Instant::now();
        let response = app
            .clone()
            .oneshot(raw(content_type, "100m"))
            .await
            .unwrap();
        assert_eq!(
            began.elapsed(),
            Duration::from_millis(took),
            "{content_type}"
        );
        let grpc = content_type.starts_with("application/grpc");
        assert_eq!(response.status().as_u16(), if grpc { 200 } else { 504 });
        if grpc {
            assert_eq!(response.headers()["content-type"], "application/grpc");
            assert_eq!(response.headers()["grpc-status"], "4");
            assert_eq!(
                response.headers()["grpc-message"],
                "The work did not end in its time."
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_of_grpc_web_is_answered_in_its_own_kind() {
    let app = Router::new().route("/{service}/{*rest}", axum::routing::post(async || ()));
    let app = app.layer(RequestLayer::new());
    for (content_type, answered) in [
        (
            "application/grpc-web+proto",
            Some("application/grpc-web+proto"),
        ),
        ("application/grpc;charset=utf-8", Some("application/grpc")),
        ("application/grpcish", None),
    ] {
        let response = app.clone().oneshot(raw(content_type, "0m")).await.unwrap();
        let kind = response.headers()["content-type"].to_str().unwrap();
        assert_eq!(kind, answered.unwrap_or("application/problem+json"));
    }
}

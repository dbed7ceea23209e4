//! What people bring to be served, and what they listen with: all that `axum::serve` takes.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use axum::{
    Router, ServiceExt,
    extract::{ConnectInfo, Request},
    handler::HandlerWithoutStateExt,
    response::Response,
    routing::get,
    serve::{Listener, ListenerExt},
};
use nexios_axum::{AppService, Listen, ListenAddress, NexiosApp, Phase};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
};
use tower::{ServiceBuilder, util::BoxCloneService};
use tower_http::normalize_path::NormalizePath;

use super::{Client, Running, app, eventually, ms, soon, start};

fn hello() -> Router {
    Router::new().route("/hello", get(async || "hello"))
}

/// With the limits of the other tests.
fn serving<Kind>(service: impl AppService<Kind>) -> NexiosApp {
    NexiosApp::new(service)
        .background(nexios::Background::new())
        .without_signals()
        .accepting(ms(0))
        .shutdown_limit(ms(2_000))
}

async fn says_hello<Kind>(service: impl AppService<Kind>, path: &str) {
    let running = start(serving(service)).await;
    let mut client = running.client().await;
    let reply = client.get(path).await;
    assert_eq!((reply.status, reply.body.as_str()), (200, "hello"));
    assert_eq!(client.get("/livez").await.status, 200);
    assert!(running.stop().await.is_clean());
}

#[tokio::test]
async fn everything_is_served_that_answers_requests() {
    says_hello(hello(), "/hello").await;
    says_hello(hello().into_make_service(), "/hello").await;
    says_hello(get(async || "hello"), "/").await;
    says_hello((async || "hello").into_service(), "/anywhere").await;
    says_hello((async || "hello").into_make_service(), "/anywhere").await;
    says_hello(NormalizePath::trim_trailing_slash(hello()), "/hello/").await;
    let normal =
        ServiceExt::<Request>::into_make_service(NormalizePath::trim_trailing_slash(hello()));
    says_hello(normal, "/hello/").await;
    // Not to be shared between threads, as `axum::serve` does not ask for that either.
    let boxed: BoxCloneService<Request, Response, std::convert::Infallible> =
        ServiceBuilder::new().boxed_clone().service(hello());
    says_hello(boxed, "/hello").await;
    says_hello(
        tower::service_fn(async |_: Request| Ok(Response::new("hello".to_owned()))),
        "/",
    )
    .await;
}

#[tokio::test]
async fn requests_of_any_service_are_cancelled_waited_for_and_named() {
    let stuck = Router::new().route("/stuck", get(std::future::pending::<&str>));
    let running =
        start(serving(NormalizePath::trim_trailing_slash(stuck)).cancelling(ms(300))).await;
    let mut client = running.client().await;
    client.begin("/stuck/").await;
    tokio::time::sleep(ms(50)).await;
    let stopping = tokio::spawn(running.stop());
    assert_eq!(client.reply().await.status, 503);
    let report = stopping.await.unwrap();
    assert_eq!(report.abandoned.len(), 1, "{report:?}");
    assert!(report.abandoned[0].contains("/stuck"), "{report:?}");
}

/// A stream as those of TLS are: only its own type knows what is inside.
struct Wrapped(TcpStream);

impl AsyncRead for Wrapped {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Wrapped {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

/// Who a client is, in words of the listener's own.
#[derive(Debug, Clone, PartialEq)]
struct Caller(String);

struct Wrapping {
    listener: TcpListener,
    /// How often it panics before it lets somebody in.
    panics: usize,
}

impl Listener for Wrapping {
    type Io = Wrapped;
    type Addr = Caller;

    async fn accept(&mut self) -> (Wrapped, Caller) {
        let (stream, address) = Listener::accept(&mut self.listener).await;
        if self.panics > 0 {
            self.panics -= 1;
            panic!("a bug in the listener");
        }
        (Wrapped(stream), Caller(format!("caller {}", address.ip())))
    }

    fn local_addr(&self) -> io::Result<Caller> {
        Ok(Caller(TcpListener::local_addr(&self.listener)?.to_string()))
    }
}

/// Serves until it is ready, for listeners whose address is none of TCP.
async fn start_at<Kind: 'static>(
    app: NexiosApp,
    address: SocketAddr,
    listen: impl Listen<Kind> + 'static,
) -> Running {
    let handle = app.handle();
    let service = tokio::spawn(app.serve(listen));
    soon(handle.ready()).await.unwrap();
    Running {
        handle,
        address,
        service,
    }
}

#[tokio::test]
async fn a_listener_of_ones_own_is_served_with_its_addresses_and_survives_its_panics() {
    let who = get(async |ConnectInfo(Caller(caller)): ConnectInfo<Caller>| caller);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let running = start_at(
        app(Router::new().route("/", who)),
        address,
        Wrapping {
            listener,
            panics: 2,
        },
    )
    .await;
    assert_eq!(
        soon(running.handle.ready()).await,
        Some(ListenAddress::Other(format!(
            "Caller({:?})",
            address.to_string()
        )))
    );
    let (mut lost, mut lost_too) = (running.client().await, running.client().await);
    assert!(lost.rest().await.is_empty() && lost_too.rest().await.is_empty());
    let mut client = running.client().await;
    assert_eq!(client.get("/").await.body, "caller 127.0.0.1");
    // Its limits and orders hold as for TCP.
    let report = running.stop().await;
    assert!(
        report.is_clean() && report.elapsed < ms(1_500),
        "{report:?}"
    );
    assert!(client.rest().await.is_empty());
}

#[tokio::test]
async fn a_listener_that_taps_its_streams_is_one_of_tcp() {
    let taps = Arc::new(AtomicUsize::new(0));
    let count = taps.clone();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let listener = listener.tap_io(move |stream| {
        count.fetch_add(1, Ordering::Relaxed);
        stream.set_nodelay(true).unwrap();
    });
    let who = get(async |ConnectInfo(peer): ConnectInfo<SocketAddr>| peer.to_string());
    let router = Router::new()
        .route("/", who)
        .route("/stuck", get(std::future::pending::<&str>));
    let running = start_at(app(router), address, listener).await;
    assert_eq!(
        soon(running.handle.ready()).await,
        Some(ListenAddress::Tcp(address))
    );
    let mut client = running.client().await;
    let own = client.stream.local_addr().unwrap().to_string();
    assert_eq!(
        (client.get("/").await.body, taps.load(Ordering::Relaxed)),
        (own, 1)
    );
    // Its peers are looked after as well.
    client.begin("/stuck").await;
    client.begin("/stuck").await;
    tokio::time::sleep(ms(50)).await;
    drop(client);
    eventually(async || (running.handle.connections() == 0).then_some(())).await;
    running.handle.stop();
    soon(running.handle.reached(Phase::Stopped)).await;
}

#[tokio::test]
async fn every_form_of_an_address_is_listened_on() {
    use std::net::{IpAddr, Ipv4Addr};
    async fn on<Kind: 'static>(listen: impl Listen<Kind> + 'static) {
        let app = app(hello());
        let handle = app.handle();
        let service = tokio::spawn(app.serve(listen));
        let address = soon(handle.ready()).await.unwrap().tcp().unwrap();
        assert_eq!(
            Client::connect(address).await.get("/hello").await.body,
            "hello"
        );
        handle.stop();
        soon(service).await.unwrap().unwrap();
    }
    on((Ipv4Addr::LOCALHOST, 0)).await;
    on((IpAddr::from(Ipv4Addr::LOCALHOST), 0)).await;
    on(("localhost".to_owned(), 0)).await;
}

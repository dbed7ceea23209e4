//! One connection, from its first byte to its last.

use std::{
    convert::Infallible,
    future::{Future, poll_fn},
    io,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes, HttpBody},
    extract::ConnectInfo,
    http::{HeaderValue, Request, Response, StatusCode, Version, header},
};
use hyper::{
    body::{Frame, Incoming, SizeHint},
    service::service_fn,
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::conn::auto,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Instant,
};
use tower_service::Service;

use super::{
    connections::{Control, OpenConnection, Order, RequestInFlight},
    life::{LIFE, Life},
};

/// How often an HTTP/2 client is asked whether it is there, and how long it may take to answer.
const HTTP2_KEEP_ALIVE: Duration = Duration::from_secs(20);

/// What the connections of one service share.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) life: Arc<Life>,
    router: Router,
    protocol: auto::Builder<Spawn>,
    /// How long a client may take for the head of a request.
    head: Duration,
}

/// Spawns the requests of HTTP/2 connections, each in the life of the service.
#[derive(Debug, Clone)]
struct Spawn(Arc<Life>);

impl<F> hyper::rt::Executor<F> for Spawn
where
    F: Future<Output: Send> + Send + 'static,
{
    fn execute(&self, request: F) {
        tokio::spawn(LIFE.scope(self.0.clone(), request));
    }
}

impl Server {
    pub(crate) fn new(life: Arc<Life>, router: Router, head: Duration) -> Self {
        let mut protocol = auto::Builder::new(Spawn(life.clone()));
        // Hyper's own limit starts a timer for every request; ours looks when the time has come.
        protocol.http1().header_read_timeout(None);
        protocol
            .http2()
            .timer(TokioTimer::new())
            .keep_alive_interval(HTTP2_KEEP_ALIVE)
            .keep_alive_timeout(HTTP2_KEEP_ALIVE)
            // WebSockets over HTTP/2.
            .enable_connect_protocol();
        // A year is for ever, and no overflow.
        let head = head.min(Duration::from_secs(365 * 86_400));
        Server { life, router, protocol, head }
    }

    /// Serves one connection until it ends, or is told to.
    pub(crate) async fn connection<S, P>(self: Arc<Self>, stream: S, peer: Option<P>, open: OpenConnection)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        P: Clone + Send + Sync + 'static,
    {
        let control = &open.control;
        let stream = TokioIo::new(Watched { stream, control: control.clone() });
        let service = service_fn(|mut request: Request<Incoming>| {
            let in_flight = control.begin(request.method(), request.uri(), request.version());
            if let Some(peer) = &peer {
                request.extensions_mut().insert(ConnectInfo(peer.clone()));
            }
            answer(self.router.clone(), request, in_flight)
        });
        let mut connection = pin!(self.protocol.serve_connection_with_upgrades(stream, service));
        let mut head_limit = pin!(tokio::time::sleep(self.head));
        let mut told = false;
        let serve = poll_fn(|cx| {
            // Before the look at the order, so that an order in between wakes us again.
            control.register(cx.waker());
            loop {
                if let Poll::Ready(end) = connection.as_mut().poll(cx) {
                    if let Err(error) = end {
                        tracing::debug!(error, "connection ended");
                    }
                    return Poll::Ready(());
                }
                if head_limit.as_mut().poll(cx).is_ready() {
                    let Some(next) = self.head_limit(control) else { return Poll::Ready(()) };
                    head_limit.as_mut().reset(next);
                    continue;
                }
                let order = control.order();
                let drain = order == Order::Drain && control.is_http2();
                if !told && (drain || order >= Order::Close && control.has_begun()) {
                    told = true;
                    connection.as_mut().graceful_shutdown();
                    continue;
                }
                let end = order == Order::Abort || order == Order::DropIdle && control.is_idle();
                return if end { Poll::Ready(()) } else { Poll::Pending };
            }
        });
        LIFE.scope(self.life.clone(), serve).await;
    }

    /// When to look again for a client that takes too long for a head; none if it has.
    fn head_limit(&self, control: &Control) -> Option<Instant> {
        let now = Instant::now();
        match control.idle_since() {
            // An HTTP/2 client answers pings instead, from its first request on.
            Some(since) if control.is_idle() && !control.is_http2() => {
                Some(since + self.head).filter(|limit| *limit > now)
            }
            _ => Some(now + self.head),
        }
    }
}

async fn answer(
    mut router: Router,
    request: Request<Incoming>,
    in_flight: RequestInFlight,
) -> Result<Response<AnswerBody>, Infallible> {
    let http1 = request.version() < Version::HTTP_2;
    let mut response = router.call(request).await?;
    // An upgrade says `connection: upgrade`, and leaves the connection anyway.
    if http1 && in_flight.control.life.is_ending() && response.status() != StatusCode::SWITCHING_PROTOCOLS {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(response.map(|body| AnswerBody { body, _in_flight: in_flight }))
}

/// A response body that keeps its request in flight.
struct AnswerBody {
    body: Body,
    _in_flight: RequestInFlight,
}

impl HttpBody for AnswerBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A stream that tells whether its peer reads what it is sent.
struct Watched<S> {
    stream: S,
    control: Arc<Control>,
}

impl<S> Watched<S> {
    fn seen<T>(&self, written: Poll<T>) -> Poll<T> {
        self.control.set_blocked(written.is_pending());
        written
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.seen(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, parts);
        self.seen(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

//! One request through the router, and its answer on the way out.

use std::{
    convert::Infallible,
    future::Future,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
};

use axum::{
    Router,
    body::{Body, Bytes, HttpBody},
    http::{HeaderValue, Request, Response, StatusCode, Version, header},
};
use hyper::body::{Frame, Incoming, SizeHint};
use tower_service::Service;

use super::connection_control::{Control, InFlight, Order, Piece};

/// HTTP/2 is given an answer in pieces of its frames, so that each tells when it has left.
const PIECE: usize = 16_384;

/// Answers a request.
pub(crate) async fn answer(
    mut router: Router,
    request: Request<Incoming>,
    mut in_flight: InFlight,
) -> Result<Response<AnswerBody>, Infallible> {
    in_flight.begin();
    let http2 = request.version() == Version::HTTP_2;
    let mut response = router.call(request).await?;
    // An upgrade says `connection: upgrade`, and leaves the connection anyway.
    if !http2
        && in_flight.order() >= Order::Drain
        && response.status() != StatusCode::SWITCHING_PROTOCOLS
    {
        response
            .headers_mut()
            .insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    in_flight.answered(response.body().size_hint().exact().is_none());
    Ok(response.map(|body| AnswerBody {
        body,
        in_flight,
        http2,
        rest: Bytes::new(),
    }))
}

tokio::task_local! {
    /// The number of the HTTP/2 request whose task this is.
    static REQUEST: u64;
}

/// The request that its task is about to turn into a stream of another protocol, as a WebSocket does.
pub(crate) fn upgraded() -> Option<u64> {
    REQUEST.try_with(|number| *number).ok()
}

/// The task of an HTTP/2 request, until its answer is cut off.
pub(crate) async fn until_cut(request: impl Future, control: Arc<Control>, number: u64) {
    let mut request = pin!(REQUEST.scope(number, request));
    std::future::poll_fn(|cx| match control.poll_cut(number, cx) {
        Poll::Ready(()) => Poll::Ready(()),
        Poll::Pending => request.as_mut().poll(cx).map(drop),
    })
    .await;
}

/// A response body that keeps its request in flight.
pub(crate) struct AnswerBody {
    body: Body,
    in_flight: InFlight,
    /// HTTP/1 writes what it is given, and the socket tells when the client does not read. HTTP/2 may not write
    /// before the client lets it, which only the answer itself can tell.
    http2: bool,
    /// What the body has given and is not handed over yet.
    rest: Bytes,
}

impl AnswerBody {
    /// Hands the next piece of the rest over.
    fn piece(&mut self) -> Frame<Bytes> {
        let bytes = self.rest.split_to(self.rest.len().min(PIECE));
        Frame::data(Bytes::from_owner(Unsent {
            bytes,
            _piece: self.in_flight.hand_over(),
        }))
    }
}

impl HttpBody for AnswerBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if !self.http2 {
            return Pin::new(&mut self.body).poll_frame(cx);
        }
        if !self.rest.is_empty() {
            return Poll::Ready(Some(Ok(self.piece())));
        }
        let frame = match Pin::new(&mut self.body).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => frame,
            Poll::Pending => {
                self.in_flight.source_waits();
                return Poll::Pending;
            }
            end => return end,
        };
        match frame.into_data() {
            Ok(data) if data.is_empty() => Poll::Ready(Some(Ok(Frame::data(data)))),
            Ok(data) => {
                self.rest = data;
                Poll::Ready(Some(Ok(self.piece())))
            }
            Err(trailers) => Poll::Ready(Some(Ok(trailers))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (mut hint, rest) = (self.body.size_hint(), self.rest.len() as u64);
        if rest > 0 {
            if let Some(upper) = hint.upper() {
                hint.set_upper(upper.saturating_add(rest));
            }
            hint.set_lower(hint.lower().saturating_add(rest));
        }
        hint
    }
}

/// A piece of an answer, dropped when it has left.
struct Unsent {
    bytes: Bytes,
    _piece: Piece,
}

impl AsRef<[u8]> for Unsent {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

//! The answer on its way out.
//!
//! # Invariants
//!
//! 1. An answer that is not out has a [`Sending`], which keeps its request live and says how it ended: finished, or by its
//!    drop aborted, unless nobody has asked for a byte.
//! 2. Finished is what has given all that the server will send: it does not ask for more than it was told that there is.

use std::{
    pin::Pin,
    str::FromStr,
    task::{Context, Poll},
};

use axum::{
    body::{Body, Bytes, HttpBody},
    http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header::CONTENT_LENGTH},
};
use http_body::{Frame, SizeHint};
use nexios::CancelReason;

use super::{access, requests::count, state::Live};
use crate::answer::grpc;

/// Keeps the request alive until the last byte of its answer is out.
pub(super) fn watch(live: Live, response: Response<Body>) -> Response<Body> {
    let status = response.status();
    let (length, grpc_status) = told(response.headers());
    if !is_sent(live.method(), status) || is_over(response.body()) {
        access::answered(&live, status.as_u16(), grpc_status, false);
        live.cancel(CancelReason::Finished);
        return response;
    }
    // Without the header the server takes the length from the body.
    let left = length.or(response.body().size_hint().exact());
    response.map(|inner| {
        let sending = Sending { live, status: status.as_u16(), grpc_status, left, polled: false };
        Body::new(WatchedBody { inner, sending: Some(sending) })
    })
}

/// Whether the server will send the body at all: what it drops unsent has not been aborted.
fn is_sent(method: &Method, status: StatusCode) -> bool {
    let bodiless = status.is_informational()
        || [StatusCode::NO_CONTENT, StatusCode::RESET_CONTENT, StatusCode::NOT_MODIFIED].contains(&status);
    let upgraded = method == Method::CONNECT && status.is_success();
    !bodiless && !upgraded && method != Method::HEAD
}

/// Whether a body has nothing more to give, by either of its ways to say so.
fn is_over(body: &Body) -> bool {
    body.is_end_stream() || body.size_hint().exact() == Some(0)
}

/// How many bytes come, and how a gRPC call ended, which says so before its answer or after.
fn told(headers: &HeaderMap) -> (Option<u64>, Option<u32>) {
    let (mut length, mut grpc_status) = (None, None);
    // There are few: comparing names is cheaper than two look-ups.
    for (name, value) in headers {
        if name == CONTENT_LENGTH {
            length = length.or_else(|| number(value));
        } else if name == grpc::STATUS {
            grpc_status = grpc_status.or_else(|| number(value));
        }
    }
    (length, grpc_status)
}

fn number<N: FromStr>(value: &HeaderValue) -> Option<N> {
    value.to_str().ok()?.parse().ok()
}

struct WatchedBody {
    inner: Body,
    /// There until the body has ended.
    sending: Option<Sending>,
}

/// An answer that is not out yet; dropped, it was aborted.
struct Sending {
    live: Live,
    status: u16,
    /// The status of a gRPC call.
    grpc_status: Option<u32>,
    /// Bytes to come, if it is known how many there are: a server that has sent them looks no further.
    left: Option<u64>,
    /// A body that nobody asked for was replaced by an outer layer, not aborted.
    polled: bool,
}

impl Sending {
    /// Takes note of a frame; whether it was the last.
    fn has_all(&mut self, frame: &Frame<Bytes>) -> bool {
        if let Some(trailers) = frame.trailers_ref() {
            self.grpc_status = told(trailers).1.or(self.grpc_status);
            return true;
        }
        let (Some(left), Some(data)) = (&mut self.left, frame.data_ref()) else { return false };
        *left = left.saturating_sub(data.len() as u64);
        *left == 0
    }

    fn finished(mut self) {
        self.polled = false;
        self.live.cancel(CancelReason::Finished);
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        let aborted = self.polled;
        if aborted {
            count(&self.live.requests().totals().aborted);
        }
        self.live.cancel(if aborted { CancelReason::ClientDisconnected } else { CancelReason::OwnerDropped });
        access::answered(&self.live, self.status, self.grpc_status, aborted);
    }
}

impl HttpBody for WatchedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = &mut *self;
        if let Some(sending) = &mut this.sending {
            sending.polled = true;
        }
        let Poll::Ready(frame) = Pin::new(&mut this.inner).poll_frame(cx) else { return Poll::Pending };
        let complete = match (&frame, &mut this.sending) {
            (Some(Ok(frame)), Some(sending)) => sending.has_all(frame) || is_over(&this.inner),
            (None, _) => true,
            _ => false,
        };
        if complete && let Some(sending) = this.sending.take() {
            sending.finished();
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

//! The answer on its way out.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use axum::{
    body::{Body, Bytes, HttpBody},
    http::{Method, Response, StatusCode, header::CONTENT_LENGTH},
};
use http_body::{Frame, SizeHint};
use nexios::CancelReason;

use super::{access, requests::count, state::Live};

/// Keeps the request alive until the last byte of its answer is out.
pub(super) fn watch(live: Live, response: Response<Body>) -> Response<Body> {
    let status = response.status();
    if !is_sent(live.method(), status) || response.body().is_end_stream() {
        access::answered(&live, status.as_u16(), false);
        live.cancel(CancelReason::Finished);
        return response;
    }
    let length = response.headers().get(CONTENT_LENGTH);
    let length = length.and_then(|length| length.to_str().ok()).and_then(|length| length.parse().ok());
    response.map(|inner| {
        let sending = Sending { live, status: status.as_u16(), left: length, polled: false };
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

struct WatchedBody {
    inner: Body,
    /// There until the body has ended.
    sending: Option<Sending>,
}

/// An answer that is not out yet; dropped, it was aborted.
struct Sending {
    live: Live,
    status: u16,
    /// Bytes to come, if the handler has said how many there are: a server that has sent them looks no further.
    left: Option<u64>,
    /// A body that nobody asked for was replaced by an outer layer, not aborted.
    polled: bool,
}

impl Sending {
    fn has_all(&mut self, frame: &Frame<Bytes>) -> bool {
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
        access::answered(&self.live, self.status, aborted);
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
            (Some(Ok(frame)), Some(sending)) => sending.has_all(frame) || this.inner.is_end_stream(),
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

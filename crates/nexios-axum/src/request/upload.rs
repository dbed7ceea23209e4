//! The body of a request on its way in.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use axum::{
    BoxError,
    body::{Body, Bytes, HttpBody},
    http::Request,
};
use http_body::{Frame, SizeHint};

use super::state::RequestState;
use crate::broken_body::is_gone;

/// Watches a body for the end of its sender: the handler that reads it is the first to hear of that, and what it makes
/// of it is no answer to anybody.
pub(super) fn watch<B>(state: &Arc<RequestState>, request: Request<B>) -> Request<Body>
where
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    request.map(|body| match body.is_end_stream() {
        // Most requests have no body, and pay nothing.
        true => Body::new(body),
        false => Body::new(WatchedUpload { inner: Body::new(body), state: state.clone() }),
    })
}

struct WatchedUpload {
    inner: Body,
    state: Arc<RequestState>,
}

impl HttpBody for WatchedUpload {
    type Data = Bytes;
    // What is in an `axum::Error`: the body around this one puts it into one again, and extractors look only so deep
    // for what it means.
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let frame = Pin::new(&mut self.inner).poll_frame(cx);
        if let Poll::Ready(Some(Err(error))) = &frame
            && is_gone(error)
        {
            self.state.set_gone();
        }
        frame.map_err(axum::Error::into_inner)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

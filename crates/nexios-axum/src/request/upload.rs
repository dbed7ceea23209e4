//! The body of a request on its way in.

use std::sync::Arc;

use axum::{
    BoxError,
    body::{Body, Bytes, HttpBody},
    http::Request,
};
use http_body_util::BodyExt;

use super::state::RequestState;
use crate::broken_body::is_gone;

/// Watches a body for the end of its sender: the handler that reads it is the first to hear of that, and what it makes
/// of it is no answer to anybody.
pub(super) fn watch<B>(state: &Arc<RequestState>, request: Request<B>) -> Request<Body>
where
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    request.map(|body| {
        let body = Body::new(body);
        // Most requests have no body, and pay nothing.
        if body.is_end_stream() {
            return body;
        }
        let state = state.clone();
        Body::new(body.map_err(move |error| {
            if is_gone(&error) {
                state.set_gone();
            }
            // The body around this one puts it into an `axum::Error` again, and extractors look only so deep for what it means.
            error.into_inner()
        }))
    })
}

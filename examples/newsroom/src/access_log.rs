//! The span that puts a request's id into each of its log lines.

use axum::{body::Body, extract::Request};
use tower_http::request_id::RequestId;
use tracing::Span;

/// Makes the span; the line of the access log is written inside.
pub(crate) fn request_span(request: &Request<Body>) -> Span {
    let id = request.extensions().get::<RequestId>();
    let id = id.and_then(|id| id.header_value().to_str().ok()).unwrap_or_default();
    tracing::info_span!("request", id, method = %request.method(), path = request.uri().path())
}

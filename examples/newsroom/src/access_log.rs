//! What of a request gets into each of its log lines.

use axum::{body::Body, extract::Request, http::HeaderName};
use tower_http::request_id::RequestId;
use tracing::Span;

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The longest id of a client that is believed; it is in every line of its request.
const LONGEST_ID: usize = 128;
/// The most characters of a method and of a path, as in the line that is written inside.
const LONGEST: usize = 200;

/// Forgets an id that is too long for a log; the request gets one of ours.
pub(crate) async fn short_request_id(mut request: Request) -> Request {
    if request
        .headers()
        .get(X_REQUEST_ID)
        .is_some_and(|id| id.len() > LONGEST_ID || id.to_str().is_err())
    {
        request.headers_mut().remove(X_REQUEST_ID);
    }
    request
}

/// Makes the span; the line of the access log is written inside.
pub(crate) fn request_span(request: &Request<Body>) -> Span {
    let id = request.extensions().get::<RequestId>();
    let id = id
        .and_then(|id| id.header_value().to_str().ok())
        .unwrap_or_default();
    let (method, path) = (request.method().as_str(), request.uri().path());
    tracing::info_span!(
        "request",
        id,
        method = beginning(method),
        path = beginning(path)
    )
}

fn beginning(text: &str) -> &str {
    let end = text.char_indices().nth(LONGEST);
    end.map_or(text, |(at, _)| &text[..at])
}

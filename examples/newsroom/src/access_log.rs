//! A line in the log for every request, the abandoned ones too.

use axum::{body::Body, extract::Request, http::StatusCode, middleware::Next, response::Response};
use tokio::time::Instant;
use tower_http::request_id::RequestId;
use tracing::Span;

/// Makes the span that puts the request's id into each of its log lines.
pub(crate) fn request_span(request: &Request<Body>) -> Span {
    let id = request.extensions().get::<RequestId>();
    let id = id.and_then(|id| id.header_value().to_str().ok()).unwrap_or_default();
    tracing::info_span!("request", id, method = %request.method(), path = request.uri().path())
}

/// Logs the status and the time of a request; one whose client went away before the answer gets 499.
pub(crate) async fn access_log(request: Request, next: Next) -> Response {
    let line = Line { span: Span::current(), begun: Instant::now(), status: None };
    let response = next.run(request).await;
    line.answered(response.status());
    response
}

/// One line, written when it is dropped: hyper drops a handler whose client is gone.
struct Line {
    span: Span,
    begun: Instant,
    status: Option<StatusCode>,
}

impl Line {
    fn answered(mut self, status: StatusCode) {
        self.status = Some(status);
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let elapsed_ms = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.span.in_scope(|| match self.status {
            Some(status) => tracing::info!(status = status.as_u16(), elapsed_ms, "answered"),
            // 499 is nginx' number for it; nobody is there to receive it.
            None => tracing::warn!(status = 499, elapsed_ms, "client went away"),
        });
    }
}

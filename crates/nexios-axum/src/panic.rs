//! The answer to a request whose handler panicked.

use std::any::Any;

use axum::response::{IntoResponse, Response};

use crate::Problem;

/// Answers 500 with an id, and logs the panic's message beside the same id.
///
/// The signature is the one that `tower_http::catch_panic::CatchPanicLayer::custom` takes.
#[must_use]
pub fn panic_response(payload: Box<dyn Any + Send>) -> Response {
    let message = payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a value that is no text");
    Problem::internal(&format_args!("a handler panicked: {message}")).into_response()
}

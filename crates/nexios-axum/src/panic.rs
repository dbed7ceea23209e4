//! The answer to a request whose handler panicked.

use std::any::Any;

use axum::response::{IntoResponse, Response};

use crate::{Problem, log::log};

/// Answers 500 with an id, and logs the panic's message beside the same id.
///
/// The signature is the one that `tower_http::catch_panic::CatchPanicLayer::custom` takes.
#[must_use]
pub fn panic_response(payload: Box<dyn Any + Send>) -> Response {
    panic_problem(payload).into_response()
}

/// The problem of such an answer.
pub(crate) fn panic_problem(payload: Box<dyn Any + Send>) -> Problem {
    let message = payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a value that is no text");
    let problem = Problem::internal(&format_args!("a handler panicked: {message}"));
    // A value may panic as it is dropped; what it has to say is said.
    log(|| drop(payload));
    problem
}

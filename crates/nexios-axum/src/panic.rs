//! Panics of others' code: the answer to a request whose handler panicked, and destructors.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
};

use axum::response::{IntoResponse, Response};

use crate::{log::log, problem::Problem, text::in_short};

/// Answers 500 with an id, and logs the panic's message beside the same id.
///
/// The signature is the one that `tower_http::catch_panic::CatchPanicLayer::custom` takes.
///
/// # Examples
///
/// ```
/// use nexios_axum::panic_response;
///
/// // With tower-http: .layer(CatchPanicLayer::custom(panic_response)); a `RequestLayer` does it by itself.
/// let panicked = std::panic::catch_unwind(|| panic!("a bug")).unwrap_err();
/// let response = panic_response(panicked);
/// assert_eq!(response.status(), 500);
/// assert_eq!(response.headers()["content-type"], "application/problem+json");
/// ```
#[must_use]
pub fn panic_response(payload: Box<dyn Any + Send>) -> Response {
    panic_problem(payload).into_response()
}

/// The problem of such an answer.
pub(crate) fn panic_problem(payload: Box<dyn Any + Send>) -> Problem {
    Problem::internal(&format_args!("a handler panicked: {}", message(payload)))
}

/// What a panic says.
pub(crate) fn text_of(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<&str>().copied();
    let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("a value that is no text")
}

/// What a panic says, when that is all that is left to do with it.
pub(crate) fn message(payload: Box<dyn Any + Send>) -> String {
    let text = text_of(&*payload).to_owned();
    // A value may panic as it is dropped; what it has to say is said.
    log(|| drop(payload));
    in_short(text)
}

/// Drops what is others', such as a handler that is cut off. A panic of a destructor is a line in the log, and takes
/// nothing of ours along: no answer, no count, no next hook.
pub(crate) fn drop_others<T>(others: T) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(|| drop(others))) {
        let cause = message(payload);
        log(|| tracing::error!(cause, "a destructor panicked"));
    }
}

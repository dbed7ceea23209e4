//! Problems of axum's rejections: same status, the client's mistake in the detail, our own only in the log.

use std::error::Error;

#[cfg(feature = "multipart")]
use axum::extract::multipart::{MultipartError, MultipartRejection};
#[cfg(feature = "ws")]
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::{
    extract::rejection::{
        BytesRejection, ExtensionRejection, FormRejection, JsonRejection, MatchedPathRejection,
        NestedPathRejection, PathRejection, QueryRejection, RawFormRejection,
        RawPathParamsRejection, StringRejection,
    },
    http::StatusCode,
};

use super::{BROKEN_BODY, Problem, wording};
use crate::broken_body;

/// What a body is told that is over a limit: of axum's, or of any layer around.
const TOO_LARGE: &str = "The body of the request is too large.";

fn rejected(rejection: &(dyn Error + 'static), status: StatusCode, text: &str) -> Problem {
    // axum looks for this only so deep, and each layer that has a body around the body hides it further.
    if broken_body::is_too_large(rejection) {
        return Problem::too_large(TOO_LARGE);
    }
    if status.is_server_error() {
        return Problem::internal(&text);
    }
    Problem::new(status).detail(wording::for_clients(text))
}

macro_rules! problem_of {
    ($($(#[$meta:meta])* $rejection:ty),* $(,)?) => {$(
        $(#[$meta])*
        impl From<$rejection> for Problem {
            fn from(rejection: $rejection) -> Self {
                rejected(&rejection, rejection.status(), &rejection.body_text())
            }
        }
    )*};
}

problem_of! {
    BytesRejection,
    ExtensionRejection,
    FormRejection,
    JsonRejection,
    MatchedPathRejection,
    NestedPathRejection,
    PathRejection,
    QueryRejection,
    RawFormRejection,
    RawPathParamsRejection,
    StringRejection,
    #[cfg(feature = "multipart")]
    MultipartRejection,
    #[cfg(feature = "ws")]
    WebSocketUpgradeRejection,
}

/// A body that breaks off or is malformed is the client's doing: 400. axum's own status for it is 500.
#[cfg(feature = "multipart")]
impl From<MultipartError> for Problem {
    fn from(error: MultipartError) -> Self {
        // The parser's error has a cause only if the body under it could not be read.
        let unread = error.source().and_then(Error::source).is_some();
        if unread && error.status().is_server_error() && !broken_body::is_too_large(&error) {
            return Problem::bad_request(BROKEN_BODY);
        }
        rejected(&error, error.status(), &error.body_text())
    }
}

/// A body read by hand: 413 over the limit, 400 if it breaks off or is malformed, 500 for what is not the client's doing.
impl From<axum::Error> for Problem {
    fn from(error: axum::Error) -> Self {
        if broken_body::is_too_large(&error) {
            return Problem::too_large(TOO_LARGE);
        }
        if broken_body::is_from_outside(&error) {
            return Problem::bad_request(BROKEN_BODY);
        }
        Problem::internal(&error)
    }
}

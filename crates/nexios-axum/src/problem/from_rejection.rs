//! Problems of axum's rejections: same status, the client's mistake in the detail, our own only in the log.

#[cfg(feature = "multipart")]
use axum::extract::multipart::{MultipartError, MultipartRejection};
use axum::{
    extract::rejection::{
        BytesRejection, ExtensionRejection, FormRejection, JsonRejection, PathRejection, QueryRejection,
        StringRejection,
    },
    http::StatusCode,
};

use super::Problem;

fn rejected(status: StatusCode, text: String) -> Problem {
    if status.is_server_error() {
        return Problem::internal(&text);
    }
    Problem::new(status).detail(text)
}

macro_rules! problem_of {
    ($($(#[$meta:meta])* $rejection:ty),* $(,)?) => {$(
        $(#[$meta])*
        impl From<$rejection> for Problem {
            fn from(rejection: $rejection) -> Self {
                rejected(rejection.status(), rejection.body_text())
            }
        }
    )*};
}

problem_of! {
    BytesRejection,
    ExtensionRejection,
    FormRejection,
    JsonRejection,
    PathRejection,
    QueryRejection,
    StringRejection,
    #[cfg(feature = "multipart")]
    MultipartRejection,
    #[cfg(feature = "multipart")]
    MultipartError,
}

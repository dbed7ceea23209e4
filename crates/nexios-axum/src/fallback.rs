//! The answers of a router that has no handler for a request.

use axum::{
    extract::OriginalUri,
    http::{Method, StatusCode},
};

use crate::{problem::Problem, text::in_short};

/// Answers 404 as a problem that names the path, without its middle if it has more than 400 characters; meant for
/// [`Router::fallback`](axum::Router::fallback), and for `not_found_service` of tower-http's `ServeDir`.
///
/// The path is the one that the client has asked for, also in a nested router.
pub async fn not_found(OriginalUri(uri): OriginalUri) -> Problem {
    Problem::not_found("There is nothing here.").with("path", in_short(uri.path().to_owned()))
}

/// Answers 405 as a problem; meant for
/// [`Router::method_not_allowed_fallback`](axum::Router::method_not_allowed_fallback), which adds `Allow`.
pub async fn method_not_allowed(method: Method) -> Problem {
    let detail = format!("{} is not possible here.", in_short(method.to_string()));
    Problem::new(StatusCode::METHOD_NOT_ALLOWED).detail(detail)
}

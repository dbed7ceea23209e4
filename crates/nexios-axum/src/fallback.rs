//! The answers of a router that has no handler for a request.

use axum::http::{Method, StatusCode, Uri};

use crate::problem::Problem;

/// Answers 404 as a problem; meant for [`Router::fallback`](axum::Router::fallback).
pub async fn not_found(uri: Uri) -> Problem {
    Problem::not_found("There is nothing here.").with("path", uri.path())
}

/// Answers 405 as a problem; meant for
/// [`Router::method_not_allowed_fallback`](axum::Router::method_not_allowed_fallback), which adds `Allow`.
pub async fn method_not_allowed(method: Method) -> Problem {
    let detail = format!("{method} is not possible here.");
    Problem::new(StatusCode::METHOD_NOT_ALLOWED).detail(detail)
}

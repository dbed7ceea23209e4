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
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use axum::{Router, body::Body, http::Request, routing::get};
/// use nexios_axum::not_found;
/// use tower::ServiceExt;
///
/// let app: Router = Router::new().route("/", get(async || "hello")).fallback(not_found);
/// let response = app.oneshot(Request::get("/nowhere").body(Body::empty())?).await?;
/// assert_eq!(response.status(), 404);
/// assert_eq!(response.headers()["content-type"], "application/problem+json");
/// # Ok(())
/// # }
/// ```
pub async fn not_found(OriginalUri(uri): OriginalUri) -> Problem {
    Problem::not_found("There is nothing here.").with("path", in_short(uri.path().to_owned()))
}

/// Answers 405 as a problem; meant for
/// [`Router::method_not_allowed_fallback`](axum::Router::method_not_allowed_fallback), which adds `Allow`.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use axum::{Router, body::Body, http::Request, routing::get};
/// use nexios_axum::method_not_allowed;
/// use tower::ServiceExt;
///
/// let app: Router =
///     Router::new().route("/", get(async || "hello")).method_not_allowed_fallback(method_not_allowed);
/// let response = app.oneshot(Request::delete("/").body(Body::empty())?).await?;
/// assert_eq!((response.status().as_u16(), &response.headers()["allow"]), (405, &"GET,HEAD".parse()?));
/// # Ok(())
/// # }
/// ```
pub async fn method_not_allowed(method: Method) -> Problem {
    let detail = format!("{} is not possible here.", in_short(method.to_string()));
    Problem::new(StatusCode::METHOD_NOT_ALLOWED).detail(detail)
}

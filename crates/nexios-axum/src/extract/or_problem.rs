//! Extractors whose rejection is a problem.

use axum::{
    extract::{FromRequest, FromRequestParts, Request},
    http::request::Parts,
};

use crate::problem::Problem;

/// Extracts what `E` extracts, and answers a [`Problem`] where `E` would answer plain text.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use axum::{Json, Router, body::Body, extract::Path, http::Request, routing::post};
/// use nexios_axum::OrProblem;
/// use tower::ServiceExt;
///
/// async fn rename(OrProblem(Path(id)): OrProblem<Path<u64>>, OrProblem(Json(name)): OrProblem<Json<String>>) -> String {
///     format!("{id} is called {name} now")
/// }
///
/// let app: Router = Router::new().route("/people/{id}/name", post(rename));
/// let request = Request::post("/people/seven/name").body(Body::empty())?;
/// let response = app.oneshot(request).await?;
/// assert_eq!(response.status(), 400);
/// assert_eq!(response.headers()["content-type"], "application/problem+json");
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct OrProblem<E>(pub E);

impl<S, E> FromRequest<S> for OrProblem<E>
where
    S: Send + Sync,
    E: FromRequest<S>,
    Problem: From<E::Rejection>,
{
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        Ok(OrProblem(E::from_request(request, state).await?))
    }
}

impl<S, E> FromRequestParts<S> for OrProblem<E>
where
    S: Send + Sync,
    E: FromRequestParts<S>,
    Problem: From<E::Rejection>,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        Ok(OrProblem(E::from_request_parts(parts, state).await?))
    }
}

use std::{convert::Infallible, ops::Deref};

use axum::{extract::FromRequestParts, http::request::Parts};
use nexios::{CancelScope, CancelToken, TokenSource};

use crate::request::{RequestState, warn_once};

/// Extracts the token of the request, which fires at its end and says why.
///
/// Without a [`RequestLayer`](crate::RequestLayer) it is the token of the current scope, else one that never
/// fires; the log warns once.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::time::Duration;
/// use axum::{Router, body::{Body, to_bytes}, http::Request, routing::get};
/// use nexios_axum::{RequestLayer, RequestToken};
/// use tower::ServiceExt;
///
/// async fn wait_for_news(RequestToken(token): RequestToken) -> String {
///     tokio::select! {
///         () = tokio::time::sleep(Duration::from_secs(20)) => "no news".to_owned(),
///         why = token.cancelled() => format!("ended early: {why:?}"), // clean up here
///     }
/// }
///
/// let layer = RequestLayer::new().deadline(Duration::from_secs(10));
/// let app: Router = Router::new().route("/", get(wait_for_news)).layer(layer);
/// let response = app.oneshot(Request::new(Body::empty())).await?;
/// assert_eq!(&to_bytes(response.into_body(), 1024).await?[..], b"ended early: Deadline");
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct RequestToken(pub CancelToken);

impl Deref for RequestToken {
    type Target = CancelToken;

    fn deref(&self) -> &CancelToken {
        &self.0
    }
}

impl<S: Sync> FromRequestParts<S> for RequestToken {
    type Rejection = Infallible;

    async fn from_request_parts(_parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        Ok(RequestToken(match RequestState::current() {
            Some(state) => state.token(),
            None => {
                warn_once("RequestToken");
                CancelScope::current()
                    .map(|scope| scope.token())
                    .unwrap_or_default()
            }
        }))
    }
}

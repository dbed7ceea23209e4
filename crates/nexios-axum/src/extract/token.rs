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
/// use axum::{Router, routing::get};
/// use nexios_axum::{RequestLayer, RequestToken};
///
/// async fn wait_for_news(RequestToken(token): RequestToken) -> &'static str {
///     tokio::select! {
///         _ = tokio::time::sleep(std::time::Duration::from_secs(20)) => "no news",
///         _ = token.cancelled() => "nobody is listening any more", // clean up here
///     }
/// }
///
/// let app: Router = Router::new().route("/news", get(wait_for_news)).layer(RequestLayer::new());
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

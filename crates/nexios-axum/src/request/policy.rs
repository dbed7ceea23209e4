use std::time::Duration;

/// What becomes of a handler whose client went away before the answer.
///
/// It is a layer for single routes inside a [`RequestLayer`](crate::RequestLayer); a route without one is
/// [`Cooperative`](Self::Cooperative) with the layer's grace. The same holds when a request is cut short by its
/// deadline or by the shutdown, except that then the token fires and the grace begins for `Detached` too.
///
/// # Examples
///
/// ```
/// use axum::{Router, routing::post};
/// use nexios_axum::{OnDisconnect, RequestLayer};
///
/// let app: Router = Router::new()
///     .route("/pay", post(async || "paid").layer(OnDisconnect::Detached))
///     .layer(RequestLayer::new());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnDisconnect {
    /// The token fires; the handler goes on for at most `grace` as a rescued one, so that its own cleanup can
    /// run to the end.
    Cooperative {
        /// Counts from the moment at which the client was found gone.
        grace: Duration,
    },
    /// The token does not fire and the handler goes on to its end as a rescued one, within its deadline: for
    /// what must not be stopped half-way.
    Detached,
    /// The token fires and the handler is dropped at once, where it awaits.
    Immediate,
}

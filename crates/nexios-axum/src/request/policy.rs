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
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::{sync::atomic::{AtomicBool, Ordering}, time::Duration};
/// use axum::{Router, body::Body, http::Request, routing::get};
/// use nexios_axum::{OnDisconnect, RequestLayer};
/// use tokio::time::{sleep, timeout};
/// use tower::ServiceExt;
///
/// static PAID: AtomicBool = AtomicBool::new(false);
///
/// async fn pay() {
///     sleep(Duration::from_secs(5)).await;
///     PAID.store(true, Ordering::Relaxed);
/// }
///
/// let layer = RequestLayer::new();
/// let requests = layer.requests();
/// let app: Router = Router::new().route("/", get(pay).layer(OnDisconnect::Detached)).layer(layer);
/// let left = timeout(Duration::from_secs(1), app.oneshot(Request::new(Body::empty()))).await;
/// assert!(left.is_err()); // the client went away after a second
/// requests.idle().await;
/// assert!(PAID.load(Ordering::Relaxed));
/// # Ok(())
/// # }
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

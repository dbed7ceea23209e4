use std::task::{Context, Poll};

use axum::http::Request;
use tower_layer::Layer;
use tower_service::Service;

use super::{missing_layer::warn_once, state::RequestState};

/// Keeps the requests of a route inside a [`RequestLayer`](crate::RequestLayer) out of the access log: for scrapes, a console, assets,
/// of which nobody wants to read.
///
/// It is a layer for a route, a nested router or a nested service. It leaves out all lines with the target `nexios_axum::access`
/// from where the request has come to this layer; what an outer layer answers, such as a limit that turns it away, has its line.
/// Warnings and errors stay, a panic of the handler among them, and so do counts and deadlines.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use axum::{Router, body::Body, http::Request, routing::get};
/// use nexios_axum::{RequestLayer, WithoutAccessLog};
/// use tower::ServiceExt;
///
/// let requests = RequestLayer::new();
/// let watched = requests.requests();
/// let assets: Router = Router::new().route("/style.css", get(async || "body { }"));
/// let app: Router = Router::new()
///     .route("/", get(async || "hello")) // the only one with a line
///     .route("/metrics", get(async || "up 1").layer(WithoutAccessLog))
///     .nest("/assets", assets.layer(WithoutAccessLog))
///     .layer(requests);
/// for path in ["/", "/metrics", "/assets/style.css"] {
///     app.clone().oneshot(Request::get(path).body(Body::empty())?).await?;
/// }
/// assert_eq!(watched.stats().started, 3);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct WithoutAccessLog;

impl<S> Layer<S> for WithoutAccessLog {
    type Service = WithoutAccessLogService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        WithoutAccessLogService { inner }
    }
}

/// Tells the [`RequestLayer`](crate::RequestLayer) that its route has no line in the access log; made by [`WithoutAccessLog`].
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use axum::{Router, routing::get};
/// use nexios_axum::{WithoutAccessLog, WithoutAccessLogService};
/// use tower::Layer;
///
/// let metrics: Router = Router::new().route("/", get(async || "up 1"));
/// let service: WithoutAccessLogService<Router> = WithoutAccessLog.layer(metrics);
/// let app: Router = Router::new().nest_service("/metrics", service);
/// # let _ = app;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct WithoutAccessLogService<S> {
    inner: S,
}

impl<S: Service<Request<B>>, B> Service<Request<B>> for WithoutAccessLogService<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        match RequestState::current() {
            Some(state) => state.leave_out_of_the_access_log(),
            None => warn_once("WithoutAccessLog"),
        }
        self.inner.call(request)
    }
}

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use axum::http::Request;
use tower_layer::Layer;
use tower_service::Service;

use super::{missing_layer::warn_once, state::RequestState};
use crate::inner_service::Inner;

/// Replaces the server's own limit for one route inside a [`RequestLayer`](crate::RequestLayer): longer for an
/// upload, none for a stream of events, shorter for what must be quick. A client still can only shorten it. It holds for the
/// wait for what is inside too, such as a place in a limit of concurrency.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::time::Duration;
/// use axum::{Router, body::Body, http::Request, routing::get};
/// use nexios_axum::{RequestLayer, RouteDeadline};
/// use tower::ServiceExt;
///
/// let quick = get(async || tokio::time::sleep(Duration::from_secs(5)).await); // it is not
/// let app: Router = Router::new()
///     .route("/", quick.layer(RouteDeadline::of(Duration::from_secs(2))))
///     .layer(RequestLayer::new().deadline(Duration::from_secs(10)));
/// assert_eq!(app.oneshot(Request::new(Body::empty())).await?.status(), 504);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy)]
pub struct RouteDeadline {
    limit: Option<Duration>,
}

impl RouteDeadline {
    /// A limit for the time from the head of the request to the head of its answer.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use std::time::Duration;
    /// use axum::{Router, body::Body, http::Request, routing::get};
    /// use nexios_axum::{RequestLayer, RouteDeadline};
    /// use tower::ServiceExt;
    ///
    /// let upload = get(async || tokio::time::sleep(Duration::from_secs(60)).await);
    /// let app: Router = Router::new()
    ///     .route("/", upload.layer(RouteDeadline::of(Duration::from_secs(120))))
    ///     .layer(RequestLayer::new().deadline(Duration::from_secs(10)));
    /// assert_eq!(app.oneshot(Request::new(Body::empty())).await?.status(), 200);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn of(limit: Duration) -> Self {
        RouteDeadline { limit: Some(limit) }
    }

    /// No limit of the server's own.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use std::time::Duration;
    /// use axum::{Router, body::Body, http::Request, routing::get};
    /// use nexios_axum::{RequestLayer, RouteDeadline};
    /// use tower::ServiceExt;
    ///
    /// let poll = get(async || tokio::time::sleep(Duration::from_secs(3600)).await); // waits for news
    /// let app: Router = Router::new()
    ///     .route("/", poll.layer(RouteDeadline::none()))
    ///     .layer(RequestLayer::new().deadline(Duration::from_secs(10)));
    /// assert_eq!(app.oneshot(Request::new(Body::empty())).await?.status(), 200);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn none() -> Self {
        RouteDeadline { limit: None }
    }
}

impl<S> Layer<S> for RouteDeadline {
    type Service = RouteDeadlineService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        RouteDeadlineService {
            inner: Inner::new(inner),
            limit: self.limit,
        }
    }
}

/// Tells the limit of its route to the [`RequestLayer`](crate::RequestLayer); made by [`RouteDeadline`].
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::time::Duration;
/// use axum::{Router, routing::get};
/// use nexios_axum::{RouteDeadline, RouteDeadlineService};
/// use tower::Layer;
///
/// let router: Router = Router::new().route("/", get(async || "hello"));
/// let service: RouteDeadlineService<Router> = RouteDeadline::of(Duration::from_secs(2)).layer(router);
/// # let _ = service;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct RouteDeadlineService<S> {
    inner: Inner<S>,
    limit: Option<Duration>,
}

impl<S, B> Service<Request<B>> for RouteDeadlineService<S>
where
    S: Service<Request<B>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    B: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.look(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let Some(state) = RequestState::current() else {
            warn_once("RouteDeadline");
            return Box::pin(self.inner.call(request));
        };
        state.set_limit(self.limit);
        // The scope around this one still has the layer's limit.
        Box::pin(state.scope().run(self.inner.call(request)))
    }
}

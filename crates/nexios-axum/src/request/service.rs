use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll},
};

use axum::{
    BoxError,
    body::{Body, Bytes, HttpBody},
    http::{Request, Response},
};
use futures_util::TryFutureExt;
use tower_service::Service;

use super::{
    future::RequestFuture,
    settings::Supervisor,
    state::{Live, RequestState},
    upload,
};
use crate::inner_service::Inner;

/// In the extensions of a request that a layer watches over already. It travels with the request itself: a request
/// that a handler makes for another router is another one.
#[derive(Clone, Copy)]
struct WatchedOver;

/// Watches over the requests of a service; made by [`RequestLayer`](crate::RequestLayer).
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use axum::{Router, body::Body, http::Request, routing::get};
/// use nexios_axum::{RequestLayer, RequestService};
/// use tower::{Layer, ServiceExt};
///
/// let router: Router = Router::new().route("/", get(async || "hello"));
/// let service: RequestService<Router> = RequestLayer::new().layer(router);
/// assert_eq!(service.oneshot(Request::new(Body::empty())).await?.status(), 200);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct RequestService<S> {
    inner: Inner<S>,
    supervisor: Arc<Supervisor>,
}

impl<S> RequestService<S> {
    pub(super) fn new(inner: S, supervisor: Arc<Supervisor>) -> Self {
        RequestService {
            inner: Inner::new(inner),
            supervisor,
        }
    }
}

impl<S, B, R> Service<Request<B>> for RequestService<S>
where
    S: Service<Request<Body>, Response = Response<R>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: 'static,
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
    R: HttpBody<Data = Bytes> + Send + 'static,
    R::Error: Into<BoxError>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = RequestFuture<S::Error>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.look(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        if request.extensions_mut().insert(WatchedOver).is_some()
            && let Some(outer) = RequestState::current()
        {
            outer.adopt(&self.supervisor.settings);
            let response = self.inner.call(request.map(Body::new));
            // The scope around this one has the outer layer's limit.
            let work = outer
                .scope()
                .run(response.map_ok(|response| response.map(Body::new)));
            return RequestFuture::passing(Box::pin(work));
        }
        let live = Live::enter(&request, &self.supervisor);
        if let Some(reason) = live.refusal() {
            return RequestFuture::refused(live, reason);
        }
        // Scope and all are inside the box, so that they go along when the handler is rescued.
        let request = upload::watch(&live, request);
        // Two arms, and not a closure within a closure: the request is big to move.
        let response = match live.work() {
            None => live.call(|| self.inner.call(request)),
            Some(work) => work.scope(|| live.call(|| self.inner.call(request))),
        };
        // Not an `async` block, which would hold the future twice: as what it has captured and as what it awaits.
        let work = live.run(response.map_ok(|response| response.map(Body::new)));
        RequestFuture::new(live, Box::pin(work))
    }
}

impl<S: fmt::Debug> fmt::Debug for RequestService<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestService")
            .field("inner", &self.inner)
            .field("requests", &self.supervisor.requests)
            .finish_non_exhaustive()
    }
}

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
use tower_service::Service;

use super::{RequestContext, RequestFuture, Requests, Settings, state::RequestState};

/// Watches over the requests of a service; made by [`RequestLayer`](crate::RequestLayer).
#[derive(Clone)]
pub struct RequestService<S> {
    inner: S,
    settings: Arc<Settings>,
    requests: Requests,
}

impl<S> RequestService<S> {
    pub(super) fn new(inner: S, settings: Arc<Settings>, requests: Requests) -> Self {
        RequestService { inner, settings, requests }
    }
}

impl<S, B, R> Service<Request<B>> for RequestService<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Future: Send + 'static,
    S::Error: 'static,
    R: HttpBody<Data = Bytes> + Send + 'static,
    R::Error: Into<BoxError>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = RequestFuture<S::Error>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let live = self.requests.enter();
        let state = Arc::new(RequestState::new(&request, &self.settings, &self.requests));
        if let Some(reason) = state.refusal() {
            return RequestFuture::refused(live, state, reason);
        }
        request.extensions_mut().insert(RequestContext(state.clone()));
        let response = self.inner.call(request);
        // The scope is inside the box, so that it goes along when the handler is rescued.
        let work = state.scope().run(async move { Ok(response.await?.map(Body::new)) });
        RequestFuture::new(live, state, Box::pin(work))
    }
}

impl<S: fmt::Debug> fmt::Debug for RequestService<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestService")
            .field("inner", &self.inner)
            .field("requests", &self.requests)
            .finish_non_exhaustive()
    }
}

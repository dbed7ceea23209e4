//! What can be served.

use std::{
    convert::Infallible,
    sync::{Mutex, PoisonError},
    task::{Context, Poll},
};

use axum::{Router, extract::Request, response::IntoResponse, routing::IntoMakeService};
use futures_util::FutureExt;
use tower_service::Service;

use super::downcast::try_downcast;

/// What [`NexiosApp::new`](crate::NexiosApp::new) serves: a `Router` or anything else that answers requests.
///
/// It is implemented for what [`axum::serve`](fn@axum::serve) takes: a [`Router`], a `MethodRouter`, a handler's
/// `into_service()`, and any cloneable tower service from [`Request`] to a response that cannot fail, such as
/// a `Router` in `NormalizePath`; each with or without `into_make_service()`. The type parameter only keeps
/// these kinds apart, and is always inferred.
///
/// # Examples
///
/// ```
/// use axum::{Router, handler::HandlerWithoutStateExt, routing::get};
/// use nexios_axum::NexiosApp;
///
/// let routes = NexiosApp::new(Router::new().route("/", get(async || "hello")));
/// let one_route = NexiosApp::new(get(async || "hello"));
/// let handler = NexiosApp::new((async || "hello").into_service());
/// # drop((routes, one_route, handler));
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no service that `NexiosApp` can serve",
    note = "a `Router` with a state is one after `with_state(..)`",
    note = "`into_make_service_with_connect_info` is not needed: `ConnectInfo` is there for every request",
    note = "a service whose error is not `Infallible` is one inside `axum::error_handling::HandleError`"
)]
pub trait AppService<Kind>: private::Sealed<Kind> {
    #[doc(hidden)]
    fn into_router(self) -> Router;
}

mod private {
    pub trait Sealed<Kind> {}
}

/// Something that answers requests.
#[doc(hidden)]
#[derive(Debug)]
pub enum Answers {}

/// Something that makes such a thing for each connection.
#[doc(hidden)]
#[derive(Debug)]
pub enum Makes {}

impl<S> private::Sealed<Answers> for S
where
    S: Service<Request, Error = Infallible> + Clone + Send + 'static,
    S::Response: IntoResponse,
    S::Future: Send + 'static,
{
}

impl<S> AppService<Answers> for S
where
    S: Service<Request, Error = Infallible> + Clone + Send + 'static,
    S::Response: IntoResponse,
    S::Future: Send + 'static,
{
    fn into_router(self) -> Router {
        // Layers around a router run after it has found the route, and so know its name.
        try_downcast(self)
            .unwrap_or_else(|service| Router::new().fallback_service(Shareable::new(service)))
    }
}

impl<S> private::Sealed<Makes> for IntoMakeService<S> where S: AppService<Answers> + Clone {}

impl<S> AppService<Makes> for IntoMakeService<S>
where
    S: AppService<Answers> + Clone,
{
    fn into_router(mut self) -> Router {
        match self.call(()).now_or_never() {
            Some(Ok(service)) => service.into_router(),
            Some(Err(never)) => match never {},
            None => unreachable!("it makes the service by cloning it, and waits for nothing"),
        }
    }
}

/// A service that many threads may clone at once, even if it does not let them.
struct Shareable<S>(Mutex<S>);

impl<S> Shareable<S> {
    fn new(service: S) -> Self {
        Shareable(Mutex::new(service))
    }

    fn own(&mut self) -> &mut S {
        self.0.get_mut().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: Clone> Clone for Shareable<S> {
    fn clone(&self) -> Self {
        Shareable::new(
            self.0
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clone(),
        )
    }
}

impl<S: Service<Request>> Service<Request> for Shareable<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.own().poll_ready(cx)
    }

    fn call(&mut self, request: Request) -> S::Future {
        self.own().call(request)
    }
}

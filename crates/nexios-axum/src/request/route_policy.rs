use std::task::{Context, Poll};

use axum::http::Request;
use tower_layer::Layer;
use tower_service::Service;

use super::{missing_layer::warn_once, policy::OnDisconnect, state::RequestState};

impl<S> Layer<S> for OnDisconnect {
    type Service = OnDisconnectService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        OnDisconnectService {
            inner,
            policy: *self,
        }
    }
}

/// Tells the policy of its route to the [`RequestLayer`](crate::RequestLayer); made by [`OnDisconnect`].
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use axum::{Router, routing::get};
/// use nexios_axum::{OnDisconnect, OnDisconnectService};
/// use tower::Layer;
///
/// let router: Router = Router::new().route("/", get(async || "hello"));
/// let service: OnDisconnectService<Router> = OnDisconnect::Immediate.layer(router);
/// # let _ = service;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct OnDisconnectService<S> {
    inner: S,
    policy: OnDisconnect,
}

impl<S: Service<Request<B>>, B> Service<Request<B>> for OnDisconnectService<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        match RequestState::current() {
            Some(state) => state.set_policy(self.policy),
            None => warn_once("OnDisconnect"),
        }
        self.inner.call(request)
    }
}

//! A service that is waited for inside a request, where the request's limits hold, and not before it.
//!
//! A layer right inside one of ours, in a `ServiceBuilder` or around no router, may have nothing free for a call, as
//! `ConcurrencyLimit` does. Waited for in `poll_ready`, there would be no request yet that has a deadline.

use std::{
    fmt,
    future::{Future, poll_fn},
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    task::{Context, Poll},
};

use futures_util::future::Either;
use tower_service::Service;

use crate::panic::message;

/// A service, and whether it has said that it is ready for the next call.
pub(crate) struct Inner<S> {
    service: S,
    ready: bool,
}

impl<S> Inner<S> {
    pub(crate) fn new(service: S) -> Self {
        Inner {
            service,
            ready: false,
        }
    }

    /// Asks whether the service is ready; if not, the call will wait. Ready, or an error of the service.
    pub(crate) fn look<R>(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>>
    where
        S: Service<R>,
    {
        self.ready = match catch_unwind(AssertUnwindSafe(|| self.service.poll_ready(cx))) {
            Ok(Poll::Ready(Err(error))) => return Poll::Ready(Err(error)),
            Ok(ready) => ready.is_ready(),
            // It is asked again in the call, where a panic has an answer.
            Err(panic) => {
                drop(message(panic));
                false
            }
        };
        Poll::Ready(Ok(()))
    }

    /// Calls the service when it is ready. What panics in that panics in the future.
    pub(crate) fn call<R>(
        &mut self,
        request: R,
    ) -> impl Future<Output = Result<S::Response, S::Error>> + Send + use<S, R>
    where
        S: Service<R, Future: Send> + Clone + Send,
        R: Send,
    {
        let unready = if std::mem::take(&mut self.ready) {
            match catch_unwind(AssertUnwindSafe(|| self.service.call(request))) {
                // As it is: a block that awaits it would hold it twice.
                Ok(response) => return Either::Left(response),
                Err(panic) => Err(panic),
            }
        } else {
            // The one that was asked may have a place in the queue already.
            let next = self.service.clone();
            Ok((std::mem::replace(&mut self.service, next), request))
        };
        Either::Right(async move {
            let (mut service, request) = unready.unwrap_or_else(|panic| resume_unwind(panic));
            poll_fn(|cx| service.poll_ready(cx)).await?;
            service.call(request).await
        })
    }
}

impl<S: Clone> Clone for Inner<S> {
    fn clone(&self) -> Self {
        Inner::new(self.service.clone())
    }
}

impl<S: fmt::Debug> fmt::Debug for Inner<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.service.fmt(f)
    }
}

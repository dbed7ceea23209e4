use std::{
    fmt,
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use axum::{body::Body, http::Response, response::IntoResponse};
use nexios::{CancelReason, Interrupted};

use super::{
    access, body,
    requests::{Live, count},
    rescue::{self, Work},
    state::{RequestState, Stop},
};
use crate::{Problem, panic_response};

/// The answer to come of one request, and the guard of its handler.
///
/// # Invariants
///
/// 1. `live` is there until there is an answer; dropped with it, the client has gone.
/// 2. `work` is there exactly while the handler can be polled: one that has answered or panicked is never
///    touched again.
pub struct RequestFuture<E: 'static> {
    state: Arc<RequestState>,
    /// Counts the request until its answer takes it over.
    live: Option<Live>,
    /// The handler, in the request's scope.
    work: Option<Work<E>>,
    /// Why there is no handler.
    refusal: Option<CancelReason>,
    /// What ends the handler from outside; made when it first has to wait.
    stop: Option<Stop>,
    /// Whether the handler was polled: before that there is nothing to clean up.
    begun: bool,
}

impl<E: 'static> RequestFuture<E> {
    pub(super) fn new(live: Live, state: Arc<RequestState>, work: Work<E>) -> Self {
        RequestFuture { state, live: Some(live), work: Some(work), refusal: None, stop: None, begun: false }
    }

    pub(super) fn refused(live: Live, state: Arc<RequestState>, reason: CancelReason) -> Self {
        RequestFuture { state, live: Some(live), work: None, refusal: Some(reason), stop: None, begun: false }
    }

    fn poll_work(&mut self, cx: &mut Context<'_>) -> Poll<Result<Response<Body>, E>> {
        let work = self.work.as_mut().expect("a request's future is not polled after its answer");
        self.begun = true;
        let polled = catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(cx)));
        let answer = match polled {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(answer)) => answer,
            Err(payload) => {
                count(&self.state.requests().totals().panicked);
                self.state.cancel(CancelReason::OwnerDropped);
                Ok(self.state.span().in_scope(|| panic_response(payload)))
            }
        };
        self.work = None;
        Poll::Ready(match answer {
            Ok(response) => Ok(self.answer(response)),
            Err(error) => {
                self.fail();
                Err(error)
            }
        })
    }

    fn poll_stop(&mut self, cx: &mut Context<'_>) -> Poll<CancelReason> {
        if self.stop.is_none() {
            self.stop = self.state.stop();
        }
        self.stop.as_mut().map_or(Poll::Pending, |stop| stop.as_mut().poll(cx))
    }

    /// The request has an answer: from here on its body is what is watched.
    fn answer(&mut self, response: Response<Body>) -> Response<Body> {
        match self.live.take() {
            Some(live) => body::watch(live, &self.state, response),
            None => response,
        }
    }

    /// The service inside has an error in place of an answer; somebody outside will make an answer of it.
    fn fail(&mut self) {
        access::failed(&self.state);
        self.state.cancel(CancelReason::OwnerDropped);
        self.live = None;
    }

    /// The answer for a handler that may not go on.
    fn answer_for(&mut self, reason: CancelReason) -> Response<Body> {
        let totals = self.state.requests().totals();
        count(if reason == CancelReason::Deadline { &totals.expired } else { &totals.shut_down });
        let problem = Problem::from(Interrupted::from(reason));
        self.answer(problem.into_response())
    }
}

impl<E: 'static> Future for RequestFuture<E> {
    type Output = Result<Response<Body>, E>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let Some(reason) = self.refusal.take() {
            return Poll::Ready(Ok(self.answer_for(reason)));
        }
        if let Poll::Ready(answer) = self.poll_work(cx) {
            return Poll::Ready(answer);
        }
        let Poll::Ready(reason) = self.poll_stop(cx) else { return Poll::Pending };
        self.state.cancel(reason);
        // What the handler has to say to this counts, if it says it now.
        if let Poll::Ready(answer) = self.poll_work(cx) {
            return Poll::Ready(answer);
        }
        if let Some(work) = self.work.take() {
            rescue::start(&self.state, work, reason);
        }
        Poll::Ready(Ok(self.answer_for(reason)))
    }
}

impl<E: 'static> Drop for RequestFuture<E> {
    fn drop(&mut self) {
        let Some(live) = self.live.take() else { return };
        // hyper drops a request when its client is gone. A thread that unwinds drops everything.
        let reason = if std::thread::panicking() {
            access::answered(&self.state, 500, false);
            CancelReason::OwnerDropped
        } else {
            count(&self.state.requests().totals().disconnected);
            access::client_gone(&self.state);
            CancelReason::ClientDisconnected
        };
        match self.work.take() {
            Some(work) if self.begun => rescue::start(&self.state, work, reason),
            _ => self.state.cancel(reason),
        }
        drop(live);
    }
}

impl<E: 'static> fmt::Debug for RequestFuture<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestFuture").field("request", &self.state).finish_non_exhaustive()
    }
}

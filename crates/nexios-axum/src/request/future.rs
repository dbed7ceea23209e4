use std::{
    any::Any,
    fmt,
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    task::{Context, Poll},
};

use axum::{body::Body, http::Response};
use nexios::{CancelReason, Interrupted};
use tokio::time::Instant;

use super::{
    access, body,
    requests::count,
    rescue::{self, ScopedHandler},
    state::{Live, Stop},
    work::Verdict,
};
use crate::{
    panic::{panic_problem, text_of},
    problem::Problem,
    punctual::poll_punctual,
};

/// The answer to come of one request, and the guard of its handler.
///
/// # Invariants
///
/// 1. It is open until there is an answer; dropped before, the client has gone.
/// 2. A handler that has answered or panicked is never polled again: the stage is `Ended` in the same poll.
/// 3. The handler is dropped or rescued before its answer, or the one in its place, is given out.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::convert::Infallible;
/// use axum::{Router, body::Body, http::Request, routing::get};
/// use nexios_axum::{RequestFuture, RequestLayer};
/// use tower::{Layer, Service};
///
/// let layer = RequestLayer::new();
/// let mut service = layer.layer(Router::new().route("/", get(async || "hello")));
/// let answer: RequestFuture<Infallible> = service.call(Request::new(Body::empty()));
/// drop(answer); // its client has gone
/// assert_eq!(layer.requests().stats().disconnected, 1);
/// # Ok(())
/// # }
/// ```
pub struct RequestFuture<E: 'static> {
    stage: Stage<E>,
}

enum Stage<E: 'static> {
    Open(Open<E>),
    /// A layer outside watches over the request already.
    Passing(ScopedHandler<E>),
    Ended,
}

/// A request without an answer.
struct Open<E: 'static> {
    /// The request.
    live: Live,
    /// What makes the answer.
    source: Source<E>,
    /// What ends the handler from outside; made when it first has to wait.
    stop: Option<Stop>,
    /// The deadline that `stop` was made for: a route behind a layer that waits sets its own later.
    stop_at: Option<Instant>,
    /// Whether the handler was polled: before that there is nothing to clean up.
    begun: bool,
}

enum Source<E: 'static> {
    /// The handler.
    Handler(ScopedHandler<E>),
    /// There is none, for this reason.
    Refusal(CancelReason),
}

/// How a request comes to its answer.
enum Conclusion<E> {
    Answered(Response<Body>),
    Failed(E),
    Panicked(Box<dyn Any + Send>),
    Stopped(CancelReason),
    /// The client went away while the handler read its request.
    Left,
}

impl<E: 'static> RequestFuture<E> {
    pub(super) fn new(live: Live, handler: ScopedHandler<E>) -> Self {
        RequestFuture::open(live, Source::Handler(handler))
    }

    pub(super) fn refused(live: Live, reason: CancelReason) -> Self {
        RequestFuture::open(live, Source::Refusal(reason))
    }

    pub(super) fn passing(handler: ScopedHandler<E>) -> Self {
        RequestFuture {
            stage: Stage::Passing(handler),
        }
    }

    fn open(live: Live, source: Source<E>) -> Self {
        let open = Open {
            live,
            source,
            stop: None,
            stop_at: None,
            begun: false,
        };
        RequestFuture {
            stage: Stage::Open(open),
        }
    }
}

impl<E: 'static> Open<E> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Conclusion<E>> {
        // Before the look at the clock: an answer that is ready in the turn of the deadline is the client's.
        let conclusion = self.poll_source(cx);
        if conclusion.is_ready() {
            return conclusion;
        }
        // The body that has noticed it was polled by the handler, and nobody else will be woken for it.
        if self.live.is_gone() {
            return Poll::Ready(Conclusion::Left);
        }
        let Poll::Ready(reason) = self.poll_stop(cx) else {
            return Poll::Pending;
        };
        self.live.cancel(reason);
        // What the handler has to say to this counts, if it says it now.
        match self.poll_source(cx) {
            Poll::Pending => Poll::Ready(Conclusion::Stopped(reason)),
            conclusion => conclusion,
        }
    }

    fn poll_source(&mut self, cx: &mut Context<'_>) -> Poll<Conclusion<E>> {
        let handler = match &mut self.source {
            Source::Handler(handler) => handler,
            Source::Refusal(reason) => return Poll::Ready(Conclusion::Stopped(*reason)),
        };
        self.begun = true;
        // Caught here: above are layers, and at last the connection with requests of others.
        let poll = || catch_unwind(AssertUnwindSafe(|| handler.as_mut().poll(cx)));
        match self.live.poll(poll) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(Ok(response))) => Poll::Ready(Conclusion::Answered(response)),
            Ok(Poll::Ready(Err(error))) => Poll::Ready(Conclusion::Failed(error)),
            Err(payload) => Poll::Ready(Conclusion::Panicked(payload)),
        }
    }

    fn poll_stop(&mut self, cx: &mut Context<'_>) -> Poll<CancelReason> {
        let at = self.live.ends_at();
        if self.stop.is_none() || self.stop_at != at {
            self.stop = self.live.stop(at);
            self.stop_at = at;
        }
        // The handler may have used up the budget of this poll, and would then never be found late.
        self.stop
            .as_mut()
            .map_or(Poll::Pending, |stop| poll_punctual(Pin::new(stop), cx))
    }

    fn end(self, conclusion: Conclusion<E>) -> Result<Response<Body>, E> {
        let Open { live, source, .. } = self;
        match conclusion {
            Conclusion::Answered(response) => {
                // What the handler has left behind, such as a group, ends before the client hears of the answer.
                live.drop_part(source);
                if live.is_gone() {
                    // An answer that nobody receives, to a request of which a part is missing.
                    note_gone(&live);
                    live.cancel(CancelReason::ClientDisconnected);
                    return Ok(response);
                }
                Ok(body::watch(live, response))
            }
            Conclusion::Failed(error) => {
                live.drop_part(source);
                access::failed(&live);
                live.conclude(|| Verdict::Failed(None));
                live.cancel(CancelReason::OwnerDropped);
                Err(error)
            }
            Conclusion::Panicked(payload) => {
                live.drop_part(source);
                count(&live.requests().totals().panicked);
                live.conclude(|| Verdict::Panicked(text_of(&*payload).to_owned()));
                live.cancel(CancelReason::OwnerDropped);
                let problem = live.span().within(|| panic_problem(payload));
                let response = live.answer(problem);
                Ok(body::watch(live, response))
            }
            Conclusion::Stopped(reason) => {
                let totals = live.requests().totals();
                count(if reason == CancelReason::Deadline {
                    &totals.expired
                } else {
                    &totals.shut_down
                });
                live.conclude(|| Verdict::cut_short(reason));
                // Counted as rescued before the request stops to be live: see `requests`.
                if let Source::Handler(handler) = source {
                    rescue::start(&live, handler, reason);
                }
                let response = live.answer(Problem::from(Interrupted::from(reason)));
                Ok(body::watch(live, response))
            }
            Conclusion::Left => {
                note_gone(&live);
                if let Source::Handler(handler) = source {
                    rescue::start(&live, handler, CancelReason::ClientDisconnected);
                }
                Ok(live.answer(Problem::bad_request(
                    "The request ended before it was complete.",
                )))
            }
        }
    }

    /// The request is dropped: hyper does so when its client is gone, and a thread that unwinds drops everything.
    fn abandon(self) {
        let reason = if std::thread::panicking() {
            access::answered(&self.live, 500, None, false);
            self.live.conclude(|| Verdict::Panicked(String::new()));
            CancelReason::OwnerDropped
        } else {
            note_gone(&self.live);
            CancelReason::ClientDisconnected
        };
        match self.source {
            Source::Handler(handler) if self.begun => rescue::start(&self.live, handler, reason),
            source => {
                self.live.cancel(reason);
                self.live.drop_part(source);
            }
        }
    }
}

/// Counts and logs a client that did not wait.
fn note_gone(live: &Live) {
    count(&live.requests().totals().disconnected);
    access::client_gone(live);
    live.say_status(access::CLIENT_CLOSED_REQUEST);
    live.conclude(|| Verdict::Cancelled(CancelReason::ClientDisconnected));
}

impl<E: 'static> Future for RequestFuture<E> {
    type Output = Result<Response<Body>, E>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let conclusion = match &mut self.stage {
            Stage::Open(open) => open.poll(cx),
            Stage::Passing(handler) => return handler.as_mut().poll(cx),
            Stage::Ended => panic!("a request's future is not polled after its answer"),
        };
        let Poll::Ready(conclusion) = conclusion else {
            return Poll::Pending;
        };
        // First out of the stage: whatever panics from here on must not find the request open when this is dropped.
        match std::mem::replace(&mut self.stage, Stage::Ended) {
            Stage::Open(open) => Poll::Ready(open.end(conclusion)),
            _ => unreachable!("it was open a moment ago"),
        }
    }
}

impl<E: 'static> Drop for RequestFuture<E> {
    fn drop(&mut self) {
        if let Stage::Open(open) = std::mem::replace(&mut self.stage, Stage::Ended) {
            open.abandon();
        }
    }
}

impl<E: 'static> fmt::Debug for RequestFuture<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let request = match &self.stage {
            Stage::Open(open) => Some(&*open.live),
            _ => None,
        };
        f.debug_struct("RequestFuture")
            .field("request", &request)
            .finish_non_exhaustive()
    }
}

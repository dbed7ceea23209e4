//! Handlers that go on after their answer has stopped to matter.

use std::{
    future::{Future, pending, poll_fn},
    panic::AssertUnwindSafe,
    pin::{Pin, pin},
    sync::Arc,
};

use super::{
    access::{self, Cleanup},
    policy::OnDisconnect,
    requests::{Rescued, count},
    state::{Live, RequestState},
    work::{RequestWork, Verdict},
};
use crate::{
    panic::{drop_others, panic_problem, text_of},
    punctual::punctual,
};
use axum::{body::Body, http::Response};
use futures_util::{
    FutureExt,
    future::{Either, select},
};
use nexios::CancelReason;
use tokio::{
    runtime::Handle,
    time::{Instant, sleep},
};

/// A handler in its request's scope; it yields the answer.
pub(super) type ScopedHandler<E> = Pin<Box<dyn Future<Output = Result<Response<Body>, E>> + Send>>;

/// Lets a handler that was polled before go on as its policy says, for `reason`.
pub(super) fn start<E: 'static>(live: &Live, handler: ScopedHandler<E>, reason: CancelReason) {
    let state: &Arc<RequestState> = live;
    let policy = state.policy();
    // One whose deadline has passed or whose service shuts down finds that out by itself, at its first turn.
    let detached = policy == OnDisconnect::Detached;
    if !detached {
        state.cancel(reason);
    }
    if policy == OnDisconnect::Immediate {
        live.drop_part(handler);
        return;
    }
    let requests = state.requests();
    // Without a runtime there is nobody to poll it; on one that shuts down it is dropped by `spawn`.
    let runtime = Handle::try_current().ok();
    let rescued = runtime.and_then(|runtime| {
        Some((
            runtime,
            requests.try_rescue(detached, state.settings().rescue_limit)?,
        ))
    });
    let Some((runtime, rescued)) = rescued else {
        count(&requests.totals().unrescued);
        state.note_if_shut_down();
        state.cancel(reason);
        access::not_rescued(state);
        live.drop_part(handler);
        return;
    };
    let rescue = Rescue {
        state: state.clone(),
        begun: Instant::now(),
        ended: false,
        work: live.work().cloned(),
        _rescued: rescued,
    };
    runtime.spawn(state.span().instrument(run(handler, rescue, detached)));
}

/// The handler goes before its rescue, wherever this is dropped.
async fn run<E>(mut handler: ScopedHandler<E>, mut rescue: Rescue, detached: bool) {
    let state = rescue.state.clone();
    let cut = async {
        if detached {
            let reason = match state.stop(state.ends_at()) {
                Some(stop) => stop.await,
                None => pending().await,
            };
            state.cancel(reason);
        }
        sleep(grace(&state)).await;
    };
    let (cut, abort) = (pin!(cut), pin!(state.requests().abort().cancelled()));
    // The handler may use up the budget of a poll, and would then never be cut off.
    let end = punctual(select(cut, abort));
    let work = rescue.work.clone();
    let handler = poll_fn(move |cx| match &work {
        Some(work) => work.poll(|| handler.as_mut().poll(cx)),
        None => handler.as_mut().poll(cx),
    });
    let cleanup = match select(AssertUnwindSafe(handler).catch_unwind(), end).await {
        Either::Left((Ok(answer), _)) => {
            drop_others(answer);
            Cleanup::Finished
        }
        Either::Left((Err(payload), _)) => {
            if let Some(work) = &rescue.work {
                work.conclude(Verdict::Panicked(text_of(&*payload).to_owned()));
            }
            drop(panic_problem(payload));
            Cleanup::Panicked
        }
        Either::Right((_, handler)) => {
            drop_others(handler);
            Cleanup::CutOff
        }
    };
    rescue.end(cleanup, CancelReason::Finished);
}

fn grace(state: &RequestState) -> std::time::Duration {
    match state.policy() {
        OnDisconnect::Cooperative { grace } => grace,
        _ => state.settings().grace(),
    }
}

/// Tells how a rescued handler ended; dropped before, it was cut off by the end of its runtime.
struct Rescue {
    state: Arc<RequestState>,
    begun: Instant,
    ended: bool,
    /// As observers see it. Before the count: who waits until no handler is rescued has heard of all of them.
    work: Option<Arc<RequestWork>>,
    _rescued: Rescued,
}

impl Rescue {
    fn end(&mut self, cleanup: Cleanup, reason: CancelReason) {
        self.ended = true;
        let totals = self.state.requests().totals();
        match cleanup {
            Cleanup::Finished => {}
            Cleanup::CutOff => {
                count(&totals.cut_off);
                self.state.note_if_shut_down();
            }
            Cleanup::Panicked => count(&totals.panicked),
        }
        self.state.cancel(reason);
        access::rescue_ended(&self.state, cleanup, self.begun.elapsed());
    }
}

impl Drop for Rescue {
    fn drop(&mut self) {
        if !self.ended {
            self.end(Cleanup::CutOff, CancelReason::OwnerDropped);
        }
    }
}

//! `run`: the body and the children driven together, and the orderly end.

use std::{
    future::{Future, poll_fn},
    panic::resume_unwind,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
};

use futures_util::task::waker_ref;

use super::{
    body::Body,
    drive::{self, Turned},
    panics::resume_or_log,
    state::{Core, Left, Phase, Run, Shared},
    verdict::{Cause, Payload},
    wakers::ChildWaker,
};
use crate::Interrupted;

/// Who `run` is among the awaiters; children have ids from one.
pub(super) const RUN: u64 = 0;

pub(super) async fn run<T, E, B>(shared: &Arc<Shared<'_, E>>, body: B) -> Result<T, E>
where
    E: From<Interrupted>,
    B: Future<Output = Result<T, E>>,
{
    let mut running = Running { shared, entered: false, waker: None, left: None, end: None };
    let mut value = None;
    if !drive(&mut running, body, &mut value).await {
        return Err(refused(shared));
    }
    running.conclude();
    let mut finalizer_panic = None;
    if let Some(left) = running.left.take() {
        // Boxed: it is rare, and would make every run larger.
        finalizer_panic = Box::pin(left.settle()).await;
        running.conclude();
    }
    let (panic, outcome) = running.outcome(value);
    drop(running);
    if let Some(payload) = panic.or(finalizer_panic) {
        resume_unwind(payload);
    }
    outcome
}

/// Polls body and children until all have ended; leaves the body's value, if it has returned one. False if there is nothing
/// left to run.
async fn drive<T, E, B>(running: &mut Running<'_, '_, E>, body: B, value: &mut Option<T>) -> bool
where
    E: From<Interrupted>,
    B: Future<Output = Result<T, E>>,
{
    let mut body = pin!(Some(body));
    poll_fn(|cx| {
        let shared = running.shared;
        let mut seat = Seat { body: body.as_mut(), value, running };
        match drive::turn(shared, RUN, cx.waker(), Some(&mut seat)) {
            Turned::Goes => Poll::Pending,
            Turned::Over => Poll::Ready(true),
            Turned::Refused => Poll::Ready(false),
        }
    })
    .await
}

/// What a run yields that came too late.
fn refused<E: From<Interrupted>>(shared: &Shared<'_, E>) -> E {
    let core = shared.lock();
    if core.run == Run::Active {
        drop(core);
        panic!("TaskGroup::run was called while another run of the same group is under way");
    }
    let cause = core.verdict.cause.unwrap_or(Cause::Finished);
    drop(core);
    // As any other awaiter, this one may be the first to hear of the failure.
    let failure = if cause.interrupts_body() { shared.take_failure() } else { None };
    failure.unwrap_or_else(|| cause.interrupted().into())
}

/// Ends the group if `run` is dropped on the way.
struct Running<'a, 'env, E> {
    shared: &'a Shared<'env, E>,
    /// It has been polled, and was not refused.
    entered: bool,
    /// The body's, from the first poll until all has ended.
    waker: Option<Arc<ChildWaker>>,
    /// What there is to wait for after the children.
    left: Option<Box<Left<E>>>,
    end: Option<End<E>>,
}

/// What the group has come to.
struct End<E> {
    cause: Cause,
    /// The error to return.
    primary: Option<E>,
    panic: Option<Payload>,
    /// Nothing is left of the group that a drop would have to see to.
    settled: bool,
}

impl<E> Running<'_, '_, E> {
    /// Begins the run; false if there is nothing left to run.
    fn enter(&mut self, core: &mut Core<'_, E>) -> bool {
        if self.entered {
            return true;
        }
        let cancelled_before = core.verdict.cause == Some(Cause::Requested);
        self.entered = core.run == Run::NotYet && (core.phase == Phase::Open || cancelled_before);
        if self.entered {
            core.run = Run::Active;
            self.waker = Some(core.children.wakers.body(&self.shared.signals));
        }
        self.entered
    }

    /// Body and children are gone: writes down what has come of it, unless there is something else to wait for.
    fn leave(&mut self, core: &mut Core<'_, E>) {
        // The second time there is none: a finalizer that came late is for the drop to hand over.
        if let Some(waker) = self.waker.take() {
            core.children.wakers.put_back_body(waker);
            self.left = core.left.take();
        }
        if self.left.is_none() {
            self.end = Some(End::of(core));
        }
    }

    /// As [`leave`](Self::leave), if that has not been done by the last turn.
    fn conclude(&mut self) {
        if self.left.is_none() && self.end.is_none() {
            let shared = self.shared;
            self.leave(&mut shared.lock());
        }
    }
}

impl<E: From<Interrupted>> Running<'_, '_, E> {
    /// The result of the run, and the panic that beats it.
    fn outcome<T>(&mut self, value: Option<T>) -> (Option<Payload>, Result<T, E>) {
        let Some(end) = &mut self.end else { return (None, Err(Cause::Finished.interrupted().into())) };
        let outcome = match (end.primary.take(), value) {
            (Some(error), _) => Err(error),
            (None, Some(value)) if !end.cause.interrupts_body() => Ok(value),
            _ => Err(end.cause.interrupted().into()),
        };
        (end.panic.take(), outcome)
    }
}

impl<E> End<E> {
    fn of(core: &mut Core<'_, E>) -> Self {
        let verdict = &mut core.verdict;
        let cause = verdict.cause.unwrap_or(Cause::Finished);
        let (panic, primary) = (verdict.take_panic(), verdict.take_primary());
        core.run = Run::Over;
        Self { cause, primary, panic, settled: Shared::is_settled(core) }
    }
}

impl<E> Drop for Running<'_, '_, E> {
    fn drop(&mut self) {
        if !self.entered || self.end.as_ref().is_some_and(|end| end.settled) {
            return;
        }
        let over = {
            let mut core = self.shared.lock();
            core.run = Run::Over;
            Shared::is_over(&core)
        };
        self.shared.signals.forget(RUN);
        if !over && let Some(payload) = self.shared.end_now() {
            resume_or_log(payload);
        }
    }
}

/// The body and its place in the driver's queue.
struct Seat<'s, 'a, 'env, B, T, E> {
    body: Pin<&'s mut Option<B>>,
    value: &'s mut Option<T>,
    running: &'s mut Running<'a, 'env, E>,
}

impl<T, E, B: Future<Output = Result<T, E>>> Body<E> for Seat<'_, '_, '_, B, T, E> {
    fn enter(&mut self, core: &mut Core<'_, E>) -> bool {
        self.running.enter(core)
    }

    fn poll(&mut self) -> Poll<Result<(), E>> {
        let (Some(body), Some(waker)) = (self.body.as_mut().as_pin_mut(), &self.running.waker) else {
            return Poll::Pending;
        };
        waker.arm();
        let Poll::Ready(result) = body.poll(&mut Context::from_waker(&waker_ref(waker))) else {
            return Poll::Pending;
        };
        self.body.set(None);
        Poll::Ready(result.map(|value| *self.value = Some(value)))
    }

    fn is_alive(&self) -> bool {
        self.body.is_some()
    }

    fn cut(&mut self) {
        self.body.set(None);
    }

    fn leave(&mut self, core: &mut Core<'_, E>) {
        self.running.leave(core);
    }
}

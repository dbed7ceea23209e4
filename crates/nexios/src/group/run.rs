//! `run`: the body and the children driven together, and the orderly end.

use std::{
    future::{Future, poll_fn},
    panic::resume_unwind,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
    thread,
};

use futures_util::task::waker_ref;

use super::{
    drive::{self, Body},
    panics::log_panic_text,
    state::{Core, Left, Phase, Run, Shared},
    verdict::{Cause, Payload},
    wake::ChildWaker,
};
use crate::Interrupted;

/// Who `run` is among the awaiters; children have ids from one.
const RUN: u64 = 0;

pub(super) async fn run<T, E, B>(shared: &Arc<Shared<'_, E>>, body: B) -> Result<T, E>
where
    E: From<Interrupted>,
    B: Future<Output = Result<T, E>>,
{
    let waker = begin(shared)?;
    let mut running = Running { shared, end: None };
    let mut value = None;
    drive(shared, body, &waker, &mut value).await;
    let mut finalizer_panic = None;
    if let Some(left) = running.put_back(waker) {
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

/// Polls body and children until all have ended; leaves what the body returned, if it did.
async fn drive<T, E, B>(
    shared: &Shared<'_, E>,
    body: B,
    waker: &Arc<ChildWaker>,
    value: &mut Option<Result<T, E>>,
) where
    E: From<Interrupted>,
    B: Future<Output = Result<T, E>>,
{
    let mut body = pin!(Some(body));
    poll_fn(|cx| {
        let mut seat = Seat { body: body.as_mut(), value, waker };
        let over = drive::turn(shared, RUN, cx.waker(), Some(&mut seat));
        if over { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

/// Enters the group, with the body's waker; the error if there is nothing left to run.
fn begin<E: From<Interrupted>>(shared: &Shared<'_, E>) -> Result<Arc<ChildWaker>, E> {
    let mut core = shared.lock();
    let cancelled_before = matches!(core.verdict.cause, Some(Cause::Requested | Cause::Parent(_)));
    match core.run {
        Run::Active => {
            drop(core);
            panic!("TaskGroup::run was called while another run of the same group is under way");
        }
        Run::NotYet if core.phase == Phase::Open || cancelled_before => {
            core.run = Run::Active;
            Ok(core.children.wakers.body(&shared.signals))
        }
        _ => {
            let cause = core.verdict.cause.unwrap_or(Cause::Finished);
            drop(core);
            // As any other awaiter, this one may be the first to hear of the failure.
            let failure = if cause.interrupts_body() { shared.take_failure() } else { None };
            Err(failure.unwrap_or_else(|| cause.interrupted().into()))
        }
    }
}

/// Ends the group if `run` is dropped on the way.
struct Running<'a, 'env, E> {
    shared: &'a Shared<'env, E>,
    end: Option<End<E>>,
}

/// What the group has come to.
struct End<E> {
    cause: Cause,
    /// The error that decided.
    primary: Option<E>,
    /// A child ended without a good result because of the cause.
    cut: bool,
    panic: Option<Payload>,
    /// Nothing is left of the group that a drop would have to see to.
    settled: bool,
}

impl<E: From<Interrupted>> Running<'_, '_, E> {
    /// Body and children are gone: concludes, unless there is something else to wait for.
    fn put_back(&mut self, waker: Arc<ChildWaker>) -> Option<Box<Left<E>>> {
        let mut core = self.shared.lock();
        core.children.wakers.put_back_body(waker);
        if core.left.is_none() {
            self.end = Some(End::of(&mut core));
        }
        core.left.take()
    }

    fn conclude(&mut self) {
        self.end = Some(End::of(&mut self.shared.lock()));
    }

    /// The result of the run, and the panic that beats it.
    fn outcome<T>(&mut self, value: Option<Result<T, E>>) -> (Option<Payload>, Result<T, E>) {
        let Some(end) = &mut self.end else { return (None, Err(Cause::Finished.interrupted().into())) };
        let primary = end.primary.take();
        let interrupted = || Err(end.cause.interrupted().into());
        let outcome = match (end.cause, value) {
            (Cause::Finished | Cause::Requested, Some(value)) => value,
            // The outer cancellation is no error for a body that had all it needed.
            (Cause::Parent(_), Some(value)) if value.is_err() || !end.cut => value,
            (Cause::Failed, _) => primary.map_or_else(interrupted, Err),
            _ => interrupted(),
        };
        (end.panic.take(), outcome)
    }
}

impl<E> End<E> {
    fn of(core: &mut Core<'_, E>) -> Self {
        let verdict = &mut core.verdict;
        let cause = verdict.cause.unwrap_or(Cause::Finished);
        let (panic, primary, cut) = (verdict.take_panic(), verdict.take_primary(), verdict.cut);
        core.run = Run::Over;
        // A finalizer that came late is for the drop to hand over.
        Self { cause, primary, cut, panic, settled: Shared::is_settled(core) }
    }
}

impl<E> Drop for Running<'_, '_, E> {
    fn drop(&mut self) {
        if self.end.as_ref().is_some_and(|end| end.settled) {
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

/// Resumes a panic in a destructor, or logs it where that would abort the process.
pub(super) fn resume_or_log(payload: Payload) {
    if thread::panicking() {
        log_panic_text("a child of a task group panicked while the group was dropped", &payload);
    } else {
        resume_unwind(payload);
    }
}

/// The body and its place in the driver's queue.
struct Seat<'a, B, T, E> {
    body: Pin<&'a mut Option<B>>,
    value: &'a mut Option<Result<T, E>>,
    waker: &'a Arc<ChildWaker>,
}

impl<T, E, B: Future<Output = Result<T, E>>> Body<E> for Seat<'_, B, T, E> {
    fn poll(&mut self) -> Poll<Result<(), E>> {
        let Some(body) = self.body.as_mut().as_pin_mut() else { return Poll::Pending };
        self.waker.arm();
        let Poll::Ready(result) = body.poll(&mut Context::from_waker(&waker_ref(self.waker))) else {
            return Poll::Pending;
        };
        self.body.set(None);
        Poll::Ready(result.map(|value| *self.value = Some(Ok(value))))
    }

    fn is_alive(&self) -> bool {
        self.body.is_some()
    }

    fn cut(&mut self) {
        self.body.set(None);
    }

    fn keep_error(&mut self, error: E) {
        *self.value = Some(Err(error));
    }
}

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
    drive::{Body, Event, RUN, Turn},
    ending::{Conclusion, Over},
    panics::resume_or_log,
    state::{Core, GroupPhase, Run, Shared},
    verdict::{BODY, Cause},
    wakers::ChildWaker,
};
use crate::{
    cancel::Interrupted,
    panics::{caught, text_of},
    work::observers::anybody,
};

pub(super) async fn run<T, E, B>(shared: &Arc<Shared<'_, E>>, body: B) -> Result<T, E>
where
    E: From<Interrupted>,
    B: Future<Output = Result<T, E>>,
{
    let mut running = Running {
        shared,
        entered: false,
        waker: None,
        settled: false,
    };
    let mut value = None;
    let Some(over) = drive(&mut running, body, &mut value).await else {
        return Err(refused(shared));
    };
    let mut finalizer_panic = None;
    let conclusion = match over {
        Over::Concluded(conclusion) => conclusion,
        Over::Waits(mut afterwards) => {
            // Boxed: it is rare, and would make every run larger.
            finalizer_panic = Box::pin(afterwards.finish()).await;
            if let (Some(payload), Some(observed)) = (&finalizer_panic, shared.observed.get()) {
                observed.panicked(text_of(&**payload));
            }
            // A finalizer that came while these ran is for the drop to hand over.
            Shared::conclusion(&mut shared.lock())
        }
    };
    running.settled = conclusion.settled;
    if conclusion.settled {
        shared.end_observed();
    }
    let Conclusion {
        cause,
        primary,
        panic,
        ..
    } = conclusion;
    drop(running);
    if let Some(payload) = panic.or(finalizer_panic) {
        resume_unwind(payload);
    }
    match (primary, value) {
        (Some(error), _) => Err(error),
        (None, Some(value)) if !cause.interrupts_body() => Ok(value),
        _ => Err(cause.interrupted().into()),
    }
}

/// Polls body and children until all have ended; leaves the body's value, if it has returned one. None if there is
/// nothing left to run.
async fn drive<'env, T, E, B>(
    running: &mut Running<'_, 'env, E>,
    body: B,
    value: &mut Option<T>,
) -> Option<Over<'env, E>>
where
    E: From<Interrupted>,
    B: Future<Output = Result<T, E>>,
{
    let shared = running.shared;
    let mut future = pin!(Some(body));
    let mut body = GroupBody {
        shared,
        future: future.as_mut(),
    };
    let mut state = Body::New;
    poll_fn(|cx| {
        if !running.entered && anybody() {
            running.announce();
        }
        let mut core = shared.lock();
        if !running.enter(&mut core) {
            return Poll::Ready(None);
        }
        let Some(mut turn) = Turn::begin(shared, core, RUN, cx.waker()) else {
            return Poll::Pending;
        };
        loop {
            match turn.advance(state) {
                Event::PollBody => {
                    running.poll_body(&mut body, value);
                    state = if body.future.is_some() {
                        Body::Alive
                    } else {
                        Body::Gone
                    };
                }
                Event::CutBody => {
                    running.cut(&mut body);
                    state = Body::Gone;
                }
                Event::Rest => return Poll::Pending,
                Event::Over(over) => {
                    running.put_back_waker();
                    return Poll::Ready(Some(over));
                }
            }
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
    let failure = if cause.interrupts_body() {
        shared.take_failure()
    } else {
        None
    };
    failure.unwrap_or_else(|| cause.interrupted().into())
}

/// Ends the group if `run` is dropped on the way.
struct Running<'a, 'env, E> {
    shared: &'a Shared<'env, E>,
    /// It has been polled, and was not refused.
    entered: bool,
    /// The body's, from the first poll until all has ended.
    waker: Option<Arc<ChildWaker>>,
    /// Nothing is left that a drop would have to see to.
    settled: bool,
}

impl<E> Running<'_, '_, E> {
    /// Says that the group is made, if this is its first use.
    #[cold]
    fn announce(&self) {
        let core = self.shared.lock();
        if Self::may_enter(&core) {
            self.shared.observe(core);
        }
    }

    fn may_enter(core: &Core<'_, E>) -> bool {
        let cancelled_before = core.verdict.cause == Some(Cause::Requested);
        core.run == Run::NotYet && (core.phase == GroupPhase::Open || cancelled_before)
    }

    /// Begins the run; false if there is nothing left to run.
    fn enter(&mut self, core: &mut Core<'_, E>) -> bool {
        if self.entered {
            return true;
        }
        self.entered = Self::may_enter(core);
        if self.entered {
            core.run = Run::Active;
            self.waker = Some(core.children.wakers.body(&self.shared.signals));
        }
        self.entered
    }

    /// The waker serves the next group.
    fn put_back_waker(&mut self) {
        if let Some(waker) = self.waker.take() {
            self.shared.lock().children.wakers.put_back_body(waker);
        }
    }

    /// Polls the body once; its failure is the group's.
    fn poll_body<T, B>(&self, body: &mut GroupBody<'_, '_, E, B>, value: &mut Option<T>)
    where
        B: Future<Output = Result<T, E>>,
    {
        let Some(waker) = &self.waker else { return };
        waker.arm();
        let entered = self.shared.observed.get().and_then(|group| group.enter());
        let polled = caught(|| {
            let waker = waker_ref(waker);
            let future = body.future.as_mut().as_pin_mut();
            let polled = future.map_or(Poll::Pending, |body| {
                body.poll(&mut Context::from_waker(&waker))
            });
            if polled.is_ready() {
                body.future.set(None);
            }
            polled
        });
        drop(entered);
        match polled {
            Ok(Poll::Pending) => {}
            Ok(Poll::Ready(Ok(returned))) => *value = Some(returned),
            Ok(Poll::Ready(Err(error))) => self.shared.fail(BODY, error),
            Err(payload) => {
                self.cut(body);
                self.shared.panicked(payload);
            }
        }
    }

    /// Drops the body at its await; its panic is the group's.
    fn cut<B>(&self, body: &mut GroupBody<'_, '_, E, B>) {
        if let Err(payload) = caught(|| body.clear()) {
            self.shared.panicked(payload);
        }
    }
}

/// The body of a run. Whoever drops it, its destructors are the group's part.
struct GroupBody<'a, 'env, E, B> {
    shared: &'a Shared<'env, E>,
    future: Pin<&'a mut Option<B>>,
}

impl<E, B> GroupBody<'_, '_, E, B> {
    fn clear(&mut self) {
        let observed = self.shared.observed.get();
        let _entered = observed.and_then(|group| group.enter_blocking());
        self.future.set(None);
    }
}

impl<E, B> Drop for GroupBody<'_, '_, E, B> {
    fn drop(&mut self) {
        if self.future.is_some() {
            self.clear();
        }
    }
}

impl<E> Drop for Running<'_, '_, E> {
    fn drop(&mut self) {
        if !self.entered || self.settled {
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

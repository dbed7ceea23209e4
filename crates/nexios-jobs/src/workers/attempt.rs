//! One attempt: the handler's future, polled until it ends or its time is over.
//!
//! # Invariants
//!
//! 1. No panic of the handler leaves it, wherever it happens: in a poll or in a destructor.
//! 2. The future is dropped before the end is told, in the attempt's scope, span and work.
//! 3. Timers and tokens of ours are polled outside the budget that the handler spends.

use std::{
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures_util::future::{BoxFuture, Either, select};
use nexios::{
    CancelReason, CancelScope,
    observe::{self, CustomWork, Outcome, Update},
};
use tokio::time::{sleep, sleep_until};
use tracing::Span;

use crate::{
    context::{Attempt, JobContext},
    log::{Payload, bury, caught, log, text_of},
    origin,
    punctual::punctual,
};

use super::{
    kind_handler::{Fault, KindHandler},
    verdict::Exit,
};

/// Who runs jobs, for those who observe.
const OWNER: &str = "jobs";

/// Runs one attempt to its end.
pub(super) async fn run(attempt: Arc<Attempt>, args: String, handler: Arc<KindHandler>) -> Exit {
    let context = JobContext::new(attempt.clone());
    let scope = CancelScope::new(attempt.token.clone(), attempt.deadline);
    let future = scope.run(handler.call(args, context));
    let mut handled = Handled {
        future: Some(Box::pin(future)),
        look: Look::begin(attempt.clone(), handler.name.clone()),
    };
    let exit = {
        let stop = pin!(stop(&attempt, handler.policy.grace));
        match select(&mut handled, stop).await {
            Either::Left((exit, _)) => exit,
            Either::Right(((), _)) => Exit::Overdue,
        }
    };
    let exit = match handled.drop_future() {
        Ok(()) => exit,
        Err(payload) => Exit::Panicked(taken(payload)),
    };
    handled.look.end(&exit, attempt.token.reason());
    exit
}

/// Fires the token at the deadline, and returns when the attempt's grace is over. At a shutdown the drain says when.
async fn stop(attempt: &Attempt, grace: Duration) {
    let cancelled = pin!(attempt.token.cancelled());
    let reason = match attempt.deadline {
        None => cancelled.await,
        Some(deadline) => match select(cancelled, pin!(punctual(sleep_until(deadline)))).await {
            Either::Left((reason, _)) => reason,
            Either::Right(((), cancelled)) => {
                attempt.token.cancel(CancelReason::Deadline);
                cancelled.await
            }
        },
    };
    if reason == CancelReason::Shutdown {
        std::future::pending::<()>().await;
    }
    punctual(sleep(grace)).await;
}

/// The handler's future and those who look at it.
struct Handled {
    /// There until it has ended.
    future: Option<BoxFuture<'static, Result<String, Fault>>>,
    look: Look,
}

impl Handled {
    fn drop_future(&mut self) -> Result<(), Payload> {
        let future = self.future.take();
        self.look.inside(|| drop(future))
    }
}

impl Future for Handled {
    type Output = Exit;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Exit> {
        let Self { future, look } = &mut *self;
        let Some(polled) = future.as_mut() else {
            return Poll::Pending;
        };
        match look.inside(|| polled.as_mut().poll(cx)) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(returned)) => Poll::Ready(Exit::Returned(returned)),
            Err(payload) => Poll::Ready(Exit::Panicked(taken(payload))),
        }
    }
}

/// Cut off with its task, by a drain or with its runtime.
impl Drop for Handled {
    fn drop(&mut self) {
        if let Err(payload) = self.drop_future() {
            bury(payload);
        }
    }
}

fn taken(payload: Payload) -> String {
    let text = text_of(&*payload).to_owned();
    bury(payload);
    text
}

/// What others see of an attempt: its span, and its work for those who observe.
struct Look {
    attempt: Arc<Attempt>,
    span: Option<Span>,
    work: Option<CustomWork>,
    /// How much of what it has said the observers know.
    told: u64,
    cancelling: bool,
}

impl Look {
    fn begin(attempt: Arc<Attempt>, kind: std::borrow::Cow<'static, str>) -> Self {
        let link = attempt.origin.as_deref().and_then(origin::work);
        // What ends it by its number ends the job: of an attempt whose token says `Requested` there is no next one.
        let work = observe::background(kind, OWNER, link).cancellable(&attempt.token);
        if attempt.number > 1 {
            work.update(&Update::Attempt(attempt.number));
        }
        let span = log(|| {
            let (kind, id, attempt) = (&*attempt.kind, attempt.run.id, attempt.number);
            tracing::info_span!("job", kind, %id, attempt)
        });
        Self {
            attempt,
            span,
            work: Some(work),
            told: 0,
            cancelling: false,
        }
    }

    /// Calls code of the handler's.
    fn inside<R>(&mut self, f: impl FnOnce() -> R) -> Result<R, Payload> {
        let span = self.span.as_ref();
        let entered = span.and_then(|span| log(|| span.enter()));
        let called = match &self.work {
            Some(work) => work.scope(|| caught(f)),
            None => caught(f),
        };
        log(|| drop(entered));
        self.tell();
        called
    }

    /// Tells the observers what is new.
    fn tell(&mut self) {
        let Some(work) = self.work.as_ref().filter(|work| work.id().is_some()) else {
            return;
        };
        if let Some((progress, count)) = self.attempt.progress()
            && count > self.told
        {
            self.told = count;
            let (done, total) = (progress.done, progress.total);
            work.update(&Update::Progress { done, total });
            if let Some(message) = &progress.message {
                work.update(&Update::Message(message));
            }
        }
        if let Some(reason) = self.attempt.token.reason()
            && !std::mem::replace(&mut self.cancelling, true)
        {
            work.update(&Update::Cancelling(reason));
        }
    }

    fn end(&mut self, exit: &Exit, reason: Option<CancelReason>) {
        let Some(work) = self.work.take() else {
            return;
        };
        work.end(&match (exit, reason) {
            (Exit::Returned(Ok(_)), _) => Outcome::Completed,
            (_, Some(CancelReason::Deadline)) => Outcome::TimedOut,
            (_, Some(reason)) => Outcome::Cancelled(reason),
            (Exit::Returned(Err(Fault::Error(error))), None) => Outcome::Failed(Some(&error.text)),
            (Exit::Returned(Err(Fault::Payload(text))), None) => Outcome::Failed(Some(text)),
            (Exit::Panicked(text), None) => Outcome::Panicked(text),
            (Exit::Overdue | Exit::CutOff, None) => Outcome::Cancelled(CancelReason::OwnerDropped),
        });
    }
}

impl Drop for Look {
    fn drop(&mut self) {
        let reason = self.attempt.token.reason();
        self.end(&Exit::CutOff, reason);
        let span = self.span.take();
        log(|| drop(span));
    }
}

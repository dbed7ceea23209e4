//! The caller's side of a job: a future that submits at its first poll and takes the job back when dropped.

use std::{
    borrow::Borrow,
    future::Future,
    panic::{Location, resume_unwind},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use tokio::{
    runtime::Handle,
    time::{Instant, Sleep, sleep_until},
};

use super::{
    caller::Caller,
    error::PoolError,
    job::{ErasedJob, Job, JobResult, report},
    nesting,
    overload::Overload,
    schedule::{Submitted, Ticket, WhenBusy},
    threads::Threads,
};
use crate::{
    cancel::{CancelReason, CancelScope, CancelToken},
    flat_drop::drop_flat,
    punctual::poll_punctual,
    work::concurrent::End,
};

/// A call into the pool `P`, owned or borrowed.
pub(super) struct PoolCall<P, F, T>
where
    P: Borrow<Arc<Threads>>,
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    pool: P,
    stage: CallStage<F, T>,
    /// Runs out when the job is still queued at its time limit.
    limit: Option<Pin<Box<Sleep>>>,
    /// Fires the closure's token at the caller's deadline.
    deadline: Option<Pin<Box<Sleep>>>,
}

enum CallStage<F, T> {
    New(F, Option<TokenWatch>, &'static Location<'static>),
    Submitted(Arc<Job<F, T>>, Ticket),
    Done,
}

/// What the closure of `run_with` can ask.
pub(super) struct TokenWatch {
    pub(super) token: CancelToken,
    pub(super) deadline: Option<Instant>,
}

impl TokenWatch {
    /// Follows the caller's scope, if it has one.
    pub(super) fn of(scope: Option<CancelScope>) -> Self {
        let Some(scope) = scope else {
            return Self {
                token: CancelToken::new(),
                deadline: None,
            };
        };
        let token = scope.token().child();
        let deadline = scope.deadline();
        if deadline.is_some_and(|deadline| deadline <= Instant::now()) {
            token.cancel(CancelReason::Deadline);
        }
        Self { token, deadline }
    }
}

// Nothing in it is pinned in place.
impl<P, F, T> Unpin for PoolCall<P, F, T>
where
    P: Borrow<Arc<Threads>>,
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
}

impl<P, F, T> PoolCall<P, F, T>
where
    P: Borrow<Arc<Threads>>,
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    pub(super) fn new(
        pool: P,
        f: F,
        watch: Option<TokenWatch>,
        made_at: &'static Location<'static>,
    ) -> Self {
        Self {
            pool,
            stage: CallStage::New(f, watch, made_at),
            limit: None,
            deadline: None,
        }
    }

    /// Submits now, without waiting; gives the closure back if it is refused.
    pub(super) fn submit_now(
        pool: P,
        f: F,
        made_at: &'static Location<'static>,
    ) -> Result<Self, F> {
        let caller = Caller::here(|_| None);
        let now = caller.submitted;
        let observed = pool.borrow().announce(made_at);
        let job = Arc::new(Job::new(f, caller, None, None, observed));
        let work: Arc<dyn ErasedJob> = job.clone();
        match pool.borrow().submit(&work, WhenBusy::Shed, now) {
            Ok((ticket, _)) => Ok(Self {
                pool,
                stage: CallStage::Submitted(job, ticket),
                limit: None,
                deadline: None,
            }),
            Err(_) => {
                job.observed.ended(|| End::Refused);
                Err(job.take().expect("a refused job was given to nobody").0)
            }
        }
    }

    fn submit(
        &mut self,
        f: F,
        watch: Option<TokenWatch>,
        made_at: &'static Location<'static>,
        waker: &Waker,
    ) -> Result<(), PoolError> {
        let pool = self.pool.borrow();
        let caller = Caller::here(|now| match pool.overload {
            Overload::ShedAfter(limit) => now.checked_add(limit),
            _ => None,
        });
        let (now, limit) = (caller.submitted, caller.limit);
        let (token, deadline) =
            watch.map_or((None, None), |watch| (Some(watch.token), watch.deadline));
        let observed = pool.announce(made_at);
        let job = Arc::new(Job::new(f, caller, token, Some(waker.clone()), observed));
        let work: Arc<dyn ErasedJob> = job.clone();
        let admission = match pool.overload {
            _ if nesting::is_pool_thread() => WhenBusy::Nested,
            Overload::Shed => WhenBusy::Shed,
            Overload::Wait | Overload::ShedAfter(_) => WhenBusy::Wait,
        };
        let (ticket, submitted) = match pool.submit(&work, admission, now) {
            Ok(submitted) => submitted,
            Err(error) => {
                let taken = job.take();
                drop(taken);
                job.observed.ended(|| End::Refused);
                return Err(error);
            }
        };
        // From here on dropping this call takes the job back, also if a timer cannot be made.
        self.stage = CallStage::Submitted(job, ticket);
        match submitted {
            Submitted::Inline => {
                self.pool.borrow().run_here(&work, ticket);
                return Ok(());
            }
            Submitted::Queued => self.limit = limit.map(|limit| Box::pin(sleep_until(limit))),
            Submitted::Assigned => {}
        }
        // Without a runtime there is no clock to watch the deadline with.
        if Handle::try_current().is_ok() {
            self.deadline = deadline.map(|deadline| Box::pin(sleep_until(deadline)));
        }
        Ok(())
    }
}

impl<P, F, T> Future for PoolCall<P, F, T>
where
    P: Borrow<Arc<Threads>>,
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    type Output = Result<T, PoolError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let call = self.get_mut();
        let first = matches!(call.stage, CallStage::New(..));
        if first
            && let CallStage::New(f, watch, made_at) =
                std::mem::replace(&mut call.stage, CallStage::Done)
            && let Err(error) = call.submit(f, watch, made_at, cx.waker())
        {
            return Poll::Ready(Err(error));
        }
        let CallStage::Submitted(job, ticket) = &call.stage else {
            panic!("a call into a thread pool was polled after it had ended");
        };
        let (ticket, pool) = (*ticket, call.pool.borrow());
        let mut outcome = job.poll(cx);
        // Queued by a poll elsewhere, and now awaited on a thread that the queue may be waiting for.
        if outcome.is_pending() && !first && nesting::is_pool_thread() {
            let work: Arc<dyn ErasedJob> = job.clone();
            if pool.take_over(&work, ticket) {
                outcome = job.poll(cx);
            }
        }
        if let Poll::Ready(outcome) = outcome {
            call.stage = CallStage::Done;
            return Poll::Ready(deliver(outcome));
        }
        if let Some(limit) = &mut call.limit
            && poll_punctual(limit.as_mut(), cx).is_ready()
        {
            call.limit = None;
            if pool.expire(ticket) {
                let job = job.clone();
                call.stage = CallStage::Done;
                drop(job.take());
                job.observed.ended(|| End::Refused);
                return Poll::Ready(Err(PoolError::QueueTimeout));
            }
        }
        if let Some(deadline) = &mut call.deadline
            && poll_punctual(deadline.as_mut(), cx).is_ready()
        {
            call.deadline = None;
            job.cancel(CancelReason::Deadline);
        }
        Poll::Pending
    }
}

fn deliver<T>(outcome: JobResult<T>) -> Result<T, PoolError> {
    match outcome? {
        Ok(value) => Ok(value),
        Err(payload) => resume_unwind(payload),
    }
}

impl<P, F, T> Drop for PoolCall<P, F, T>
where
    P: Borrow<Arc<Threads>>,
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    fn drop(&mut self) {
        let CallStage::Submitted(job, ticket) = std::mem::replace(&mut self.stage, CallStage::Done)
        else {
            return;
        };
        if !self.pool.borrow().cancel(ticket) {
            job.cancel(CancelReason::OwnerDropped);
        }
        // What the closure owns may be the call of another job, and so on.
        let abandoned = job.abandon();
        // One that runs ends on its thread, any other when it is gone; the job itself would say so as it is dropped.
        let work = (!abandoned.runs).then(|| job.observed.until_dropped());
        let dropped = drop_flat((abandoned, work, job));
        if let Err(payload) = dropped {
            if std::thread::panicking() {
                // A second panic while unwinding would end the process.
                report("a closure's or result's destructor", payload);
            } else {
                resume_unwind(payload);
            }
        }
    }
}

//! The caller's side of a job: a future that submits at its first poll and takes the job back when dropped.

use std::{
    borrow::Borrow,
    future::Future,
    panic::resume_unwind,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use tokio::{
    runtime::Handle,
    time::{Instant, Sleep, sleep_until},
};

use super::{
    Overload, PoolError,
    caller::Caller,
    job::{Job, Outcome, report},
    lineage,
    schedule::{Admission, Submitted},
    shared::Shared,
    work::Work,
};
use crate::{CancelReason, CancelScope, CancelToken, flat_drop::drop_flat, punctual::poll_punctual};

/// A call into the pool `P`, owned or borrowed.
pub(super) struct Call<P, F, T>
where
    P: Borrow<Arc<Shared>>,
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    pool: P,
    stage: Stage<F, T>,
    /// Runs out when the job is still queued at its time limit.
    limit: Option<Pin<Box<Sleep>>>,
    /// Fires the closure's token at the caller's deadline.
    deadline: Option<Pin<Box<Sleep>>>,
}

enum Stage<F, T> {
    New(F, Option<Watch>),
    Submitted(Arc<Job<F, T>>),
    Done,
}

/// What the closure of `run_with` can ask.
pub(super) struct Watch {
    pub(super) token: CancelToken,
    pub(super) deadline: Option<Instant>,
}

impl Watch {
    /// Follows the caller's scope, if it has one.
    pub(super) fn of(scope: Option<CancelScope>) -> Self {
        let Some(scope) = scope else {
            return Self { token: CancelToken::new(), deadline: None };
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
impl<P, F, T> Unpin for Call<P, F, T>
where
    P: Borrow<Arc<Shared>>,
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
}

impl<P, F, T> Call<P, F, T>
where
    P: Borrow<Arc<Shared>>,
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    pub(super) fn new(pool: P, f: F, watch: Option<Watch>) -> Self {
        Self { pool, stage: Stage::New(f, watch), limit: None, deadline: None }
    }

    /// Submits now, without waiting; gives the closure back if it is refused.
    pub(super) fn submit_now(pool: P, f: F) -> Result<Self, F> {
        let shared = pool.borrow();
        let caller = Caller::here(|_| None);
        let now = caller.submitted;
        let job = Arc::new(Job::new(f, caller, None, None));
        let admission = if lineage::is_inside(shared.id) {
            Admission::NestedTry
        } else {
            Admission::Plain { wait: false }
        };
        let work: Arc<dyn Work> = job.clone();
        if let Submitted::Refused(_) = shared.submit(&work, admission, now)
            && let Some((f, _)) = job.take()
        {
            return Err(f);
        }
        Ok(Self { pool, stage: Stage::Submitted(job), limit: None, deadline: None })
    }

    fn submit(&mut self, f: F, watch: Option<Watch>, waker: &Waker) -> Result<(), PoolError> {
        let pool = self.pool.borrow();
        let caller = Caller::here(|now| match pool.overload {
            Overload::ShedAfter(limit) => now.checked_add(limit),
            _ => None,
        });
        let (now, limit) = (caller.submitted, caller.limit);
        let (token, deadline) = watch.map_or((None, None), |watch| (Some(watch.token), watch.deadline));
        let job = Arc::new(Job::new(f, caller, token, Some(waker.clone())));
        let work: Arc<dyn Work> = job.clone();
        let admission = if lineage::is_pool_thread() && lineage::wait_for(pool, &work) {
            Admission::Nested
        } else {
            Admission::Plain { wait: !matches!(pool.overload, Overload::Shed) }
        };
        let submitted = pool.submit(&work, admission, now);
        if let Submitted::Refused(error) = submitted {
            return Err(error);
        }
        // From here on dropping this call takes the job back, also if a timer cannot be made.
        self.stage = Stage::Submitted(job);
        if submitted == Submitted::Inline {
            self.pool.borrow().execute_inline(&work);
            return Ok(());
        }
        if submitted == Submitted::Queued {
            self.limit = limit.map(|limit| Box::pin(sleep_until(limit)));
        }
        // Without a runtime there is no clock to watch the deadline with.
        if Handle::try_current().is_ok() {
            self.deadline = deadline.map(|deadline| Box::pin(sleep_until(deadline)));
        }
        Ok(())
    }
}

impl<P, F, T> Future for Call<P, F, T>
where
    P: Borrow<Arc<Shared>>,
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    type Output = Result<T, PoolError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let call = self.get_mut();
        let first = matches!(call.stage, Stage::New(..));
        if first
            && let Stage::New(f, watch) = std::mem::replace(&mut call.stage, Stage::Done)
            && let Err(error) = call.submit(f, watch, cx.waker())
        {
            return Poll::Ready(Err(error));
        }
        let Stage::Submitted(job) = &call.stage else {
            panic!("a call into a thread pool was polled after it had ended");
        };
        if let Poll::Ready(outcome) = job.poll(cx) {
            call.stage = Stage::Done;
            return Poll::Ready(deliver(outcome));
        }
        let pool = call.pool.borrow();
        if !first && lineage::is_pool_thread() {
            let work: Arc<dyn Work> = job.clone();
            if lineage::wait_for(pool, &work) && pool.promote_here(&work) == Submitted::Inline {
                pool.execute_inline(&work);
                if let Poll::Ready(outcome) = job.poll(cx) {
                    call.stage = Stage::Done;
                    return Poll::Ready(deliver(outcome));
                }
            }
        }
        if let Some(limit) = &mut call.limit
            && poll_punctual(limit.as_mut(), cx).is_ready()
        {
            call.limit = None;
            if pool.expire(&**job) {
                let taken = job.take();
                call.stage = Stage::Done;
                drop(taken);
                return Poll::Ready(Err(PoolError::QueueTimeout));
            }
        }
        if let Some(deadline) = &mut call.deadline
            && poll_punctual(deadline.as_mut(), cx).is_ready()
        {
            call.deadline = None;
            job.head().cancel(CancelReason::Deadline);
        }
        Poll::Pending
    }
}

fn deliver<T>(outcome: Outcome<T>) -> Result<T, PoolError> {
    match outcome? {
        Ok(value) => Ok(value),
        Err(payload) => resume_unwind(payload),
    }
}

impl<P, F, T> Drop for Call<P, F, T>
where
    P: Borrow<Arc<Shared>>,
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    fn drop(&mut self) {
        let Stage::Submitted(job) = std::mem::replace(&mut self.stage, Stage::Done) else {
            return;
        };
        if !self.pool.borrow().cancel(&*job) {
            job.head().cancel(CancelReason::OwnerDropped);
        }
        // What the closure owns may be the call of another job, and so on.
        if let Err(payload) = drop_flat(job.abandon()) {
            if std::thread::panicking() {
                // A second panic while unwinding would end the process.
                report("a closure's or result's destructor", payload);
            } else {
                resume_unwind(payload);
            }
        }
    }
}

//! What a slot holds: an in-task future, or a task on the runtime's worker threads.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use futures_util::FutureExt;
use tokio::{runtime::Handle, task::JoinHandle};
use tracing::{Instrument, Span};

use super::{
    OnError,
    outcome::{Ending, Outcome, Publisher},
    verdict::Payload,
    wakers::Report,
};
use crate::{CancelReason, Interrupted, punctual::poll_punctual};

/// A child that is under way or waits for its place. Two pointers, since it goes back and forth at every poll.
pub(super) enum Work<'env, E> {
    InTask(Pin<Box<dyn Future<Output = End<'env, E>> + Send + 'env>>),
    Parallel(Box<Parallel<'env, E>>),
}

/// A child on the runtime's worker threads, or on its way there.
pub(super) struct Parallel<'env, E> {
    task: Task<'env, E>,
    /// The child's cell: when the group drops this child, its task cannot tell the handle why.
    ending: Arc<dyn Ending + 'env>,
    on_error: OnError,
}

enum Task<'env, E> {
    /// Waits for a place; spawned at the first poll.
    Waiting(Option<Box<dyn FnOnce() -> JoinHandle<End<'static, E>> + Send + 'env>>),
    Spawned(JoinHandle<End<'static, E>>),
}

/// How a child ended. The rare ends are boxed, so that the usual one is returned in registers.
pub(super) enum End<'env, E> {
    /// Its result is with its handle.
    Published,
    /// It left an error that nobody will look at.
    Unseen,
    /// Its error is the group's.
    Failed(Box<Failure<'env, E>>),
    /// A parallel child panicked; an in-task child's panic unwinds.
    Panicked(Box<Payload>),
}

/// An error that is the group's.
pub(super) struct Failure<'env, E> {
    pub(super) error: E,
    /// Tells the handle when it is dropped.
    pub(super) teller: Option<Box<dyn Send + 'env>>,
}

impl<'env, E> End<'env, E> {
    fn of(seen: bool) -> Self {
        if seen { Self::Published } else { Self::Unseen }
    }

    fn failed(error: E, teller: Option<Box<dyn Send + 'env>>) -> Self {
        Self::Failed(Box::new(Failure { error, teller }))
    }
}

impl<'env, E: Send + 'env> Work<'env, E> {
    pub(super) fn in_task<T, F>(future: F, outcome: Arc<Outcome<T, E>>, on_error: OnError) -> Self
    where
        T: Send + 'env,
        F: Future<Output = Result<T, E>> + Send + 'env,
    {
        let publisher = Publisher::new(outcome);
        Self::InTask(Box::pin(future.map(move |result| match result {
            Err(error) if on_error == OnError::Cancel => End::failed(error, Some(Box::new(publisher))),
            result => End::of(publisher.publish(result)),
        })))
    }

    pub(super) fn daemon<F>(future: F) -> Self
    where
        F: Future<Output = ()> + Send + 'env,
    {
        Self::InTask(Box::pin(future.map(|()| End::Published)))
    }
}

impl<'env, E: Send + 'static> Work<'env, E> {
    /// A parallel child of `runtime`, spawned at once or when it gets its place.
    pub(super) fn parallel<T, F>(
        future: F,
        outcome: Arc<Outcome<T, E>>,
        on_error: OnError,
        runtime: Handle,
        report: Report,
        at_once: bool,
    ) -> Self
    where
        T: Send + 'static,
        F: Future<Output = Result<T, E>> + Send + 'static,
    {
        let ending: Arc<dyn Ending + 'env> = outcome.clone();
        let span = Span::current();
        // Mostly there is none, and it would make the task a good deal larger.
        let task = if span.is_none() {
            start(reporting(future, outcome, on_error, report), runtime, at_once)
        } else {
            start(reporting(future.instrument(span), outcome, on_error, report), runtime, at_once)
        };
        Self::Parallel(Box::new(Parallel { task, ending, on_error }))
    }
}

/// What the task of a parallel child does.
fn reporting<T, E, F>(
    future: F,
    outcome: Arc<Outcome<T, E>>,
    on_error: OnError,
    mut report: Report,
) -> impl Future<Output = End<'static, E>> + Send + 'static
where
    T: Send + 'static,
    E: Send + 'static,
    F: Future<Output = Result<T, E>> + Send + 'static,
{
    future.map(move |result| {
        // Dropped last, and just as well if the task is aborted or panics.
        match result {
            Err(error) if on_error == OnError::Cancel => {
                drop(report);
                End::failed(error, None)
            }
            result => {
                report.announce();
                End::of(outcome.publish(result))
            }
        }
    })
}

fn start<'env, E: Send + 'static>(
    future: impl Future<Output = End<'static, E>> + Send + 'static,
    runtime: Handle,
    at_once: bool,
) -> Task<'env, E> {
    if at_once {
        Task::Spawned(runtime.spawn(future))
    } else {
        Task::Waiting(Some(Box::new(move || runtime.spawn(future))))
    }
}

impl<'env, E: From<Interrupted>> Work<'env, E> {
    /// Polls the child once. A parallel child's panic comes back as an end, an in-task child's unwinds.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<End<'env, E>> {
        match self {
            Self::InTask(future) => future.as_mut().poll(cx),
            Self::Parallel(parallel) => parallel.poll(cx),
        }
    }
}

impl<'env, E: From<Interrupted>> Parallel<'env, E> {
    /// Polled to be started, and when the task has reported its end.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<End<'env, E>> {
        match &mut self.task {
            Task::Waiting(launch) => {
                if let Some(launch) = launch.take() {
                    self.task = Task::Spawned(launch());
                }
                Poll::Pending
            }
            // The task may need a moment more after its report; then this leaves a waker. What has ended must not seem to
            // go on because others have used up the budget.
            Task::Spawned(handle) => poll_punctual(Pin::new(handle), cx).map(|joined| match joined {
                Ok(end) => end,
                Err(error) => match error.try_into_panic() {
                    Ok(payload) => End::Panicked(Box::new(payload)),
                    // Nobody but the runtime aborts a task that is still in its slot.
                    Err(_) => self.lost(Interrupted::Cancelled(CancelReason::Shutdown)),
                },
            }),
        }
    }

    /// The child is gone and has left no result.
    fn lost(&self, why: Interrupted) -> End<'env, E> {
        match self.on_error {
            OnError::Cancel => End::failed(why.into(), None),
            OnError::Continue => End::of(self.ending.interrupt(why)),
        }
    }
}

impl<'env, E> Work<'env, E> {
    /// The cell of a child that does not tell its handle itself when it is dropped.
    pub(super) fn ending(&self) -> Option<Arc<dyn Ending + 'env>> {
        match self {
            Self::InTask(_) => None,
            Self::Parallel(parallel) => Some(parallel.ending.clone()),
        }
    }

    /// Whether it is a parallel child whose task has ended.
    pub(super) fn has_ended(&self) -> bool {
        let Self::Parallel(parallel) = self else { return false };
        matches!(&parallel.task, Task::Spawned(handle) if handle.is_finished())
    }

    /// Whether it goes on without being polled.
    pub(super) fn is_started(&self) -> bool {
        matches!(self, Self::Parallel(parallel) if matches!(parallel.task, Task::Spawned(_)))
    }

    /// Drops an in-task child; aborts a parallel one and gives its task back, which may still unwind.
    pub(super) fn end(self) -> Option<JoinHandle<End<'static, E>>> {
        let Self::Parallel(parallel) = self else { return None };
        let Task::Spawned(handle) = parallel.task else { return None };
        handle.abort();
        Some(handle)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_and_its_usual_end_are_two_pointers() {
        let pointer = size_of::<usize>();
        assert_eq!(size_of::<Work<'static, Interrupted>>(), 2 * pointer);
        assert_eq!(size_of::<Poll<End<'static, Interrupted>>>(), 2 * pointer);
    }
}

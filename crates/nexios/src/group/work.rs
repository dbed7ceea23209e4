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
};
use crate::{CancelReason, Interrupted};

/// A child that is under way or waits for its place.
pub(super) enum Work<'env, E> {
    InTask(Pin<Box<dyn Future<Output = End<'env, E>> + Send + 'env>>),
    Parallel(Parallel<'env, E>),
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

/// How a child ended.
pub(super) enum End<'env, E> {
    /// Its result is with its handle.
    Published,
    /// It left an error that nobody will look at.
    Unseen,
    /// Its error is the group's; what comes with it tells the handle when it is dropped.
    Failed(E, Option<Box<dyn Send + 'env>>),
}

impl<E> End<'_, E> {
    fn of(seen: bool) -> Self {
        if seen { Self::Published } else { Self::Unseen }
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
            Err(error) if on_error == OnError::Cancel => End::Failed(error, Some(Box::new(publisher))),
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

impl<'env, E: Send + 'static> Parallel<'env, E> {
    /// A parallel child of `runtime`, spawned at once or when it gets its place.
    pub(super) fn new<T, F>(
        future: F,
        outcome: Arc<Outcome<T, E>>,
        on_error: OnError,
        runtime: Handle,
        at_once: bool,
    ) -> Self
    where
        T: Send + 'static,
        F: Future<Output = Result<T, E>> + Send + 'static,
    {
        let ending: Arc<dyn Ending + 'env> = outcome.clone();
        let future = future.instrument(Span::current()).map(move |result| match result {
            Err(error) if on_error == OnError::Cancel => End::Failed(error, None),
            result => End::of(outcome.publish(result)),
        });
        let task = if at_once {
            Task::Spawned(runtime.spawn(future))
        } else {
            Task::Waiting(Some(Box::new(move || runtime.spawn(future))))
        };
        Self { task, ending, on_error }
    }
}

impl<'env, E: From<Interrupted>> Work<'env, E> {
    /// Polls the child once. A parallel child's panic comes back as an error, an in-task child's unwinds.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<End<'env, E>, Payload>> {
        match self {
            Self::InTask(future) => future.as_mut().poll(cx).map(Ok),
            Self::Parallel(parallel) => parallel.poll(cx),
        }
    }
}

impl<'env, E: From<Interrupted>> Parallel<'env, E> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<End<'env, E>, Payload>> {
        if let Task::Waiting(launch) = &mut self.task
            && let Some(launch) = launch.take()
        {
            self.task = Task::Spawned(launch());
        }
        let Task::Spawned(handle) = &mut self.task else { return Poll::Pending };
        Pin::new(handle).poll(cx).map(|joined| match joined {
            Ok(End::Published) => Ok(End::Published),
            Ok(End::Unseen) => Ok(End::Unseen),
            Ok(End::Failed(error, _)) => Ok(End::Failed(error, None)),
            Err(error) => match error.try_into_panic() {
                Ok(payload) => Err(payload),
                // Nobody but the runtime aborts a task that is still in its slot.
                Err(_) => Ok(self.lost(Interrupted::Cancelled(CancelReason::Shutdown))),
            },
        })
    }

    /// The child is gone and has left no result.
    fn lost(&self, why: Interrupted) -> End<'env, E> {
        match self.on_error {
            OnError::Cancel => End::Failed(why.into(), None),
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

    /// Drops an in-task child; aborts a parallel one and gives its task back while that still unwinds.
    pub(super) fn end(self) -> Option<JoinHandle<End<'static, E>>> {
        match self {
            Self::Parallel(Parallel { task: Task::Spawned(handle), .. }) => {
                handle.abort();
                (!handle.is_finished()).then_some(handle)
            }
            _ => None,
        }
    }
}

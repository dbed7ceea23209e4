//! The work of a child: a future, or a task of the runtime.

use std::{
    mem,
    panic::resume_unwind,
    pin::Pin,
    task::{Context, Poll, ready},
};

use futures_util::future::BoxFuture;
use tokio::task::{JoinError, JoinHandle};

use crate::{
    cancel::{CancelReason, Interrupted},
    punctual::poll_punctual,
};

/// What a child does.
pub(super) enum ChildWork<'env, T, E> {
    /// Polled by whoever drives the group.
    InTask(BoxFuture<'env, Result<T, E>>),
    /// A task that waits for its place; the first poll starts it.
    Waiting(Option<StartTask<'env, T, E>>),
    /// A task on the runtime's worker threads. To its group it is a future like any other.
    Parallel(JoinHandle<Result<T, E>>),
    /// What a task has come to that is not its handle's.
    Joined(Box<Result<Result<T, E>, JoinError>>),
}

/// Starts a task.
pub(super) type StartTask<'env, T, E> = Box<dyn FnOnce() -> JoinHandle<Result<T, E>> + Send + 'env>;

impl<T, E> ChildWork<'_, T, E> {
    /// Whether it is a task that has ended.
    pub(super) fn has_ended(&self) -> bool {
        match self {
            Self::Parallel(task) => task.is_finished(),
            Self::Joined(_) => true,
            Self::InTask(_) | Self::Waiting(_) => false,
        }
    }
}

impl<'env, T, E: From<Interrupted>> ChildWork<'env, T, E> {
    /// Polls it, which starts a task that waits.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<T, E>> {
        if let Self::Waiting(start) = self {
            if let Some(start) = start.take() {
                *self = Self::Parallel(start());
            }
            // It tells when it is done.
            return Poll::Pending;
        }
        let joined = match self {
            Self::InTask(future) => return future.as_mut().poll(cx),
            Self::Waiting(_) => return Poll::Pending,
            Self::Parallel(task) => ready!(poll_punctual(Pin::new(task), cx)),
            Self::Joined(_) => {
                let Self::Joined(joined) = mem::replace(self, Self::Waiting(None)) else {
                    return Poll::Pending;
                };
                *joined
            }
        };
        Poll::Ready(joined.unwrap_or_else(|error| match error.try_into_panic() {
            Ok(payload) => resume_unwind(payload),
            // Nobody but the runtime aborts a task that its group still awaits.
            Err(_) => Err(Interrupted::Cancelled(CancelReason::Shutdown).into()),
        }))
    }
}

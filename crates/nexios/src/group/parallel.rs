//! Children on the runtime's worker threads.
//!
//! To the group such a child is an in-task child that waits for the spawned task, so every policy holds for
//! it. Dropping it aborts the task; until the task has really unwound it is kept in [`Unwinding`].

use std::{
    borrow::Cow,
    future::{Future, poll_fn},
    panic::resume_unwind,
    pin::{Pin, pin},
    sync::{Arc, PoisonError},
    task::{Context, Poll, ready},
};

use tokio::{runtime::Handle, task::JoinHandle};
use tracing::{Instrument, Span};

use super::{
    label::Label,
    state::{BoxFuture, UNWINDING_LIMIT},
};
use crate::{
    CancelReason, Interrupted,
    residue::{self, Leftover},
    sync::{Mutex, MutexGuard},
};

/// The in-task half of a parallel child.
pub(super) struct ParallelChild<F, T: Send + 'static, E: Send + 'static> {
    state: State<F, T, E>,
    label: Label,
    runtime: Handle,
    span: Span,
    unwinding: Arc<Unwinding>,
}

enum State<F, T, E> {
    Waiting(Pin<Box<F>>),
    Spawned(JoinHandle<Result<T, E>>, Arc<Presence>),
    Ended,
}

/// Shared by the spawned task and the group; the task lets go of it when it has unwound.
#[derive(Default)]
struct Presence {
    /// Set when the group no longer waits for the task.
    leftover: Mutex<Option<Leftover>>,
}

impl<F, T, E> ParallelChild<F, T, E>
where
    F: Future<Output = Result<T, E>> + Send + 'static,
    T: Send + 'static,
    E: Send + 'static,
{
    pub(super) fn new(future: F, label: Label, runtime: Handle, unwinding: Arc<Unwinding>) -> Self {
        Self { state: State::Waiting(Box::pin(future)), label, runtime, span: Span::current(), unwinding }
    }

    /// Spawns the task unless that was done before.
    pub(super) fn start(&mut self) {
        match std::mem::replace(&mut self.state, State::Ended) {
            State::Waiting(future) => {
                let presence = Arc::new(Presence::default());
                let present = presence.clone();
                let future = future.instrument(self.span.clone());
                let handle = self.runtime.spawn(async move {
                    // Dropped after the future, so its end is the end of the unwinding.
                    let _present = present;
                    future.await
                });
                self.state = State::Spawned(handle, presence);
            }
            other => self.state = other,
        }
    }
}

impl<F, T, E> Future for ParallelChild<F, T, E>
where
    F: Future<Output = Result<T, E>> + Send + 'static,
    T: Send + 'static,
    E: From<Interrupted> + Send + 'static,
{
    type Output = Result<T, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        this.start();
        let State::Spawned(handle, _) = &mut this.state else {
            return Poll::Pending;
        };
        let joined = ready!(Pin::new(handle).poll(cx));
        this.state = State::Ended;
        Poll::Ready(match joined {
            Ok(result) => result,
            Err(error) => match error.try_into_panic() {
                Ok(payload) => resume_unwind(payload),
                // Nobody but the runtime aborts the task while we wait for it.
                Err(_) => Err(E::from(Interrupted::Cancelled(CancelReason::Shutdown))),
            },
        })
    }
}

impl<F, T: Send + 'static, E: Send + 'static> Unpin for ParallelChild<F, T, E> {}

impl<F, T: Send + 'static, E: Send + 'static> Drop for ParallelChild<F, T, E> {
    fn drop(&mut self) {
        if let State::Spawned(handle, presence) = std::mem::replace(&mut self.state, State::Ended) {
            handle.abort();
            self.unwinding.enter(&self.label, handle, presence);
        }
    }
}

/// Aborted parallel children of one group that may still be unwinding.
#[derive(Default)]
pub(super) struct Unwinding {
    aborted: Mutex<Vec<Aborted>>,
}

struct Aborted {
    label: Label,
    presence: Arc<Presence>,
    unwound: BoxFuture<()>,
}

impl Unwinding {
    fn enter<T, E>(&self, label: &Label, handle: JoinHandle<Result<T, E>>, presence: Arc<Presence>)
    where
        T: Send + 'static,
        E: Send + 'static,
    {
        if handle.is_finished() {
            return;
        }
        let name = label.clone();
        let unwound = Box::pin(async move {
            if let Err(error) = handle.await
                && error.is_panic()
            {
                tracing::error!(child = %name, "an aborted child of a task group panicked while it unwound");
            }
        });
        let mut aborted = self.lock();
        // Those that have ended meanwhile need no waiting for.
        aborted.retain(|child| !child.has_unwound());
        aborted.push(Aborted { label: label.clone(), presence, unwound });
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Aborted>> {
        self.aborted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for all of them, a second at most; who takes longer is left to the process-wide residue.
    pub(super) async fn wait(&self) {
        if self.lock().iter().all(Aborted::has_unwound) {
            return;
        }
        let mut sleep = pin!(tokio::time::sleep(UNWINDING_LIMIT));
        poll_fn(|cx| {
            // Taken out, since polling runs code of others.
            let mut aborted = std::mem::take(&mut *self.lock());
            aborted.retain_mut(|child| child.unwound.as_mut().poll(cx).is_pending());
            let done = aborted.is_empty();
            self.lock().append(&mut aborted);
            if done { Poll::Ready(()) } else { sleep.as_mut().poll(cx) }
        })
        .await;
        for child in self.lock().iter() {
            tracing::warn!(child = %child.label, "an aborted child of a task group is still running");
        }
        self.leave_to_residue();
    }

    /// Stops waiting: from here on the drain of the process waits for them.
    pub(super) fn leave_to_residue(&self) {
        for child in std::mem::take(&mut *self.lock()) {
            child.presence.leave(&child.label);
        }
    }
}

impl Aborted {
    /// Only the task keeps the presence besides this list.
    fn has_unwound(&self) -> bool {
        Arc::strong_count(&self.presence) == 1
    }
}

impl Presence {
    /// Counts the task as a leftover until it lets go of this.
    fn leave(self: Arc<Self>, label: &Label) {
        if Arc::strong_count(&self) > 1 {
            let leftover = residue::enter(Cow::Owned(format!("aborted child {label}")));
            *self.leftover.lock().unwrap_or_else(PoisonError::into_inner) = Some(leftover);
        }
    }
}

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use super::{
    drive, frames,
    outcome::{Found, Outcome},
    state::Shared,
};
use crate::{CancelReason, Interrupted};

/// The handle of a child of a [`TaskGroup`](super::TaskGroup): a future of its result.
///
/// Dropping the handle does not cancel the child; [`cancel`](Self::cancel) does. Awaited inside the group's
/// [`run`](super::TaskGroup::run) it just waits. Awaited anywhere else, from any task or thread, it drives the
/// whole group while it waits.
///
/// # Errors
///
/// The child's own error comes out here under [`OnError::Continue`](super::OnError::Continue). Otherwise the
/// first error belongs to `run`, and every handle yields `E::from(Interrupted::Cancelled(SiblingFailed))`;
/// without `run`, the first handle that would say so yields the failed sibling's error itself.
///
/// # Panics
///
/// If it is polled again after it gave its result. Outside `run`, a child's panic resumes here.
///
/// # Cancel safety
///
/// Safe: a result that was not taken stays in the handle.
pub struct Task<'env, T, E> {
    outcome: Arc<Outcome<T, E>>,
    group: Option<Arc<Shared<'env, E>>>,
    /// Our waker is registered with the group, not only with the child.
    registered: bool,
}

impl<'env, T, E> Task<'env, T, E> {
    pub(super) fn new(outcome: Arc<Outcome<T, E>>, group: Option<Arc<Shared<'env, E>>>) -> Self {
        Self { outcome, group, registered: false }
    }

    /// Cancels this child alone: it is dropped before this returns, and its handle says
    /// `Cancelled(Requested)`. That is no failure of the group.
    ///
    /// A child that is being polled right now (by another thread, or because it calls this itself) is
    /// dropped as soon as that poll returns. A finished child keeps its result.
    pub fn cancel(&self) {
        if let Some(group) = &self.group {
            group.cancel_child(self.outcome.key);
        }
    }

    /// Whether the child has ended, well or not.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.outcome.is_finished()
    }

    /// The name given to `spawn_named`, else the place of the spawn as `file:line:column`.
    #[must_use]
    pub fn name(&self) -> &str {
        self.outcome.name()
    }

    /// A number that no other child in this process has.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.outcome.key.id
    }
}

impl<T, E: From<Interrupted>> Task<'_, T, E> {
    fn resolve(&self, found: Found<T, E>) -> Poll<Result<T, E>> {
        match found {
            Found::Pending => Poll::Pending,
            Found::Result(result) => Poll::Ready(result),
            Found::Interrupted(interrupted) => Poll::Ready(Err(self.interrupted(interrupted))),
            Found::Nothing => panic!("the task {:?} was polled after it gave its result", self.name()),
        }
    }

    fn interrupted(&self, interrupted: Interrupted) -> E {
        let Some(group) = &self.group else { return interrupted.into() };
        if interrupted == Interrupted::Cancelled(CancelReason::SiblingFailed)
            && let Some(error) = group.take_failure()
        {
            return error;
        }
        frames::note(group.address(), |notes| notes.told = true);
        interrupted.into()
    }
}

impl<T, E: From<Interrupted>> Future for Task<'_, T, E> {
    type Output = Result<T, E>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let found = self.outcome.take();
        let (Found::Pending, Some(group)) = (&found, self.group.clone()) else {
            return self.resolve(found);
        };
        if frames::inside(group.address()) {
            // The driver is further up this stack. It goes on when we return.
            if group.is_waiting(self.outcome.key) {
                frames::note(group.address(), |notes| notes.lends = true);
            }
        } else {
            self.registered = true;
            drive::turn(&group, self.outcome.key.id, cx.waker(), None);
        }
        let found = self.outcome.take_or_wait(cx.waker());
        self.resolve(found)
    }
}

impl<T, E> Unpin for Task<'_, T, E> {}

impl<T, E> Drop for Task<'_, T, E> {
    fn drop(&mut self) {
        if self.registered
            && let Some(group) = &self.group
        {
            group.signals.forget(self.outcome.key.id);
        }
    }
}

impl<T, E> fmt::Debug for Task<'_, T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Task")
            .field("id", &self.id())
            .field("name", &self.name())
            .field("finished", &self.is_finished())
            .finish()
    }
}

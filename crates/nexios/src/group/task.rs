use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use super::{
    drive,
    frames::{self, Inside},
    outcome::{Found, Outcome},
    panics::log_unseen,
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
    /// The result, the child's name and number, and what this handle has done so far.
    outcome: Arc<Outcome<T, E>>,
    /// None if the group was gone before this was spawned.
    group: Option<Arc<Shared<'env, E>>>,
}

impl<'env, T, E> Task<'env, T, E> {
    pub(super) fn new(outcome: Arc<Outcome<T, E>>, group: Option<Arc<Shared<'env, E>>>) -> Self {
        Self { outcome, group }
    }

    /// Cancels this child alone: it is dropped before this returns, and its handle says
    /// `Cancelled(Requested)`. That is no failure of the group.
    ///
    /// A child that is being polled right now (by another thread, or because it calls this itself) is
    /// dropped as soon as that poll returns. A finished child keeps its result.
    pub fn cancel(&self) {
        if let Some(group) = &self.group {
            group.cancel_child(self.outcome.place());
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
        self.outcome.label().as_str()
    }

    /// A number that no other child in this process has.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.outcome.place().id
    }
}

impl<T, E: From<Interrupted>> Task<'_, T, E> {
    fn resolve(&mut self, found: Found<T, E>) -> Poll<Result<T, E>> {
        self.outcome.set_taken();
        Poll::Ready(match found {
            Found::Result(result) => result,
            Found::Interrupted(interrupted) => Err(self.interrupted(interrupted)),
        })
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

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        if this.outcome.is_taken() {
            panic!("the task {:?} was polled after it gave its result", this.name());
        }
        if let Some(found) = Outcome::take_alone(&mut this.outcome) {
            return this.resolve(found);
        }
        if let Some(group) = &this.group {
            let place = this.outcome.place();
            if let Some(inside) = frames::inside(group.address()) {
                // The driver is further up this stack. It goes on when we return.
                if inside == Inside::Child {
                    group.start_awaited(place);
                }
            } else if let Some(found) = this.outcome.take() {
                return this.resolve(found);
            } else {
                this.outcome.set_registered();
                drive::turn(group, place.id, cx.waker(), None);
            }
        }
        match this.outcome.take_or_wait(cx.waker()) {
            Some(found) => this.resolve(found),
            None => Poll::Pending,
        }
    }
}

impl<T, E> Unpin for Task<'_, T, E> {}

impl<T, E> Drop for Task<'_, T, E> {
    fn drop(&mut self) {
        if self.outcome.is_registered()
            && let Some(group) = &self.group
        {
            group.signals.forget(self.outcome.place().id);
        }
        if !self.outcome.is_taken() && self.outcome.abandon() {
            log_unseen(self.outcome.label());
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

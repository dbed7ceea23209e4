use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use super::{
    children::Place,
    drive, frames,
    label::Label,
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
    /// None once the result was handed out.
    outcome: Option<Arc<Outcome<T, E>>>,
    place: Place,
    label: Label,
    /// None if the group was gone before this was spawned.
    group: Option<Arc<Shared<'env, E>>>,
    /// Our waker is registered with the group, not only with the child.
    registered: bool,
}

impl<'env, T, E> Task<'env, T, E> {
    pub(super) fn new(
        place: Place,
        label: Label,
        outcome: Arc<Outcome<T, E>>,
        group: Option<Arc<Shared<'env, E>>>,
    ) -> Self {
        Self { outcome: Some(outcome), place, label, group, registered: false }
    }

    /// Cancels this child alone: it is dropped before this returns, and its handle says
    /// `Cancelled(Requested)`. That is no failure of the group.
    ///
    /// A child that is being polled right now (by another thread, or because it calls this itself) is
    /// dropped as soon as that poll returns. A finished child keeps its result.
    pub fn cancel(&self) {
        if let Some(group) = &self.group {
            group.cancel_child(self.place);
        }
    }

    /// Whether the child has ended, well or not.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.outcome.as_ref().is_none_or(|outcome| outcome.is_finished())
    }

    /// The name given to `spawn_named`, else the place of the spawn as `file:line:column`.
    #[must_use]
    pub fn name(&self) -> &str {
        self.label.as_str()
    }

    /// A number that no other child in this process has.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.place.id
    }
}

impl<T, E: From<Interrupted>> Task<'_, T, E> {
    fn resolve(&mut self, found: Found<T, E>) -> Poll<Result<T, E>> {
        self.outcome = None;
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
        let Some(outcome) = &this.outcome else {
            panic!("the task {:?} was polled after it gave its result", this.name());
        };
        if let Some(found) = outcome.take() {
            return this.resolve(found);
        }
        if let Some(group) = &this.group {
            if frames::inside(group.address()) {
                // The driver is further up this stack. It goes on when we return.
                if group.is_waiting(this.place) {
                    frames::note(group.address(), |notes| notes.lends = true);
                }
            } else {
                this.registered = true;
                drive::turn(group, this.place.id, cx.waker(), None);
            }
        }
        match outcome.take_or_wait(cx.waker()) {
            Some(found) => this.resolve(found),
            None => Poll::Pending,
        }
    }
}

impl<T, E> Unpin for Task<'_, T, E> {}

impl<T, E> Drop for Task<'_, T, E> {
    fn drop(&mut self) {
        if self.registered
            && let Some(group) = &self.group
        {
            group.signals.forget(self.place.id);
        }
        if self.outcome.as_ref().is_some_and(|outcome| outcome.abandon()) {
            log_unseen(&self.label);
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

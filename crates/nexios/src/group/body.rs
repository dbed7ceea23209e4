//! What a turn knows of the body of `run`.

use std::task::Poll;

use super::state::Core;

/// The body of `run`, for the one awaiter that has it.
pub(super) trait Body<E> {
    /// Begins the run, under the group's lock; false if there is nothing left to run.
    fn enter(&mut self, core: &mut Core<'_, E>) -> bool;

    /// Polls the body once; an error is the group's business.
    fn poll(&mut self) -> Poll<Result<(), E>>;

    /// Whether the body has neither finished nor been dropped.
    fn is_alive(&self) -> bool;

    /// Drops the body at its await.
    fn cut(&mut self);

    /// All has ended; under the group's lock.
    fn leave(&mut self, core: &mut Core<'_, E>);
}

/// For awaiters that have no body: handles, and `map` outside `run`.
pub(super) struct NoBody;

impl<E> Body<E> for NoBody {
    fn enter(&mut self, _: &mut Core<'_, E>) -> bool {
        true
    }

    fn poll(&mut self) -> Poll<Result<(), E>> {
        Poll::Pending
    }

    fn is_alive(&self) -> bool {
        false
    }

    fn cut(&mut self) {}

    fn leave(&mut self, _: &mut Core<'_, E>) {}
}

use std::{borrow::Cow, fmt, future::Future, panic::Location, sync::Weak};

use futures_util::FutureExt;

use super::{
    child_result::ChildResult,
    error::GroupError,
    spawn::{self, Label},
    state::Shared,
    task::Task,
    verdict::Cause,
};
use crate::cancel::{CancelReason, CancelToken};

/// A clonable handle that spawns into a [`TaskGroup`](super::TaskGroup) from one of its children.
///
/// A child cannot borrow its own group; it takes a spawner with it instead. A spawner does not keep the
/// group alive: once the group has ended, what is spawned is refused, never polled, and its handle yields
/// [`Interrupted::Cancelled`](crate::Interrupted::Cancelled).
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), nexios::Interrupted> {
/// use nexios::{Interrupted, TaskGroup};
///
/// let group = TaskGroup::<Interrupted>::new();
/// let total = group
///     .run(async {
///         let spawner = group.spawner();
///         let page = group.spawn(async move {
///             let next = spawner.spawn(async { Ok(2) });
///             Ok(1 + next.await?)
///         });
///         page.await
///     })
///     .await?;
/// assert_eq!(total, 3);
/// # Ok(())
/// # }
/// ```
pub struct Spawner<'env, E> {
    shared: Weak<Shared<'env, E>>,
}

impl<'env, E> Spawner<'env, E> {
    pub(super) fn new(shared: Weak<Shared<'env, E>>) -> Self {
        Self { shared }
    }
}

impl<'env, E> Spawner<'env, E> {
    /// Spawns an in-task child; see [`TaskGroup::spawn`](super::TaskGroup::spawn).
    #[track_caller]
    pub fn spawn<T, F>(&self, future: F) -> Task<'env, T, E>
    where
        T: Send + 'env,
        E: GroupError + 'env,
        F: Future<Output: ChildResult<E>> + Future<Output = Result<T, E>> + Send + 'env,
    {
        spawn::in_task(self.shared.upgrade(), Label::here(), future)
    }

    /// Spawns an in-task child with an error of its own; see [`TaskGroup::spawn_into`](super::TaskGroup::spawn_into).
    #[track_caller]
    pub fn spawn_into<T, F, E2>(&self, future: F) -> Task<'env, T, E>
    where
        E: GroupError + 'env,
        T: Send + 'env,
        E2: Into<E>,
        F: Future<Output = Result<T, E2>> + Send + 'env,
    {
        spawn::converted(self.shared.upgrade(), Label::here(), future)
    }

    /// Spawns an in-task child that cannot fail; see [`TaskGroup::spawn_value`](super::TaskGroup::spawn_value).
    #[track_caller]
    pub fn spawn_value<F>(&self, future: F) -> Task<'env, F::Output, E>
    where
        E: GroupError + 'env,
        F: Future<Output: Send + 'env> + Send + 'env,
    {
        spawn::in_task(self.shared.upgrade(), Label::here(), future.map(Ok))
    }

    /// Spawns a named in-task child; see [`TaskGroup::spawn_named`](super::TaskGroup::spawn_named).
    #[track_caller]
    pub fn spawn_named<T, F>(
        &self,
        name: impl Into<Cow<'static, str>>,
        future: F,
    ) -> Task<'env, T, E>
    where
        T: Send + 'env,
        E: GroupError + 'env,
        F: Future<Output: ChildResult<E>> + Future<Output = Result<T, E>> + Send + 'env,
    {
        spawn::named(
            self.shared.upgrade(),
            name.into(),
            Location::caller(),
            future,
        )
    }

    /// Spawns a child on the runtime's worker threads; see
    /// [`TaskGroup::spawn_parallel`](super::TaskGroup::spawn_parallel).
    ///
    /// # Panics
    ///
    /// If there is no tokio runtime.
    #[track_caller]
    pub fn spawn_parallel<T, F>(&self, future: F) -> Task<'env, T, E>
    where
        E: GroupError + 'static,
        T: Send + 'static,
        F: Future<Output: ChildResult<E>> + Future<Output = Result<T, E>> + Send + 'static,
    {
        spawn::parallel(self.shared.upgrade(), Label::here(), future)
    }

    /// Cancels the group's children without an error; see [`TaskGroup::cancel`](super::TaskGroup::cancel).
    pub fn cancel(&self) {
        if let Some(shared) = self.shared.upgrade() {
            shared.close(Cause::Requested);
        }
    }

    /// The token of the group; one that has fired if the group is gone.
    #[must_use]
    pub fn token(&self) -> CancelToken {
        self.shared.upgrade().map_or_else(
            || {
                let token = CancelToken::new();
                token.cancel(CancelReason::OwnerDropped);
                token
            },
            |shared| shared.token(),
        )
    }
}

impl<E> Clone for Spawner<'_, E> {
    fn clone(&self) -> Self {
        Self {
            shared: self.shared.clone(),
        }
    }
}

impl<E> fmt::Debug for Spawner<'_, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spawner")
            .field("group", &self.shared.upgrade())
            .finish()
    }
}

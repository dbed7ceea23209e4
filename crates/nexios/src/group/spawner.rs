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
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), nexios::Interrupted> {
    /// use nexios::{Interrupted, TaskGroup};
    ///
    /// let group = TaskGroup::<Interrupted>::new();
    /// let spawner = group.spawner();
    /// let both = group.spawn(async move {
    ///     let (one, two) = (spawner.spawn(async { Ok(1) }), spawner.spawn(async { Ok(2) }));
    ///     Ok(one.await? + two.await?)
    /// });
    /// assert_eq!(both.await?, 3);
    /// # Ok(())
    /// # }
    /// ```
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
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    /// use std::error::Error;
    /// use nexios::TaskGroup;
    ///
    /// let group = TaskGroup::<Box<dyn Error + Send + Sync>>::new();
    /// let spawner = group.spawner();
    /// let port = group.spawn(async move {
    ///     spawner.spawn_into(async { "80".parse::<u16>() }).await
    /// });
    /// assert_eq!(port.await?, 80);
    /// # Ok(())
    /// # }
    /// ```
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
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), nexios::Interrupted> {
    /// let group = nexios::TaskGroup::infallible();
    /// let spawner = group.spawner();
    /// let length = group.spawn(async move { spawner.spawn_value(async { "four".len() }).await });
    /// assert_eq!(length.await?, 4);
    /// # Ok(())
    /// # }
    /// ```
    #[track_caller]
    pub fn spawn_value<F>(&self, future: F) -> Task<'env, F::Output, E>
    where
        E: GroupError + 'env,
        F: Future<Output: Send + 'env> + Send + 'env,
    {
        spawn::in_task(self.shared.upgrade(), Label::here(), future.map(Ok))
    }

    /// Spawns a named in-task child; see [`TaskGroup::spawn_named`](super::TaskGroup::spawn_named).
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), nexios::Interrupted> {
    /// let group = nexios::TaskGroup::infallible();
    /// let spawner = group.spawner();
    /// let name = group.spawn(async move {
    ///     let link = spawner.spawn_named("/next", async { Ok(()) });
    ///     Ok(link.name().to_owned())
    /// });
    /// assert_eq!(name.await?, "/next");
    /// # Ok(())
    /// # }
    /// ```
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

    /// Spawns a named in-task child with an error of its own; see
    /// [`TaskGroup::spawn_named_into`](super::TaskGroup::spawn_named_into).
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    /// use std::error::Error;
    /// use nexios::TaskGroup;
    ///
    /// let group = TaskGroup::<Box<dyn Error + Send + Sync>>::new();
    /// let spawner = group.spawner();
    /// let port = group.spawn(async move {
    ///     spawner.spawn_named_into("port", async { "80".parse::<u16>() }).await
    /// });
    /// assert_eq!(port.await?, 80);
    /// # Ok(())
    /// # }
    /// ```
    #[track_caller]
    pub fn spawn_named_into<T, F, E2>(
        &self,
        name: impl Into<Cow<'static, str>>,
        future: F,
    ) -> Task<'env, T, E>
    where
        T: Send + 'env,
        E: GroupError + 'env,
        E2: Into<E>,
        F: Future<Output = Result<T, E2>> + Send + 'env,
    {
        spawn::named_converted(
            self.shared.upgrade(),
            name.into(),
            Location::caller(),
            future,
        )
    }

    /// Spawns a named in-task child that cannot fail; see
    /// [`TaskGroup::spawn_named_value`](super::TaskGroup::spawn_named_value).
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), nexios::Interrupted> {
    /// let group = nexios::TaskGroup::infallible();
    /// let spawner = group.spawner();
    /// let length = group.spawn(async move { spawner.spawn_named_value("length", async { "four".len() }).await });
    /// assert_eq!(length.await?, 4);
    /// # Ok(())
    /// # }
    /// ```
    #[track_caller]
    pub fn spawn_named_value<F>(
        &self,
        name: impl Into<Cow<'static, str>>,
        future: F,
    ) -> Task<'env, F::Output, E>
    where
        E: GroupError + 'env,
        F: Future<Output: Send + 'env> + Send + 'env,
    {
        spawn::named(
            self.shared.upgrade(),
            name.into(),
            Location::caller(),
            future.map(Ok),
        )
    }

    /// Spawns a child on the runtime's worker threads; see
    /// [`TaskGroup::spawn_parallel`](super::TaskGroup::spawn_parallel).
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), nexios::Interrupted> {
    /// let group = nexios::TaskGroup::infallible();
    /// let spawner = group.spawner();
    /// let sum = group.spawn(async move {
    ///     spawner.spawn_parallel(async { Ok((1..=100_u32).sum::<u32>()) }).await
    /// });
    /// assert_eq!(sum.await?, 5_050);
    /// # Ok(())
    /// # }
    /// ```
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
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), nexios::Interrupted> {
    /// let group = nexios::TaskGroup::infallible();
    /// let spawner = group.spawner();
    /// group.spawn_value(std::future::pending::<()>());
    /// group.spawn_value(async move { spawner.cancel() }); // found what they look for
    /// group.join().await?;
    /// assert!(group.is_empty());
    /// # Ok(())
    /// # }
    /// ```
    pub fn cancel(&self) {
        if let Some(shared) = self.shared.upgrade() {
            shared.close(Cause::Requested);
        }
    }

    /// The token of the group; one that has fired if the group is gone.
    ///
    /// # Examples
    ///
    /// ```
    /// use nexios::{CancelReason, Interrupted, TaskGroup};
    ///
    /// let group = TaskGroup::<Interrupted>::new();
    /// let spawner = group.spawner();
    /// assert!(!spawner.token().is_cancelled());
    /// drop(group);
    /// assert_eq!(spawner.token().reason(), Some(CancelReason::OwnerDropped));
    /// ```
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

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use super::{
    child::{Child, Found, Meanwhile, Progress},
    child_work::ChildWork,
    children::key_of,
    drive,
    panics::log_unseen,
    state::Shared,
    turns::{self, Polled},
};
use crate::cancel::{CancelReason, Interrupted};

/// The handle of a child of a [`TaskGroup`](super::TaskGroup): a future of its result.
///
/// Dropping the handle does not cancel the child; [`cancel`](Self::cancel) does. Awaited inside the group's
/// [`run`](super::TaskGroup::run) it just waits. Awaited anywhere else, from any task or thread, it drives the
/// whole group while it waits.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), nexios::Interrupted> {
/// use nexios::{Interrupted, TaskGroup};
///
/// let group = TaskGroup::<Interrupted>::new();
/// let one = group.spawn(async { Ok(1) });
/// let two = group.spawn(async { Ok(2) });
/// // Outside of `run`: whichever handle is awaited drives both.
/// assert_eq!(two.await?, 2);
/// assert_eq!(one.await?, 1);
/// # Ok(())
/// # }
/// ```
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
    child: Arc<Child<'env, T, E>>,
    /// None if the group was gone before this was spawned.
    group: Option<Arc<Shared<'env, E>>>,
}

impl<'env, T, E> Task<'env, T, E> {
    pub(super) fn new(child: Arc<Child<'env, T, E>>, group: Option<Arc<Shared<'env, E>>>) -> Self {
        Self { child, group }
    }

    /// The task is started; makes up for what has happened meanwhile.
    pub(super) fn bring(&self, work: ChildWork<'env, T, E>) {
        let Meanwhile { woken, ended } = self.child.bring(work);
        let (Some(group), seat) = (&self.group, self.child.seat) else {
            return;
        };
        if let Some(why) = ended {
            group.end_child(seat, why);
        } else if woken {
            group.signals.push(key_of(seat));
        }
    }

    /// There is something to do for those who wait for the group.
    pub(super) fn notify_group(&self) {
        if let Some(group) = &self.group {
            group.signals.notify();
        }
    }

    /// Cancels this child alone: it is dropped before this returns, and its handle says
    /// `Cancelled(Requested)`. That is no failure of the group.
    ///
    /// A child that is being polled right now (by another thread, or because it calls this itself) is
    /// dropped as soon as that poll returns. A finished child keeps its result.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// use std::future::pending;
    /// use nexios::{CancelReason, Interrupted, TaskGroup};
    ///
    /// let group = TaskGroup::<Interrupted>::new();
    /// let (slow, quick) = (group.spawn(pending::<Result<(), _>>()), group.spawn(async { Ok(1) }));
    /// slow.cancel();
    /// assert_eq!(slow.await, Err(Interrupted::Cancelled(CancelReason::Requested)));
    /// assert_eq!(quick.await, Ok(1));
    /// # }
    /// ```
    pub fn cancel(&self) {
        if let Some(group) = &self.group {
            group.end_child(
                self.child.seat,
                Interrupted::Cancelled(CancelReason::Requested),
            );
        }
    }

    /// Whether the child has ended, well or not.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), nexios::Interrupted> {
    /// let group = nexios::TaskGroup::infallible();
    /// let child = group.spawn_value(async { 7 });
    /// assert!(!child.is_finished());
    /// group.join().await?;
    /// assert!(child.is_finished());
    /// assert_eq!(child.await?, 7);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.child.is_finished()
    }

    /// The name given to `spawn_named`, else the place of the spawn as `file:line:column`.
    ///
    /// # Examples
    ///
    /// ```
    /// let group = nexios::TaskGroup::infallible();
    /// let named = group.spawn_named("profile", async { Ok(1) });
    /// let unnamed = group.spawn_value(async { 2 });
    /// assert_eq!(named.name(), "profile");
    /// assert!(unnamed.name().contains(".rs:"));
    /// ```
    #[must_use]
    pub fn name(&self) -> &str {
        self.child.label.as_str()
    }

    /// A number that nothing else in this process has: that of the child's [`WorkId`](crate::observe::WorkId).
    ///
    /// # Examples
    ///
    /// ```
    /// let group = nexios::TaskGroup::infallible();
    /// let (one, two) = (group.spawn_value(async {}), group.spawn_value(async {}));
    /// assert!(one.id() < two.id());
    /// ```
    #[must_use]
    pub fn id(&self) -> u64 {
        self.child.seat.id
    }
}

impl<T, E: From<Interrupted>> Task<'_, T, E> {
    fn resolve(&mut self, found: Found<T, E>) -> Poll<Result<T, E>> {
        self.forget();
        self.child.set_progress(Progress::Taken);
        Poll::Ready(match found {
            Found::Result(result) => result,
            Found::Interrupted(why) => Err(self.interrupted(why)),
        })
    }

    fn interrupted(&self, why: Interrupted) -> E {
        let Some(group) = &self.group else {
            return why.into();
        };
        if why == Interrupted::Cancelled(CancelReason::SiblingFailed)
            && let Some(error) = group.take_failure()
        {
            return error;
        }
        turns::note_told(group.address());
        why.into()
    }
}

impl<T, E> Task<'_, T, E> {
    /// The group need not wake this handle any more.
    fn forget(&self) {
        if self.child.progress() == Progress::Drives
            && let Some(group) = &self.group
        {
            group.signals.forget(self.child.seat.id);
        }
    }
}

impl<T, E: From<Interrupted>> Future for Task<'_, T, E> {
    type Output = Result<T, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        if this.child.progress() == Progress::Taken {
            panic!(
                "the task {:?} was polled after it gave its result",
                this.name()
            );
        }
        // The child's side is let go of when the child has ended; then the result is taken without a lock.
        if let Some(child) = Arc::get_mut(&mut this.child)
            && let Some(found) = child.take_alone()
        {
            return this.resolve(found);
        }
        if let Some(group) = &this.group {
            let seat = this.child.seat;
            if let Some(polled) = turns::inside(group.address()) {
                // The driver is further up this stack; it goes on when we return.
                if polled == Polled::Child {
                    group.start_now(seat);
                }
            } else if let Some(found) = this.child.take() {
                group.leave_out(seat);
                return this.resolve(found);
            } else {
                this.child.set_progress(Progress::Drives);
                drive::turn(group, seat.id, cx.waker());
            }
        }
        match this.child.take_or_wait(cx.waker()) {
            Some(found) => this.resolve(found),
            None => Poll::Pending,
        }
    }
}

impl<T, E> Unpin for Task<'_, T, E> {}

impl<T, E> Drop for Task<'_, T, E> {
    fn drop(&mut self) {
        if self.child.progress() != Progress::Taken {
            // First: what follows is a waker's destructor, code of others.
            let unseen = self.child.abandon();
            if unseen {
                log_unseen(&self.child.label);
            }
            self.forget();
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

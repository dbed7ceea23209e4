use std::{borrow::Cow, time::Duration};

use tokio::time::Instant;

use crate::cancel::{CancelScope, CancelToken};

/// What a child's error does to its siblings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum OnError {
    /// The first error cancels all the others and is what the group returns.
    #[default]
    Cancel,
    /// Siblings go on; each error comes out of its own handle, and one that nobody looks at is logged.
    Continue,
}

/// Settings of a group that has not been made yet; see [`TaskGroup::builder`](super::TaskGroup::builder).
#[derive(Debug, Clone, Default)]
#[must_use = "a builder makes nothing until `build` is called"]
pub struct TaskGroupBuilder {
    name: Option<Cow<'static, str>>,
    timeout: Option<Duration>,
    limit: Option<usize>,
    on_error: OnError,
    grace: Duration,
    parent: Parent,
}

/// Where cancellation comes from.
#[derive(Debug, Clone, Default)]
enum Parent {
    /// The scope that is current when the group is built.
    #[default]
    Scope,
    Token(CancelToken),
    Nobody,
}

/// The settings of a group, with everything inherited in place.
#[derive(Debug)]
pub(super) struct GroupSettings {
    pub(super) name: Option<Cow<'static, str>>,
    pub(super) timeout: Option<Duration>,
    /// Inherited from the scope.
    pub(super) deadline: Option<Instant>,
    pub(super) limit: usize,
    pub(super) on_error: OnError,
    pub(super) grace: Duration,
    pub(super) parent: Option<CancelToken>,
}

impl TaskGroupBuilder {
    /// Names the group in `Debug` and in logs. Default: no name.
    pub fn name(mut self, name: impl Into<Cow<'static, str>>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Limits the time of the whole group, counted from its first poll. Default: no limit of its own.
    ///
    /// A scope's deadline holds as well; the earlier of the two counts. At the limit `run` and the handles
    /// that have not finished yield [`Interrupted::DeadlineExceeded`](crate::Interrupted::DeadlineExceeded);
    /// a child that is ready in the same turn still gives its value, and with a limit of zero every child
    /// is polled once. Needs a runtime with time enabled; if that goes away meanwhile, the group is cancelled
    /// ([`Shutdown`](crate::CancelReason::Shutdown)).
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Lets at most `limit` children be under way at once; the others wait in spawn order, unpolled.
    /// Default: no limit. Daemons do not count.
    ///
    /// A child that awaits the handle of a sibling without a place starts it at once, over the limit, so that this
    /// cannot deadlock: it holds a place itself and does nothing with it meanwhile. One that awaits many handles at
    /// once starts them all. Other waits between siblings (a channel, a lock, a handle awaited in a
    /// task of its own) are not covered: at the limit they can wait for a child that never starts.
    ///
    /// # Panics
    ///
    /// If `limit` is zero: nothing could ever run.
    #[track_caller]
    pub fn limit(mut self, limit: usize) -> Self {
        assert!(
            limit > 0,
            "TaskGroupBuilder::limit(0): a group needs room for at least one child"
        );
        self.limit = Some(limit);
        self
    }

    /// Chooses what a child's error does to its siblings. Default: [`OnError::Cancel`].
    pub fn on_error(mut self, on_error: OnError) -> Self {
        self.on_error = on_error;
        self
    }

    /// Gives cancelled children this much time to finish by themselves. Default: zero.
    ///
    /// It is for children: the body is dropped at its await without grace (and not at all after
    /// [`cancel`](super::TaskGroup::cancel)). The token fires first; who is still there at the end of the grace is dropped. Children that have
    /// not started get none. Needs a runtime with time enabled, unless it is zero.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// Cancels the group when `token` fires, instead of with the current scope.
    ///
    /// That ends it as a time limit does: the body is dropped at its await, children get the grace, and `run` yields
    /// [`Interrupted::Cancelled`](crate::Interrupted::Cancelled) with the token's reason. The scope's deadline still holds.
    pub fn parent(mut self, token: &CancelToken) -> Self {
        self.parent = Parent::Token(token.clone());
        self
    }

    /// Cuts the group off from the current scope: neither its token nor its deadline is inherited.
    pub fn detached(mut self) -> Self {
        self.parent = Parent::Nobody;
        self
    }

    /// What was set, and what is inherited from the scope that is current now.
    pub(super) fn settings(self) -> GroupSettings {
        let scope = match self.parent {
            Parent::Nobody => None,
            _ => CancelScope::current(),
        };
        let deadline = scope.as_ref().and_then(CancelScope::deadline);
        let parent = match self.parent {
            Parent::Token(token) => Some(token),
            Parent::Scope => scope.map(|scope| scope.token()),
            Parent::Nobody => None,
        };
        GroupSettings {
            name: self.name,
            timeout: self.timeout,
            deadline,
            limit: self.limit.unwrap_or(usize::MAX),
            on_error: self.on_error,
            grace: self.grace,
            parent,
        }
    }
}

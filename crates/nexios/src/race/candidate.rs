use std::{borrow::Cow, fmt, future::Future, pin::Pin, time::Duration};

use super::entry::{Entry, Start};

type BoxFuture<'env, T, E> = Pin<Box<dyn Future<Output = Result<T, E>> + Send + 'env>>;

/// One way to get the value of a race: a name, a future, and when it may start.
///
/// Nothing runs before the race starts it; a candidate that never starts is never polled. Without
/// [`after`](Self::after) or [`on_failure`](Self::on_failure) it starts together with the one before it in
/// the list. The first of the list always starts at once.
#[must_use = "a candidate does nothing outside a race"]
pub struct Candidate<'env, T, E> {
    entry: Entry<BoxFuture<'env, T, E>, BoxFuture<'env, T, E>, E>,
}

impl<'env, T, E> Candidate<'env, T, E> {
    /// Names a future that takes part in a race.
    pub fn new(
        name: impl Into<Cow<'static, str>>,
        future: impl Future<Output = Result<T, E>> + Send + 'env,
    ) -> Self {
        Self { entry: Entry::new(name.into(), Start::Together, Box::pin(future)) }
    }

    /// Starts it this long after the previous one in the list actually started.
    ///
    /// It starts earlier, at once, when all running candidates have failed: the staggering of
    /// [RFC 8305](https://www.rfc-editor.org/rfc/rfc8305#section-5) ("happy eyeballs"). Default: no delay.
    /// Of `after` and [`on_failure`](Self::on_failure) the last call counts.
    pub fn after(mut self, delay: Duration) -> Self {
        self.entry.start = Start::After(delay);
        self
    }

    /// Limits its own time, counted from its own start. Default: no limit.
    ///
    /// Running into the limit is a failure: [`Failure::TimedOut`](crate::Failure::TimedOut).
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.entry.limit = Some(limit);
        self
    }

    /// Starts it only when all earlier ones have failed.
    pub fn on_failure(mut self) -> Self {
        self.entry.start = Start::OnFailure;
        self
    }

    pub(super) fn into_entry(self) -> Entry<BoxFuture<'env, T, E>, BoxFuture<'env, T, E>, E> {
        self.entry
    }
}

impl<T, E> fmt::Debug for Candidate<'_, T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.entry.fmt(f)
    }
}

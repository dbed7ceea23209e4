//! What the driver knows of a candidate or an attempt.

use std::{
    borrow::Cow,
    task::{Context, Poll},
    time::Duration,
};

/// When a contender may start, seen from the one before it in the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StartRule {
    /// Together with it.
    Together,
    /// This long after it started.
    After(Duration),
    /// When nobody is running any more.
    OnFailure,
}

/// What was said about a contender.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) start: StartRule,
    /// Its own limit, from its own start.
    pub(crate) limit: Option<Duration>,
}

/// One line of the race's list.
pub(crate) trait Contender<T, E> {
    fn plan(&self) -> &Plan;

    /// Its name, for whoever observes. `index` is its place in the list.
    fn name(&self, index: usize) -> &str;

    /// Its name, for the report; asked once. `index` is its place in the list.
    fn take_name(&mut self, index: usize) -> Cow<'static, str>;

    /// Drives it; called once it has started and until it is ready.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<T, E>>;
}

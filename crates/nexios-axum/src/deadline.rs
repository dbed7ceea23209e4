//! How long a request may take, who said so, and what is left of it for others.

mod header;
pub(crate) mod outbound;
#[cfg(feature = "reqwest")]
pub(crate) mod reqwest;

use std::time::Duration;

use nexios::CancelScope;
use tokio::time::Instant;

pub use header::DeadlineHeader;

/// The instant by which a request should have an answer, if there is one.
///
/// As an extractor it is the deadline of the request, without a [`RequestLayer`](crate::RequestLayer) that of
/// the current scope. It never fails: a request without a deadline has one that is [`None`] inside.
///
/// # Examples
///
/// ```
/// use axum::{Router, routing::get};
/// use nexios_axum::{Deadline, RequestLayer};
///
/// async fn report(deadline: Deadline) -> String {
///     match deadline.remaining() {
///         Some(left) => format!("{} ms left", left.as_millis()),
///         None => "all the time in the world".to_owned(),
///     }
/// }
///
/// let app: Router = Router::new().route("/report", get(report)).layer(RequestLayer::new());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadline {
    at: Option<Instant>,
    source: Option<DeadlineSource>,
}

/// Who set a deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DeadlineSource {
    /// The server: the layer or the route.
    Server,
    /// The client, by this header.
    Client(DeadlineHeader),
    /// The current [`CancelScope`], which may belong to a background task, or a group in it.
    Scope,
}

impl Deadline {
    /// The deadline of the code that asks, for what is far from the handler's arguments: the earlier of the current
    /// [`CancelScope`]'s and of the time limits of the task groups around it.
    #[must_use]
    pub fn current() -> Self {
        Deadline::of(DeadlineSource::Scope, CancelScope::current_deadline())
    }

    /// The one that `source` has set, if any.
    pub(crate) fn of(source: DeadlineSource, at: Option<Instant>) -> Self {
        Deadline {
            at,
            source: at.map(|_| source),
        }
    }

    /// The instant on tokio's clock.
    #[must_use]
    pub fn at(&self) -> Option<Instant> {
        self.at
    }

    /// Who set it.
    #[must_use]
    pub fn source(&self) -> Option<DeadlineSource> {
        self.source
    }

    /// The time that is left, zero when it has passed; [`None`] without a deadline.
    #[must_use]
    pub fn remaining(&self) -> Option<Duration> {
        self.at
            .map(|at| at.saturating_duration_since(Instant::now()))
    }

    /// Whether it has passed.
    #[must_use]
    pub fn is_expired(&self) -> bool {
        self.remaining() == Some(Duration::ZERO)
    }
}

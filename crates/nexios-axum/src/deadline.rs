//! How long a request may take, who said so, and what is left of it for others.

mod header;
mod outbound;
#[cfg(feature = "reqwest")]
mod reqwest;
mod route;

use std::{convert::Infallible, time::Duration};

use axum::{extract::FromRequestParts, http::request::Parts};
use nexios::CancelScope;
use tokio::time::Instant;

pub use header::DeadlineHeader;
pub use outbound::HandedOn;
#[cfg(feature = "reqwest")]
pub use reqwest::WithDeadline;
pub use route::{RouteDeadline, RouteDeadlineService};

use crate::request::RequestState;

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
    /// The current [`CancelScope`], which may belong to a background task.
    Scope,
}

impl Deadline {
    /// The deadline of the current [`CancelScope`], for code that is far from the handler's arguments.
    #[must_use]
    pub fn current() -> Self {
        let at = CancelScope::current().and_then(|scope| scope.deadline());
        Deadline { at, source: at.map(|_| DeadlineSource::Scope) }
    }

    /// `limit` after `start`; a limit beyond the clock's end is none.
    pub(crate) fn after(start: Instant, limit: Option<(Duration, DeadlineSource)>) -> Self {
        let at = limit.and_then(|(limit, _)| start.checked_add(limit));
        Deadline { at, source: at.and(limit).map(|(_, source)| source) }
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
        self.at.map(|at| at.saturating_duration_since(Instant::now()))
    }

    /// Whether it has passed.
    #[must_use]
    pub fn is_expired(&self) -> bool {
        self.remaining() == Some(Duration::ZERO)
    }
}

impl<S: Sync> FromRequestParts<S> for Deadline {
    type Rejection = Infallible;

    async fn from_request_parts(_parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        Ok(match RequestState::current() {
            Some(state) => state.deadline(),
            None => {
                crate::extract::warn_once("Deadline");
                Deadline::current()
            }
        })
    }
}

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
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::time::Duration;
/// use axum::{Router, body::{Body, to_bytes}, http::Request, routing::get};
/// use nexios_axum::{Deadline, RequestLayer};
/// use tower::ServiceExt;
///
/// async fn report(deadline: Deadline) -> String {
///     match deadline.remaining() {
///         Some(left) => format!("{} s left", left.as_secs()),
///         None => "all the time in the world".to_owned(),
///     }
/// }
///
/// let layer = RequestLayer::new().deadline(Duration::from_secs(10));
/// let app: Router = Router::new().route("/", get(report)).layer(layer);
/// let response = app.oneshot(Request::new(Body::empty())).await?;
/// assert_eq!(&to_bytes(response.into_body(), 1024).await?[..], b"10 s left");
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadline {
    at: Option<Instant>,
    source: Option<DeadlineSource>,
}

/// Who set a deadline.
///
/// # Examples
///
/// ```
/// use nexios_axum::{Deadline, DeadlineSource};
///
/// /// A client that has set its own limit is told that it was too short.
/// fn advice(deadline: Deadline) -> &'static str {
///     match deadline.source() {
///         Some(DeadlineSource::Client(_)) => "wait longer",
///         Some(_) => "ask for less",
///         None => "be patient",
///     }
/// }
/// assert_eq!(advice(Deadline::current()), "be patient");
/// ```
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
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use std::time::Duration;
    /// use nexios::{CancelScope, CancelToken};
    /// use nexios_axum::Deadline;
    /// use tokio::time::Instant;
    ///
    /// /// Far from the handler, which was given ten seconds.
    /// async fn query() -> Option<Duration> {
    ///     Deadline::current().remaining()
    /// }
    ///
    /// let in_ten = Instant::now() + Duration::from_secs(10);
    /// let left = CancelScope::new(CancelToken::new(), Some(in_ten)).run(query()).await;
    /// assert_eq!(left, Some(Duration::from_secs(10)));
    /// assert_eq!(query().await, None);
    /// # Ok(())
    /// # }
    /// ```
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
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use std::time::Duration;
    /// use nexios::{CancelScope, CancelToken};
    /// use nexios_axum::Deadline;
    /// use tokio::time::{Instant, sleep_until};
    ///
    /// let scope = CancelScope::new(CancelToken::new(), Some(Instant::now() + Duration::from_secs(10)));
    /// let at = scope.run(async { Deadline::current().at() }).await.ok_or("there is one")?;
    /// sleep_until(at - Duration::from_secs(1)).await; // polls an upstream until a second before
    /// assert_eq!(at - Instant::now(), Duration::from_secs(1));
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn at(&self) -> Option<Instant> {
        self.at
    }

    /// Who set it.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use axum::{Router, body::{Body, to_bytes}, http::Request, routing::get};
    /// use nexios_axum::{Deadline, RequestLayer};
    /// use tower::ServiceExt;
    ///
    /// let who = async |deadline: Deadline| format!("{:?}", deadline.source());
    /// let app: Router = Router::new().route("/", get(who)).layer(RequestLayer::new());
    /// let request = Request::get("/").header("grpc-timeout", "5S").body(Body::empty())?;
    /// let body = to_bytes(app.oneshot(request).await?.into_body(), 1024).await?;
    /// assert_eq!(&body[..], b"Some(Client(GrpcTimeout))");
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn source(&self) -> Option<DeadlineSource> {
        self.source
    }

    /// The time that is left, zero when it has passed; [`None`] without a deadline.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use std::time::Duration;
    /// use nexios::{CancelScope, CancelToken};
    /// use nexios_axum::Deadline;
    /// use tokio::time::{Instant, sleep};
    ///
    /// let scope = CancelScope::new(CancelToken::new(), Some(Instant::now() + Duration::from_secs(10)));
    /// let left = scope.run(async {
    ///     sleep(Duration::from_secs(4)).await;
    ///     Deadline::current().remaining() // for the next step
    /// });
    /// assert_eq!(left.await, Some(Duration::from_secs(6)));
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn remaining(&self) -> Option<Duration> {
        self.at
            .map(|at| at.saturating_duration_since(Instant::now()))
    }

    /// Whether it has passed.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use std::time::Duration;
    /// use nexios::{CancelScope, CancelToken};
    /// use nexios_axum::Deadline;
    /// use tokio::time::{Instant, sleep};
    ///
    /// let scope = CancelScope::new(CancelToken::new(), Some(Instant::now() + Duration::from_secs(2)));
    /// let rows = scope.run(async {
    ///     let mut rows = 0;
    ///     while !Deadline::current().is_expired() {
    ///         sleep(Duration::from_secs(1)).await; // one more row
    ///         rows += 1;
    ///     }
    ///     rows
    /// });
    /// assert_eq!(rows.await, 2);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn is_expired(&self) -> bool {
        self.remaining() == Some(Duration::ZERO)
    }
}

//! Numbers for Prometheus.
//!
//! Invariants:
//! - A label is a name that somebody wrote down, never a number of a piece of work and never an address; of each there are at
//!   most 200, the rest is `_other`.
//! - What is not alive any more leaves numbers behind and nothing else.

mod accept;
mod attempt;
mod families;
mod label;
mod living;
mod measured;
mod names;
mod observer;
mod words;

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use axum::{
    Router,
    extract::{Request, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use nexios::observe::{self, Observing, WorkId};
use nexios_axum::Phase;
use prometheus_client::{
    encoding::{prometheus_text, text},
    registry::Registry,
};

use crate::life::Life;
use accept::Format;
use families::Families;
use living::{Living, Phases};
use observer::Measuring;

/// Numbers for Prometheus, without the page.
///
/// It observes from [`new`](Self::new) until the last clone is gone: durations of tasks, groups, races, background tasks and
/// computations, what waits in pools, who won. A [`Console`](crate::Console) has one of its own and answers with it at
/// `/metrics`.
///
/// Names are labels: those that were given, else the place in the code. Of each label there are at most 200 values, in the
/// order in which they came; further ones count as `_other`.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use axum::{Router, body::{Body, to_bytes}, http::Request};
/// use nexios::observe;
/// use nexios_console::Metrics;
/// use tower::ServiceExt;
///
/// let metrics = Metrics::new();
/// drop(observe::custom("export")); // work that has ended
/// let app: Router = Router::new().merge(metrics.router());
/// let response = app.oneshot(Request::get("/metrics").body(Body::empty())?).await?;
/// let text = to_bytes(response.into_body(), usize::MAX).await?;
/// assert!(String::from_utf8_lossy(&text).contains("nexios_task_name=\"export\""));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Metrics(Arc<Inner>);

struct Inner {
    registry: Mutex<Registry>,
    /// Where the service is in its life, as far as the last who asked knew.
    phases: Phases,
    measuring: Arc<Measuring>,
    /// Ends with the last clone.
    _observing: Observing,
}

impl Metrics {
    /// Begins to count.
    ///
    /// # Examples
    ///
    /// ```
    /// use nexios_console::Metrics;
    ///
    /// // First of all in `main`: of what began before it no duration is counted.
    /// let metrics = Metrics::new();
    /// # drop(metrics);
    /// ```
    #[must_use]
    pub fn new() -> Self {
        let families = Families::default();
        let mut registry = Registry::default();
        families.register(&mut registry);
        let phases = Phases::default();
        let measuring = Arc::new(Measuring::new(families));
        let living = Living::new(phases.clone(), measuring.clone());
        registry.register_collector(Box::new(living));
        let observing = observe::observe(measuring.clone());
        measuring.told_since(observing.since());
        Self(Arc::new(Inner {
            registry: Mutex::new(registry),
            phases,
            measuring,
            _observing: observing,
        }))
    }

    /// To add metrics of one's own. Whoever asks for the numbers waits while it is held.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use axum::{body::{Body, to_bytes}, http::Request};
    /// use nexios_console::Metrics;
    /// use prometheus_client::metrics::counter::Counter;
    /// use tower::ServiceExt;
    ///
    /// let metrics = Metrics::new();
    /// let orders: Counter = Counter::default();
    /// metrics.registry().register("orders", "Orders that were taken", orders.clone());
    /// orders.inc();
    /// let response = metrics.router().oneshot(Request::get("/metrics").body(Body::empty())?).await?;
    /// let text = to_bytes(response.into_body(), usize::MAX).await?;
    /// assert!(String::from_utf8_lossy(&text).contains("orders_total 1"));
    /// # Ok(())
    /// # }
    /// ```
    pub fn registry(&self) -> MutexGuard<'_, Registry> {
        // A registry is a list that only grows.
        self.0
            .registry
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers `GET /metrics`: in OpenMetrics text where `Accept` asks for it, else in Prometheus text 0.0.4.
    ///
    /// Whoever can reach it can read it.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use axum::{body::Body, http::Request};
    /// use nexios_console::Metrics;
    /// use tower::ServiceExt;
    ///
    /// let scrape = Request::get("/metrics").header("accept", "application/openmetrics-text").body(Body::empty())?;
    /// let response = Metrics::new().router().oneshot(scrape).await?;
    /// let kind = response.headers()["content-type"].to_str()?;
    /// assert!(kind.starts_with("application/openmetrics-text"));
    /// # Ok(())
    /// # }
    /// ```
    pub fn router(&self) -> Router {
        Router::new()
            .route("/metrics", get(answer))
            .with_state(self.clone())
    }

    /// The console's own requests are nobody's business, here as on its pages.
    pub(crate) fn disregard(&self, request: WorkId) {
        self.0.measuring.disregard(request);
    }

    /// In this phase of the service's life, if it is known.
    pub(crate) fn answer(&self, headers: &HeaderMap, phase: Option<Phase>) -> Response {
        let format = Format::asked(headers);
        let mut body = String::new();
        let registry = self.registry();
        self.0.phases.set(phase);
        let encoded = match format {
            Format::OpenMetrics => text::encode(&mut body, &registry),
            Format::Prometheus => prometheus_text::encode(&mut body, &registry),
        };
        drop(registry);
        // Only a metric of the user's own can fail to show itself.
        if encoded.is_err() {
            return StatusCode::INTERNAL_SERVER_ERROR.into_response();
        }
        let kind = [
            (header::CONTENT_TYPE, format.content_type()),
            (header::CACHE_CONTROL, "no-store"),
        ];
        (kind, [(header::VARY, "accept")], body).into_response()
    }
}

async fn answer(State(metrics): State<Metrics>, request: Request) -> Response {
    metrics.answer(request.headers(), Life::of(request.extensions()).phase())
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

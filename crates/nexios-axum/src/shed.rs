//! Requests that are turned away while there is more work than can be done.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    http::Request,
    response::{IntoResponse, Response},
};
use nexios::{PoolStats, ThreadPool};
use tower_layer::Layer;
use tower_service::Service;

use crate::{
    answer::Asker, deadline::Deadline, inner_service::Inner, log::log, problem::Problem,
    rationed_log::RationedLog, request::RequestState,
};

/// Of the whole process, with the pool of the last request.
static TURNED_AWAY: RationedLog = RationedLog::every(Duration::from_secs(1));

/// Answers 503 with `Retry-After` while the pools that a route needs are behind.
///
/// A request is turned away when a watched pool has work waiting and is over its threshold, or when its own
/// deadline is nearer than the pool's median wait: nobody would be there for the answer. While nothing waits in a pool
/// nobody is turned away on its account, even if jobs have waited long a moment ago. The log has a warning, once a second at
/// most, with the pool and how many were turned away since the last. `Retry-After` is the pool's median wait in whole seconds,
/// at least 1. gRPC calls are `UNAVAILABLE`, and the app may show it with [`render`](crate::RequestLayer::render).
///
/// All clones, and all routes that one layer is put on, share their count and ask the same pools, so it does not
/// matter that axum applies layers once a route or even once a call. Asking one idle pool takes some 250 ns a request.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use axum::{Router, routing::post};
/// use nexios::ThreadPool;
/// use nexios_axum::{RequestLayer, ShedLayer, Threshold};
///
/// let thumbnails = ThreadPool::builder().name("thumbnails").threads(2).queue(64).build();
/// let shed = ShedLayer::new()
///     .watch(&thumbnails, Threshold::QueueWait(Duration::from_millis(200)))
///     .watch(&thumbnails, Threshold::Queued(48));
/// let app: Router = Router::new()
///     .route("/upload", post(async || "thanks").layer(shed))
///     .layer(RequestLayer::new());
/// ```
#[derive(Clone, Default)]
#[must_use = "a layer does nothing until it is put on a route"]
pub struct ShedLayer {
    pools: Arc<Pools>,
}

#[derive(Clone, Default)]
struct Pools {
    watched: Vec<(ThreadPool, Threshold)>,
    shed: Arc<AtomicU64>,
}

/// When a pool is so far behind that requests are turned away.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use nexios::ThreadPool;
/// use nexios_axum::{ShedLayer, Threshold};
///
/// let thumbnails = ThreadPool::builder().name("thumbnails").threads(2).queue(64).build();
/// let shed = ShedLayer::new()
///     .watch(&thumbnails, Threshold::QueueWait(Duration::from_millis(200))) // what a client feels
///     .watch(&thumbnails, Threshold::Queued(48)); // before the queue is full
/// assert_eq!(shed.shed(), 0);
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Threshold {
    /// The median wait of recent jobs is longer than this.
    QueueWait(Duration),
    /// At least so many jobs wait, those included whose callers wait for a place in the queue.
    Queued(usize),
}

impl Threshold {
    fn is_passed_by(self, stats: &PoolStats) -> bool {
        match self {
            Threshold::QueueWait(limit) => stats.wait_p50 > limit,
            Threshold::Queued(limit) => waiting(stats) >= limit,
        }
    }
}

fn waiting(stats: &PoolStats) -> usize {
    stats.queued + stats.waiting
}

impl ShedLayer {
    /// Starts without a pool: nobody is turned away.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use axum::{Router, body::Body, http::Request, routing::get};
    /// use nexios_axum::ShedLayer;
    /// use tower::ServiceExt;
    ///
    /// let app: Router = Router::new().route("/", get(async || "hello").layer(ShedLayer::new()));
    /// assert_eq!(app.oneshot(Request::new(Body::empty())).await?.status(), 200);
    /// # Ok(())
    /// # }
    /// ```
    pub fn new() -> Self {
        ShedLayer::default()
    }

    /// Turns requests away while `pool` is over `threshold`; any of several is enough.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use axum::{Router, body::Body, http::Request, routing::get};
    /// use nexios::ThreadPool;
    /// use nexios_axum::{ShedLayer, Threshold};
    /// use tower::ServiceExt;
    ///
    /// let thumbnails = ThreadPool::builder().name("thumbnails").threads(1).queue(64).build();
    /// let shed = ShedLayer::new().watch(&thumbnails, Threshold::Queued(1));
    /// let app: Router = Router::new().route("/", get(async || "a picture").layer(shed));
    /// # let (release, wait) = std::sync::mpsc::channel::<()>();
    /// # let working = thumbnails.try_run(move || wait.recv()).map_err(|_| "full")?;
    /// # let waiting = thumbnails.try_run(|| ()).map_err(|_| "full")?;
    /// // One picture is made, and one waits:
    /// let response = app.oneshot(Request::new(Body::empty())).await?;
    /// assert_eq!((response.status().as_u16(), &response.headers()["retry-after"]), (503, &"1".parse()?));
    /// # drop((release, working, waiting));
    /// # Ok(())
    /// # }
    /// ```
    pub fn watch(mut self, pool: &ThreadPool, threshold: Threshold) -> Self {
        Arc::make_mut(&mut self.pools)
            .watched
            .push((pool.clone(), threshold));
        self
    }

    /// How many requests were turned away.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use axum::{Router, body::Body, http::Request, routing::get};
    /// use nexios::ThreadPool;
    /// use nexios_axum::{ShedLayer, Threshold};
    /// use tower::ServiceExt;
    ///
    /// let shed = ShedLayer::new().watch(ThreadPool::global(), Threshold::Queued(1));
    /// let app: Router = Router::new().route("/", get(async || "hello").layer(shed.clone()));
    /// app.oneshot(Request::new(Body::empty())).await?;
    /// assert_eq!(shed.shed(), 0); // nothing waits, so nobody was turned away
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn shed(&self) -> u64 {
        // Relaxed: a statistic; nobody synchronises through it.
        self.pools.shed.load(Ordering::Relaxed)
    }
}

impl Pools {
    /// For which pool, and how long to wait before the next try, if this request is turned away.
    fn refuses(&self, deadline: &Deadline) -> Option<(&ThreadPool, Duration)> {
        let remaining = deadline.remaining();
        self.watched.iter().find_map(|(pool, threshold)| {
            let stats = pool.stats();
            let too_late = remaining.is_some_and(|remaining| remaining < stats.wait_p50);
            let refused = waiting(&stats) > 0 && (threshold.is_passed_by(&stats) || too_late);
            refused.then(|| {
                // Relaxed: see `ShedLayer::shed`.
                self.shed.fetch_add(1, Ordering::Relaxed);
                let (waiting, wait_p50_ms) = (waiting(&stats), stats.wait_p50.as_millis());
                let wait_p50_ms = u64::try_from(wait_p50_ms).unwrap_or(u64::MAX);
                let pool_name = pool.name();
                log(|| tracing::debug!(pool = pool_name, waiting, wait_p50_ms, "request shed"));
                TURNED_AWAY.say(|count| {
                    tracing::warn!(
                        pool = pool_name,
                        waiting,
                        wait_p50_ms,
                        count,
                        "requests are turned away: a thread pool is behind"
                    );
                });
                (pool, stats.wait_p50)
            })
        })
    }
}

impl fmt::Debug for ShedLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ShedLayer")
            .field("watched", &self.pools.watched)
            .field("shed", &self.shed())
            .finish()
    }
}

impl<S> Layer<S> for ShedLayer {
    type Service = ShedService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        ShedService {
            inner: Inner::new(inner),
            pools: self.pools.clone(),
        }
    }
}

/// Turns requests away; made by [`ShedLayer`].
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use axum::{Router, routing::get};
/// use nexios_axum::{ShedLayer, ShedService};
/// use tower::Layer;
///
/// let router: Router = Router::new().route("/", get(async || "hello"));
/// let service: ShedService<Router> = ShedLayer::new().layer(router);
/// # let _ = service;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct ShedService<S> {
    inner: Inner<S>,
    pools: Arc<Pools>,
}

impl<S, B> Service<Request<B>> for ShedService<S>
where
    S: Service<Request<B>> + Clone + Send + 'static,
    S::Response: IntoResponse,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
    B: Send + 'static,
{
    type Response = Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.look(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let state = RequestState::current();
        let deadline = state
            .as_ref()
            .map_or_else(Deadline::current, |state| state.deadline());
        match self.pools.refuses(&deadline) {
            Some((pool, wait)) => {
                if let Some(state) = &state {
                    state.say_shed_by(pool.name());
                }
                let problem =
                    Problem::unavailable("The service has more work than it can do.", wait);
                let response = match state {
                    Some(state) => state.answer(problem),
                    None => Asker::of(&request, None).answer(problem, None),
                };
                Box::pin(async move { Ok(response) })
            }
            None => {
                let response = self.inner.call(request);
                Box::pin(async move { Ok(response.await?.into_response()) })
            }
        }
    }
}

impl<S: fmt::Debug> fmt::Debug for ShedService<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ShedService")
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}

//! The count of everything that is under way.
//!
//! # Invariants
//!
//! 1. A request is counted from its head to the last byte of its answer, a rescued handler until its future is
//!    dropped.
//! 2. A handler that is rescued is counted as rescued before its request stops to be counted as live, so nobody
//!    who reads `live` first and `rescued` second misses it.
//! 3. Whoever waits for idleness has said so before it looks at the counts; whoever lowers a count to zero looks
//!    afterwards for somebody who waits.

use std::{
    fmt,
    pin::pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use nexios::{CancelReason, CancelToken};
use tokio::sync::Notify;

use crate::{punctual::punctual, rationed_log::RationedLog};

/// The requests of one [`RequestLayer`](crate::RequestLayer), to be counted and waited for.
///
/// Clones are the same handle.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use axum::{Router, body::Body, http::Request, routing::get};
/// use nexios_axum::{RequestLayer, Requests};
/// use tower::ServiceExt;
///
/// let layer = RequestLayer::new();
/// let requests: Requests = layer.requests();
/// let app: Router = Router::new().route("/", get(async || "hello")).layer(layer);
/// let response = app.oneshot(Request::new(Body::empty())).await?;
/// assert_eq!(requests.live(), 1); // its answer is on its way
/// drop(response);
/// requests.idle().await;
/// assert_eq!(requests.live(), 0);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Requests {
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    /// Requests whose answer has not been sent to its end.
    live: AtomicUsize,
    /// Handlers that clean up without a client.
    cooperative: AtomicUsize,
    /// Handlers that go on to their end without a client.
    detached: AtomicUsize,
    /// Callers of `idle` that have not returned; while there are none, the end of a request costs no lock.
    waiting: AtomicUsize,
    /// Wakes them.
    idle: Notify,
    /// Fires when rescued handlers are to be dropped.
    abort: CancelToken,
    /// The first of the handlers that the shutdown cut off, and how many there were.
    cut_off: Mutex<CutOff>,
    /// Totals since the start.
    totals: Totals,
    warnings: Warnings,
}

impl Counts {
    /// The handlers of one kind that go on without a client.
    fn rescued(&self, detached: bool) -> &AtomicUsize {
        if detached {
            &self.detached
        } else {
            &self.cooperative
        }
    }
}

/// So many names are kept; a shutdown that cuts off more has other worries.
const MOST_NAMES: usize = 64;

#[derive(Default)]
struct CutOff {
    names: Vec<String>,
    count: usize,
}

/// Totals since the start, for people to look at.
#[derive(Default)]
pub(super) struct Totals {
    pub(super) started: AtomicU64,
    pub(super) disconnected: AtomicU64,
    pub(super) aborted: AtomicU64,
    pub(super) expired: AtomicU64,
    pub(super) shut_down: AtomicU64,
    pub(super) panicked: AtomicU64,
    pub(super) rescues: AtomicU64,
    pub(super) cut_off: AtomicU64,
    pub(super) unrescued: AtomicU64,
    pub(super) malformed_deadlines: AtomicU64,
}

/// What is said of requests that clients can have ended like this as often as they like.
pub(super) struct Warnings {
    pub(super) unrescued: RationedLog,
    pub(super) cut_off: RationedLog,
}

impl Default for Warnings {
    fn default() -> Self {
        let [unrescued, cut_off] = [(); 2].map(|()| RationedLog::every(Duration::from_secs(1)));
        Warnings { unrescued, cut_off }
    }
}

/// Adds one to a total.
pub(super) fn count(total: &AtomicU64) {
    // Relaxed: a statistic; nobody synchronises through it.
    total.fetch_add(1, Ordering::Relaxed);
}

/// What the requests of a layer do and did.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use axum::{Router, body::{Body, to_bytes}, http::Request, routing::get};
/// use nexios_axum::{RequestLayer, RequestStats};
/// use tower::ServiceExt;
///
/// let layer = RequestLayer::new();
/// let requests = layer.requests();
/// let app: Router = Router::new().route("/", get(async || -> &'static str { panic!("a bug") })).layer(layer);
/// let response = app.oneshot(Request::new(Body::empty())).await?;
/// to_bytes(response.into_body(), 1024).await?;
/// let RequestStats { live, started, panicked, .. } = requests.stats();
/// assert_eq!((live, started, panicked), (0, 1, 1));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RequestStats {
    /// Requests between their head and the last byte of their answer.
    pub live: usize,
    /// Handlers that go on without a client.
    pub rescued: usize,
    /// Requests that came, refused ones too.
    pub started: u64,
    /// Requests whose client went away before the head of the answer: the 499s of the log.
    pub disconnected: u64,
    /// Answers that ended before their last byte.
    pub aborted: u64,
    /// Requests answered 504 by the layer, those included that came expired.
    pub expired: u64,
    /// Requests answered 503 by the layer because of the shutdown.
    pub shut_down: u64,
    /// Handlers that panicked, rescued ones too.
    pub panicked: u64,
    /// Handlers that were rescued.
    pub rescues: u64,
    /// Rescued handlers that were dropped before their end.
    pub cut_off: u64,
    /// Handlers that should have been rescued and were dropped at once: too many already, or no runtime.
    pub unrescued: u64,
    /// Deadline headers that could not be read and were ignored.
    pub malformed_deadlines: u64,
}

impl Requests {
    pub(super) fn new() -> Self {
        Requests {
            counts: Arc::default(),
        }
    }

    /// Requests between their head and the last byte of their answer.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use axum::{Router, body::{Body, to_bytes}, http::Request, routing::get};
    /// use nexios_axum::RequestLayer;
    /// use tower::ServiceExt;
    ///
    /// let layer = RequestLayer::new();
    /// let requests = layer.requests();
    /// let app: Router = Router::new().route("/", get(async || "hello")).layer(layer);
    /// let response = app.oneshot(Request::new(Body::empty())).await?;
    /// assert_eq!(requests.live(), 1);
    /// to_bytes(response.into_body(), 1024).await?; // until the last byte
    /// assert_eq!(requests.live(), 0);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn live(&self) -> usize {
        // SeqCst, here and in `rescued`: see invariants 2 and 3.
        self.counts.live.load(Ordering::SeqCst)
    }

    /// Handlers that go on without a client.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use std::time::Duration;
    /// use axum::{Router, body::Body, http::Request, routing::get};
    /// use nexios_axum::{OnDisconnect, RequestLayer};
    /// use tokio::time::{sleep, timeout};
    /// use tower::ServiceExt;
    ///
    /// let layer = RequestLayer::new();
    /// let requests = layer.requests();
    /// let pay = get(async || sleep(Duration::from_secs(60)).await).layer(OnDisconnect::Detached);
    /// let app: Router = Router::new().route("/", pay).layer(layer);
    /// let left = timeout(Duration::from_secs(1), app.oneshot(Request::new(Body::empty()))).await;
    /// assert!(left.is_err()); // its client went away
    /// assert_eq!((requests.live(), requests.rescued()), (0, 1));
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn rescued(&self) -> usize {
        let Counts {
            cooperative,
            detached,
            ..
        } = &*self.counts;
        cooperative.load(Ordering::SeqCst) + detached.load(Ordering::SeqCst)
    }

    /// Waits until no request is live and no handler rescued.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use std::time::Duration;
    /// use axum::{Router, body::Body, http::Request, routing::get};
    /// use nexios_axum::{OnDisconnect, RequestLayer};
    /// use tokio::time::{Instant, sleep, timeout};
    /// use tower::ServiceExt;
    ///
    /// let layer = RequestLayer::new();
    /// let requests = layer.requests();
    /// let pay = get(async || sleep(Duration::from_secs(60)).await).layer(OnDisconnect::Detached);
    /// let app: Router = Router::new().route("/", pay).layer(layer);
    /// let began = Instant::now();
    /// timeout(Duration::from_secs(1), app.oneshot(Request::new(Body::empty()))).await.unwrap_err();
    /// requests.idle().await; // the payment is made, although its client has gone
    /// assert_eq!(began.elapsed().as_secs(), 60);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Cancel safety
    ///
    /// Safe: dropping the future only stops waiting.
    pub async fn idle(&self) {
        let _waiting = Waiting::new(&self.counts.waiting);
        loop {
            let mut idle = pin!(self.counts.idle.notified());
            // Registered before the look, so that an end in between is not missed.
            idle.as_mut().enable();
            if self.live() == 0 && self.rescued() == 0 {
                return;
            }
            // Callers have it beside other work.
            punctual(idle).await;
        }
    }

    /// Drops all rescued handlers at their next turn, and those of the future at once.
    ///
    /// This is the last step of a shutdown. Live requests are left to whoever drops their connections.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use std::time::Duration;
    /// use axum::{Router, body::Body, http::Request, routing::get};
    /// use nexios_axum::{OnDisconnect, RequestLayer};
    /// use tokio::time::{sleep, timeout};
    /// use tower::ServiceExt;
    ///
    /// let layer = RequestLayer::new();
    /// let requests = layer.requests();
    /// let pay = get(async || sleep(Duration::from_secs(3600)).await).layer(OnDisconnect::Detached);
    /// let app: Router = Router::new().route("/", pay).layer(layer);
    /// timeout(Duration::from_secs(1), app.oneshot(Request::new(Body::empty()))).await.unwrap_err();
    /// if timeout(Duration::from_secs(20), requests.idle()).await.is_err() {
    ///     requests.abort_rescued(); // we were patient
    /// }
    /// requests.idle().await;
    /// assert_eq!(requests.stats().cut_off, 1);
    /// # Ok(())
    /// # }
    /// ```
    pub fn abort_rescued(&self) {
        self.counts.abort.cancel(CancelReason::Shutdown);
    }

    /// Notes a handler that the shutdown has cut off.
    pub(super) fn note_cut_off(&self, name: impl FnOnce() -> String) {
        let mut cut_off = self
            .counts
            .cut_off
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        cut_off.count += 1;
        if cut_off.names.len() < MOST_NAMES {
            cut_off.names.push(name());
        }
    }

    /// The handlers that the shutdown has cut off, by name.
    pub(crate) fn take_cut_off(&self) -> Vec<String> {
        let mut cut_off = self
            .counts
            .cut_off
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let CutOff { mut names, count } = std::mem::take(&mut *cut_off);
        if count > names.len() {
            names.push(format!("{} more requests", count - names.len()));
        }
        names
    }

    /// What the requests do and did.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use std::time::Duration;
    /// use axum::{Router, body::Body, http::Request, routing::get};
    /// use nexios_axum::RequestLayer;
    /// use tokio::time::timeout;
    /// use tower::ServiceExt;
    ///
    /// let layer = RequestLayer::new();
    /// let requests = layer.requests();
    /// let app: Router = Router::new().route("/", get(std::future::pending::<String>)).layer(layer);
    /// timeout(Duration::from_secs(1), app.oneshot(Request::new(Body::empty()))).await.unwrap_err();
    /// let stats = requests.stats();
    /// assert_eq!((stats.started, stats.disconnected, stats.expired), (1, 1, 0));
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn stats(&self) -> RequestStats {
        // Relaxed: see `count`.
        let read = |total: &AtomicU64| total.load(Ordering::Relaxed);
        let totals = &self.counts.totals;
        RequestStats {
            live: self.live(),
            rescued: self.rescued(),
            started: read(&totals.started),
            disconnected: read(&totals.disconnected),
            aborted: read(&totals.aborted),
            expired: read(&totals.expired),
            shut_down: read(&totals.shut_down),
            panicked: read(&totals.panicked),
            rescues: read(&totals.rescues),
            cut_off: read(&totals.cut_off),
            unrescued: read(&totals.unrescued),
            malformed_deadlines: read(&totals.malformed_deadlines),
        }
    }

    pub(super) fn totals(&self) -> &Totals {
        &self.counts.totals
    }

    pub(super) fn warnings(&self) -> &Warnings {
        &self.counts.warnings
    }

    /// Counts one more live request; [`leave`](Self::leave) must follow.
    pub(super) fn enter(&self) {
        self.counts.live.fetch_add(1, Ordering::SeqCst);
        count(&self.counts.totals.started);
    }

    /// Counts one live request less.
    pub(super) fn leave(&self) {
        self.lower(&self.counts.live);
    }

    /// Counts a handler as rescued until the returned value is dropped; None if `limit` of its kind are already.
    pub(super) fn try_rescue(&self, detached: bool, limit: usize) -> Option<Rescued> {
        if self.counts.abort.is_cancelled() {
            return None;
        }
        let below = |rescued| (rescued < limit).then_some(rescued + 1);
        let rescued = self.counts.rescued(detached);
        rescued
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, below)
            .ok()?;
        count(&self.counts.totals.rescues);
        Some(Rescued {
            requests: self.clone(),
            detached,
        })
    }

    /// Fires when rescued handlers are to be dropped.
    pub(super) fn abort(&self) -> &CancelToken {
        &self.counts.abort
    }

    fn lower(&self, count: &AtomicUsize) {
        if count.fetch_sub(1, Ordering::SeqCst) == 1
            && self.counts.waiting.load(Ordering::SeqCst) > 0
        {
            self.counts.idle.notify_waiters();
        }
    }
}

impl fmt::Debug for Requests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Requests")
            .field("live", &self.live())
            .field("rescued", &self.rescued())
            .finish_non_exhaustive()
    }
}

/// One rescued handler.
pub(super) struct Rescued {
    requests: Requests,
    detached: bool,
}

impl Drop for Rescued {
    fn drop(&mut self) {
        self.requests
            .lower(self.requests.counts.rescued(self.detached));
    }
}

/// One caller of `idle`.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(waiting: &'a AtomicUsize) -> Self {
        waiting.fetch_add(1, Ordering::SeqCst);
        Waiting(waiting)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

//! One request from its head to the last byte of its answer: who may end it, and what then becomes of it.
//!
//! [`service`] opens a request, [`future`] polls its handler and is the guard that notices who ends it,
//! [`rescue`] lets an unfinished handler clean up, [`body`] watches the answer on its way out, and [`state`] is
//! what they share with the extractors. [`requests`] counts them all, and [`work`] is what observers hear of one.

mod access;
mod body;
mod client;
mod future;
mod missing_layer;
mod policy;
mod requests;
mod rescue;
mod route_deadline;
mod route_log;
mod route_policy;
mod service;
mod settings;
mod span;
mod state;
mod upload;
mod work;

use std::{fmt, sync::Arc, time::Duration};

use axum::response::Response;
use nexios::{Background, CancelToken};
use tower_layer::Layer;

pub(crate) use access::never_begun;
pub use client::TrustedProxies;
pub use future::RequestFuture;
pub(crate) use missing_layer::warn_once;
pub use policy::OnDisconnect;
pub use requests::{RequestStats, Requests};
pub use route_deadline::{RouteDeadline, RouteDeadlineService};
pub use route_log::{WithoutAccessLog, WithoutAccessLogService};
pub use route_policy::OnDisconnectService;
pub use service::RequestService;
pub(crate) use state::RequestState;

use crate::{answer::OwnAnswer, deadline::DeadlineHeader};
use settings::{Settings, Supervisor};

/// Gives every request an owner: a token, a deadline, a policy for its end and a line in the log.
///
/// Put it on the router with [`Router::layer`](axum::Router::layer), inside whatever makes the request's span
/// and outside everything else. Clones are the same layer: they count into the same [`Requests`]. A layer inside another
/// one makes no second request of it: it only sets the deadline, grace and registry that it was given.
///
/// | what happens | the handler's token | the answer | the handler |
/// |---|---|---|---|
/// | it answers | fires with `Finished` after the last byte | its own | has ended |
/// | the client goes away, also in the middle of an upload | `ClientDisconnected` | none, 499 in the log | as [`OnDisconnect`] says |
/// | its deadline passes | `Deadline` | its own if ready in the same turn, else 504 | as [`OnDisconnect`] says |
/// | the service shuts down | `Shutdown` | its own if ready in the same turn, else 503 | as [`OnDisconnect`] says |
/// | it panics | `OwnerDropped` | 500 with an id | is gone |
/// | the client goes away while the body is sent | `ClientDisconnected` | status as sent, `aborted` in the log | has ended |
///
/// In the handler the request's [`CancelScope`](nexios::CancelScope) is current, so task groups, races and pool
/// calls made there hear of all of it by themselves.
///
/// While somebody [observes](nexios::observe), the request is a piece of work, called by its method and route, and what its
/// handler and its body make is its part; see [`docs::lifecycle`](crate::docs::lifecycle) for what it says.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::time::Duration;
/// use axum::{Router, body::Body, http::Request, routing::get};
/// use nexios_axum::{OnDisconnect, RequestLayer};
/// use tower::ServiceExt;
///
/// let requests = RequestLayer::new().deadline(Duration::from_secs(30)).grace(Duration::from_secs(1));
/// let handle = requests.requests();
/// let app: Router = Router::new()
///     .route("/", get(std::future::pending::<String>)) // never answers
///     .route("/pay", get(async || "paid").layer(OnDisconnect::Detached))
///     .layer(requests);
/// let response = app.oneshot(Request::new(Body::empty())).await?;
/// assert_eq!((response.status().as_u16(), handle.stats().expired), (504, 1));
/// # Ok(())
/// # }
/// ```
///
/// # Panics
///
/// A request that waits and has a deadline, and a handler that is rescued, need a tokio runtime with its clock
/// enabled; the polls that find none panic.
#[derive(Clone)]
#[must_use = "a layer does nothing until it is put on a router"]
pub struct RequestLayer {
    supervisor: Arc<Supervisor>,
}

impl RequestLayer {
    /// Starts with: no shutdown token, [`Background::global`], no deadline of the server's own, all three
    /// [`DeadlineHeader`]s, a grace of 2 s, at most 1,024 rescued handlers, no trusted proxies, problems as answers.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use axum::{Router, body::Body, http::Request, routing::get};
    /// use nexios_axum::RequestLayer;
    /// use tower::ServiceExt;
    ///
    /// let app: Router =
    ///     Router::new().route("/", get(async || -> &'static str { panic!("a bug") })).layer(RequestLayer::new());
    /// assert_eq!(app.oneshot(Request::new(Body::empty())).await?.status(), 500); // and not a broken connection
    /// # Ok(())
    /// # }
    /// ```
    pub fn new() -> Self {
        let settings = Settings::default();
        RequestLayer {
            supervisor: Arc::new(Supervisor {
                settings,
                requests: Requests::new(),
            }),
        }
    }

    fn set(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        change(&mut Arc::make_mut(&mut self.supervisor).settings);
        self
    }

    /// Ends all live requests when `token` fires, and refuses later ones. Default: nothing does.
    ///
    /// Fire it with [`CancelReason::Shutdown`](nexios::CancelReason::Shutdown): the reason is handed on.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use axum::{Router, body::Body, http::Request, routing::get};
    /// use nexios::{CancelReason, CancelToken};
    /// use nexios_axum::RequestLayer;
    /// use tower::ServiceExt;
    ///
    /// let shutdown = CancelToken::new();
    /// let layer = RequestLayer::new().shutdown(shutdown.clone());
    /// let app: Router = Router::new().route("/", get(async || "hello")).layer(layer);
    /// shutdown.cancel(CancelReason::Shutdown);
    /// assert_eq!(app.oneshot(Request::new(Body::empty())).await?.status(), 503);
    /// # Ok(())
    /// # }
    /// ```
    pub fn shutdown(self, token: CancelToken) -> Self {
        self.set(|settings| settings.shutdown = Some(token))
    }

    /// Sets the registry that [`BackgroundTasks`](crate::BackgroundTasks) gives to handlers. Default:
    /// [`Background::global`].
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use axum::{Router, body::Body, http::Request, routing::get};
    /// use nexios::Background;
    /// use nexios_axum::{BackgroundTasks, RequestLayer};
    /// use tower::ServiceExt;
    ///
    /// let mails = Background::builder().live(100).build();
    /// let layer = RequestLayer::new().background(mails.clone());
    /// let welcome = async |tasks: BackgroundTasks| drop(tasks.spawn("welcome", |_task| async {}));
    /// let app: Router = Router::new().route("/", get(welcome)).layer(layer);
    /// app.oneshot(Request::new(Body::empty())).await?;
    /// assert_eq!(mails.list().len(), 1);
    /// # Ok(())
    /// # }
    /// ```
    pub fn background(self, background: Background) -> Self {
        self.set(|settings| settings.background = Some(background))
    }

    /// Limits the time from the head of a request to the head of its answer. Default: no limit.
    ///
    /// A client can only shorten it, a route sets its own with [`RouteDeadline`](crate::RouteDeadline). It
    /// also ends requests whose client left without HTTP/1 being able to tell; see
    /// [`docs::disconnects`](crate::docs::disconnects).
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use std::time::Duration;
    /// use axum::{Router, body::Body, http::Request, routing::get};
    /// use nexios_axum::RequestLayer;
    /// use tower::ServiceExt;
    ///
    /// let layer = RequestLayer::new().deadline(Duration::from_secs(10));
    /// let slow = async || tokio::time::sleep(Duration::from_secs(60)).await;
    /// let app: Router = Router::new().route("/", get(slow)).layer(layer);
    /// assert_eq!(app.oneshot(Request::new(Body::empty())).await?.status(), 504);
    /// # Ok(())
    /// # }
    /// ```
    pub fn deadline(self, limit: Duration) -> Self {
        self.set(|settings| settings.deadline = Some(limit))
    }

    /// Chooses the headers by which a client may shorten the deadline. Default: [`DeadlineHeader::ALL`].
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use axum::{Router, body::{Body, to_bytes}, http::Request, routing::get};
    /// use nexios_axum::{Deadline, DeadlineHeader, RequestLayer};
    /// use tower::ServiceExt;
    ///
    /// let layer = RequestLayer::new().deadline_headers([DeadlineHeader::ConnectTimeoutMs]);
    /// let limited = async |deadline: Deadline| deadline.at().is_some().to_string();
    /// let app: Router = Router::new().route("/", get(limited)).layer(layer);
    /// let request = Request::get("/").header("grpc-timeout", "1S").body(Body::empty())?; // is not asked for
    /// let response = app.oneshot(request).await?;
    /// assert_eq!(&to_bytes(response.into_body(), 1024).await?[..], b"false");
    /// # Ok(())
    /// # }
    /// ```
    pub fn deadline_headers(self, headers: impl IntoIterator<Item = DeadlineHeader>) -> Self {
        self.set(|settings| settings.headers = headers.into_iter().collect())
    }

    /// Sets how long a handler may clean up after its token has fired and its answer does not matter any more.
    /// Default: 2 s.
    ///
    /// A route sets its own with [`OnDisconnect::Cooperative`].
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use std::{sync::atomic::{AtomicBool, Ordering}, time::Duration};
    /// use axum::{Router, body::Body, http::Request, routing::get};
    /// use nexios_axum::{RequestLayer, RequestToken};
    /// use tokio::time::{sleep, timeout};
    /// use tower::ServiceExt;
    ///
    /// static CLEAN: AtomicBool = AtomicBool::new(false);
    ///
    /// async fn record(RequestToken(token): RequestToken) {
    ///     token.cancelled().await;
    ///     sleep(Duration::from_secs(3)).await; // takes the half of a file away again
    ///     CLEAN.store(true, Ordering::Relaxed);
    /// }
    ///
    /// let layer = RequestLayer::new().grace(Duration::from_secs(5));
    /// let requests = layer.requests();
    /// let app: Router = Router::new().route("/", get(record)).layer(layer);
    /// let left = timeout(Duration::from_secs(1), app.oneshot(Request::new(Body::empty()))).await;
    /// assert!(left.is_err()); // the client went away after a second
    /// requests.idle().await;
    /// assert!(CLEAN.load(Ordering::Relaxed));
    /// # Ok(())
    /// # }
    /// ```
    pub fn grace(self, grace: Duration) -> Self {
        self.set(|settings| settings.grace = Some(grace))
    }

    /// Rescues at most `limit` handlers at a time, and as many [detached](OnDisconnect::Detached) ones besides; beyond it
    /// they are dropped at once. Default: 1,024.
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
    /// let layer = RequestLayer::new().rescue_limit(1);
    /// let requests = layer.requests();
    /// let pay = async || sleep(Duration::from_secs(60)).await;
    /// let app: Router = Router::new().route("/", get(pay).layer(OnDisconnect::Detached)).layer(layer);
    /// for _ in 0..2 {
    ///     let call = app.clone().oneshot(Request::new(Body::empty()));
    ///     assert!(timeout(Duration::from_secs(1), call).await.is_err()); // two clients go away
    /// }
    /// let stats = requests.stats();
    /// assert_eq!((stats.rescued, stats.unrescued), (1, 1));
    /// # Ok(())
    /// # }
    /// ```
    pub fn rescue_limit(self, limit: usize) -> Self {
        self.set(|settings| settings.rescue_limit = limit)
    }

    /// Says which proxies are believed when they name the client in `x-forwarded-for`, which is then the `client`
    /// of the access log. Default: [`TrustedProxies::none`], the client is the peer of the connection.
    ///
    /// # Examples
    ///
    /// ```
    /// use nexios_axum::{RequestLayer, TrustedProxies};
    ///
    /// // One load balancer is in front, and nobody else can connect.
    /// let layer = RequestLayer::new().trusted_proxies(TrustedProxies::hops(1));
    /// # let _ = layer;
    /// ```
    pub fn trusted_proxies(self, proxies: TrustedProxies) -> Self {
        self.set(|settings| settings.proxies = proxies)
    }

    /// Lets the app show the answers that are given in place of a handler's: 504 at the deadline, 503 for the shutdown and
    /// of a [`ShedLayer`](crate::ShedLayer), 500 after a panic. Default: problems.
    ///
    /// Where `render` returns [`None`], or panics, the client gets the problem. Otherwise it gets what was returned,
    /// with the status of the problem, and its `Retry-After` and `connection` unless the app sets its own. gRPC calls, known
    /// by their content type, are always answered in gRPC's own way; see [`docs::errors`](crate::docs::errors).
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use axum::{Router, body::{Body, to_bytes}, http::Request, response::{Html, IntoResponse}, routing::get};
    /// use nexios_axum::RequestLayer;
    /// use tower::ServiceExt;
    ///
    /// // A page for browsers, problems for everybody else.
    /// let layer = RequestLayer::new().render(|answer| {
    ///     let accept = answer.headers().get("accept")?.to_str().ok()?;
    ///     let text = answer.problem().text().unwrap_or("Something went wrong.");
    ///     accept.contains("text/html").then(|| Html(format!("<p>Sorry! {text}</p>")).into_response())
    /// });
    /// let app: Router = Router::new().route("/", get(async || -> &'static str { panic!("a bug") })).layer(layer);
    /// let browser = Request::get("/").header("accept", "text/html").body(Body::empty())?;
    /// let page = to_bytes(app.oneshot(browser).await?.into_body(), 1024).await?;
    /// assert_eq!(&page[..], b"<p>Sorry! The fault is ours and has been logged.</p>");
    /// # Ok(())
    /// # }
    /// ```
    pub fn render(
        self,
        render: impl Fn(&OwnAnswer<'_>) -> Option<Response> + Send + Sync + 'static,
    ) -> Self {
        self.set(|settings| settings.render = Some(Arc::new(render)))
    }

    pub(crate) fn shutdown_token(&self) -> Option<CancelToken> {
        self.supervisor.settings.shutdown.clone()
    }

    /// Returns the handle to the requests of this layer and its clones.
    ///
    /// A [`NexiosApp`](crate::NexiosApp) waits at its end for all of them, so two services have a layer each.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use axum::{Router, body::Body, http::Request, routing::get};
    /// use nexios_axum::RequestLayer;
    /// use tower::ServiceExt;
    ///
    /// let layer = RequestLayer::new();
    /// let requests = layer.requests();
    /// let app: Router = Router::new().route("/", get(async || "hello")).layer(layer);
    /// app.oneshot(Request::new(Body::empty())).await?;
    /// assert_eq!(requests.stats().started, 1);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn requests(&self) -> Requests {
        self.supervisor.requests.clone()
    }
}

impl Default for RequestLayer {
    fn default() -> Self {
        RequestLayer::new()
    }
}

impl<S> Layer<S> for RequestLayer {
    type Service = RequestService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        RequestService::new(inner, self.supervisor.clone())
    }
}

impl fmt::Debug for RequestLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestLayer")
            .field("deadline", &self.supervisor.settings.deadline)
            .field("grace", &self.supervisor.settings.grace())
            .field("rescue_limit", &self.supervisor.settings.rescue_limit)
            .field("requests", &self.supervisor.requests)
            .finish_non_exhaustive()
    }
}

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
/// use std::time::Duration;
/// use axum::{Router, routing::get};
/// use nexios_axum::{OnDisconnect, RequestLayer};
///
/// let requests = RequestLayer::new().deadline(Duration::from_secs(30)).grace(Duration::from_secs(1));
/// let handle = requests.requests();
/// let app: Router = Router::new()
///     .route("/quote", get(async || "cheap"))
///     .route("/pay", get(async || "paid").layer(OnDisconnect::Detached))
///     .layer(requests);
/// assert_eq!(handle.live(), 0);
/// # drop(app);
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
    pub fn shutdown(self, token: CancelToken) -> Self {
        self.set(|settings| settings.shutdown = Some(token))
    }

    /// Sets the registry that [`BackgroundTasks`](crate::BackgroundTasks) gives to handlers. Default:
    /// [`Background::global`].
    pub fn background(self, background: Background) -> Self {
        self.set(|settings| settings.background = Some(background))
    }

    /// Limits the time from the head of a request to the head of its answer. Default: no limit.
    ///
    /// A client can only shorten it, a route sets its own with [`RouteDeadline`](crate::RouteDeadline). It
    /// also ends requests whose client left without HTTP/1 being able to tell; see
    /// [`docs::disconnects`](crate::docs::disconnects).
    pub fn deadline(self, limit: Duration) -> Self {
        self.set(|settings| settings.deadline = Some(limit))
    }

    /// Chooses the headers by which a client may shorten the deadline. Default: [`DeadlineHeader::ALL`].
    pub fn deadline_headers(self, headers: impl IntoIterator<Item = DeadlineHeader>) -> Self {
        self.set(|settings| settings.headers = headers.into_iter().collect())
    }

    /// Sets how long a handler may clean up after its token has fired and its answer does not matter any more.
    /// Default: 2 s.
    ///
    /// A route sets its own with [`OnDisconnect::Cooperative`].
    pub fn grace(self, grace: Duration) -> Self {
        self.set(|settings| settings.grace = Some(grace))
    }

    /// Rescues at most `limit` handlers at a time, and as many [detached](OnDisconnect::Detached) ones besides; beyond it
    /// they are dropped at once. Default: 1,024.
    pub fn rescue_limit(self, limit: usize) -> Self {
        self.set(|settings| settings.rescue_limit = limit)
    }

    /// Says which proxies are believed when they name the client in `x-forwarded-for`, which is then the `client`
    /// of the access log. Default: [`TrustedProxies::none`], the client is the peer of the connection.
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
    /// A page for browsers, problems for everybody else:
    ///
    /// ```
    /// use axum::response::{Html, IntoResponse};
    /// use nexios_axum::RequestLayer;
    ///
    /// let layer = RequestLayer::new().render(|answer| {
    ///     let accept = answer.headers().get("accept")?.to_str().ok()?;
    ///     let text = answer.problem().text().unwrap_or("Something went wrong.");
    ///     accept.contains("text/html").then(|| Html(format!("<h1>Sorry</h1><p>{text}</p>")).into_response())
    /// });
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

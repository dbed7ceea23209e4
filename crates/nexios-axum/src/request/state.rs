use std::{
    fmt,
    future::Future,
    net::IpAddr,
    ops::Deref,
    pin::{Pin, pin},
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::{
    extract::MatchedPath,
    http::{Method, Request, Uri},
    response::Response,
};
use futures_util::future::{Either, select};
use nexios::{Background, CancelReason, CancelScope, CancelToken, TokenSource};
use tokio::time::{Instant, sleep_until};

use super::{
    policy::OnDisconnect,
    requests::{Requests, count},
    settings::{Settings, Shared},
    span::RequestSpan,
};
use crate::{Deadline, DeadlineHeader, DeadlineSource, Problem, answer::Asker, log::log};

tokio::task_local! {
    /// How route layers and extractors find their request; an extension of the request would cost more.
    static CURRENT: Arc<RequestState>;
}

/// No limit of the server's own.
const UNLIMITED: u64 = u64::MAX;

/// For so long a gRPC call may go on after the deadline that its client has sent. The client looks at its own clock
/// and should be the first to know; an answer of ours that came a moment before would be one of two that race.
const AFTER_THE_CLIENT: Duration = Duration::from_millis(20);

/// What is known about one request, shared by its guard, its route layers and its extractors.
pub(crate) struct RequestState {
    /// The layer.
    shared: Arc<Shared>,
    /// For the log.
    method: Method,
    /// For the log.
    uri: Uri,
    /// The route that it matched; none if it matched none, or the layer is outside the router.
    route: Option<MatchedPath>,
    /// The address of who asked, if it is known.
    client: Option<IpAddr>,
    /// How it understands the answers that are given in place of the handler's.
    asker: Asker,
    /// The span that was current when the request came; its lines and its rescue belong there.
    span: RequestSpan,
    /// When the head of the request was there.
    received: Instant,
    /// How long the client wants to wait, and how it said so.
    wish: Option<(Duration, DeadlineHeader)>,
    /// How long the server lets the request take, in microseconds, or `UNLIMITED`. A route may change it before
    /// its handler runs.
    limit: AtomicU64,
    /// An `OnDisconnect`, packed. A route may change it.
    policy: AtomicU64,
    /// Whether the client was found gone while its request was read.
    gone: AtomicBool,
    /// The registry of a layer inside this one, which is nearer to the handler.
    background: OnceLock<Background>,
    /// Token and reason, which meet under this lock: one of them sees the other.
    signal: Mutex<Signal>,
}

#[derive(Default)]
struct Signal {
    /// Made when first asked for: most requests end before anybody wants to know when to stop.
    token: Option<CancelToken>,
    /// Why the request ended; the first reason stays.
    reason: Option<CancelReason>,
}

/// Fires when a request has to end although its client is there.
pub(super) type Stop = Pin<Box<dyn Future<Output = CancelReason> + Send>>;

impl RequestState {
    pub(super) fn new<B>(request: &Request<B>, shared: &Arc<Shared>) -> Self {
        let Shared { settings, requests } = &**shared;
        let (wish, malformed) = DeadlineHeader::earliest(&settings.headers, request.headers());
        for header in malformed {
            count(&requests.totals().malformed_deadlines);
            let header = header.name().as_str();
            log(|| tracing::debug!(header, "a deadline that cannot be read is ignored"));
        }
        RequestState {
            shared: shared.clone(),
            method: request.method().clone(),
            uri: request.uri().clone(),
            route: request.extensions().get::<MatchedPath>().cloned(),
            client: settings.proxies.client(request.extensions(), request.headers()),
            asker: Asker::of(request, settings.render.as_ref()),
            span: RequestSpan::current(),
            received: Instant::now(),
            wish,
            limit: AtomicU64::new(packed(settings.deadline)),
            policy: AtomicU64::new(OnDisconnect::Cooperative { grace: settings.grace() }.to_bits()),
            gone: AtomicBool::new(false),
            background: OnceLock::new(),
            signal: Mutex::default(),
        }
    }

    /// The request that this code works for, if any.
    pub(crate) fn current() -> Option<Arc<Self>> {
        CURRENT.try_with(Arc::clone).ok()
    }

    /// Makes the request the current one for a call that returns at once.
    pub(super) fn call<T>(self: &Arc<Self>, call: impl FnOnce() -> T) -> T {
        CURRENT.sync_scope(self.clone(), call)
    }

    /// Makes the request the current one, and its scope too, for what the call returned.
    pub(super) fn run<F: Future>(self: &Arc<Self>, future: F) -> impl Future<Output = F::Output> + use<F> {
        CURRENT.scope(self.clone(), self.scope().run(future))
    }

    pub(super) fn settings(&self) -> &Settings {
        &self.shared.settings
    }

    pub(super) fn requests(&self) -> &Requests {
        &self.shared.requests
    }

    pub(super) fn method(&self) -> &Method {
        &self.method
    }

    pub(super) fn path(&self) -> &str {
        self.uri.path()
    }

    pub(super) fn client(&self) -> Option<IpAddr> {
        self.client
    }

    pub(super) fn span(&self) -> &RequestSpan {
        &self.span
    }

    /// The route as it was written, or the method of a gRPC service, if one matched.
    pub(super) fn route(&self) -> Option<&str> {
        let route = self.route.as_ref()?;
        // All methods of a service share a route that ends in a wildcard.
        Some(if self.asker.is_grpc() { self.path() } else { route.as_str() })
    }

    /// What people call the request: its route, or its path if none matched.
    pub(crate) fn name(&self) -> &str {
        self.route().unwrap_or(self.path())
    }

    /// Makes the answer that is given in place of the handler's.
    pub(crate) fn answer(&self, problem: Problem) -> Response {
        self.asker.answer(problem, self.settings().render.as_ref())
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.received.elapsed()
    }

    pub(crate) fn background(&self) -> Background {
        let own = self.background.get().or(self.settings().background.as_ref());
        own.unwrap_or_else(|| Background::global()).clone()
    }

    pub(crate) fn deadline(&self) -> Deadline {
        let client = self.wish.map(|(limit, header)| (limit, DeadlineSource::Client(header)));
        // Relaxed: written and read on the way of one request.
        let server =
            unpacked(self.limit.load(Ordering::Relaxed)).map(|limit| (limit, DeadlineSource::Server));
        let first = match (client, server) {
            (Some(client), Some(server)) if client.0 < server.0 => Some(client),
            (client, server) => server.or(client),
        };
        Deadline::after(self.received, first)
    }

    /// Replaces the server's own limit.
    pub(crate) fn set_limit(&self, limit: Option<Duration>) {
        // Relaxed: see `deadline`.
        self.limit.store(packed(limit), Ordering::Relaxed);
    }

    pub(super) fn policy(&self) -> OnDisconnect {
        // Relaxed: as `deadline`.
        OnDisconnect::from_bits(self.policy.load(Ordering::Relaxed))
    }

    pub(super) fn set_policy(&self, policy: OnDisconnect) {
        // Relaxed: as `deadline`.
        self.policy.store(policy.to_bits(), Ordering::Relaxed);
    }

    /// Takes over what another layer inside sets: it is nearer to the handler.
    pub(super) fn adopt(&self, inner: &Settings) {
        if inner.deadline.is_some() {
            self.set_limit(inner.deadline);
        }
        if let Some(grace) = inner.grace {
            self.set_policy(OnDisconnect::Cooperative { grace });
        }
        if let Some(background) = &inner.background {
            // Only the first counts, if there are more than one inside.
            let _ = self.background.set(background.clone());
        }
    }

    /// Notes that the client went away while its request was read.
    pub(super) fn set_gone(&self) {
        // Release pairs with the acquire in `is_gone`: who sees it sees the body's error as well.
        self.gone.store(true, Ordering::Release);
    }

    /// Whether the client went away while its request was read.
    pub(super) fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Acquire)
    }

    /// The scope of the handler.
    pub(crate) fn scope(self: &Arc<Self>) -> CancelScope {
        CancelScope::on_demand(self.clone(), self.deadline().at())
    }

    /// Fires the request's token, if anybody has asked for it or ever will.
    pub(super) fn cancel(&self, reason: CancelReason) {
        let mut signal = self.signal.lock().unwrap_or_else(PoisonError::into_inner);
        let reason = *signal.reason.get_or_insert(reason);
        let token = signal.token.clone();
        drop(signal);
        if let Some(token) = token {
            token.cancel(reason);
        }
    }

    /// Why a request may not even begin.
    pub(super) fn refusal(&self) -> Option<CancelReason> {
        let shutdown = self.settings().shutdown.as_ref().and_then(CancelToken::reason);
        // Not by the clock: it has just been read, and reading it is dear.
        let expired = || self.deadline().at().is_some_and(|at| at <= self.received);
        shutdown.or_else(|| expired().then_some(CancelReason::Deadline))
    }

    /// Notes a handler that did not come to its end because the service did.
    pub(super) fn note_if_shut_down(&self) {
        if self.settings().shutdown.as_ref().is_some_and(CancelToken::is_cancelled) {
            self.requests().note_cut_off(|| format!("request {} {}", self.method, self.name()));
        }
    }

    /// When the request is ended: its deadline, or for a gRPC client's own a moment later.
    pub(super) fn ends_at(&self) -> Option<Instant> {
        let deadline = self.deadline();
        match deadline.source() {
            Some(DeadlineSource::Client(DeadlineHeader::GrpcTimeout)) if self.asker.is_grpc() => {
                // The server's own limit is not put off for it.
                let limit = unpacked(self.limit.load(Ordering::Relaxed));
                let limit = limit.and_then(|limit| self.received.checked_add(limit));
                let late = deadline.at().and_then(|at| at.checked_add(AFTER_THE_CLIENT));
                [late, limit].into_iter().flatten().min()
            }
            _ => deadline.at(),
        }
    }

    /// What ends the request at `ends_at` although its client is there; None if nothing can.
    pub(super) fn stop(&self, ends_at: Option<Instant>) -> Option<Stop> {
        let shutdown = self.settings().shutdown.clone();
        Some(match (ends_at, shutdown) {
            (None, None) => return None,
            (Some(at), None) => Box::pin(deadline(at)),
            (None, Some(shutdown)) => Box::pin(async move { shutdown.cancelled().await }),
            (Some(at), Some(shutdown)) => Box::pin(async move {
                match select(pin!(shutdown.cancelled()), pin!(deadline(at))).await {
                    Either::Left((reason, _)) | Either::Right((reason, _)) => reason,
                }
            }),
        })
    }
}

async fn deadline(at: Instant) -> CancelReason {
    sleep_until(at).await;
    CancelReason::Deadline
}

impl TokenSource for RequestState {
    fn token(&self) -> CancelToken {
        let mut signal = self.signal.lock().unwrap_or_else(PoisonError::into_inner);
        let shutdown = self.settings().shutdown.as_ref();
        let make = || shutdown.map_or_else(CancelToken::new, CancelToken::child);
        let token = signal.token.get_or_insert_with(make).clone();
        let reason = signal.reason;
        drop(signal);
        if let Some(reason) = reason {
            token.cancel(reason);
        }
        token
    }
}

impl fmt::Debug for RequestState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("method", &self.method)
            .field("name", &self.name())
            .finish_non_exhaustive()
    }
}

fn packed(limit: Option<Duration>) -> u64 {
    limit.and_then(|limit| u64::try_from(limit.as_micros()).ok()).unwrap_or(UNLIMITED)
}

fn unpacked(limit: u64) -> Option<Duration> {
    (limit != UNLIMITED).then(|| Duration::from_micros(limit))
}

/// A request that is counted as live until this is dropped.
pub(super) struct Live {
    state: Arc<RequestState>,
}

impl Live {
    pub(super) fn enter(state: RequestState) -> Self {
        state.requests().enter();
        Live { state: Arc::new(state) }
    }
}

impl Deref for Live {
    type Target = Arc<RequestState>;

    fn deref(&self) -> &Arc<RequestState> {
        &self.state
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.state.requests().leave();
    }
}

use std::{
    fmt,
    future::Future,
    ops::Deref,
    pin::{Pin, pin},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::{
    extract::MatchedPath,
    http::{Method, Request},
};
use futures_util::future::{Either, select};
use nexios::{Background, CancelReason, CancelScope, CancelToken, TokenSource};
use tokio::time::{Instant, sleep_until};
use tracing::Span;

use super::{OnDisconnect, Requests, Settings, Shared, requests::count};
use crate::{Deadline, DeadlineHeader, DeadlineSource};

tokio::task_local! {
    /// How route layers and extractors find their request; an extension of the request would cost more.
    static CURRENT: Arc<RequestState>;
}

/// No limit of the server's own.
const UNLIMITED: u64 = u64::MAX;

/// What is known about one request, shared by its guard, its route layers and its extractors.
pub(crate) struct RequestState {
    /// The layer.
    shared: Arc<Shared>,
    /// For the log.
    method: Method,
    /// For the log.
    route: Route,
    /// The span that was current when the request came; its lines and its rescue belong there.
    span: Span,
    /// When the head of the request was there.
    received: Instant,
    /// How long the client wants to wait, and how it said so.
    wish: Option<(Duration, DeadlineHeader)>,
    /// How long the server lets the request take, in microseconds, or `UNLIMITED`. A route may change it before
    /// its handler runs.
    limit: AtomicU64,
    /// An `OnDisconnect`, packed. A route may change it.
    policy: AtomicU64,
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

/// How a request is called in the log.
enum Route {
    /// The route it matched.
    Matched(MatchedPath),
    /// It matched none, or the layer is outside the router.
    Unmatched(Box<str>),
}

/// Fires when a request has to end although its client is there.
pub(super) type Stop = Pin<Box<dyn Future<Output = CancelReason> + Send>>;

impl RequestState {
    pub(super) fn new<B>(request: &Request<B>, shared: &Arc<Shared>) -> Self {
        let Shared { settings, requests } = &**shared;
        let route = match request.extensions().get::<MatchedPath>() {
            Some(path) => Route::Matched(path.clone()),
            None => Route::Unmatched(request.uri().path().into()),
        };
        let (wish, malformed) = DeadlineHeader::earliest(&settings.headers, request.headers());
        for header in malformed {
            count(&requests.totals().malformed_deadlines);
            tracing::debug!(header = header.name().as_str(), "a deadline that cannot be read is ignored");
        }
        RequestState {
            shared: shared.clone(),
            method: request.method().clone(),
            route,
            span: Span::current(),
            received: Instant::now(),
            wish,
            limit: AtomicU64::new(packed(settings.deadline)),
            policy: AtomicU64::new(OnDisconnect::Cooperative { grace: settings.grace }.to_bits()),
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

    pub(super) fn span(&self) -> &Span {
        &self.span
    }

    /// The route as it was written, or the path if none matched.
    pub(crate) fn route(&self) -> &str {
        match &self.route {
            Route::Matched(path) => path.as_str(),
            Route::Unmatched(path) => path,
        }
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.received.elapsed()
    }

    pub(crate) fn background(&self) -> Background {
        self.settings().background.as_ref().unwrap_or_else(|| Background::global()).clone()
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
            self.requests().note_cut_off(|| format!("request {} {}", self.method, self.route()));
        }
    }

    /// What ends the request although its client is there; None if nothing can.
    pub(super) fn stop(&self) -> Option<Stop> {
        let shutdown = self.settings().shutdown.clone();
        Some(match (self.deadline().at(), shutdown) {
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
            .field("route", &self.route())
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

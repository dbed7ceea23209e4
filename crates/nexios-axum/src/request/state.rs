//! What is known of one request, and the token that ends its work.
//!
//! # Invariants
//!
//! 1. The first reason stays. Token and reason meet under the lock, so the token fires whichever of the two came first.
//! 2. Nothing of others runs under the lock: tokens fire, and their waiters wake, outside.
//! 3. A request is counted as live as long as its [`Live`] is there.

use std::{
    fmt,
    future::Future,
    net::IpAddr,
    ops::Deref,
    pin::{Pin, pin},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{
    extract::MatchedPath,
    http::{Method, Request, uri::PathAndQuery},
    response::Response,
};
use futures_util::future::{Either, select};
use nexios::{Background, CancelReason, CancelScope, CancelToken, TokenSource, observe};
use tokio::time::{Instant, sleep_until};

use super::{
    policy::OnDisconnect,
    requests::{Requests, count},
    settings::{Settings, Supervisor},
    span::RequestSpan,
    work::{RequestWork, Verdict},
};
use crate::{
    answer::Asker,
    deadline::{Deadline, DeadlineHeader, DeadlineSource},
    log::log,
    panic::drop_others,
    problem::Problem,
    text::for_the_log,
};

tokio::task_local! {
    /// How route layers and extractors find their request; an extension of the request would cost more.
    static CURRENT: Arc<RequestState>;
}

/// For so long a gRPC call may go on after the deadline that its client has sent. The client looks at its own clock
/// and should be the first to know; an answer of ours that came a moment before would be one of two that race.
const AFTER_THE_CLIENT: Duration = Duration::from_millis(20);

/// What is known about one request, shared by its guard, its route layers and its extractors.
pub(crate) struct RequestState {
    /// The layer.
    supervisor: Arc<Supervisor>,
    /// For the log.
    method: Method,
    /// For the log; none of an address without one.
    path: Option<PathAndQuery>,
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
    /// Until when the client waits, and how it said so.
    wish: Option<(Instant, DeadlineHeader)>,
    /// The deadline that it came with, before a route had a say.
    first_deadline: Deadline,
    /// Whether the client was found gone while its request was read. Looked at for every answer, so without the lock.
    gone: AtomicBool,
    /// As observers see it, as long as the request or its rescue is there; dangling if nobody observes.
    work: Weak<RequestWork>,
    terms: Mutex<Terms>,
}

/// What changes while a request is under way.
struct Terms {
    /// Until when the server lets the request go on. A route may change it before its handler runs.
    limit: Option<Instant>,
    /// What becomes of its handler. A route may change it.
    policy: OnDisconnect,
    /// Whether it has lines in the access log. A route may leave them out.
    in_access_log: bool,
    /// The registry of a layer inside this one, which is nearer to the handler.
    background: Option<Background>,
    /// Made when first asked for: most requests end before anybody wants to know when to stop.
    token: Option<CancelToken>,
    /// Why the request ended; the first reason stays.
    reason: Option<CancelReason>,
}

/// Fires when a request has to end although its client is there.
pub(super) type Stop = Pin<Box<dyn Future<Output = CancelReason> + Send>>;

impl RequestState {
    fn new<B>(request: &Request<B>, supervisor: &Arc<Supervisor>, work: Weak<RequestWork>) -> Self {
        let Supervisor { settings, requests } = &**supervisor;
        let (wish, malformed) = DeadlineHeader::earliest(&settings.headers, request.headers());
        for header in malformed {
            count(&requests.totals().malformed_deadlines);
            let header = header.name().as_str();
            log(|| tracing::debug!(header, "a deadline that cannot be read is ignored"));
        }
        let received = Instant::now();
        // One beyond the end of the clock is none.
        let wish = wish.and_then(|(time, header)| Some((received.checked_add(time)?, header)));
        let terms = Terms {
            limit: settings
                .deadline
                .and_then(|limit| received.checked_add(limit)),
            policy: OnDisconnect::Cooperative {
                grace: settings.grace(),
            },
            in_access_log: true,
            background: None,
            token: None,
            reason: None,
        };
        RequestState {
            supervisor: supervisor.clone(),
            method: request.method().clone(),
            path: request.uri().path_and_query().cloned(),
            route: request.extensions().get::<MatchedPath>().cloned(),
            client: settings
                .proxies
                .client(request.extensions(), request.headers()),
            asker: Asker::of(request, settings.render.as_ref()),
            span: RequestSpan::current(),
            received,
            wish,
            first_deadline: earlier(wish, terms.limit),
            gone: AtomicBool::new(false),
            work,
            terms: Mutex::new(terms),
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
    pub(super) fn run<F: Future>(
        self: &Arc<Self>,
        future: F,
    ) -> impl Future<Output = F::Output> + use<F> {
        // A route that has its say later puts a scope of its own around what is inside.
        let scope = CancelScope::on_demand(self.clone(), self.first_deadline.at());
        CURRENT.scope(self.clone(), scope.run(future))
    }

    fn terms(&self) -> MutexGuard<'_, Terms> {
        // Plain data; a poisoned one is still whole.
        self.terms.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn settings(&self) -> &Settings {
        &self.supervisor.settings
    }

    pub(super) fn requests(&self) -> &Requests {
        &self.supervisor.requests
    }

    pub(super) fn method(&self) -> &Method {
        &self.method
    }

    /// For people, as its path is: cut, as a client may send as much as a head may have.
    pub(super) fn method_name(&self) -> &str {
        for_the_log(self.method.as_str())
    }

    pub(super) fn path(&self) -> &str {
        for_the_log(self.path.as_ref().map_or("", PathAndQuery::path))
    }

    pub(crate) fn client(&self) -> Option<IpAddr> {
        self.client
    }

    pub(super) fn span(&self) -> &RequestSpan {
        &self.span
    }

    /// The route as it was written, or the method of a gRPC service, if one matched.
    pub(super) fn route(&self) -> Option<&str> {
        let route = self.route.as_ref()?;
        // All methods of a service share a route that ends in a wildcard.
        Some(if self.asker.is_grpc() {
            self.path()
        } else {
            route.as_str()
        })
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
        let inner = self.terms().background.clone();
        let own = inner.or_else(|| self.settings().background.clone());
        own.unwrap_or_else(|| Background::global().clone())
    }

    pub(crate) fn deadline(&self) -> Deadline {
        earlier(self.wish, self.terms().limit)
    }

    /// Replaces the server's own limit.
    pub(crate) fn set_limit(&self, limit: Option<Duration>) {
        self.terms().limit = limit.and_then(|limit| self.received.checked_add(limit));
        if let Some(work) = self.work.upgrade() {
            work.say_limit(self.time_allowed());
        }
    }

    /// Tells observers for which pool it is turned away.
    pub(crate) fn say_shed_by(&self, pool: &str) {
        if let Some(work) = self.work.upgrade() {
            work.say("shed_by", pool);
        }
    }

    /// Tells observers of the limit that it came with.
    #[cold]
    fn say_first_limit(&self, work: &RequestWork) {
        if let Some(limit) = self.time_allowed() {
            work.say_limit(Some(limit));
        }
    }

    /// From the head of the request to its deadline.
    pub(super) fn time_allowed(&self) -> Option<Duration> {
        let at = self.deadline().at()?;
        Some(at.saturating_duration_since(self.received))
    }

    pub(super) fn policy(&self) -> OnDisconnect {
        self.terms().policy
    }

    pub(super) fn set_policy(&self, policy: OnDisconnect) {
        self.terms().policy = policy;
    }

    pub(super) fn is_in_access_log(&self) -> bool {
        self.terms().in_access_log
    }

    pub(super) fn leave_out_of_the_access_log(&self) {
        self.terms().in_access_log = false;
    }

    /// Takes over what another layer inside sets: it is nearer to the handler.
    pub(super) fn adopt(&self, inner: &Settings) {
        if inner.deadline.is_some() {
            self.set_limit(inner.deadline);
        }
        let mut terms = self.terms();
        if let Some(grace) = inner.grace {
            terms.policy = OnDisconnect::Cooperative { grace };
        }
        // Only the first counts, if there are more than one inside.
        terms.background = terms.background.take().or_else(|| inner.background.clone());
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
        let mut terms = self.terms();
        let reason = *terms.reason.get_or_insert(reason);
        let token = terms.token.clone();
        // Outside the lock: who is woken may ask for the deadline at once.
        drop(terms);
        self.say_cancelling(reason);
        if let Some(token) = token {
            token.cancel(reason);
        }
    }

    /// Tells observers that the token fires, unless that is only to say that all is over.
    #[inline]
    fn say_cancelling(&self, reason: CancelReason) {
        if matches!(
            reason,
            CancelReason::ClientDisconnected | CancelReason::Deadline | CancelReason::Shutdown
        ) && let Some(work) = self.work.upgrade()
        {
            work.cancelling(reason);
        }
    }

    /// Why the service itself ends the request, if it does.
    pub(super) fn shutdown_reason(&self) -> Option<CancelReason> {
        self.settings()
            .shutdown
            .as_ref()
            .and_then(CancelToken::reason)
    }

    /// Why a request may not even begin.
    pub(super) fn refusal(&self) -> Option<CancelReason> {
        // Not by the clock: it has just been read, and reading it is dear.
        let expired = || {
            self.first_deadline
                .at()
                .is_some_and(|at| at <= self.received)
        };
        self.shutdown_reason()
            .or_else(|| expired().then_some(CancelReason::Deadline))
    }

    /// Notes a handler that did not come to its end because the service did.
    pub(super) fn note_if_shut_down(&self) {
        if self.shutdown_reason().is_some() {
            self.requests()
                .note_cut_off(|| format!("request {} {}", self.method_name(), self.name()));
        }
    }

    /// When the request is ended: its deadline, or for a gRPC client's own a moment later.
    pub(super) fn ends_at(&self) -> Option<Instant> {
        let deadline = self.deadline();
        match deadline.source() {
            Some(DeadlineSource::Client(DeadlineHeader::GrpcTimeout)) if self.asker.is_grpc() => {
                let late = deadline
                    .at()
                    .and_then(|at| at.checked_add(AFTER_THE_CLIENT));
                // The server's own limit is not put off for it.
                [late, self.terms().limit].into_iter().flatten().min()
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

/// The client can only shorten what the server allows.
fn earlier(client: Option<(Instant, DeadlineHeader)>, server: Option<Instant>) -> Deadline {
    match client {
        Some((client, header)) if server.is_none_or(|server| client < server) => {
            Deadline::of(DeadlineSource::Client(header), Some(client))
        }
        _ => Deadline::of(DeadlineSource::Server, server),
    }
}

async fn deadline(at: Instant) -> CancelReason {
    sleep_until(at).await;
    CancelReason::Deadline
}

impl TokenSource for RequestState {
    fn token(&self) -> CancelToken {
        let shutdown = self.settings().shutdown.as_ref();
        let make = || shutdown.map_or_else(CancelToken::new, CancelToken::child);
        // Token and reason meet under the lock: whoever comes second, here or in `cancel`, sees the other.
        let mut terms = self.terms();
        let token = terms.token.get_or_insert_with(make).clone();
        let reason = terms.reason;
        drop(terms);
        // The request was over before anybody asked: late askers hear of it all the same.
        if let Some(reason) = reason {
            token.cancel(reason);
        }
        token
    }
}

impl fmt::Debug for RequestState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("method", &self.method_name())
            .field("name", &self.name())
            .finish_non_exhaustive()
    }
}

/// A request that is counted as live until this is dropped.
pub(super) struct Live {
    state: Arc<RequestState>,
    /// As observers see it; none if nobody observes.
    work: Option<Arc<RequestWork>>,
}

impl Live {
    pub(super) fn enter<B>(request: &Request<B>, supervisor: &Arc<Supervisor>) -> Self {
        let work = if observe::anybody() {
            RequestWork::begin(request)
        } else {
            None
        };
        let observed = work.as_ref().map_or_else(Weak::new, Arc::downgrade);
        let state = Arc::new(RequestState::new(request, supervisor, observed));
        supervisor.requests.enter();
        if let Some(work) = &work {
            state.say_first_limit(work);
        }
        Live { state, work }
    }

    /// The request as observers see it, if anybody does.
    pub(super) fn work(&self) -> Option<&Arc<RequestWork>> {
        self.work.as_ref()
    }

    /// Drops what is others'; what its destructors make is part of the request.
    pub(super) fn drop_part<T>(&self, part: T) {
        match &self.work {
            Some(work) => work.scope(|| drop_others(part)),
            None => drop_others(part),
        }
    }

    /// The same for one poll of its handler.
    pub(super) fn poll<T>(&self, poll: impl FnOnce() -> T) -> T {
        match &self.work {
            Some(work) => work.poll(poll),
            None => poll(),
        }
    }

    /// Tells observers what the answer is; the last word about a failure belongs to what has caused it.
    pub(super) fn say_status(&self, status: u16) {
        if let Some(work) = &self.work {
            self.say_status_to(work, status);
        }
    }

    #[cold]
    fn say_status_to(&self, work: &RequestWork, status: u16) {
        work.say("status", status);
        let is_late = || self.ends_at().is_some_and(|at| at <= Instant::now());
        let reason = || {
            self.shutdown_reason()
                .or_else(|| is_late().then_some(CancelReason::Deadline))
        };
        if status >= 500
            && let Some(reason) = reason()
        {
            work.cancelling(reason);
            work.conclude(Verdict::cut_short(reason));
        }
    }

    /// Tells observers how it ended.
    pub(super) fn conclude(&self, verdict: impl FnOnce() -> Verdict) {
        if let Some(work) = &self.work {
            work.conclude(verdict());
        }
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
        // First: who waits until no request is live has heard of all of them.
        drop(self.work.take());
        self.state.requests().leave();
    }
}

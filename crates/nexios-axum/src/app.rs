//! The life of a service, from its first hook to its exit code.

mod accept;
mod connection;
mod connections;
mod handle;
mod health;
mod hooks;
pub(crate) mod life;
mod limits;
mod listener;
mod phase;
pub(crate) mod register;
mod report;
mod run;
mod serve;
mod shutdown;
mod signals;
mod watchdog;

use std::{borrow::Cow, fmt, future::Future, sync::Arc, time::Duration};

use axum::Router;
use nexios::{Background, CancelToken};
use tokio::sync::Semaphore;

use crate::{RequestLayer, Requests};
use health::HealthPaths;
use hooks::Hook;
use life::Life;
use limits::Limits;

pub use handle::AppHandle;
pub use hooks::HookOutcome;
pub use listener::{Listen, ListenAddress};
pub use phase::Phase;
pub use report::{ServeError, ShutdownReport};
pub use run::run;

/// Who watches over the requests.
enum AppRequests {
    /// A layer that the app puts around the router.
    Own(RequestLayer),
    /// One that the router has, and the token that ends its requests.
    Router(Requests, CancelToken),
}

/// Who wants to know where the service listens.
type Told = Box<dyn FnOnce(&ListenAddress) + Send>;

/// A service: a router, what runs before and after it, and an end that loses nothing.
///
/// On SIGTERM or SIGINT readiness fails while new connections are still accepted for a moment; then the
/// listener closes, streams are told to end, and requests and background tasks are waited for side by side;
/// what is left is cancelled, may clean up, and is given up at last. One deadline holds for the whole, and a
/// second signal hurries.
///
/// # Examples
///
/// ```no_run
/// use std::process::ExitCode;
/// use axum::{Router, routing::get};
/// use nexios_axum::NexiosApp;
///
/// fn main() -> ExitCode {
///     nexios_axum::run(async {
///         NexiosApp::new(Router::new().route("/", get(|| async { "hello" })))
///             .on_startup("warm up", async || println!("warming up"))
///             .on_shutdown("say goodbye", async || println!("goodbye"))
///             .serve("127.0.0.1:8080")
///             .await
///     })
/// }
/// ```
#[must_use = "a service does nothing until it is served"]
pub struct NexiosApp {
    router: Router,
    startup: Vec<Hook>,
    shutdown: Vec<Hook>,
    backgrounds: Vec<Background>,
    requests: AppRequests,
    limits: Limits,
    health: HealthPaths,
    signals: bool,
    connections: usize,
    head: Duration,
    silence: Duration,
    listening: Option<Told>,
    life: Arc<Life>,
}

impl NexiosApp {
    /// Begins with a router whose state is complete.
    pub fn new(router: Router) -> Self {
        NexiosApp {
            router,
            startup: Vec::new(),
            shutdown: Vec::new(),
            backgrounds: Vec::new(),
            requests: AppRequests::Own(RequestLayer::new()),
            limits: Limits::default(),
            health: HealthPaths::default(),
            signals: true,
            connections: 10_000,
            head: Duration::from_secs(30),
            silence: Duration::from_secs(60),
            listening: None,
            life: Arc::new(Life::new()),
        }
    }

    /// Runs `hook` before the service listens; they run one after the other, in the order given.
    ///
    /// One that fails or panics ends the service, with its name in the error.
    pub fn on_startup<F, Fut>(mut self, name: impl Into<Cow<'static, str>>, hook: F) -> Self
    where
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future + Send + 'static,
        Fut::Output: HookOutcome,
    {
        self.startup.push(Hook::new(name.into(), hook));
        self
    }

    /// Runs `hook` after the last request and background task; they run one after the other, in the order given.
    ///
    /// Each has an equal share of the time that is left, at least of what [`hooks_limit`](Self::hooks_limit)
    /// keeps for them. One that fails, panics or takes longer is reported as abandoned, and the next one runs.
    /// They do not run after a failed start.
    pub fn on_shutdown<F, Fut>(mut self, name: impl Into<Cow<'static, str>>, hook: F) -> Self
    where
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future + Send + 'static,
        Fut::Output: HookOutcome,
    {
        self.shutdown.push(Hook::new(name.into(), hook));
        self
    }

    /// Drains this registry at the end. Default: [`Background::global`]; the first call replaces it, further
    /// ones add to it.
    ///
    /// Who uses [`create_background_task`](nexios::create_background_task) or parallel children of task groups
    /// besides a registry of their own gives the global one too.
    pub fn background(mut self, background: Background) -> Self {
        self.backgrounds.push(background);
        self
    }

    /// Puts this layer around the router, instead of a [`RequestLayer`] with its defaults.
    ///
    /// The app gives it its shutdown token and the first registry of [`background`](Self::background).
    pub fn requests(mut self, layer: RequestLayer) -> Self {
        self.requests = AppRequests::Own(layer);
        self
    }

    /// Says that the router has this layer already, so that the app puts none around it.
    ///
    /// It is for a router whose outer layers make the span of a request, as the lines of the access log
    /// belong into that.
    ///
    /// # Panics
    ///
    /// Panics if the layer was given no [`shutdown`](RequestLayer::shutdown) token: nothing could tell its
    /// requests of the end.
    #[track_caller]
    pub fn requests_of(mut self, layer: &RequestLayer) -> Self {
        let token = layer.shutdown_token();
        let token = token.expect("requests_of(layer): the layer needs a token, see `RequestLayer::shutdown`");
        self.requests = AppRequests::Router(layer.requests(), token);
        self
    }

    /// Where readiness is asked: 200 while the service takes work, 503 before and after. Default: `/readyz`.
    pub fn readiness(mut self, path: impl Into<Cow<'static, str>>) -> Self {
        self.health.readiness = Some(path.into());
        self
    }

    /// Where liveness is asked: 200 as long as the runtime answers. Default: `/livez`.
    pub fn liveness(mut self, path: impl Into<Cow<'static, str>>) -> Self {
        self.health.liveness = Some(path.into());
        self
    }

    /// Adds neither of the two routes.
    pub fn without_health(mut self) -> Self {
        self.health = HealthPaths { readiness: None, liveness: None };
        self
    }

    /// How long the whole end may take, from the signal on. Default: 30 s.
    ///
    /// It is what Kubernetes and others wait before they kill, so set theirs a few seconds longer. When it is
    /// too short for all phases, the first ones are cut.
    pub fn shutdown_limit(mut self, total: Duration) -> Self {
        self.limits.total = total;
        self
    }

    /// How long new connections are still accepted after the signal, until load balancers have noticed.
    /// Default: 2 s; zero where nobody routes to several services.
    pub fn accepting(mut self, time: Duration) -> Self {
        self.limits.accepting = time;
        self
    }

    /// How long cancelled requests, sockets and tasks may clean up. Default: 3 s.
    pub fn cancelling(mut self, time: Duration) -> Self {
        self.limits.cancelling = time;
        self
    }

    /// How much of the whole is kept for the shutdown hooks. Default: 1 s.
    pub fn hooks_limit(mut self, time: Duration) -> Self {
        self.limits.hooks = time;
        self
    }

    /// How many connections may be open; further clients wait in the system's queue. Default: 10,000.
    ///
    /// The system's limit of open files is often lower. It is not run into twice: when it is reached, the
    /// service waits, for 10 ms to 1 s, before it accepts again.
    ///
    /// # Panics
    ///
    /// Panics if `most` is zero.
    #[track_caller]
    pub fn connections(mut self, most: usize) -> Self {
        assert!(most > 0, "connections({most}): at least one client must be able to come");
        self.connections = most.min(Semaphore::MAX_PERMITS);
        self
    }

    /// How long a client may take for the head of a request, and so how long an idle connection is kept.
    /// Default: 30 s.
    ///
    /// Behind a load balancer that keeps connections it should be longer than the balancer's own limit.
    pub fn head_limit(mut self, time: Duration) -> Self {
        self.head = time;
        self
    }

    /// How long a TCP peer may acknowledge nothing before its connection, and with it its request, ends.
    /// Default: 60 s.
    ///
    /// It finds peers that are gone without a word, by keep-alive and on Linux by the user timeout. HTTP/2
    /// clients are also asked every 20 s whether they are there.
    pub fn dead_peer_limit(mut self, time: Duration) -> Self {
        self.silence = time;
        self
    }

    /// Leaves SIGTERM and SIGINT alone: only [`AppHandle::stop`] ends the service.
    pub fn without_signals(mut self) -> Self {
        self.signals = false;
        self
    }

    /// Calls `tell` with the real address once, as soon as the service is ready.
    pub fn on_listening(mut self, tell: impl FnOnce(&ListenAddress) + Send + 'static) -> Self {
        self.listening = Some(Box::new(tell));
        self
    }

    /// The way to watch and end the service from code.
    #[must_use]
    pub fn handle(&self) -> AppHandle {
        AppHandle::new(self.life.clone())
    }
}

impl fmt::Debug for NexiosApp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NexiosApp")
            .field("phase", &self.life.phase())
            .field("startup", &self.startup)
            .field("shutdown", &self.shutdown)
            .field("limits", &self.limits)
            .field("health", &self.health)
            .field("connections", &self.connections)
            .finish_non_exhaustive()
    }
}

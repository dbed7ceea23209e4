//! The life of a service, from its first hook to its exit code.

mod accept;
mod admin;
mod connection;
mod connection_control;
mod connections;
mod downcast;
mod error;
mod flight;
mod handle;
mod health;
mod hooks;
pub(crate) mod life;
mod listener;
mod names;
mod phase;
mod places;
pub(crate) mod register;
mod report;
mod response;
mod run;
mod serve;
mod service;
mod service_life;
mod shutdown;
mod shutdown_limits;
mod signals;
mod socket;
mod watchdog;

use std::{
    borrow::Cow, convert::Infallible, fmt, future::Future, pin::Pin, sync::Arc, time::Duration,
};

use axum::{Router, extract::Request, response::IntoResponse, routing::Route};
use nexios::{CancelToken, Drainable};
use tower_layer::Layer;
use tower_service::Service;

use crate::request::{RequestLayer, Requests};
use admin::Admin;
use health::{Condition, Health};
use hooks::Hook;
use life::{EndOnDrop, Life};
use shutdown_limits::Limits;

pub use error::ServeError;
pub use handle::AppHandle;
pub use hooks::HookOutcome;
pub use listener::{Listen, ListenAddress};
pub use phase::Phase;
pub use report::ShutdownReport;
pub use run::run;
pub use service::AppService;
pub use service_life::ServiceLife;

/// Who watches over the requests.
enum AppRequests {
    /// A layer that the app puts around the router.
    Own(RequestLayer),
    /// One that the router has, and the token that ends its requests.
    Router(Requests, CancelToken),
}

/// Puts one of the user's layers around the router.
type Outer = Box<dyn FnOnce(Router) -> Router + Send>;

/// Ends the service when it ends.
type StopOn = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Who wants to know where the service listens.
type Told = Box<dyn FnOnce(&ListenAddress) + Send>;

/// A service: a router, what runs before and after it, and an end that loses nothing.
///
/// Each request passes the layers of [`outer`](Self::outer), the [`RequestLayer`] and the router with its own
/// layers, in this order.
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
    admins: Vec<Admin>,
    outer: Vec<Outer>,
    startup: Vec<Hook>,
    shutdown: Vec<Hook>,
    backgrounds: Vec<Arc<dyn Drainable>>,
    requests: AppRequests,
    limits: Limits,
    health: Health,
    signals: bool,
    stop_on: Vec<StopOn>,
    strict: bool,
    connections: usize,
    connections_per_peer: Option<usize>,
    head: Duration,
    silence: Duration,
    listening: Option<Told>,
    life: Arc<Life>,
    /// Taken by `serve`: a service that is dropped before has ended too.
    end: Option<EndOnDrop>,
}

impl NexiosApp {
    /// Begins with a router whose state is complete, or another [service](AppService).
    ///
    /// A service that is no `Router` knows its routes only inside, so the log names its requests by their paths. What it
    /// has in the place of a health route is not reached.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use axum::{Router, extract::State, routing::get};
    /// use nexios_axum::NexiosApp;
    ///
    /// let router = Router::new().route("/", get(async |State(name): State<String>| name)).with_state("Ada".to_owned());
    /// let app = NexiosApp::new(router);
    /// let handle = app.handle();
    /// tokio::spawn(app.serve("127.0.0.1:0"));
    /// let address = handle.ready().await.ok_or("it did not start")?;
    /// assert_eq!(reqwest::get(address.to_string()).await?.text().await?, "Ada");
    /// # Ok(())
    /// # }
    /// ```
    pub fn new<Kind>(service: impl AppService<Kind>) -> Self {
        let life = Arc::new(Life::new());
        NexiosApp {
            router: service.into_router(),
            admins: Vec::new(),
            outer: Vec::new(),
            startup: Vec::new(),
            shutdown: Vec::new(),
            backgrounds: Vec::new(),
            requests: AppRequests::Own(RequestLayer::new()),
            limits: Limits::default(),
            health: Health::default(),
            signals: true,
            stop_on: Vec::new(),
            strict: false,
            connections: 10_000,
            connections_per_peer: None,
            head: Duration::from_secs(30),
            silence: Duration::from_secs(60),
            listening: None,
            end: Some(EndOnDrop(life.clone())),
            life,
        }
    }

    /// Runs `hook` before the service listens; they run one after the other, in the order given.
    ///
    /// One that fails or panics ends the service, with its name in the error.
    ///
    /// A hook that uses `?` says at its end what its error is, as nothing else does: `anyhow::Ok(())`, or
    /// `Ok::<_, axum::BoxError>(())`.
    ///
    /// # Examples
    ///
    /// ```
    /// # use axum::Router;
    /// use axum::BoxError;
    /// use nexios_axum::NexiosApp;
    ///
    /// let app = NexiosApp::new(Router::new()).on_startup("read the settings", async || {
    ///     let settings = tokio::fs::read_to_string("settings.toml").await?;
    ///     println!("{} bytes of settings", settings.len());
    ///     Ok::<_, BoxError>(())
    /// });
    /// # drop(app);
    /// ```
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
    /// keeps for them. One that fails, panics or takes longer is reported as abandoned, and the next one runs, also when a
    /// destructor of the one that was cut off panics.
    /// They do not run after a failed start.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use std::{sync::{Arc, atomic::{AtomicBool, Ordering}}, time::Duration};
    /// use axum::Router;
    /// use nexios_axum::NexiosApp;
    ///
    /// let flushed = Arc::new(AtomicBool::new(false));
    /// let flush = flushed.clone();
    /// let app = NexiosApp::new(Router::new())
    ///     .on_shutdown("flush the index", async move || flush.store(true, Ordering::Relaxed))
    ///     .accepting(Duration::ZERO);
    /// let handle = app.handle();
    /// let service = tokio::spawn(app.serve("127.0.0.1:0"));
    /// handle.ready().await;
    /// handle.stop();
    /// assert!(service.await??.is_clean());
    /// assert!(flushed.load(Ordering::Relaxed));
    /// # Ok(())
    /// # }
    /// ```
    pub fn on_shutdown<F, Fut>(mut self, name: impl Into<Cow<'static, str>>, hook: F) -> Self
    where
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future + Send + 'static,
        Fut::Output: HookOutcome,
    {
        self.shutdown.push(Hook::new(name.into(), hook));
        self
    }

    /// Drains this registry, or these workers of durable jobs, at the end. Each call adds one, and all are drained side by side.
    ///
    /// Default: [`Background::global`](nexios::Background::global), as long as no other registry is given. Whoever gives one and
    /// also uses [`create_background_task`](nexios::create_background_task) or parallel children of task groups, which run in the global
    /// one, gives the global one as well.
    ///
    /// Workers are no registry, and the global one is drained beside them: `.background(workers)` says nothing about tasks. They are what
    /// `jobs.workers().handle(..).start().await?` of nexios-jobs returns, and hand their jobs back at the end.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use std::{sync::{Arc, atomic::{AtomicBool, Ordering}}, time::Duration};
    /// use axum::Router;
    /// use nexios::Background;
    /// use nexios_axum::{NexiosApp, Phase};
    ///
    /// let mails = Background::new();
    /// let app = NexiosApp::new(Router::new()).background(mails.clone()).accepting(Duration::ZERO);
    /// let (handle, sent) = (app.handle(), Arc::new(AtomicBool::new(false)));
    /// let service = tokio::spawn(app.serve("127.0.0.1:0"));
    /// handle.ready().await;
    /// let (until, says) = (handle.clone(), sent.clone());
    /// let _mail = mails.spawn("welcome mail", |_task| async move {
    ///     until.reached(Phase::Closing).await; // the service ends meanwhile
    ///     says.store(true, Ordering::Relaxed);
    /// })?;
    /// handle.stop();
    /// assert!(service.await??.is_clean());
    /// assert!(sent.load(Ordering::Relaxed)); // it was waited for
    /// # Ok(())
    /// # }
    /// ```
    pub fn background(mut self, background: impl Drainable) -> Self {
        self.backgrounds.push(Arc::new(background));
        self
    }

    /// Puts a layer around everything that answers, the [`RequestLayer`] included; the last one given is the
    /// outermost.
    ///
    /// Outside belongs what every answer needs, also the 504 of a deadline, the 500 of a panic and the 503 of the
    /// shutdown: CORS, without which a page on another origin cannot read them, request ids, tracing, and
    /// compression. Inside, on the router, belongs what a request must not escape: time limits, limits of
    /// concurrency and of bodies, authentication. Health routes are outside of both.
    ///
    /// As with [`Router::layer`], the routes are known already, so a layer that changes the path belongs around the
    /// router that is given to [`new`](Self::new).
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use axum::{Router, http::HeaderValue, response::Response, routing::get};
    /// use nexios_axum::NexiosApp;
    /// use tower::util::MapResponseLayer;
    ///
    /// // tower-http's `CorsLayer` and `TraceLayer` belong here too.
    /// let server = MapResponseLayer::new(|mut response: Response| {
    ///     response.headers_mut().insert("server", HeaderValue::from_static("shop"));
    ///     response
    /// });
    /// let router = Router::new().route("/", get(async || -> &'static str { panic!("a bug") }));
    /// let app = NexiosApp::new(router).outer(server);
    /// let handle = app.handle();
    /// tokio::spawn(app.serve("127.0.0.1:0"));
    /// let address = handle.ready().await.ok_or("it did not start")?;
    /// let answer = reqwest::get(address.to_string()).await?;
    /// assert_eq!((answer.status().as_u16(), &answer.headers()["server"]), (500, &"shop".parse()?));
    /// # Ok(())
    /// # }
    /// ```
    pub fn outer<L>(mut self, layer: L) -> Self
    where
        L: Layer<Route> + Clone + Send + Sync + 'static,
        L::Service: Service<Request> + Clone + Send + Sync + 'static,
        <L::Service as Service<Request>>::Response: IntoResponse + 'static,
        <L::Service as Service<Request>>::Error: Into<Infallible> + 'static,
        <L::Service as Service<Request>>::Future: Send + 'static,
    {
        self.outer.push(Box::new(|router| router.layer(layer)));
        self
    }

    /// Puts this layer around the router, instead of a [`RequestLayer`] with its defaults.
    ///
    /// The app gives it its shutdown token and the first registry of [`background`](Self::background).
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use std::time::Duration;
    /// use axum::{Router, routing::get};
    /// use nexios_axum::{NexiosApp, RequestLayer};
    ///
    /// let router = Router::new().route("/", get(std::future::pending::<String>)); // never answers
    /// let app = NexiosApp::new(router).requests(RequestLayer::new().deadline(Duration::from_millis(50)));
    /// let handle = app.handle();
    /// tokio::spawn(app.serve("127.0.0.1:0"));
    /// let address = handle.ready().await.ok_or("it did not start")?;
    /// assert_eq!(reqwest::get(address.to_string()).await?.status(), 504);
    /// # Ok(())
    /// # }
    /// ```
    pub fn requests(mut self, layer: RequestLayer) -> Self {
        self.requests = AppRequests::Own(layer);
        self
    }

    /// Says that the router has this layer already, so that the app puts none around it.
    ///
    /// It is for a router whose outer layers make the span of a request, as the lines of the access log
    /// belong into that.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use std::time::Duration;
    /// use axum::{Router, routing::get};
    /// use nexios::CancelToken;
    /// use nexios_axum::{NexiosApp, RequestLayer};
    /// use tower::layer::util::Identity;
    ///
    /// let requests = RequestLayer::new().shutdown(CancelToken::new());
    /// let router = Router::new()
    ///     .route("/", get(async || "hello"))
    ///     .layer(requests.clone())
    ///     .layer(Identity::new()); // the layer that makes the span, such as tower-http's `TraceLayer`
    /// let app = NexiosApp::new(router).requests_of(&requests).accepting(Duration::ZERO);
    /// let handle = app.handle();
    /// let service = tokio::spawn(app.serve("127.0.0.1:0"));
    /// let address = handle.ready().await.ok_or("it did not start")?;
    /// reqwest::get(address.to_string()).await?.text().await?;
    /// handle.stop();
    /// service.await??;
    /// assert_eq!(requests.requests().stats().started, 1);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// Panics if the layer was given no [`shutdown`](RequestLayer::shutdown) token: nothing could tell its
    /// requests of the end.
    #[track_caller]
    pub fn requests_of(mut self, layer: &RequestLayer) -> Self {
        let token = layer.shutdown_token();
        let token = token
            .expect("requests_of(layer): the layer needs a token, see `RequestLayer::shutdown`");
        self.requests = AppRequests::Router(layer.requests(), token);
        self
    }

    /// Where readiness is asked: 200 while the service takes work, 503 before and after, and while a condition of
    /// [`ready_if`](Self::ready_if) does not hold. Default: `/readyz`.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use axum::Router;
    /// use nexios_axum::NexiosApp;
    ///
    /// let app = NexiosApp::new(Router::new()).readiness("/health/ready");
    /// let handle = app.handle();
    /// tokio::spawn(app.serve("127.0.0.1:0"));
    /// let address = handle.ready().await.ok_or("it did not start")?;
    /// assert_eq!(reqwest::get(format!("{address}/health/ready")).await?.status(), 200);
    /// assert_eq!(reqwest::get(format!("{address}/readyz")).await?.status(), 404);
    /// # Ok(())
    /// # }
    /// ```
    pub fn readiness(mut self, path: impl Into<Cow<'static, str>>) -> Self {
        self.health.readiness = Some(path.into());
        self
    }

    /// Where liveness is asked: 200 as long as the runtime answers. Default: `/livez`.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use axum::Router;
    /// use nexios_axum::NexiosApp;
    ///
    /// let app = NexiosApp::new(Router::new()).liveness("/health/live");
    /// let handle = app.handle();
    /// tokio::spawn(app.serve("127.0.0.1:0"));
    /// let address = handle.ready().await.ok_or("it did not start")?;
    /// assert_eq!(reqwest::get(format!("{address}/health/live")).await?.status(), 200);
    /// # Ok(())
    /// # }
    /// ```
    pub fn liveness(mut self, path: impl Into<Cow<'static, str>>) -> Self {
        self.health.liveness = Some(path.into());
        self
    }

    /// Lets readiness depend on more than the service's own phase, such as on a connection that it cannot work without. Each
    /// call adds a condition; default: none.
    ///
    /// While the service is `Ready` and `condition` returns false, the route of [`readiness`](Self::readiness) answers 503 with
    /// `"unmet":["name"]`, all names of conditions that do not hold; a condition that panics does not hold. That is all it does:
    /// requests that come nevertheless are served, and liveness stays 200, as a restart would help nobody.
    ///
    /// It is asked anew for each question, on a thread of the runtime, so it must not block: let it read what is known already.
    /// Ask for what an instance has of its own. What all share, such as one database, makes all of them not ready at once, and a
    /// service with one instance is then away for its clients altogether, where it might have said what is wrong or done half.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use std::sync::{Arc, atomic::{AtomicBool, Ordering}};
    /// use axum::Router;
    /// use nexios_axum::NexiosApp;
    ///
    /// let loaded = Arc::new(AtomicBool::new(false)); // workers of durable jobs: `move || workers.is_ready()`
    /// let is_loaded = loaded.clone();
    /// let app = NexiosApp::new(Router::new()).ready_if("index", move || is_loaded.load(Ordering::Relaxed));
    /// let handle = app.handle();
    /// tokio::spawn(app.serve("127.0.0.1:0"));
    /// let address = handle.ready().await.ok_or("it did not start")?;
    /// let answer = reqwest::get(format!("{address}/readyz")).await?;
    /// assert_eq!(answer.status(), 503);
    /// assert!(answer.text().await?.contains(r#""unmet":["index"]"#));
    /// loaded.store(true, Ordering::Relaxed);
    /// assert_eq!(reqwest::get(format!("{address}/readyz")).await?.text().await?, "ready");
    /// # Ok(())
    /// # }
    /// ```
    pub fn ready_if(
        mut self,
        name: impl Into<Cow<'static, str>>,
        condition: impl Fn() -> bool + Send + Sync + 'static,
    ) -> Self {
        let condition = Condition::new(name.into(), condition);
        self.health.conditions.push(condition);
        self
    }

    /// Adds neither of the two routes.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use axum::Router;
    /// use nexios_axum::NexiosApp;
    ///
    /// let app = NexiosApp::new(Router::new()).without_health(); // such as where `admin` has them
    /// let handle = app.handle();
    /// tokio::spawn(app.serve("127.0.0.1:0"));
    /// let address = handle.ready().await.ok_or("it did not start")?;
    /// assert_eq!(reqwest::get(format!("{address}/readyz")).await?.status(), 404);
    /// # Ok(())
    /// # }
    /// ```
    pub fn without_health(mut self) -> Self {
        self.health.readiness = None;
        self.health.liveness = None;
        self
    }

    /// How long the whole end may take, from the signal on. Default: 30 s.
    ///
    /// It is what Kubernetes and others wait before they kill, so set theirs a few seconds longer.
    ///
    /// With a short one [`cancelling`](Self::cancelling) and [`hooks_limit`](Self::hooks_limit), as long as nobody sets them, take a
    /// third of it each at most, so that requests under way have a third undisturbed: of 3 s, one each. When it is too short for what
    /// was set, the first phases are cut: with 4 s, of which 3 were set for `cancelling`, requests are cancelled at once.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use std::time::Duration;
    /// use axum::{Router, routing::get};
    /// use nexios_axum::NexiosApp;
    ///
    /// let stuck = Router::new().route("/", get(std::future::pending::<String>));
    /// let app = NexiosApp::new(stuck).shutdown_limit(Duration::from_millis(500));
    /// let handle = app.handle();
    /// let service = tokio::spawn(app.serve("127.0.0.1:0"));
    /// let address = handle.ready().await.ok_or("it did not start")?;
    /// let asked = tokio::spawn(reqwest::get(address.to_string()));
    /// # while handle.connections() == 0 { tokio::time::sleep(Duration::from_millis(1)).await; }
    /// handle.stop();
    /// assert!(service.await??.elapsed < Duration::from_secs(10));
    /// # drop(asked);
    /// # Ok(())
    /// # }
    /// ```
    pub fn shutdown_limit(mut self, total: Duration) -> Self {
        self.limits.total = total;
        self
    }

    /// How long new connections are still accepted after the signal, until load balancers have noticed.
    /// Default: 2 s; zero where nobody routes to several services.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use std::time::Duration;
    /// use axum::{Router, routing::get};
    /// use nexios_axum::{NexiosApp, Phase};
    ///
    /// let app = NexiosApp::new(Router::new().route("/", get(async || "hello"))).accepting(Duration::from_secs(60));
    /// let handle = app.handle();
    /// let service = tokio::spawn(app.serve("127.0.0.1:0"));
    /// let address = handle.ready().await.ok_or("it did not start")?;
    /// handle.stop();
    /// handle.reached(Phase::Draining).await;
    /// assert_eq!(reqwest::get(format!("{address}/readyz")).await?.status(), 503); // so balancers go elsewhere
    /// assert_eq!(reqwest::get(address.to_string()).await?.text().await?, "hello"); // who came still is served
    /// # drop(service);
    /// # Ok(())
    /// # }
    /// ```
    pub fn accepting(mut self, time: Duration) -> Self {
        self.limits.accepting = time;
        self
    }

    /// How long cancelled requests, sockets and tasks may clean up. Default: 3 s, or a third of a [`shutdown_limit`](Self::shutdown_limit)
    /// that is shorter than 9 s.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use axum::Router;
    /// use nexios_axum::NexiosApp;
    ///
    /// // Ten seconds to roll back what is half done, of the thirty of the whole.
    /// let app = NexiosApp::new(Router::new()).cancelling(Duration::from_secs(10));
    /// # drop(app);
    /// ```
    pub fn cancelling(mut self, time: Duration) -> Self {
        self.limits.cancelling = Some(time);
        self
    }

    /// How much of the whole is kept for the shutdown hooks. Default: 1 s, or a third of a [`shutdown_limit`](Self::shutdown_limit)
    /// that is shorter than 3 s.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use axum::Router;
    /// use nexios_axum::NexiosApp;
    ///
    /// let app = NexiosApp::new(Router::new())
    ///     .on_shutdown("flush the index", async || println!("flushing"))
    ///     .hooks_limit(Duration::from_secs(5)); // however long the requests before took
    /// # drop(app);
    /// ```
    pub fn hooks_limit(mut self, time: Duration) -> Self {
        self.limits.hooks = Some(time);
        self
    }

    /// How many connections may be open, those included that have become WebSockets. Default: 10,000.
    ///
    /// When all places are taken, those that have been idle for the longest are closed for new clients. When none is
    /// idle, 64 more are let in at a time, which have an answer about the health of the service and a 503 for
    /// everything else.
    ///
    /// The system's limit of open files is often lower. When it is reached, idle connections are closed too, and
    /// the service waits, for 10 ms to 1 s, before it accepts again.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use axum::{Router, routing::get};
    /// use nexios_axum::NexiosApp;
    ///
    /// let app = NexiosApp::new(Router::new().route("/", get(async || "hello"))).connections(1);
    /// let handle = app.handle();
    /// tokio::spawn(app.serve("127.0.0.1:0"));
    /// let address = handle.ready().await.ok_or("it did not start")?;
    /// let (one, other) = (reqwest::Client::new(), reqwest::Client::new());
    /// one.get(address.to_string()).send().await?.text().await?;
    /// let text = other.get(address.to_string()).send().await?.text().await?; // the idle one made room
    /// assert_eq!(text, "hello");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// Panics if `most` is zero.
    #[track_caller]
    pub fn connections(mut self, most: usize) -> Self {
        assert!(
            most > 0,
            "connections({most}): at least one client must be able to come"
        );
        self.connections = most;
        self
    }

    /// How many of the [`connections`](Self::connections) one peer may have open, an address or a network of IPv6
    /// (/64). Default: three quarters; addresses of the machine itself are not counted.
    ///
    /// Behind a proxy all clients have its address, so there the default leaves a quarter unused: say as many as
    /// `connections` then, and have the proxy limit its clients. Beyond the limit a peer's own idle connections are
    /// closed; when it has none, it is told about the health of the service only, as beyond `connections`.
    ///
    /// # Examples
    ///
    /// ```
    /// use axum::Router;
    /// use nexios_axum::NexiosApp;
    ///
    /// // All clients come by one proxy.
    /// let app = NexiosApp::new(Router::new()).connections(2_000).connections_per_peer(2_000);
    /// # drop(app);
    /// ```
    ///
    /// # Panics
    ///
    /// Panics if `most` is zero.
    #[track_caller]
    pub fn connections_per_peer(mut self, most: usize) -> Self {
        assert!(
            most > 0,
            "connections_per_peer({most}): at least one client must be able to come"
        );
        self.connections_per_peer = Some(most);
        self
    }

    /// How long a client may take for the head of a request, and so how long an idle connection is kept.
    /// Default: 30 s.
    ///
    /// An HTTP/2 connection without a request is idle too, whether it answers pings or not; it is kept for a second at
    /// least, and its client is told before it ends.
    ///
    /// Behind a load balancer that keeps connections it should be longer than the balancer's own limit.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use axum::Router;
    /// use nexios_axum::NexiosApp;
    ///
    /// // The balancer keeps connections for 60 s: it must not meet one that we just close.
    /// let app = NexiosApp::new(Router::new()).head_limit(Duration::from_secs(65));
    /// # drop(app);
    /// ```
    pub fn head_limit(mut self, time: Duration) -> Self {
        self.head = time;
        self
    }

    /// How long a peer may acknowledge nothing before its connection, and with it its request, ends.
    /// Default: 60 s.
    ///
    /// It finds TCP peers that are gone without a word, by keep-alive (at most 9 hours of silence, the system's limit)
    /// and on Linux by the user timeout (at most 25 days). HTTP/2 clients are also asked every 20 s whether they
    /// are there. A client that is there and takes no byte of an answer for so long is cut off as well: the connection
    /// with HTTP/1, the one answer with HTTP/2, where it has to take 16 KiB to be seen. While the service ends it has 5 s.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use axum::Router;
    /// use nexios_axum::NexiosApp;
    ///
    /// // Phones go out of reach: who takes nothing for 20 s holds no stream open.
    /// let app = NexiosApp::new(Router::new()).dead_peer_limit(Duration::from_secs(20));
    /// # drop(app);
    /// ```
    pub fn dead_peer_limit(mut self, time: Duration) -> Self {
        self.silence = time;
        self
    }

    /// Leaves SIGTERM and SIGINT alone: only [`AppHandle::stop`] ends the service.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use std::time::Duration;
    /// use axum::Router;
    /// use nexios_axum::NexiosApp;
    ///
    /// // Two services in one process, which has its own way to end.
    /// let apps = [(); 2].map(|()| NexiosApp::new(Router::new()).without_signals().accepting(Duration::ZERO));
    /// let handles = apps.each_ref().map(NexiosApp::handle);
    /// let services = apps.map(|app| tokio::spawn(app.serve("127.0.0.1:0")));
    /// for handle in handles {
    ///     handle.ready().await;
    ///     handle.stop();
    /// }
    /// for service in services {
    ///     service.await??;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn without_signals(mut self) -> Self {
        self.signals = false;
        self
    }

    /// Ends the service when this future does, as [`AppHandle::stop`] would; each call adds one.
    ///
    /// It runs as a task of its own from the begin of [`serve`](Self::serve) on, and is dropped with it. It does not
    /// hurry an end that is under way. A panic ends the service as well.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use std::time::Duration;
    /// use axum::Router;
    /// use nexios_axum::NexiosApp;
    /// use tokio::sync::oneshot;
    ///
    /// let (lost, lost_leadership) = oneshot::channel::<()>();
    /// let app = NexiosApp::new(Router::new()).stop_on(lost_leadership).accepting(Duration::ZERO);
    /// let service = tokio::spawn(app.serve("127.0.0.1:0"));
    /// drop(lost);
    /// assert!(service.await??.is_clean());
    /// # Ok(())
    /// # }
    /// ```
    pub fn stop_on<F>(mut self, end: F) -> Self
    where
        F: Future + Send + 'static,
    {
        self.stop_on.push(Box::pin(async { drop(end.await) }));
        self
    }

    /// Makes answers that were [cut off](crate::ShutdownReport::cut_off) at the end a failure: the report is not
    /// clean, and the exit code 70. Default: they are only reported.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use std::time::Duration;
    /// use axum::{Router, body::Body, routing::get};
    /// use futures_util::stream;
    /// use nexios_axum::NexiosApp;
    ///
    /// let endless = async || Body::from_stream(stream::pending::<Result<String, std::io::Error>>());
    /// let app = NexiosApp::new(Router::new().route("/", get(endless)))
    ///     .fail_on_cut_off()
    ///     .shutdown_limit(Duration::ZERO);
    /// let handle = app.handle();
    /// let service = tokio::spawn(app.serve("127.0.0.1:0"));
    /// let address = handle.ready().await.ok_or("it did not start")?;
    /// let answer = reqwest::get(address.to_string()).await?; // its head
    /// handle.stop();
    /// assert!(!service.await??.is_clean());
    /// # drop(answer);
    /// # Ok(())
    /// # }
    /// ```
    pub fn fail_on_cut_off(mut self) -> Self {
        self.strict = true;
        self
    }

    /// Calls `tell` with the real address once, as soon as the service is ready. A panic of it is logged.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use axum::Router;
    /// use nexios_axum::NexiosApp;
    /// use tokio::sync::oneshot;
    ///
    /// let (told, address) = oneshot::channel();
    /// let app = NexiosApp::new(Router::new()).on_listening(move |address| drop(told.send(address.to_string())));
    /// tokio::spawn(app.serve("127.0.0.1:0"));
    /// assert!(address.await?.starts_with("http://127.0.0.1:")); // such as into a file for a test
    /// # Ok(())
    /// # }
    /// ```
    pub fn on_listening(mut self, tell: impl FnOnce(&ListenAddress) + Send + 'static) -> Self {
        self.listening = Some(Box::new(tell));
        self
    }

    /// The way to watch and end the service from code.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use std::time::Duration;
    /// use axum::Router;
    /// use nexios_axum::{NexiosApp, Phase};
    ///
    /// let app = NexiosApp::new(Router::new()).accepting(Duration::ZERO);
    /// let handle = app.handle(); // before `serve` takes the app
    /// let service = tokio::spawn(app.serve("127.0.0.1:0"));
    /// handle.ready().await;
    /// assert_eq!(handle.phase(), Phase::Ready);
    /// handle.stop();
    /// service.await??;
    /// # Ok(())
    /// # }
    /// ```
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

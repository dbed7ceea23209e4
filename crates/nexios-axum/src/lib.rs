//! nexios for axum: the life of a service, its requests, problem responses and the task status routes.
//!
//! | you want | use |
//! |---|---|
//! | a service that starts in order, ends within a bound and loses nothing | [`NexiosApp`], and [`run`] as its `main`; [`docs::lifecycle`] |
//! | event streams that end with the service, WebSockets that it waits for | [`ServiceLife`] |
//! | health, metrics and a console where clients do not come, from the first hook to the last | [`NexiosApp::admin`] |
//! | CORS, tracing and compression for every answer, the service's own 504 and 500 too | [`NexiosApp::outer`] |
//! | handlers that hear of disconnects, deadlines and the shutdown, and may clean up | [`RequestLayer`] |
//! | a route that finishes what it began, or is dropped at once | [`OnDisconnect`] |
//! | a route that leaves no line in the access log | [`WithoutAccessLog`] |
//! | a limit of a route's own | [`RouteDeadline`] |
//! | to hand the time that is left on to another service | [`Deadline`] |
//! | token, group or background tasks as arguments of a handler | [`RequestToken`], [`RequestGroup`], [`BackgroundTasks`] |
//! | 503 while a pool is behind, instead of a queue that makes everybody late | [`ShedLayer`] |
//! | failures as RFC 9457 problems that tell nothing internal | [`Problem`], [`OrProblem`], [`OrInternal`] |
//! | to see and cancel background tasks | [`task_routes`], on the listener of [`NexiosApp::admin`] |
//! | readiness that depends on more than the service's phase | [`NexiosApp::ready_if`] |
//!
//! # A service
//!
//! ```no_run
//! use std::{convert::Infallible, process::ExitCode, time::Duration};
//!
//! use axum::{Router, response::{Sse, sse::Event}, routing::{get, post}};
//! use futures_util::{Stream, stream};
//! use nexios::Background;
//! use nexios_axum::{BackgroundTasks, NexiosApp, Problem, RequestLayer, ServiceLife, not_found, run, task_routes};
//!
//! async fn send(BackgroundTasks(tasks): BackgroundTasks) -> Result<String, Problem> {
//!     let task = tasks.spawn_fallible("send newsletter", |task| async move {
//!         for letter in 1..=100 {
//!             if task.is_cancelled() {
//!                 return Err("told to end"); // then it is cancelled; an `Ok` would be completed
//!             }
//!             task.progress(letter, 100);
//!         }
//!         Ok(())
//!     })?;
//!     Ok(format!("task {}", task.id()))
//! }
//!
//! /// Never ends by itself, so it ends with the service.
//! async fn events(life: ServiceLife) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
//!     Sse::new(life.until_closing(stream::pending()))
//! }
//!
//! fn main() -> ExitCode {
//!     run(async {
//!         let router = Router::new()
//!             .route("/", get(async || "hello"))
//!             .route("/send-newsletter", post(send))
//!             .route("/events", get(events))
//!             .fallback(not_found); // a problem instead of axum's empty 404
//!         NexiosApp::new(router)
//!             .requests(RequestLayer::new().deadline(Duration::from_secs(30)))
//!             .admin("127.0.0.1:9090", task_routes(Background::global().clone())) // whoever reaches them may cancel
//!             .on_startup("warm up", async || println!("warm"))
//!             .on_shutdown("say goodbye", async || println!("goodbye"))
//!             .serve("127.0.0.1:8080")
//!             .await
//!     })
//! }
//! ```
//!
//! The whole with state, a pool, a lazy value, durable jobs and the console is in
//! [`docs::complete_service` of nexios-console](https://docs.rs/nexios-console/latest/nexios_console/docs/complete_service/).
//! `SIGTERM` and Ctrl-C take 2 s at least: in development say [`accepting(Duration::ZERO)`](NexiosApp::accepting).
//!
//! **Streams.** An event stream or a stream of gRPC that knows nothing of the service holds up every rollout until it is cut
//! off. Two lines end it in order: `life: ServiceLife` among the arguments, and `life.until_closing(..)` around the stream.
//! tonic's services find the [`ServiceLife`] in `request.extensions()`.
//!
//! **Layers.** What every answer needs goes around the app with [`NexiosApp::outer`]: CORS, request ids, tracing, compression.
//! What a request must not escape stays on the router: limits, authentication.
//!
//! **The log.** A service outlives it; set it up with `log_internal_errors(false)`, see [`docs::lifecycle`]. The request layer writes one
//! line for each request, at INFO, with the target `nexios_axum::access`: a filter `info,nexios_axum::access=off` leaves them out, the layer
//! [`WithoutAccessLog`] those of one route, such as of scrapes. Listeners of [`NexiosApp::admin`] write such lines too; health routes
//! never do.
//!
//! # Requests and routes
//!
//! A router with its request layer runs under plain `axum::serve` as well, without a life. In an app leave `.layer(requests)`
//! out and say `NexiosApp::new(app).requests(requests)`; if both are there, a request still has one scope and one line in
//! the log.
//!
//! ```
//! use std::time::Duration;
//! use axum::{Router, extract::Path, routing::{get, post}};
//! use nexios::{TaskGroup, ThreadPool, run_in_threadpool};
//! use nexios_axum::{
//!     BackgroundTasks, OnDisconnect, OrProblem, Problem, RequestLayer, ShedLayer, Threshold, not_found,
//! };
//!
//! /// Two lookups at once; both end when the client leaves, at its deadline and at the shutdown.
//! async fn profile(OrProblem(Path(id)): OrProblem<Path<u64>>) -> Result<String, Problem> {
//!     let group = TaskGroup::new();
//!     group
//!         .run(async {
//!             let name = group.spawn(async { Ok("Ada") });
//!             let posts = group.spawn(async { Ok(id * 2) });
//!             Ok(format!("{} has {} posts", name.await?, posts.await?))
//!         })
//!         .await
//! }
//!
//! /// Is finished even if the client does not wait for the answer.
//! async fn pay(tasks: BackgroundTasks) -> Result<&'static str, Problem> {
//!     let receipt = tasks.spawn("send receipt", |_task| async {})?;
//!     drop(receipt); // the task goes on
//!     Ok("paid")
//! }
//!
//! async fn picture() -> String {
//!     run_in_threadpool(|| "pixels".repeat(2)).await
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let requests = RequestLayer::new().deadline(Duration::from_secs(10)).grace(Duration::from_secs(1));
//! let watched = requests.requests();
//! let shed = ShedLayer::new().watch(ThreadPool::global(), Threshold::QueueWait(Duration::from_millis(200)));
//! let app: Router = Router::new()
//!     .route("/profile/{id}", get(profile))
//!     .route("/pay", post(pay).layer(OnDisconnect::Detached))
//!     .route("/picture", get(picture).layer(shed))
//!     .fallback(not_found)
//!     .layer(requests);
//!
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
//! let address = listener.local_addr()?;
//! tokio::spawn(async move { axum::serve(listener, app).await });
//! # use tokio::io::{AsyncReadExt, AsyncWriteExt};
//! # let asked = [("GET /profile/7", "Ada has 14 posts"), ("POST /pay", "paid"), ("GET /picture", "pixelspixels")];
//! # for (request, answer) in asked {
//! #     let mut client = tokio::net::TcpStream::connect(address).await?;
//! #     client.write_all(format!("{request} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").as_bytes()).await?;
//! #     let mut text = String::new();
//! #     client.read_to_string(&mut text).await?;
//! #     assert!(text.ends_with(answer), "{text}");
//! # }
//! # watched.idle().await;
//! assert_eq!(watched.stats().live, 0);
//! # assert_eq!(watched.stats().started, 3);
//! # Ok(())
//! # }
//! ```
//!
//! [`docs`] has the longer texts: the life of a service, disconnects and what HTTP/1 cannot see of them, deadlines,
//! what each error becomes, and seven examples of axum's beside the same services with nexios.
//!
//! # Features
//!
//! * `anyhow`: `?` makes a [`Problem`] of an `anyhow::Error`.
//! * `jobs`: and of the error of a store of durable jobs, `nexios_jobs::JobsError`; `job_routes`, as `task_routes` are for tasks.
//! * `multipart`: problems for the rejections of `axum::extract::Multipart`.
//! * `reqwest`: `WithDeadline`, which hands a deadline on to the calls that reqwest makes.
//! * `ws`: problems for the rejections of `axum::extract::ws::WebSocketUpgrade`.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod acts;
mod answer;
mod app;
mod broken_body;
#[cfg(doctest)]
mod compile_fail;
mod cross_site;
mod deadline;
pub mod docs;
mod extract;
mod fallback;
mod feed;
mod inner_service;
#[cfg(feature = "jobs")]
mod jobs;
mod log;
mod panic;
mod problem;
mod punctual;
mod rationed_log;
mod request;
mod shed;
mod stream;
mod tasks;
mod text;
mod websocket;

pub use answer::OwnAnswer;
pub use app::{
    AppHandle, AppService, HookOutcome, Listen, ListenAddress, NexiosApp, Phase, ServeError,
    ServiceLife, ShutdownReport, run,
};
#[cfg(feature = "reqwest")]
pub use deadline::reqwest::WithDeadline;
pub use deadline::{Deadline, DeadlineHeader, DeadlineSource, outbound::HandedOn};
pub use extract::{BackgroundTasks, OrProblem, RequestGroup, RequestToken};
pub use fallback::{method_not_allowed, not_found};
#[cfg(feature = "jobs")]
pub use jobs::{JobRoutes, job_routes};
pub use panic::panic_response;
pub use problem::{OrInternal, Problem};
pub use request::{
    OnDisconnect, OnDisconnectService, RequestFuture, RequestLayer, RequestService, RequestStats,
    Requests, RouteDeadline, RouteDeadlineService, TrustedProxies, WithoutAccessLog,
    WithoutAccessLogService,
};
pub use shed::{ShedLayer, ShedService, Threshold};
pub use stream::until_cancelled;
pub use tasks::{TaskRoutes, task_routes};
pub use websocket::TrackedSocket;

/// The example of the package's first page is compiled and run as well.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}

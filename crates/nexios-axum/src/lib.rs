//! nexios for axum: the life of a service, its requests, problem responses and the task status routes.
//!
//! * [`NexiosApp`] is a service from its startup hooks to its exit code: it ends within a bound, loses nothing and
//!   names what it had to give up. [`ServiceLife`] ends streams and counts WebSockets, [`run`] is the frame of
//!   `main`; [`docs::lifecycle`] tells the phases.
//! * [`Problem`] is the answer of every failed request: RFC 9457 `application/problem+json`, made from nothing
//!   but what a client may know. Every error of nexios converts into one.
//! * [`OrProblem`] wraps an extractor, so that its rejection is a problem too; [`not_found`],
//!   [`method_not_allowed`] and [`panic_response`] do the same for the answers the router and a panic give.
//! * [`task_routes`] shows and cancels the tasks of a [`Background`](nexios::Background).
//!
//! ```no_run
//! use std::process::ExitCode;
//!
//! use axum::{Router, routing::{get, post}};
//! use nexios::Background;
//! use nexios_axum::{BackgroundTasks, NexiosApp, Problem, run, task_routes};
//!
//! async fn send(BackgroundTasks(tasks): BackgroundTasks) -> Result<String, Problem> {
//!     let task = tasks.spawn("send newsletter", |task| async move {
//!         for letter in 1..=100 {
//!             if task.is_cancelled() {
//!                 break; // the service ends and has waited long enough
//!             }
//!             task.progress(letter, 100);
//!         }
//!     })?;
//!     Ok(format!("task {}", task.id().0))
//! }
//!
//! fn main() -> ExitCode {
//!     run(async {
//!         let router = Router::new()
//!             .route("/", get(async || "hello"))
//!             .route("/send-newsletter", post(send))
//!             .merge(task_routes(Background::global().clone()));
//!         NexiosApp::new(router)
//!             .on_startup("warm up", async || println!("warm"))
//!             .on_shutdown("say goodbye", async || println!("goodbye"))
//!             .serve("127.0.0.1:8080")
//!             .await
//!     })
//! }
//! ```

mod app;
mod deadline;
pub mod docs;
mod extract;
mod fallback;
mod panic;
mod problem;
mod request;
mod shed;
mod stream;
mod tasks;
mod websocket;

pub use app::{
    AppHandle, HookOutcome, Listen, ListenAddress, NexiosApp, Phase, ServeError, ShutdownReport, run,
};
#[cfg(feature = "reqwest")]
pub use deadline::WithDeadline;
pub use deadline::{Deadline, DeadlineHeader, DeadlineSource, HandedOn, RouteDeadline, RouteDeadlineService};
pub use extract::{BackgroundTasks, OrProblem, RequestGroup, RequestToken};
pub use fallback::{method_not_allowed, not_found};
pub use panic::panic_response;
pub use problem::Problem;
pub use request::{
    OnDisconnect, OnDisconnectService, RequestFuture, RequestLayer, RequestService, RequestStats, Requests,
};
pub use shed::{ShedLayer, ShedService, Threshold};
pub use stream::{ServiceLife, until_cancelled};
pub use tasks::{TaskRoutes, task_routes};
pub use websocket::TrackedSocket;

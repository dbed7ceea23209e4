//! nexios for axum: the life of a service, its requests, problem responses and the task status routes.
//!
//! * [`Problem`] is the answer of every failed request: RFC 9457 `application/problem+json`, made from nothing
//!   but what a client may know. Every error of nexios converts into one.
//! * [`OrProblem`] wraps an extractor, so that its rejection is a problem too; [`not_found`],
//!   [`method_not_allowed`] and [`panic_response`] do the same for the answers the router and a panic give.
//! * [`task_routes`] shows and cancels the tasks of a [`Background`](nexios::Background).

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

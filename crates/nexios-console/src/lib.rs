//! A page that shows live what every request, task, race, pool and lazy value of a nexios service does.
//!
//! One line puts it into a service:
//!
//! ```
//! use axum::{Router, routing::get};
//! use nexios_console::Console;
//!
//! let console = Console::builder().loopback().allow_actions().build();
//! let app: Router = Router::new().route("/", get(async || "hello")).nest_service("/nexios", console.router());
//! ```
//!
//! It says why a request is slow, who cancelled it and why, and what the service waits for right now. Pages are complete without
//! JavaScript; with it they live. Each page is JSON too, under `/api/v1`, and there are numbers for Prometheus at `/metrics`:
//! [`docs::api`] has all addresses and names. [`docs::complete_service`] is a whole `main` around it.
//!
//! Build it early in `main`: requests, groups and other work are shown if they begin after [`build`](ConsoleBuilder::build). Pools,
//! lazy values and registries are there from their first use on, and background tasks whenever they began; of a task that began before, no parts, waits or lints are known.
//!
//! # Who may see it
//!
//! That has to be said; without it there is no [`build`](ConsoleBuilder::build).
//!
//! | way | for |
//! |---|---|
//! | [`loopback`](ConsoleBuilder::loopback) | this machine only, as in development |
//! | [`basic_auth`](ConsoleBuilder::basic_auth) | people with a password; behind TLS |
//! | [`bearer`](ConsoleBuilder::bearer) | scripts and scrapers |
//! | [`access`](ConsoleBuilder::access) | the app's own rule |
//! | [`dangerously_public`](ConsoleBuilder::dangerously_public) | everybody who can reach it, to look |
//!
//! Error texts, messages and addresses are shown from [`Access::ViewSensitive`] on. Cancelling, retrying, resetting and refreshing needs
//! [`Access::Act`] *and* [`allow_actions`](ConsoleBuilder::allow_actions); each attempt is logged as `nexios::audit`, by the name that
//! the app gives with [`Who`]. Nobody's
//! browser can be made to do it: a request of another site is refused, and no page can be framed.
//!
//! # Where it is
//!
//! Under `nest_service("/nexios", ..)` it answers at `/nexios` and below; `/nexios/` leads there with a redirect. `nest` does as well, but for `/nexios/`: it makes
//! `/nexios` of the prefix and our `/`, and no other pattern of a router matches where nothing is left of the path.
//!
//! A nested console ends with the service's listener. One on the listener of `NexiosApp::admin` is there from before the first
//! startup hook until all else has ended, and shows the phases in between:
//!
//! ```no_run
//! # async fn for_admins(secret: String) -> Result<(), nexios_axum::ServeError> {
//! use axum::Router;
//! use nexios_axum::NexiosApp;
//! use nexios_console::Console;
//!
//! let console = Console::builder().basic_auth("ops", secret).build();
//! NexiosApp::new(Router::new()).admin("0.0.0.0:9090", console.router()).serve("0.0.0.0:8080").await?;
//! # Ok(())
//! # }
//! ```
//!
//! # A listener of its own
//!
//! Without that a console on a listener of its own goes on while the service drains, and closes after it:
//!
//! ```no_run
//! # #[cfg(feature = "app")]
//! # async fn on_its_own(secret: String) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
//! use axum::Router;
//! use nexios_axum::NexiosApp;
//! use nexios_console::Console;
//!
//! let app = NexiosApp::new(Router::new());
//! let console = Console::builder().basic_auth("ops", secret).app(&app.handle()).build();
//! let console = tokio::spawn(console.serve("0.0.0.0:9090"));
//! app.serve("0.0.0.0:8080").await?;
//! console.await??;
//! # Ok(())
//! # }
//! ```
//!
//! # Features
//!
//! * `prometheus` (default): [`Metrics`], and `/metrics` of the console.
//! * `app`: `ConsoleBuilder::app`. A console that is nested in a `NexiosApp` finds its life without it.
//! * `jobs`: `Console::show_jobs`, the durable jobs of `nexios-jobs` from every machine. No engine of a database comes with it.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod access;
mod actions;
mod api;
mod assets;
mod builder;
mod console;
pub mod docs;
mod events;
mod guard;
mod headers;
#[cfg(feature = "jobs")]
mod jobs_source;
#[cfg(not(feature = "jobs"))]
#[path = "jobs_source/none.rs"]
mod jobs_source;
mod life;
#[cfg(feature = "prometheus")]
mod metrics;
mod model;
mod mount;
mod pages;
mod query;
mod refusal;
mod routes;
mod settings;
mod store;

pub use access::{Access, Secret, Who};
pub use builder::{Chosen, ConsoleBuilder, NoAccess};
pub use console::Console;
#[cfg(feature = "prometheus")]
pub use metrics::Metrics;

/// The example of the package's first page is compiled and run as well.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}

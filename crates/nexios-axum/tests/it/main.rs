//! The integration tests of nexios-axum, one binary: a module for each concept.

#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

mod answer;
mod any_error;
mod app;
mod asking;
mod background_tasks;
mod deadline_header;
mod extract;
mod fallback;
mod grpc;
#[cfg(feature = "jobs")]
mod job_routes;
#[cfg(feature = "jobs")]
mod jobs;
mod log;
mod observe;
mod outbound;
mod panic;
mod problem;
mod rejection;
mod request;
mod service;
mod shed;
mod task_events;
mod task_guard;
mod tasks;

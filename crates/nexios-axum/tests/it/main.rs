//! The integration tests of nexios-axum, one binary: a module for each concept.

#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

mod answer;
mod app;
mod extract;
mod fallback;
mod panic;
mod problem;
mod tasks;

//! The integration tests of nexios-axum, one binary: a module for each concept.

mod answer;
mod extract;
mod fallback;
mod panic;
mod problem;
mod tasks;

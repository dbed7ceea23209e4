//! The examples of axum that people copy, written with nexios: they do the same, and what they get besides holds with real clients.
//!
//! `services` has the code as a user would write it; beside it is what it promises, one file for each.

#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

mod comparison;
mod graceful_shutdown;
mod observed;
mod plain_axum;
mod reverse_proxy;
mod running;
mod services;
mod sse;
mod static_file_server;
mod stream_to_file;
mod todos;
mod websockets;

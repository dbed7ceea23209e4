//! The services, as a user would write them.

#![allow(dead_code, reason = "their `main`s")]

pub(crate) mod graceful_shutdown;
pub(crate) mod reverse_proxy;
pub(crate) mod sse;
pub(crate) mod static_file_server;
pub(crate) mod stream_to_file;
pub(crate) mod todos;
pub(crate) mod websockets;

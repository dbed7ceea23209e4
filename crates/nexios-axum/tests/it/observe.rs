//! Requests as observers see them.

mod connections;
mod ends;
mod facts;
mod recorder;
mod sockets;

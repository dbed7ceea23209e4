//! The API behind the dashboard: its server, its client and what they tell each other.

mod client;
mod model;
mod server;

pub(crate) use client::UpstreamClient;
pub(crate) use model::{Post, Statistics, Trial, User};
pub use server::upstream;

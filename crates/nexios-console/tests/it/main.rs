//! The console from outside.

#![allow(clippy::unwrap_used)]

mod access;
mod actions;
mod api;
mod asking;
#[cfg(feature = "prometheus")]
mod attempts;
mod earlier;
mod events;
mod examples;
mod jobs;
mod listener;
#[cfg(feature = "prometheus")]
mod metrics;
mod pages;
#[cfg(all(feature = "app", feature = "prometheus"))]
mod usage;

//! What those are told who look.

#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

mod backgrounds;
mod custom;
mod groups;
mod lazies;
mod observers;
mod pools;
mod races;
mod recorder;

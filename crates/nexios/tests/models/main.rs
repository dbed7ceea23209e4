//! A binary of its own, since it needs a build with another set of locks: `RUSTFLAGS="--cfg nexios_shuttle"`.
//!
//! Each test runs a small program of a few threads under many schedules of a model checker. It ends only if no
//! wake is lost: a schedule in which every thread waits fails as a deadlock.
//!
//! Not modelled: time, tokio's runtime, and what only `std::sync::Arc` and the cancel token's own lock decide.
#![cfg(nexios_shuttle)]

mod background;
mod channel;
mod check;
mod group;
mod hedge;
mod lazy;
mod pool;
mod race;
mod told;
mod witness;

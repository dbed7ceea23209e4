//! Task groups.

// clippy allows it in tests, but not in what tests call.
#![allow(clippy::unwrap_used)]

mod basics;
mod collect;
mod driving;
mod drops;
mod fail_fast;
mod limits;
mod probes;
mod scopes;
mod wakes;

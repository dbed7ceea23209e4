//! Task groups.

// clippy allows it in tests, but not in what tests call.
#![allow(clippy::unwrap_used)]

mod abort;
mod basics;
mod cancel;
mod collect;
mod deadlines;
mod defer;
mod driving;
mod drops;
mod ending;
mod ends;
mod fail_fast;
mod failure;
mod handle;
mod limits;
mod locks;
mod map;
mod nested;
mod ownership;
mod probes;
mod scopes;
mod spawning;
mod stress;
mod supervise;
mod support;
mod surroundings;
mod turns;
mod wakes;

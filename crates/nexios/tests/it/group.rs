//! Task groups.

// clippy allows it in tests, but not in what tests call.
#![allow(clippy::unwrap_used)]

mod abort;
mod basics;
mod busy;
mod cancel;
mod cancel_child;
mod collect;
mod cost;
mod deadlines;
mod defer;
mod driving;
mod drops;
mod drops_across_threads;
mod ending;
mod ends;
mod errors;
mod fail_fast;
mod failure;
mod fairness;
mod handle;
mod handover;
mod lending;
mod limits;
mod locks;
mod logs;
mod map;
mod map_ends;
mod nested;
mod ownership;
mod panicking_wakers;
mod panics;
mod parallel_handles;
mod probes;
mod refusals;
mod scopes;
mod spawning;
mod stragglers;
mod stress;
mod supervise;
mod surroundings;
mod turns;
mod wakes;

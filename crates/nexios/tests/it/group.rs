//! Task groups.

mod basics;
mod collect;
mod driving;
mod drops;
mod fail_fast;
mod probes;
mod wakes;

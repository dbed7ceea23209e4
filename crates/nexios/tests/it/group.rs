//! Task groups.

mod basics;
mod collect;
mod driving;
mod drops;
mod fail_fast;
mod limits;
mod probes;
mod scopes;
mod wakes;

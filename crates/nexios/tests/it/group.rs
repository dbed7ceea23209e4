//! Task groups.

mod basics;
mod collect;
mod drops;
mod fail_fast;
mod probes;

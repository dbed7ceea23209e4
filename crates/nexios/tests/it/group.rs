//! Task groups.

mod basics;

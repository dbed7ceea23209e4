//! Task groups.

mod abort;
mod basics;
mod cancel;
mod ending;
mod failure;
mod handle;
mod nested;
mod ownership;
mod spawning;
mod supervise;
mod support;

//! Longer texts.

#[doc = include_str!("../docs/retention.md")]
pub mod retention {}

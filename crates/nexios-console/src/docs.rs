//! Longer texts.

#[doc = include_str!("../docs/operating.md")]
pub mod operating {}
#[doc = include_str!("../docs/retention.md")]
pub mod retention {}

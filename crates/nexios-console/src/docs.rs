//! Longer texts.

#[doc = include_str!("../docs/complete_service.md")]
pub mod complete_service {}
#[doc = include_str!("../docs/api.md")]
pub mod api {}
#[doc = include_str!("../docs/operating.md")]
pub mod operating {}
#[doc = include_str!("../docs/retention.md")]
pub mod retention {}

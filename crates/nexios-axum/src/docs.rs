//! Longer texts, for reading.

#[doc = include_str!("../docs/compare.md")]
pub mod compare {}

#[doc = include_str!("../docs/disconnects.md")]
pub mod disconnects {}

#[doc = include_str!("../docs/deadlines.md")]
pub mod deadlines {}

#[doc = include_str!("../docs/errors.md")]
pub mod errors {}

#[doc = include_str!("../docs/lifecycle.md")]
pub mod lifecycle {}

#[doc = include_str!("../docs/opentelemetry.md")]
pub mod opentelemetry {}

//! How to think in it, by question and by where you come from.
//!
//! | page | for |
//! |---|---|
//! | [`structured_concurrency`] | ten minutes for somebody who knows `tokio::spawn` |
//! | [`recipes`] | "call three services and fail fast", and other questions |
//! | [`coming_from_tokio`] | each piece of tokio's, what breaks, and the line that avoids it |
//! | [`coming_from_python`] | asyncio, Trio and Nexios, with seven handlers side by side |
//! | [`coming_from_go`] | `errgroup` and contexts |
//! | [`coming_from_kotlin_and_java`] | coroutine scopes and `StructuredTaskScope` |
//! | [`testing`] | paused clocks, and what may be left |

#[doc = include_str!("../docs/guide/coming_from_go.md")]
pub mod coming_from_go {}

#[doc = include_str!("../docs/guide/coming_from_kotlin_and_java.md")]
pub mod coming_from_kotlin_and_java {}

#[doc = include_str!("../docs/guide/coming_from_python.md")]
pub mod coming_from_python {}

#[doc = include_str!("../docs/guide/coming_from_tokio.md")]
pub mod coming_from_tokio {}

#[doc = include_str!("../docs/guide/recipes.md")]
pub mod recipes {}

#[doc = include_str!("../docs/guide/structured_concurrency.md")]
pub mod structured_concurrency {}

#[doc = include_str!("../docs/guide/testing.md")]
pub mod testing {}

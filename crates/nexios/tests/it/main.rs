//! The integration tests of the core, one binary: a module for each concept.

mod background;
mod cancel;
mod contributing;
mod doc_examples;
mod group;
mod growth;
mod hedge;
mod lazy;
mod lines;
mod log;
mod observe;
mod pool;
mod race;
#[cfg(feature = "serde")]
mod serialized;
#[rustfmt::skip]
mod usage;

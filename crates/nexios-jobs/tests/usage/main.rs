//! The crate as its users write it. A binary of its own: it needs both kinds of transactions.
#![allow(clippy::print_stdout, reason = "the examples are kept as they stand")]

mod usage;

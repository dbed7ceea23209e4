//! What rivals do where nexios promises something else, run against both.
//!
//! The results stand in `crates/nexios/docs/compare.md`; a rival that changes turns its probe red. No clock
//! decides anything here: who is impatient leaves at a set point.

mod lazy;

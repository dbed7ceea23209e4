//! A small harness that measures rivals in turns and compares medians.
//!
//! Criterion measures one function after the other, so on a busy machine the noise of a minute lands on one
//! side only. Here the sides of a [`Contest`] take turns, a few hundred microseconds each, and a ratio is the
//! median of the ratios of turns that stood next to each other. Allocations are counted in a run of their
//! own, on the thread that drives.

mod contest;
mod table;

pub use contest::{Contest, Outcome, Side};
pub use table::print;

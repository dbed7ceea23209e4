//! Our own timers, tokens and wakes, polled so that busy code beside them cannot hide that they are due.
//!
//! tokio gives each task 128 steps a poll (its cooperative budget). Code that is always ready, such as a loop over a full
//! channel, uses them up, and from then on every resource of tokio's in that poll says "pending", a timer too,
//! however late it is. What bounds other people's code must therefore not be counted in the budget they spend.

use tokio::task::coop::{Unconstrained, unconstrained};

/// A time limit, token or wake of our own, which is due when it is due. Never for other people's code.
pub(crate) fn punctual<F: Future>(future: F) -> Unconstrained<F> {
    unconstrained(future)
}

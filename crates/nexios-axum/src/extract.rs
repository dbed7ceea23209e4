//! What a handler can ask for in its arguments.

mod background;
mod group;
mod or_problem;
mod token;

use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
};

pub use background::BackgroundTasks;
pub use group::RequestGroup;
pub use or_problem::OrProblem;
pub use token::RequestToken;

/// Says once for each `item` that it does nothing without its layer.
pub(crate) fn warn_once(item: &'static str) {
    static WARNED: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());
    let first = WARNED.lock().unwrap_or_else(PoisonError::into_inner).insert(item);
    if first {
        tracing::warn!(item, "there is no RequestLayer around the route, so this has no effect");
    }
}

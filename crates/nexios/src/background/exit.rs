//! How the work of a task ended, and the text of a panic.

use crate::panics::{Payload, bury, caught, text_of};

/// How the work of a task ended, as far as the work itself can tell.
pub(super) enum Exit<T> {
    Completed(T),
    /// An error: the value to hand over and its text.
    Failed(T, String),
    Panicked(String),
    TimedOut,
    Cancelled,
}

/// Runs `f`; a panic becomes its text.
pub(super) fn contain<R>(f: impl FnOnce() -> R) -> Result<R, String> {
    caught(f).map_err(panic_text)
}

/// The text of a panic, which ends here.
pub(super) fn panic_text(payload: Payload) -> String {
    let text = text_of(&*payload).to_owned();
    bury(payload);
    text
}

//! Lines of the log, written so that a subscriber that panics loses its line, and nothing else.

use std::{
    any::Any,
    mem,
    panic::{AssertUnwindSafe, catch_unwind},
};

/// What a panic carries.
pub(crate) type Payload = Box<dyn Any + Send>;

/// Writes a line, or does something else with the subscriber.
pub(crate) fn log<R>(line: impl FnOnce() -> R) -> Option<R> {
    caught(line).map_err(bury).ok()
}

/// Calls `f`; its panic is the error.
pub(crate) fn caught<R>(f: impl FnOnce() -> R) -> Result<R, Payload> {
    catch_unwind(AssertUnwindSafe(f))
}

/// The text of a panic.
pub(crate) fn text_of(payload: &(dyn Any + Send)) -> &str {
    payload
        .downcast_ref::<&'static str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a panic without text")
}

/// Drops what a panic carries, whose destructor may panic as well.
pub(crate) fn bury(payload: Payload) {
    if let Err(again) = caught(|| drop(payload)) {
        mem::forget(again);
    }
}

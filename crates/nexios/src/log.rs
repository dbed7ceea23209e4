//! Lines and spans of the log, written so that they cannot hurt.
//!
//! A subscriber may panic: one that writes to a stderr that is closed or to a full disk does. A panic in a destructor,
//! or while another one is on its way, aborts the process, and one between two steps of ours loses the second. So a
//! subscriber that panics loses its line, and nothing else.

use std::{
    mem,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
};

use tracing::Span;

/// Writes a line, wherever that may be: in a destructor too, and while a panic unwinds.
pub(crate) fn say(line: impl FnOnce()) {
    let _ = contained(line);
}

/// Makes a span; a disabled one if the subscriber panics.
pub(crate) fn span(make: impl FnOnce() -> Span) -> Span {
    contained(make).unwrap_or_else(Span::none)
}

/// Calls `f` inside `span`.
pub(crate) fn inside<R>(span: &Span, f: impl FnOnce() -> R) -> R {
    let entered = contained(|| span.enter());
    // Caught, as leaving the span while a panic unwinds must not bring a second one.
    let result = catch_unwind(AssertUnwindSafe(f));
    let _ = contained(|| drop(entered));
    result.unwrap_or_else(|payload| resume_unwind(payload))
}

/// Ends a span.
pub(crate) fn close(span: Span) {
    let _ = contained(|| drop(span));
}

fn contained<R>(f: impl FnOnce() -> R) -> Option<R> {
    // The panic itself is told by the process's panic hook.
    catch_unwind(AssertUnwindSafe(f))
        .map_err(|payload| {
            if let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
                // Its destructor has shown that it panics; leaking it is the only end.
                mem::forget(again);
            }
        })
        .ok()
}

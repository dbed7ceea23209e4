//! Panics of code that is not ours: contained, named in the log, handed on.

use std::{
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    thread,
};

use super::{label::Label, verdict::Payload};

/// Drops a value whose destructor may panic, when there is already a panic to report.
pub(super) fn drop_quietly<T>(value: T) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(|| drop(value))) {
        // Its own payload may panic as well; leaking it is the only end to that.
        std::mem::forget(payload);
    }
}

pub(super) fn log_panic(what: &'static str, child: &Label, payload: &Payload) {
    crate::log::say(|| tracing::error!(child = %child, panic = message_of(payload), "{what}"));
}

/// Logs a panic that has no single child to name.
pub(super) fn log_panic_text(what: &'static str, payload: &Payload) {
    crate::log::say(|| tracing::error!(panic = message_of(payload), "{what}"));
}

/// Resumes a panic in a destructor, or logs it where that would abort the process.
pub(super) fn resume_or_log(payload: Payload) {
    if thread::panicking() {
        log_panic_text("a child of a task group panicked while the group was dropped", &payload);
    } else {
        resume_unwind(payload);
    }
}

/// Logs an error whose handle is gone.
pub(super) fn log_unseen(child: &Label) {
    crate::log::say(
        || tracing::warn!(%child, "a child of a task group failed and nobody looked at its error"),
    );
}

/// The text of a panic, where it has one.
pub(super) fn message_of(payload: &Payload) -> &str {
    payload
        .downcast_ref::<&'static str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("(no text)")
}

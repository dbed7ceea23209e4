//! Panics of code that is not ours: contained, named in the log, handed on.

use std::{panic::resume_unwind, thread};

use super::label::ChildLabel;
use crate::{
    log::say,
    panics::{Payload, bury, caught, text_of},
};

/// Drops a value whose destructor may panic, when there is already a panic to report.
pub(super) fn drop_quietly<T>(value: T) {
    if let Err(payload) = caught(|| drop(value)) {
        bury(payload);
    }
}

pub(super) fn log_panic(what: &'static str, child: &ChildLabel, payload: &Payload) {
    say(|| tracing::error!(child = %child, panic = text_of(&**payload), "{what}"));
}

/// Logs a panic that has no single child to name.
pub(super) fn log_panic_text(what: &'static str, payload: &Payload) {
    say(|| tracing::error!(panic = text_of(&**payload), "{what}"));
}

/// Resumes a panic in a destructor, or logs it where that would abort the process.
pub(super) fn resume_or_log(payload: Payload) {
    if thread::panicking() {
        log_panic_text(
            "a child of a task group panicked while the group was dropped",
            &payload,
        );
    } else {
        resume_unwind(payload);
    }
}

/// The first of these panics goes on, when everything else is done.
pub(super) fn go_on<const N: usize>(steps: [Result<(), Payload>; N]) {
    let mut panics = steps.into_iter().filter_map(Result::err);
    let first = panics.next();
    panics.for_each(bury);
    if let Some(payload) = first {
        resume_or_log(payload);
    }
}

/// Logs an error whose handle is gone.
pub(super) fn log_unseen(child: &ChildLabel) {
    say(|| tracing::warn!(%child, "a child of a task group failed and nobody looked at its error"));
}

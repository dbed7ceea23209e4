//! The time limit of the code that is being polled, which may end before its scope's deadline does.
//!
//! Groups and races open no scope for what they poll, so what that may know of its time is kept here meanwhile.

use std::{cell::Cell, marker::PhantomData};

use tokio::time::Instant;

thread_local! {
    static LIMIT: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// Puts back, when it is dropped, the limit that was there before.
#[must_use = "the limit holds as long as this lives"]
pub(crate) struct Limited {
    outer: Option<Instant>,
    /// It belongs to its thread.
    _thread: PhantomData<*const ()>,
}

/// Limits what is polled on this thread to `until`, if that is earlier than what holds already.
pub(crate) fn limit_to(until: Option<Instant>) -> Limited {
    let outer = current_limit();
    set(earlier(outer, until));
    Limited {
        outer,
        _thread: PhantomData,
    }
}

/// The earliest limit around the code that is being polled.
pub(super) fn current_limit() -> Option<Instant> {
    // The threads of a model share one real thread, and would mix up what is current there.
    if cfg!(nexios_shuttle) {
        None
    } else {
        LIMIT.try_with(Cell::get).ok().flatten()
    }
}

/// The earlier of two limits, where none is the latest.
pub(super) fn earlier(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    one.into_iter().chain(other).min()
}

fn set(limit: Option<Instant>) {
    if !cfg!(nexios_shuttle) {
        // A thread that ends polls nobody any more.
        let _ = LIMIT.try_with(|current| current.set(limit));
    }
}

impl Drop for Limited {
    fn drop(&mut self) {
        set(self.outer);
    }
}

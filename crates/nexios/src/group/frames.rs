//! Which in-task children this thread is polling right now, innermost last.
//!
//! A handle asks it whether the group it belongs to is being driven further up the same stack: then the
//! handle only waits, the driver above will go on.

use std::cell::RefCell;

use super::wake::Key;
use crate::sync::thread_local;

struct Frame {
    /// The address of the group's shared state; zero while destructors of children run.
    group: usize,
    key: Key,
    notes: Notes,
}

/// What happened inside one poll that the group has to know.
#[derive(Clone, Copy, Default)]
pub(super) struct Notes {
    /// The child waits for a sibling that has no place under the limit.
    pub(super) lends: bool,
    /// The child was handed the group's own cancellation.
    pub(super) told: bool,
}

thread_local! {
    static FRAMES: RefCell<Vec<Frame>> = RefCell::new(Vec::new());
}

/// Runs `poll` as a poll of `key`. The closure must not unwind.
pub(super) fn within<R>(group: usize, key: Key, poll: impl FnOnce() -> R) -> (R, Notes) {
    let entered = FRAMES
        .try_with(|frames| frames.borrow_mut().push(Frame { group, key, notes: Notes::default() }))
        .is_ok();
    let result = poll();
    let notes = if entered {
        FRAMES.try_with(|frames| frames.borrow_mut().pop()).ok().flatten().map(|frame| frame.notes)
    } else {
        None
    };
    (result, notes.unwrap_or_default())
}

/// Runs the destructors of children.
pub(super) fn within_drop<R>(drop: impl FnOnce() -> R) -> R {
    within(0, Key::BODY, drop).0
}

/// Whether this thread is inside the poll or the destructor of any in-task child.
pub(super) fn inside_any() -> bool {
    FRAMES.try_with(|frames| !frames.borrow().is_empty()).unwrap_or(false)
}

/// Whether this thread is inside a poll that the given group makes.
pub(super) fn inside(group: usize) -> bool {
    FRAMES.try_with(|frames| frames.borrow().iter().any(|frame| frame.group == group)).unwrap_or(false)
}

/// Leaves a note at the child of `group` that is being polled.
pub(super) fn note(group: usize, write: impl FnOnce(&mut Notes)) {
    let _ = FRAMES.try_with(|frames| {
        if let Some(frame) = frames.borrow_mut().iter_mut().rev().find(|frame| frame.group == group)
            && frame.key != Key::BODY
        {
            write(&mut frame.notes);
        }
    });
}

//! What this thread is doing for groups right now, innermost last.
//!
//! A handle asks it whether the group it belongs to is being driven further up the same stack: then the
//! handle only waits, the driver above will go on.

use std::cell::{Cell, RefCell};

use crate::{CancelReason, Interrupted, sync::thread_local};

struct Frame {
    /// The address of the driven group's shared state; zero while children are dropped.
    group: usize,
    notes: Notes,
    /// What the handles of the children are told that are being dropped.
    ending: Option<Interrupted>,
}

/// What happened inside one poll that the group has to know.
#[derive(Clone, Copy, Default)]
pub(super) struct Notes {
    /// The child waits for a sibling that has no place under the limit.
    pub(super) lends: bool,
    /// The child was handed the group's own cancellation.
    pub(super) told: bool,
}

/// How many polls one turn makes before the runtime gets a chance; tokio's own budget is 128 as well. Groups that
/// are driven inside one another share it: counted for each alone, the polls of a turn would multiply.
const POLLS_PER_TURN: u32 = 128;

thread_local! {
    #[allow(clippy::missing_const_for_thread_local, reason = "the model checker's macro takes no const block")]
    static FRAMES: RefCell<Vec<Frame>> = RefCell::new(Vec::new());
    /// What is left of the outermost turn's polls.
    #[allow(clippy::missing_const_for_thread_local, reason = "the model checker's macro takes no const block")]
    static POLLS_LEFT: Cell<u32> = Cell::new(POLLS_PER_TURN);
}

/// As long as this lives, the thread drives the group or drops children.
pub(super) struct Entered {
    pushed: bool,
}

fn enter(frame: Frame) -> Entered {
    Entered { pushed: FRAMES.try_with(|frames| frames.borrow_mut().push(frame)).is_ok() }
}

/// The thread begins to drive `group`.
pub(super) fn enter_turn(group: usize) -> Entered {
    if !inside_any() {
        let _ = POLLS_LEFT.try_with(|left| left.set(POLLS_PER_TURN));
    }
    enter(Frame { group, notes: Notes::default(), ending: None })
}

/// The thread begins to drop children, whose handles are told `ending`.
pub(super) fn enter_drop(ending: Interrupted) -> Entered {
    enter(Frame { group: 0, notes: Notes::default(), ending: Some(ending) })
}

impl Drop for Entered {
    fn drop(&mut self) {
        if self.pushed {
            let _ = FRAMES.try_with(|frames| frames.borrow_mut().pop());
        }
    }
}

/// Whether the outermost turn on this thread may poll once more.
pub(super) fn may_poll() -> bool {
    POLLS_LEFT.try_with(|left| left.get() > 0).unwrap_or(true)
}

/// The innermost group begins a poll: counts it against the outermost turn on this thread, and forgets the notes
/// of the poll before.
pub(super) fn begin_poll() {
    let _ = POLLS_LEFT.try_with(|left| left.set(left.get().saturating_sub(1)));
    take_notes();
}

/// Takes the notes that the poll which has just ended left for the innermost group.
pub(super) fn take_notes() -> Notes {
    FRAMES
        .try_with(|frames| frames.borrow_mut().last_mut().map(|frame| std::mem::take(&mut frame.notes)))
        .ok()
        .flatten()
        .unwrap_or_default()
}

/// What the handle of a child is told that is dropped right now.
pub(super) fn ending() -> Interrupted {
    FRAMES
        .try_with(|frames| frames.borrow().last().and_then(|frame| frame.ending))
        .ok()
        .flatten()
        .unwrap_or(Interrupted::Cancelled(CancelReason::OwnerDropped))
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
        if let Some(frame) = frames.borrow_mut().iter_mut().rev().find(|frame| frame.group == group) {
            write(&mut frame.notes);
        }
    });
}

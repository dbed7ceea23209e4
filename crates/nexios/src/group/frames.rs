//! What this thread is doing for groups right now, innermost last.
//!
//! A handle asks it whether the group it belongs to is being driven further up the same stack: then the
//! handle only waits, the driver above will go on.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
};

use super::wake::{Key, WOKEN_KEPT};
use crate::{CancelReason, Interrupted, sync::thread_local};

/// The frames, and the wakes that the innermost turn has made itself.
struct Stack {
    frames: Vec<Frame>,
    /// Who was woken by the turns of this thread themselves, each turn's behind those of the turn around it. The
    /// driver takes them without the signals' lock.
    woken: Vec<Key>,
}

struct Frame {
    /// The address of the driven group's shared state; zero while children are dropped.
    group: usize,
    /// The address of the driven group's signals; zero while children are dropped, and when the turn is over.
    signals: usize,
    /// Where its own part of the woken begins.
    woken_from: usize,
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
    static STACK: RefCell<Stack> = RefCell::new(Stack { frames: Vec::new(), woken: Vec::new() });
    /// What is left of the outermost turn's polls.
    #[allow(clippy::missing_const_for_thread_local, reason = "the model checker's macro takes no const block")]
    static POLLS_LEFT: Cell<u32> = Cell::new(POLLS_PER_TURN);
}

/// As long as this lives, the thread drives the group or drops children.
pub(super) struct Entered {
    pushed: bool,
}

fn enter(frame: Frame) -> Entered {
    let push = |stack: &RefCell<Stack>| {
        let mut stack = stack.borrow_mut();
        let woken_from = stack.woken.len();
        stack.frames.push(Frame { woken_from, ..frame });
    };
    Entered { pushed: STACK.try_with(push).is_ok() }
}

/// The thread begins to drive `group`.
pub(super) fn enter_turn(group: usize, signals: usize) -> Entered {
    if !inside_any() {
        let _ = POLLS_LEFT.try_with(|left| left.set(POLLS_PER_TURN));
    }
    enter(Frame { group, signals, woken_from: 0, notes: Notes::default(), ending: None })
}

/// The thread begins to drop children, whose handles are told `ending`.
pub(super) fn enter_drop(ending: Interrupted) -> Entered {
    enter(Frame { group: 0, signals: 0, woken_from: 0, notes: Notes::default(), ending: Some(ending) })
}

impl Drop for Entered {
    fn drop(&mut self) {
        if self.pushed {
            let _ = STACK.try_with(|stack| stack.borrow_mut().frames.pop());
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

/// Keeps a wake for the innermost turn of this thread, if it is of the group with these signals.
pub(super) fn wake_here(signals: usize, key: Key) -> bool {
    STACK
        .try_with(|stack| {
            let mut stack = stack.borrow_mut();
            let here = stack.frames.last().is_some_and(|frame| frame.signals == signals);
            if here {
                stack.woken.push(key);
            }
            here
        })
        .unwrap_or(false)
}

/// Moves the wakes that the innermost turn has made itself behind `ready`; false if there were none.
pub(super) fn take_woken(ready: &mut VecDeque<Key>) -> bool {
    STACK.try_with(|stack| stack.borrow_mut().take_woken(ready)).unwrap_or(false)
}

/// The innermost turn is over: takes what is left, and keeps no more wakes here.
pub(super) fn end_turn(ready: &mut VecDeque<Key>) {
    let _ = STACK.try_with(|stack| {
        let mut stack = stack.borrow_mut();
        stack.take_woken(ready);
        if let Some(frame) = stack.frames.last_mut() {
            frame.signals = 0;
        }
    });
}

impl Stack {
    fn take_woken(&mut self, ready: &mut VecDeque<Key>) -> bool {
        let from = self.frames.last().map_or(0, |frame| frame.woken_from);
        let some = self.woken.len() > from;
        if some {
            ready.extend(self.woken.drain(from..));
            // The memory stays unless it has grown large.
            if self.woken.capacity() > WOKEN_KEPT && self.woken.len() <= WOKEN_KEPT {
                self.woken.shrink_to(WOKEN_KEPT);
            }
        }
        some
    }
}

/// Takes the notes that the poll which has just ended left for the innermost group.
pub(super) fn take_notes() -> Notes {
    STACK
        .try_with(|stack| stack.borrow_mut().frames.last_mut().map(|frame| std::mem::take(&mut frame.notes)))
        .ok()
        .flatten()
        .unwrap_or_default()
}

/// What the handle of a child is told that is dropped right now.
pub(super) fn ending() -> Interrupted {
    STACK
        .try_with(|stack| stack.borrow().frames.last().and_then(|frame| frame.ending))
        .ok()
        .flatten()
        .unwrap_or(Interrupted::Cancelled(CancelReason::OwnerDropped))
}

/// Whether this thread is inside the poll or the destructor of any in-task child.
pub(super) fn inside_any() -> bool {
    STACK.try_with(|stack| !stack.borrow().frames.is_empty()).unwrap_or(false)
}

/// Whether this thread is inside a poll that the given group makes.
pub(super) fn inside(group: usize) -> bool {
    STACK.try_with(|stack| stack.borrow().frames.iter().any(|frame| frame.group == group)).unwrap_or(false)
}

/// Leaves a note at the child of `group` that is being polled.
pub(super) fn note(group: usize, write: impl FnOnce(&mut Notes)) {
    let _ = STACK.try_with(|stack| {
        if let Some(frame) = stack.borrow_mut().frames.iter_mut().rev().find(|frame| frame.group == group) {
            write(&mut frame.notes);
        }
    });
}

#[cfg(all(test, not(nexios_shuttle)))]
mod tests {
    use super::*;

    #[test]
    fn many_wakes_at_once_leave_no_large_memory_on_the_thread() {
        let _entered = enter_turn(1, 1);
        for slot in 0..100_000 {
            assert!(wake_here(1, Key { slot, generation: 1 }));
        }
        let mut ready = VecDeque::new();
        assert!(take_woken(&mut ready));
        assert_eq!(ready.len(), 100_000);
        let kept = STACK.with(|stack| stack.borrow().woken.capacity());
        assert!(kept <= WOKEN_KEPT, "{kept}");
    }
}

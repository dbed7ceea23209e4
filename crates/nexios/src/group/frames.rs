//! What this thread is doing for groups right now, innermost last.
//!
//! A handle asks it whether the group it belongs to is being driven further up the same stack: then the
//! handle only waits, the driver above will go on.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
};

use super::wake::{Key, Others, WOKEN_KEPT};
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
    /// What else than children the turn has woken itself.
    others: Others,
    /// The turn has polled somebody.
    polled: bool,
    /// It is a child that is being polled, not the body.
    polls_child: bool,
    notes: Notes,
    /// What the handles of the children are told that are being dropped.
    ending: Option<Interrupted>,
}

impl Frame {
    fn new(group: usize, signals: usize, ending: Option<Interrupted>) -> Self {
        let (others, notes) = (Others::default(), Notes::default());
        Self { group, signals, woken_from: 0, others, polled: false, polls_child: false, notes, ending }
    }
}

/// What happened inside one poll that the group has to know.
#[derive(Clone, Copy, Default)]
pub(super) struct Notes {
    /// The child was handed the group's own cancellation.
    pub(super) told: bool,
}

/// How many polls one turn makes before the runtime gets a chance; tokio's own budget is 128 as well. Groups that
/// are driven inside one another share it: counted for each alone, the polls of a turn would multiply. A poll that only
/// leads to those of a group further in is not counted: a deep nest would use up all on the way to its leaves, and be
/// gone through from the top for each of them.
pub(super) const POLLS_PER_TURN: u32 = 128;

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
    let is_nested = inside_any();
    let _ = POLLS_LEFT.try_with(|left| {
        // Gives the poll back that has led here; it is taken again if it comes to nothing.
        left.set(if is_nested { left.get() + 1 } else { POLLS_PER_TURN });
    });
    enter(Frame::new(group, signals, None))
}

/// The thread begins to drop children, whose handles are told `ending`.
pub(super) fn enter_drop(ending: Interrupted) -> Entered {
    enter(Frame::new(0, 0, Some(ending)))
}

impl Drop for Entered {
    fn drop(&mut self) {
        if self.pushed {
            let left = STACK.try_with(|stack| stack.borrow_mut().frames.pop()).ok().flatten();
            if left.is_some_and(|frame| frame.group != 0 && !frame.polled) {
                count_poll();
            }
        }
    }
}

/// Whether the outermost turn on this thread may poll once more.
pub(super) fn may_poll() -> bool {
    POLLS_LEFT.try_with(|left| left.get() > 0).unwrap_or(true)
}

fn count_poll() {
    let _ = POLLS_LEFT.try_with(|left| left.set(left.get().saturating_sub(1)));
}

/// The innermost group begins a poll, of a child or of the body: counts it against the outermost turn on this thread,
/// and forgets the notes of the poll before.
pub(super) fn begin_poll(child: bool) {
    count_poll();
    let _ = STACK.try_with(|stack| {
        if let Some(frame) = stack.borrow_mut().frames.last_mut() {
            frame.polled = true;
            frame.polls_child = child;
            frame.notes = Notes::default();
        }
    });
}

/// Keeps a wake for the innermost turn of this thread, if it is of the group with these signals.
pub(super) fn wake_here(signals: usize, key: Key) -> bool {
    STACK
        .try_with(|stack| {
            let Stack { frames, woken } = &mut *stack.borrow_mut();
            let Some(frame) = frames.last_mut().filter(|frame| frame.signals == signals) else {
                return false;
            };
            if !frame.others.mark(key) {
                woken.push(key);
            }
            true
        })
        .unwrap_or(false)
}

/// Hands out what the innermost turn has woken itself: children behind `ready`, marks of what else to `others`; false
/// if there was nothing.
pub(super) fn take_woken(ready: &mut VecDeque<Key>, others: &mut Others) -> bool {
    STACK.try_with(|stack| stack.borrow_mut().take_woken(ready, others)).unwrap_or(false)
}

/// The innermost turn is over: takes what is left, and keeps no more wakes here.
pub(super) fn end_turn(ready: &mut VecDeque<Key>, others: &mut Others) {
    let _ = STACK.try_with(|stack| {
        let mut stack = stack.borrow_mut();
        stack.take_woken(ready, others);
        if let Some(frame) = stack.frames.last_mut() {
            frame.signals = 0;
        }
    });
}

impl Stack {
    fn take_woken(&mut self, ready: &mut VecDeque<Key>, others: &mut Others) -> bool {
        let Some(frame) = self.frames.last_mut() else { return false };
        let from = frame.woken_from;
        let some_others = frame.others.move_to(others);
        let some = self.woken.len() > from;
        if some {
            ready.extend(self.woken.drain(from..));
            // The memory stays unless it has grown large.
            if self.woken.capacity() > WOKEN_KEPT && self.woken.len() <= WOKEN_KEPT {
                self.woken.shrink_to(WOKEN_KEPT);
            }
        }
        some || some_others
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

/// What the given group is polling further up this thread's stack.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Inside {
    Child,
    Body,
}

/// Whether this thread is inside a poll that the given group makes, and of what.
pub(super) fn inside(group: usize) -> Option<Inside> {
    STACK
        .try_with(|stack| {
            let stack = stack.borrow();
            // The innermost first: mostly it is that one, however deep the nest.
            let frame = stack.frames.iter().rfind(|frame| frame.group == group)?;
            Some(if frame.polls_child { Inside::Child } else { Inside::Body })
        })
        .ok()
        .flatten()
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
        assert!(take_woken(&mut ready, &mut Others::default()));
        assert_eq!(ready.len(), 100_000);
        let kept = STACK.with(|stack| stack.borrow().woken.capacity());
        assert!(kept <= WOKEN_KEPT, "{kept}");
    }
}

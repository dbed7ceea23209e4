//! What this thread is doing for groups right now, innermost last.
//!
//! A handle asks it whether the group it belongs to is being driven further up the same stack: then the
//! handle only waits, the driver above will go on.

use std::cell::RefCell;

use super::wake::{Key, Queue, WOKEN_KEPT};
use crate::sync::thread_local;

/// The frames, and the wakes that the innermost turn has made itself.
struct Stack {
    frames: Vec<Frame>,
    /// Who was woken by the turns of this thread themselves, each turn's behind those of the turn around it. The
    /// driver takes them without the signals' lock.
    woken: Vec<Key>,
    /// What is left of the outermost turn's polls.
    polls_left: u32,
}

struct Frame {
    /// The address of the driven group's shared state; zero while children are dropped.
    group: usize,
    /// The address of the driven group's signals; zero while children are dropped, and when the turn is over.
    signals: usize,
    /// Where its own part of the woken begins.
    woken_from: usize,
    /// Whom the turn polls, or has polled last; none if it has not polled anybody.
    polled: Option<Polled>,
    /// Who is being polled was handed the group's own cancellation.
    told: bool,
}

/// Who is being polled.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Polled {
    Body,
    Child,
}

/// How many polls one turn makes before the runtime gets a chance; tokio's own budget is 128 as well. Groups that
/// are driven inside one another share it: counted for each alone, the polls of a turn would multiply. A poll that only
/// leads to those of a group further in is not counted: a deep nest would use up all on the way to its leaves, and be
/// gone through from the top for each of them.
pub(super) const POLLS_PER_TURN: u32 = 128;

thread_local! {
    #[allow(clippy::missing_const_for_thread_local, reason = "the model checker's macro takes no const block")]
    static STACK: RefCell<Stack> =
        RefCell::new(Stack { frames: Vec::new(), woken: Vec::new(), polls_left: POLLS_PER_TURN });
}

/// As long as this lives, the thread drives the group or drops children.
pub(super) struct Entered {
    pushed: bool,
}

fn enter(group: usize, signals: usize) -> Entered {
    let push = |stack: &RefCell<Stack>| {
        let mut stack = stack.borrow_mut();
        if group != 0 {
            // Gives the poll back that has led here; it is taken again if it comes to nothing.
            let is_nested = !stack.frames.is_empty();
            stack.polls_left = if is_nested {
                stack.polls_left + 1
            } else {
                POLLS_PER_TURN
            };
        }
        let woken_from = stack.woken.len();
        stack.frames.push(Frame {
            group,
            signals,
            woken_from,
            polled: None,
            told: false,
        });
    };
    Entered {
        pushed: STACK.try_with(push).is_ok(),
    }
}

/// The thread begins to drive `group`.
pub(super) fn enter_turn(group: usize, signals: usize) -> Entered {
    enter(group, signals)
}

/// The thread begins to drop children.
pub(super) fn enter_drop() -> Entered {
    enter(0, 0)
}

impl Drop for Entered {
    fn drop(&mut self) {
        if self.pushed {
            let _ = STACK.try_with(|stack| {
                let mut stack = stack.borrow_mut();
                if stack
                    .frames
                    .pop()
                    .is_some_and(|frame| frame.group != 0 && frame.polled.is_none())
                {
                    stack.count_poll();
                }
            });
        }
    }
}

/// Whether the outermost turn on this thread may poll once more.
pub(super) fn may_poll() -> bool {
    STACK
        .try_with(|stack| stack.borrow().polls_left > 0)
        .unwrap_or(true)
}

/// The innermost group begins a poll, which counts against the outermost turn on this thread.
pub(super) fn begin_poll(polled: Polled) {
    let _ = STACK.try_with(|stack| {
        let mut stack = stack.borrow_mut();
        stack.count_poll();
        if let Some(frame) = stack.frames.last_mut() {
            (frame.polled, frame.told) = (Some(polled), false);
        }
    });
}

/// Keeps a wake for the innermost turn of this thread, if it is of the group with these signals.
pub(super) fn wake_here(signals: usize, key: Key) -> bool {
    STACK
        .try_with(|stack| {
            let mut stack = stack.borrow_mut();
            let here = stack
                .frames
                .last()
                .is_some_and(|frame| frame.signals == signals);
            if here {
                stack.woken.push(key);
            }
            here
        })
        .unwrap_or(false)
}

/// Moves the wakes that the innermost turn has made itself behind `ready`; false if there were none.
pub(super) fn take_woken(ready: &mut Queue) -> bool {
    STACK
        .try_with(|stack| stack.borrow_mut().take_woken(ready))
        .unwrap_or(false)
}

/// The innermost turn is over: takes what is left, and keeps no more wakes here.
pub(super) fn end_turn(ready: &mut Queue) {
    let _ = STACK.try_with(|stack| {
        let mut stack = stack.borrow_mut();
        stack.take_woken(ready);
        if let Some(frame) = stack.frames.last_mut() {
            frame.signals = 0;
        }
    });
}

impl Stack {
    fn count_poll(&mut self) {
        self.polls_left = self.polls_left.saturating_sub(1);
    }

    fn take_woken(&mut self, ready: &mut Queue) -> bool {
        let from = self.frames.last().map_or(0, |frame| frame.woken_from);
        let some = self.woken.len() > from;
        if some {
            ready.take_in(self.woken.drain(from..));
            // The memory stays unless it has grown large.
            if self.woken.capacity() > WOKEN_KEPT && self.woken.len() <= WOKEN_KEPT {
                self.woken.shrink_to(WOKEN_KEPT);
            }
        }
        some
    }
}

/// Whether the poll that has just ended was handed the innermost group's own cancellation.
pub(super) fn was_told() -> bool {
    STACK
        .try_with(|stack| stack.borrow().frames.last().is_some_and(|frame| frame.told))
        .unwrap_or(false)
}

/// Whether this thread is inside the poll or the destructor of any in-task child.
pub(super) fn inside_any() -> bool {
    STACK
        .try_with(|stack| !stack.borrow().frames.is_empty())
        .unwrap_or(false)
}

/// Whom the given group is polling further up this thread's stack.
pub(super) fn inside(group: usize) -> Option<Polled> {
    STACK
        .try_with(|stack| {
            // The innermost first: mostly it is that one, however deep the nest.
            stack
                .borrow()
                .frames
                .iter()
                .rfind(|frame| frame.group == group)?
                .polled
        })
        .ok()
        .flatten()
}

/// Who is being polled by `group` is handed the group's own cancellation.
pub(super) fn note_told(group: usize) {
    let _ = STACK.try_with(|stack| {
        if let Some(frame) = stack
            .borrow_mut()
            .frames
            .iter_mut()
            .rev()
            .find(|frame| frame.group == group)
        {
            frame.told = true;
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
            assert!(wake_here(
                1,
                Key {
                    slot,
                    generation: 1
                }
            ));
        }
        let mut ready = Queue::default();
        assert!(take_woken(&mut ready));
        assert_eq!(ready.children.len(), 100_000);
        let kept = STACK.with(|stack| stack.borrow().woken.capacity());
        assert!(kept <= WOKEN_KEPT, "{kept}");
    }
}

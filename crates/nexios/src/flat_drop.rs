//! Drops what owns more of its kind, link by link, on a stack that does not grow with the chain.
//!
//! A computation that waits for another one's value owns its place among those who wait, and dropping the place of the last
//! one drops that computation, and so on. Each such drop comes here, and one that is caused by another waits in a
//! list until the outermost is done with what it is dropping.

use std::{any::Any, cell::RefCell, collections::VecDeque, mem::needs_drop};

use crate::{
    panics::{Payload, bury, caught},
    sync::thread_local,
};

thread_local! {
    #[allow(clippy::missing_const_for_thread_local, reason = "the model checker's macro takes no const block")]
    /// What the drop that is under way on this thread has left to do; `None` while there is none.
    static LEFT: RefCell<Option<VecDeque<Box<dyn Any>>>> = RefCell::new(None);
}

/// Drops `value`, and whatever its destructor brings here.
///
/// Called by such a destructor, it leaves `value` to the call further up the stack, which has dropped it when it
/// returns.
///
/// # Errors
///
/// The first panic of a destructor, after everything was dropped.
pub(crate) fn drop_flat<V: 'static>(value: V) -> Result<(), Payload> {
    if !needs_drop::<V>() {
        return Ok(());
    }
    match hand_up(value) {
        Handed::Up => Ok(()),
        Handed::Back(value) => {
            let mut first = caught(|| drop(value));
            while let Some(next) = take_next() {
                match (caught(|| drop(next)), &first) {
                    (dropped, Ok(())) => first = dropped,
                    // Only one comes out.
                    (Err(later), Err(_)) => bury(later),
                    (Ok(()), Err(_)) => {}
                }
            }
            first
        }
    }
}

enum Handed<V> {
    /// A call further up the stack has it.
    Up,
    /// This is the outermost call.
    Back(V),
}

fn hand_up<V: 'static>(value: V) -> Handed<V> {
    let mut value = Some(value);
    // The list is gone when the thread ends: then each drop is on its own.
    let _ended = LEFT.try_with(|left| match &mut *left.borrow_mut() {
        Some(left) => left.extend(value.take().map(|value| Box::new(value) as Box<dyn Any>)),
        none => *none = Some(VecDeque::new()),
    });
    value.map_or(Handed::Up, Handed::Back)
}

/// What is to be dropped next; with nothing left the outermost call is over.
fn take_next() -> Option<Box<dyn Any>> {
    let next = LEFT.try_with(|left| {
        let mut left = left.borrow_mut();
        let next = left.as_mut().and_then(VecDeque::pop_front);
        if next.is_none() {
            *left = None;
        }
        next
    });
    next.unwrap_or(None)
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    struct Chain {
        next: Option<Box<Chain>>,
        panics: bool,
    }

    impl Drop for Chain {
        fn drop(&mut self) {
            if let Some(next) = self.next.take() {
                assert!(
                    drop_flat(next).is_ok(),
                    "a chain inside a chain is left to the outermost"
                );
            }
            assert!(!self.panics, "this link panics");
        }
    }

    fn chain(links: usize, panics: impl Fn(usize) -> bool) -> Box<Chain> {
        let end = Box::new(Chain {
            next: None,
            panics: false,
        });
        (0..links).fold(end, |next, link| {
            Box::new(Chain {
                next: Some(next),
                panics: panics(link),
            })
        })
    }

    #[test]
    fn a_chain_of_any_length_is_dropped_on_a_small_stack() {
        let small = thread::Builder::new().stack_size(128 * 1024);
        small
            .spawn(|| drop_flat(chain(100_000, |_| false)).unwrap())
            .unwrap()
            .join()
            .unwrap();
    }

    #[test]
    fn a_panic_of_one_link_comes_out_after_all_were_dropped() {
        assert!(drop_flat(chain(10, |link| link == 3)).is_err());
        assert!(
            drop_flat(chain(10, |_| false)).is_ok(),
            "and the next call begins anew"
        );
    }
}

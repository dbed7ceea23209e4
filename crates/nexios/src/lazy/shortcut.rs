//! A thread's own way to the values that it reads.
//!
//! Reading through a cell's `current` costs two atomic swaps besides the clone of the value, and counting the
//! hit on a counter of all threads one more. So a thread remembers what it read last of a few cells, and
//! counts its hits beside that: a hit is then one load of the cell's edition, the clone, and a write that
//! nobody else waits for.
//!
//! # Invariants
//!
//! 1. A shortcut is good only for the edition that it was made of. Every entry has an edition of its own, and
//!    a cell's edition changes before its `current` does.
//! 2. A shortcut keeps no value alive: its reference is weak.
//! 3. A place is held until its holder is gone, so a hit that is no thread's first allocates nothing. Cells
//!    that find their place taken do without.
//! 4. A tally is written by one thread only, and outlives both it and the shortcut in the holder's list.

use std::{
    any::Any,
    cell::RefCell,
    sync::{
        Arc,
        Weak,
        // The standard library's even under the model checker: a statistic decides nothing.
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use tokio::time::Instant;

use super::entry::Entry;
use crate::sync::thread_local;

/// How many places a thread has.
const PLACES: usize = 32;

#[cfg(not(nexios_shuttle))]
thread_local! {
    static SHORTCUTS: RefCell<[Shortcut; PLACES]> = const { RefCell::new([const { Shortcut::NOBODYS }; PLACES]) };
}

#[cfg(nexios_shuttle)]
thread_local! {
    static SHORTCUTS: RefCell<[Shortcut; PLACES]> = RefCell::new([const { Shortcut::NOBODYS }; PLACES]);
}

struct Shortcut {
    /// The entry that was read last; zero is none.
    edition: u64,
    fresh_until: Option<Instant>,
    value: Weak<dyn Any + Send + Sync>,
    /// How many hits there were on this thread; `None` while the place is free.
    tally: Option<Arc<AtomicU64>>,
    /// Whose hits are counted here.
    holder: u64,
}

/// One of the places that every thread has.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place(usize);

impl Place {
    /// The next in turn; with more holders than places some get the same.
    pub(super) fn next() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        // Relaxed: only the number matters.
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }

    /// The value of `edition` if this thread remembers it and it is fresh; counts the hit.
    #[inline]
    pub(super) fn fresh<T: Send + Sync + 'static>(self, edition: u64) -> Option<Arc<T>> {
        let value = SHORTCUTS.try_with(|shortcuts| {
            let shortcuts = shortcuts.try_borrow().ok()?;
            let shortcut = &shortcuts[self.0 % PLACES];
            if shortcut.edition != edition
                || shortcut.fresh_until.is_some_and(|limit| Instant::now() >= limit)
            {
                return None;
            }
            let value = shortcut.value.upgrade()?;
            shortcut.count();
            Some(value)
        });
        value.unwrap_or(None)?.downcast().ok()
    }

    /// Remembers an entry, if the place is the holder's.
    pub(super) fn remember<T: Send + Sync + 'static>(self, holder: u64, entry: &Entry<T>) {
        let _ = SHORTCUTS.try_with(|shortcuts| {
            let mut shortcuts = shortcuts.try_borrow_mut().ok()?;
            let shortcut = &mut shortcuts[self.0 % PLACES];
            if shortcut.holder == holder {
                let value: Weak<T> = Arc::downgrade(&entry.value);
                shortcut.value = value;
                shortcut.edition = entry.edition;
                shortcut.fresh_until = entry.fresh_until;
            }
            Some(())
        });
    }

    /// Counts a hit on this thread's tally; false if it has none of the holder's.
    #[inline]
    pub(super) fn count(self, holder: u64) -> bool {
        let counted = SHORTCUTS.try_with(|shortcuts| {
            let Ok(shortcuts) = shortcuts.try_borrow() else { return false };
            let shortcut = &shortcuts[self.0 % PLACES];
            let own = shortcut.holder == holder;
            if own {
                shortcut.count();
            }
            own
        });
        counted.unwrap_or(false)
    }

    /// Takes the place for the holder with a tally that `make` makes, and counts a hit on it; false if
    /// another has the place.
    pub(super) fn open(self, holder: u64, make: impl FnOnce() -> Option<Arc<AtomicU64>>) -> bool {
        let counted = SHORTCUTS.try_with(|shortcuts| {
            let mut shortcuts = shortcuts.try_borrow_mut().ok()?;
            let shortcut = &mut shortcuts[self.0 % PLACES];
            // The other reference is in the list of whoever has the place, and goes with it.
            if shortcut.tally.as_ref().is_some_and(|tally| Arc::strong_count(tally) > 1) {
                return None;
            }
            *shortcut = Shortcut { holder, tally: Some(make()?), ..Shortcut::NOBODYS };
            shortcut.count();
            Some(())
        });
        matches!(counted, Ok(Some(())))
    }
}

impl Shortcut {
    const NOBODYS: Self =
        Self { edition: 0, fresh_until: None, value: Weak::<()>::new(), tally: None, holder: 0 };

    #[inline]
    fn count(&self) {
        if let Some(tally) = &self.tally {
            // A load and a store: nobody else writes. Relaxed: a statistic.
            tally.store(tally.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        }
    }
}

//! A thread's own way to the values that it reads.
//!
//! Reading through a cell's `current` costs two atomic swaps besides the clone of the value, and counting the hit
//! on a counter of all threads one more. So a thread remembers what it read last of a few cells, and counts its
//! hits beside that: a hit is then one load of the cell's edition, the clone, and a write that nobody else waits for.
//!
//! # Invariants
//!
//! 1. A shortcut is good only for the edition that it was made of. Every entry has an edition of its own, and a
//!    cell's edition changes before its `current` does.
//! 2. A shortcut keeps no value alive: its reference is weak.
//! 3. A place is held until its holder is gone, so a hit that is no thread's first allocates nothing. Cells that
//!    find their place taken do without.
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
    static SHORTCUTS: RefCell<[Option<Shortcut>; PLACES]> = const { RefCell::new([const { None }; PLACES]) };
}

#[cfg(nexios_shuttle)]
thread_local! {
    static SHORTCUTS: RefCell<[Option<Shortcut>; PLACES]> = RefCell::new([const { None }; PLACES]);
}

struct Shortcut {
    /// Whose hits are counted here.
    holder: u64,
    /// How many there were on this thread.
    tally: Arc<AtomicU64>,
    /// The entry that was read last; zero is none.
    edition: u64,
    value: Weak<dyn Any + Send + Sync>,
    fresh_until: Option<Instant>,
}

/// One of the places that every thread has.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place(usize);

impl Place {
    /// The next in turn; with more holders than places some get the same.
    pub(super) fn next() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        // Relaxed: only the number matters.
        Self(NEXT.fetch_add(1, Ordering::Relaxed) % PLACES)
    }

    /// No place: there is never a shortcut.
    pub(super) const NONE: Self = Self(PLACES);

    /// The value of `edition` if this thread remembers it and it is fresh; counts the hit.
    #[inline]
    pub(super) fn fresh<T: Send + Sync + 'static>(self, edition: u64) -> Option<Arc<T>> {
        SHORTCUTS
            .try_with(|shortcuts| {
                let shortcuts = shortcuts.try_borrow().ok()?;
                let shortcut = shortcuts.get(self.0)?.as_ref()?;
                if shortcut.edition != edition
                    || shortcut.fresh_until.is_some_and(|limit| Instant::now() >= limit)
                {
                    return None;
                }
                let value = shortcut.value.upgrade()?.downcast().ok()?;
                shortcut.count();
                Some(value)
            })
            .unwrap_or(None)
    }

    /// Remembers an entry, if the place is the holder's.
    pub(super) fn remember<T: Send + Sync + 'static>(self, holder: u64, entry: &Entry<T>) {
        let _ = SHORTCUTS.try_with(|shortcuts| {
            let mut shortcuts = shortcuts.try_borrow_mut().ok()?;
            let shortcut = shortcuts.get_mut(self.0)?.as_mut()?;
            if shortcut.holder == holder {
                let value: Weak<T> = Arc::downgrade(&entry.value);
                shortcut.value = value;
                shortcut.edition = entry.edition;
                shortcut.fresh_until = entry.fresh_until;
            }
            Some(())
        });
    }

    /// Counts a hit on this thread's tally, which `open` makes if the place is free; false if it is another's.
    pub(super) fn count(self, holder: u64, open: impl FnOnce() -> Option<Arc<AtomicU64>>) -> bool {
        let counted = SHORTCUTS.try_with(|shortcuts| {
            let mut shortcuts = shortcuts.try_borrow_mut().ok()?;
            let place = shortcuts.get_mut(self.0)?;
            match place {
                Some(shortcut) if shortcut.holder == holder => shortcut.count(),
                // The other reference is in the holder's list, and goes with it.
                Some(shortcut) if Arc::strong_count(&shortcut.tally) > 1 => return None,
                free => {
                    let shortcut = Shortcut {
                        holder,
                        tally: open()?,
                        edition: 0,
                        value: Weak::<()>::new(),
                        fresh_until: None,
                    };
                    shortcut.count();
                    *free = Some(shortcut);
                }
            }
            Some(())
        });
        counted.is_ok_and(|counted| counted.is_some())
    }
}

impl Shortcut {
    #[inline]
    fn count(&self) {
        // A load and a store: nobody else writes. Relaxed: a statistic.
        self.tally.store(self.tally.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }
}

//! A thread's own way to the value that it read last.
//!
//! Reading through a cell's `current` costs two atomic swaps besides the clone of the value. So each thread remembers
//! what it read: a hit is then one load of the cell's edition, the clone, and a count that nobody else waits for.
//!
//! # Invariants
//!
//! 1. A shortcut is good only for the edition that it was made of. Every entry has an edition of its own, and
//!    a cell's edition changes before its `current` does.
//! 2. A shortcut keeps no value alive: its reference is weak.

use std::{
    cell::RefCell,
    sync::{Arc, Weak},
};

use tokio::time::Instant;

use super::{
    freshness::ValueEntry,
    tallies::{Own, Tallies},
};

/// What all threads remember of one cell. Behind a trait, as only values that threads may share can be remembered, and the
/// types of the public page do not say so.
pub(super) trait Shortcuts<T>: Send + Sync {
    /// The value of `edition` if this thread remembers it and it is fresh; counts the hit.
    fn recall(&self, edition: u64) -> Option<Arc<T>>;

    /// Remembers what this thread has read, and counts the hit.
    fn remember(&self, entry: &ValueEntry<T>);

    /// Counts a hit that needs no shortcut.
    fn count(&self);

    /// The hits of all threads.
    fn hits(&self) -> u64;
}

struct Shortcut<T> {
    /// The entry that was read last, if it has no limit; else zero, which is none. So a hit of such a value looks at no limit.
    edition: u64,
    /// The same of an entry that has one.
    limited: Option<(u64, Instant)>,
    value: Weak<T>,
}

impl<T> Default for Shortcut<T> {
    fn default() -> Self {
        Self {
            edition: 0,
            limited: None,
            value: Weak::new(),
        }
    }
}

/// Makes the shortcuts of a cell that nobody has read.
pub(super) fn shortcuts<T: Send + Sync + 'static>() -> Arc<dyn Shortcuts<T>> {
    Arc::new(Tallies::<RefCell<Shortcut<T>>>::new())
}

impl<T: Send + Sync> Shortcuts<T> for Tallies<RefCell<Shortcut<T>>> {
    fn recall(&self, edition: u64) -> Option<Arc<T>> {
        self.own(|own| {
            let shortcut = own.memory.try_borrow().ok()?;
            if shortcut.edition != edition {
                drop(shortcut);
                return recall_within_limit(own, edition);
            }
            let value = shortcut.value.upgrade()?;
            own.count();
            Some(value)
        })?
    }

    fn remember(&self, entry: &ValueEntry<T>) {
        let (edition, limited) = match entry.fresh_until {
            None => (entry.edition, None),
            Some(limit) => (0, Some((entry.edition, limit))),
        };
        self.count_in(|memory| {
            *memory.borrow_mut() = Shortcut {
                edition,
                limited,
                value: Arc::downgrade(&entry.value),
            };
        });
    }

    fn count(&self) {
        Tallies::count(self);
    }

    fn hits(&self) -> u64 {
        self.sum()
    }
}

/// Out of the way of values without a limit, for which no clock is read.
#[inline(never)]
fn recall_within_limit<T>(own: &Own<RefCell<Shortcut<T>>>, edition: u64) -> Option<Arc<T>> {
    let shortcut = own.memory.try_borrow().ok()?;
    let (limited, limit) = shortcut.limited?;
    if limited != edition || limit <= Instant::now() {
        return None;
    }
    let value = shortcut.value.upgrade()?;
    own.count();
    Some(value)
}

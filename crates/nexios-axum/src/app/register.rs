//! What is there right now, and a way to wait until nothing is.
//!
//! # Invariants
//!
//! 1. A value is in the list as long as its entry lives, and is dropped outside the lock.
//! 2. Whoever waits is registered before it looks at the list; whoever leaves it wakes those who are registered afterwards.

use std::{
    collections::BTreeMap,
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;

/// A list of live things in the order in which they came.
#[derive(Debug)]
pub(crate) struct Register<T> {
    ledger: Arc<Ledger<T>>,
}

#[derive(Debug)]
struct Ledger<T> {
    /// No code of a user runs under this lock; a poisoned list is still whole.
    list: Mutex<List<T>>,
    /// Told after an entry has left the list.
    left: Notify,
}

#[derive(Debug)]
struct List<T> {
    entries: BTreeMap<u64, T>,
    /// The key of the next entry.
    next: u64,
}

/// Keeps its value in the list.
#[derive(Debug)]
pub(crate) struct Entry<T> {
    ledger: Arc<Ledger<T>>,
    key: u64,
}

impl<T> Ledger<T> {
    fn list(&self) -> MutexGuard<'_, List<T>> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Clone> Register<T> {
    pub(crate) fn enter(&self, value: T) -> Entry<T> {
        let mut list = self.ledger.list();
        let key = list.next;
        list.next += 1;
        list.entries.insert(key, value);
        Entry {
            ledger: self.ledger.clone(),
            key,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.ledger.list().entries.len()
    }

    pub(crate) fn values(&self) -> Vec<T> {
        self.ledger.list().entries.values().cloned().collect()
    }

    pub(crate) async fn wait_until_empty(&self) {
        loop {
            let mut left = pin!(self.ledger.left.notified());
            // Registered before the look, so that an end in between is not missed.
            left.as_mut().enable();
            if self.len() == 0 {
                return;
            }
            left.await;
        }
    }
}

impl<T> Default for Register<T> {
    fn default() -> Self {
        let list = Mutex::new(List {
            entries: BTreeMap::new(),
            next: 0,
        });
        Register {
            ledger: Arc::new(Ledger {
                list,
                left: Notify::new(),
            }),
        }
    }
}

impl<T> Drop for Entry<T> {
    fn drop(&mut self) {
        let value = self.ledger.list().entries.remove(&self.key);
        drop(value);
        self.ledger.left.notify_waiters();
    }
}

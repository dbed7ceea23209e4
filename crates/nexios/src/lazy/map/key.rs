//! Where the values of one key come from.

use std::{
    hash::Hash,
    sync::{Arc, Weak},
    time::Duration,
};

use super::keys::Keys;
use crate::lazy::{
    cell::{Cell, Held, Source},
    error::LazyError,
    flight::{Computation, discard_flat},
};

/// A key, and the map that it is of.
pub(super) struct Keyed<K, T, E> {
    key: K,
    /// Weak: a computation does not keep its map.
    keys: Weak<Keys<K, T, E>>,
}

impl<K, T, E> Keyed<K, T, E> {
    pub(super) fn new(key: K, keys: &Arc<Keys<K, T, E>>) -> Self {
        Self { key, keys: Arc::downgrade(keys) }
    }
}

impl<K, T, E> Source<T, E> for Keyed<K, T, E>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    T: Send + Sync + 'static,
    E: Send + Sync + 'static,
{
    fn compute(&self, limit: Option<Duration>) -> Computation<T, E> {
        match self.keys.upgrade() {
            Some(keys) => keys.compute(self.key.clone(), limit),
            // The map is gone, and nobody can be waiting.
            None => Box::pin(std::future::ready(Err(LazyError::Shutdown))),
        }
    }

    fn discard(self: Box<Self>, held: Held<T, E>) {
        discard_flat((self, held));
    }

    fn landed(&self, cell: &Cell<T, E>) {
        if let Some(keys) = self.keys.upgrade() {
            keys.land(&self.key, cell);
        }
    }
}

//! One key of a map: the way from it to its cell, and from the cell back to the key's place.

use std::{
    borrow::Borrow,
    collections::hash_map::Entry,
    hash::Hash,
    sync::{Arc, Weak},
    time::Duration,
};

use super::keys::{Keys, Shard};
use crate::{
    lazy::{
        call::Site,
        cell::{Entrance, Remains, ValueCell, ValueSource, Visit},
        computation::{Computation, discard, discard_flat},
        error::LazyError,
        freshness::Weight,
        living::{ALIVE, LivingLazy},
    },
    sync::MutexGuard,
};

/// A key, on the way to its cell.
pub(super) struct Spot<'a, K, Q: ?Sized, T, E> {
    pub(super) keys: &'a Arc<Keys<K, T, E>>,
    pub(super) key: &'a Q,
}

impl<K, Q, T, E> Site<T, E> for Spot<'_, K, Q, T, E>
where
    K: Borrow<Q> + Hash + Eq + Clone + Send + Sync + 'static,
    Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    T: Send + Sync + 'static,
    E: Send + Sync + 'static,
{
    #[inline]
    fn fresh(&self) -> Option<Arc<T>> {
        self.keys.fresh(self.key)
    }

    fn enter(&self, visit: Visit) -> (Arc<ValueCell<T, E>>, Entrance<T, E>) {
        let keys = self.keys;
        // Cloned before the lock is taken, which no clone of the user's may run under; so sometimes for nothing.
        let key = self.key.to_owned();
        // Declared before the lock is taken, so dropped after it is released, on a panic of the key too.
        let mut outdated = None;
        let mut replaced = None;
        let LockedCell {
            mut shard,
            cell,
            unused,
        } = locked(keys, &key);
        let is_aloft = shard
            .get(self.key)
            .is_some_and(|aloft| Arc::ptr_eq(aloft, &cell));
        let (entrance, leftover, key) = if is_aloft {
            let (entrance, leftover) = cell.enter(visit);
            (entrance, leftover, Some(key))
        } else {
            // One of an older generation may be in the place. Taken out rather than replaced, which would drop a key here.
            outdated = shard.remove_entry(self.key);
            // The place is found before the flight starts. If the key panicked in between, others would join a flight
            // that nobody launches.
            match shard.entry(key) {
                Entry::Vacant(place) => {
                    let (entrance, leftover) = cell.enter(visit);
                    if entrance.launches() {
                        // Under the same lock as the start: who comes next must find this flight, not start another.
                        place.insert(Arc::clone(&cell));
                        (entrance, leftover, None)
                    } else {
                        (entrance, leftover, Some(place.into_key()))
                    }
                }
                // Only of a key whose `Eq` contradicts itself.
                Entry::Occupied(place) => {
                    replaced = Some(std::mem::replace(place.into_mut(), Arc::clone(&cell)));
                    let (entrance, leftover) = cell.enter(visit);
                    (entrance, leftover, None)
                }
            }
        };
        drop(shard);
        if entrance.launches() {
            keys.entry.get_or_init(|| {
                let living: Arc<dyn LivingLazy> = Arc::clone(keys) as _;
                ALIVE.enter(Arc::downgrade(&living))
            });
        }
        if let Some((key, cell)) = outdated {
            keys.throw_away(key, cell);
        }
        leftover.discard();
        discard((key, unused, replaced));
        (cell, entrance)
    }
}

/// Puts a value in the place of everything that there is of a key.
pub(super) fn set<K, T, E>(keys: &Arc<Keys<K, T, E>>, key: K, value: T)
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    T: Send + Sync + 'static,
    E: Send + Sync + 'static,
{
    let value = Arc::new(value);
    let weight = keys.weigh(&key, &value);
    let LockedCell {
        mut shard,
        cell,
        unused,
    } = locked(keys, &key);
    // It is taken down with its flight, so what that computes cannot land on this value.
    let aloft = shard.remove_entry(&key);
    let leftover = cell.put(Arc::clone(&value), weight);
    let given_up = keys.place(key, Arc::clone(&cell));
    drop(shard);
    match aloft {
        Some((key, aloft)) if !Arc::ptr_eq(&aloft, &cell) => keys.throw_away(key, aloft),
        same => discard(same),
    }
    leftover.end_with(value);
    discard((cell, unused, given_up));
}

/// The cell of a key, made if there was none, while it is that.
struct LockedCell<'a, K, T, E> {
    shard: MutexGuard<'a, Shard<K, T, E>>,
    cell: Arc<ValueCell<T, E>>,
    /// What was found or made besides; for the caller to drop without the lock.
    unused: [Option<Arc<ValueCell<T, E>>>; 2],
}

fn locked<'a, K, T, E>(keys: &'a Arc<Keys<K, T, E>>, key: &K) -> LockedCell<'a, K, T, E>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    T: Send + Sync + 'static,
    E: Send + Sync + 'static,
{
    let mut made: Option<Arc<ValueCell<T, E>>> = None;
    loop {
        let shard = keys.shard(key);
        // Under the lock, as whoever begins the next generation comes to this shard afterwards.
        let generation = keys.generation();
        let (found, outdated) = match keys.find(&shard, key) {
            Some(cell) if cell.generation == generation => (Some(cell), None),
            other => (None, other),
        };
        let found = found.or_else(|| made.take_if(|made| made.generation == generation));
        if let Some(cell) = found {
            return LockedCell {
                shard,
                cell,
                unused: [made, outdated],
            };
        }
        // A cell owns a clone of the key, so it is made without the lock; then everything is looked at again.
        drop(shard);
        discard(outdated);
        let source = Keyed {
            key: key.clone(),
            keys: Arc::downgrade(keys),
        };
        made = Some(Arc::new(keys.make(key, Box::new(source), generation)));
    }
}

/// Where the values of a key's cell come from, and where the cell belongs.
struct Keyed<K, T, E> {
    key: K,
    /// Weak: a computation does not keep its map.
    keys: Weak<Keys<K, T, E>>,
}

impl<K, T, E> ValueSource<T, E> for Keyed<K, T, E>
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

    fn weigh(&self, value: &T) -> Weight {
        self.keys.upgrade()?.weigh(&self.key, value)
    }

    fn land(&self, cell: &ValueCell<T, E>) {
        if let Some(keys) = self.keys.upgrade() {
            keys.land(&self.key, cell);
        }
    }

    fn failed(&self, error: &LazyError<E>) {
        if let Some(keys) = self.keys.upgrade() {
            keys.failed(&self.key, error);
        }
    }

    fn discard(self: Box<Self>, held: Remains<T, E>) {
        discard_flat((self, held));
    }
}

//! The cells of a map: those that hold something, and those that compute.
//!
//! A cell is *resident* when it holds a value (or an error in its backoff), in a cache that evicts; it is
//! *aloft* while a flight of it runs, in a table that does not. So eviction never touches a flight, and the
//! cache needs to know nothing of them. A cell whose value is computed anew is in both.
//!
//! # Invariants
//!
//! 1. A flight starts under the lock of its key's shard, and its cell is aloft until the flight has ended or
//!    was overtaken. So there is one flight at most that a key's callers can join.
//! 2. A cell becomes resident only under the lock of its key's shard: as it lands, or by `set`. One that
//!    `reset` took out is aloft no more, so what it computes is never seen.
//! 3. A cell is seen only while its generation is the map's. `reset_all` begins with the next generation, and
//!    what is of an older one is thrown away afterwards.
//! 4. No user code but the keys' `Eq` and `Hash` runs under a lock: cells, keys and values that are replaced
//!    or evicted are dropped after it, weights are taken and keys cloned before.

use std::{
    borrow::Borrow,
    collections::HashMap,
    hash::{BuildHasher, Hash, RandomState},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, PoisonError},
    time::Duration,
};

use arc_swap::Guard;
use quick_cache::{Lifecycle, OptionsBuilder, Weighter, sync::Cache};

use super::key::Keyed;
use crate::{
    lazy::{
        cell::{Cell, Settings},
        entry::Entry,
        flight::{Computation, discard, discard_flat},
        recursion::{Identity, next_id},
        stats::Counters,
    },
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering},
    },
};

/// Locks for cells that compute; a power of two.
const SHARDS: usize = 16;

/// The fewest entries that a part of the cache is made for.
const FEWEST_A_PART: usize = 32;

/// The most parts of a cache whose entries have weights: each part has its share of the bound for itself.
const MOST_WEIGHTED_PARTS: usize = 4;

/// Makes the computations of keys.
pub(super) trait Compute<K, T, E>: Send + Sync {
    /// Makes the computation of `key` with the given time limit.
    fn compute(&self, key: K, limit: Option<Duration>) -> Computation<T, E>;

    /// Drops itself. It may own another map, which is dropped next and not inside of it.
    fn discard(self: Box<Self>);
}

impl<K, T, E, F> Compute<K, T, E> for F
where
    F: Fn(K, Option<Duration>) -> Computation<T, E> + Send + Sync + 'static,
{
    fn compute(&self, key: K, limit: Option<Duration>) -> Computation<T, E> {
        self(key, limit)
    }

    fn discard(self: Box<Self>) {
        discard_flat(self);
    }
}

/// Weighs an entry.
pub(super) type Weigh<K, T> = Box<dyn Fn(&K, &T) -> usize + Send + Sync>;

/// A lock's part of the cells that compute.
pub(super) type Shard<K, T, E> = HashMap<K, Aloft<T, E>>;

pub(crate) struct Keys<K, T, E> {
    resident: Cache<K, Resident<T, E>, ByWeight, RandomState, Collect>,
    aloft: [Mutex<Shard<K, T, E>>; SHARDS],
    /// Which cells are seen; the next one begins with `reset_all`.
    generation: AtomicU64,
    pub(super) hasher: RandomState,
    /// There until the map is dropped.
    compute: Option<Box<dyn Compute<K, T, E>>>,
    /// `None`: every entry counts as one.
    weigh: Option<Weigh<K, T>>,
    settings: Arc<Settings>,
    pub(super) counters: Arc<Counters>,
    /// Tells this map from all others of the process.
    id: u64,
}

/// A cell in the cache.
struct Resident<T, E> {
    cell: Arc<Cell<T, E>>,
    generation: u64,
    /// Of what the cell held as it was put here: a cache must be told the same weight every time.
    weight: u64,
}

/// A cell that computes.
pub(super) struct Aloft<T, E> {
    pub(super) cell: Arc<Cell<T, E>>,
    pub(super) generation: u64,
}

impl<T, E> Clone for Resident<T, E> {
    #[inline]
    fn clone(&self) -> Self {
        Self { cell: Arc::clone(&self.cell), generation: self.generation, weight: self.weight }
    }
}

#[derive(Clone)]
struct ByWeight;

impl<K, T, E> Weighter<K, Resident<T, E>> for ByWeight {
    fn weight(&self, _key: &K, resident: &Resident<T, E>) -> u64 {
        resident.weight
    }
}

/// Collects what the cache gives up, to be dropped after its lock is released.
#[derive(Clone)]
struct Collect;

impl<K, T, E> Lifecycle<K, Resident<T, E>> for Collect {
    type RequestState = GivenUp<K, T, E>;

    fn on_evict(&self, given_up: &mut GivenUp<K, T, E>, key: K, resident: Resident<T, E>) {
        given_up.0.push((key, resident));
    }
}

struct GivenUp<K, T, E>(Vec<(K, Resident<T, E>)>);

impl<K, T, E> Default for GivenUp<K, T, E> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<K, T, E> Keys<K, T, E>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    T: Send + Sync + 'static,
    E: Send + Sync + 'static,
{
    pub(super) fn new(
        capacity: usize,
        compute: Box<dyn Compute<K, T, E>>,
        weigh: Option<Weigh<K, T>>,
        settings: Settings,
    ) -> Self {
        let most = if weigh.is_some() { MOST_WEIGHTED_PARTS } else { most_parts() };
        let wanted = (capacity / FEWEST_A_PART).clamp(1, most);
        let parts = if wanted.is_power_of_two() { wanted } else { wanted.next_power_of_two() / 2 };
        let options = OptionsBuilder::new()
            .shards(parts)
            // What it is for: how many keys to remember that were evicted.
            .estimated_items_capacity(if weigh.is_some() { capacity.min(1_024) } else { capacity })
            // A part's share is rounded up; this way all of them together stay inside the bound.
            .weight_capacity((capacity - capacity % parts) as u64)
            .build()
            .expect("both capacities are set");
        let hasher = RandomState::new();
        Self {
            resident: Cache::with_options(options, ByWeight, hasher.clone(), Collect),
            aloft: std::array::from_fn(|_| Mutex::new(HashMap::new())),
            generation: AtomicU64::new(0),
            hasher,
            compute: Some(compute),
            weigh,
            settings: Arc::new(settings),
            counters: Arc::new(Counters::new()),
            id: next_id(),
        }
    }

    /// The value of a key if it is fresh, counted as a hit.
    #[inline]
    pub(super) fn fresh<Q>(&self, key: &Q) -> Option<Arc<T>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let resident = self.resident.get(key)?;
        let value = Arc::clone(&resident.cell.fresh()?.as_ref()?.value);
        // After the value was read: a `reset_all` that has returned by then is seen here.
        if resident.generation != self.generation() {
            return None;
        }
        self.counters.count_hit();
        Some(value)
    }

    /// The entry of a key if it is inside any of its limits.
    pub(super) fn servable<Q>(&self, key: &Q) -> Option<Guard<Option<Arc<Entry<T>>>>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let mut outdated = Vec::new();
        let cell = {
            let shard = self.shard(self.hasher.hash_one(key));
            self.find(&shard, key, self.generation(), &mut outdated)?.0
        };
        cell.servable()
    }

    /// Puts a value in the place of everything that there is of a key.
    pub(super) fn set(self: &Arc<Self>, key: K, value: T) {
        let value = Arc::new(value);
        let weight = self.weight_of(&key, &value);
        let mut made = None;
        let mut outdated = Vec::new();
        let (cell, leftover, landed, given_up, removed) = loop {
            let mut shard = self.shard(self.hasher.hash_one(&key));
            let generation = self.generation();
            let found = self.find(&shard, &key, generation, &mut outdated).map(|(cell, _)| cell);
            let Some(cell) = found.or_else(|| made.take()) else {
                drop(shard);
                made = Some(self.make(&key));
                continue;
            };
            let landed = shard.remove_entry(&key);
            let leftover = cell.put(Arc::clone(&value));
            let (given_up, removed) = match weight {
                Some(weight) if cell.holds_something() => {
                    let resident = Resident { cell: Arc::clone(&cell), generation, weight };
                    (Some(self.keep(key, resident)), None)
                }
                _ => (None, self.resident.remove(&key)),
            };
            break (cell, leftover, landed, given_up, removed);
        };
        match landed {
            // Of an older generation.
            Some((key, aloft)) if !Arc::ptr_eq(&aloft.cell, &cell) => self.throw_away(key, aloft),
            landed => discard(landed),
        }
        leftover.end_with(value);
        discard((cell, made, outdated, given_up, removed));
    }

    /// Forgets a key.
    pub(super) fn reset<Q>(&self, key: &Q)
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let (aloft, resident) = {
            let mut shard = self.shard(self.hasher.hash_one(key));
            (shard.remove_entry(key), self.resident.remove(key))
        };
        if let Some((_, aloft)) = &aloft {
            aloft.cell.empty().overtake();
        }
        if let Some((_, resident)) = &resident {
            resident.cell.empty().overtake();
        }
        drop((aloft, resident));
    }

    /// Forgets every key.
    pub(super) fn reset_all(&self) {
        // SeqCst, as every look at it. From here on nothing of before is seen; the rest is tidying up.
        let generation = self.generation.fetch_add(1, Ordering::SeqCst) + 1;
        for shard in &self.aloft {
            let old: Vec<_> = lock(shard).extract_if(|_, aloft| aloft.generation < generation).collect();
            for (key, aloft) in old {
                self.throw_away(key, aloft);
            }
        }
        for (key, _) in self.resident.iter() {
            discard(self.resident.remove_if(&key, |resident| resident.generation < generation));
        }
    }

    /// Takes a cell down whose flight has ended: it becomes resident if it holds something, else it is gone.
    pub(super) fn land(&self, key: &K, cell: &Cell<T, E>) {
        loop {
            let entry = cell.entry();
            let weight = match &entry {
                Some(entry) => self.weight_of(key, &entry.value),
                None => Some(1),
            };
            let owned = key.clone();
            // Declared before the lock is taken, so dropped after it is released.
            let (flight, latest);
            let mut shard = self.shard(self.hasher.hash_one(key));
            let Some(aloft) = shard.get(key).filter(|aloft| std::ptr::eq(&*aloft.cell, cell)) else { return };
            flight = cell.flight();
            if flight.is_some() {
                // Somebody has started the next one; it lands too.
                return;
            }
            latest = cell.entry();
            if latest.as_ref().map(|entry| entry.edition) != entry.as_ref().map(|entry| entry.edition) {
                // Another value than the one that was weighed.
                drop(shard);
                discard(entry);
                continue;
            }
            let keeps = weight.is_some() && cell.holds_something() && aloft.generation == self.generation();
            let landed = shard.remove_entry(key);
            let (given_up, removed) = match (&landed, weight) {
                (Some((_, aloft)), Some(weight)) if keeps => {
                    let (cell, generation) = (Arc::clone(&aloft.cell), aloft.generation);
                    (Some(self.keep(owned, Resident { cell, generation, weight })), None)
                }
                _ => (None, self.resident.remove_if(key, |resident| std::ptr::eq(&*resident.cell, cell))),
            };
            drop(shard);
            discard((entry, landed, given_up, removed));
            return;
        }
    }

    pub(super) fn compute(&self, key: K, limit: Option<Duration>) -> Computation<T, E> {
        let compute = self.compute.as_deref().expect("only the map's destructor takes it out");
        compute.compute(key, limit)
    }

    /// The cell of a key, and whether it is aloft; one of an older generation is for the caller to drop, after
    /// the lock.
    pub(super) fn find<Q>(
        &self,
        shard: &Shard<K, T, E>,
        key: &Q,
        generation: u64,
        outdated: &mut Vec<Arc<Cell<T, E>>>,
    ) -> Option<(Arc<Cell<T, E>>, bool)>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        match shard.get(key) {
            Some(aloft) if aloft.generation == generation => Some((Arc::clone(&aloft.cell), true)),
            _ => {
                let resident = self.resident.get(key)?;
                if resident.generation == generation {
                    return Some((resident.cell, false));
                }
                outdated.push(resident.cell);
                None
            }
        }
    }

    pub(super) fn make(self: &Arc<Self>, key: &K) -> Arc<Cell<T, E>> {
        let identity = Identity { owner: self.id, hash: self.hasher.hash_one(key) };
        let source = Keyed::new(key.clone(), self);
        Arc::new(Cell::new(
            Box::new(source),
            Arc::clone(&self.settings),
            Arc::clone(&self.counters),
            identity,
        ))
    }

    /// Puts a cell into the cache; under the lock of the key's shard.
    fn keep(&self, key: K, resident: Resident<T, E>) -> GivenUp<K, T, E> {
        let cell = Arc::as_ptr(&resident.cell);
        let generation = resident.generation;
        let mut given_up = GivenUp::default();
        self.resident.insert_with_lifecycle(key, resident, &mut given_up);
        let evicted = given_up
            .0
            .iter()
            .filter(|(_, old)| !std::ptr::eq(Arc::as_ptr(&old.cell), cell) && old.generation == generation);
        self.counters.count_evictions(evicted.count() as u64);
        given_up
    }

    /// Lets go of a cell that is aloft no more: its flight goes on for those who wait.
    pub(super) fn throw_away(&self, key: K, aloft: Aloft<T, E>) {
        aloft.cell.empty().overtake();
        discard((key, aloft));
    }

    /// What an entry weighs, at least one, or no number if it cannot be told: then it is not kept.
    fn weight_of(&self, key: &K, value: &T) -> Option<u64> {
        let Some(weigh) = &self.weigh else { return Some(1) };
        match catch_unwind(AssertUnwindSafe(|| weigh(key, value))) {
            Ok(weight) => Some((weight as u64).max(1)),
            Err(panic) => {
                crate::log::say(|| tracing::error!(lazy = self.name(), "the weigher of a lazy map panicked"));
                discard(panic);
                None
            }
        }
    }

    pub(super) fn generation(&self) -> u64 {
        self.generation.load(Ordering::SeqCst)
    }

    pub(super) fn shard(&self, hash: u64) -> MutexGuard<'_, Shard<K, T, E>> {
        lock(&self.aloft[hash as usize % SHARDS])
    }
}

impl<K: Hash + Eq, T, E> Keys<K, T, E> {
    pub(super) fn len(&self) -> usize {
        self.resident.len()
    }

    pub(super) fn weight(&self) -> u64 {
        self.resident.weight()
    }

    pub(super) fn capacity(&self) -> u64 {
        self.resident.capacity()
    }
}

impl<K, T, E> Keys<K, T, E> {
    pub(super) fn name(&self) -> String {
        self.settings.name()
    }

    /// How many keys are being computed.
    pub(super) fn computing(&self) -> usize {
        self.aloft.iter().map(|shard| lock(shard).len()).sum()
    }

    /// Drops every computation: the map is going away.
    pub(super) fn close(&self) {
        for shard in &self.aloft {
            let cells = std::mem::take(&mut *lock(shard));
            cells.values().for_each(|aloft| aloft.cell.close());
            discard(cells);
        }
    }
}

impl<K, T, E> Drop for Keys<K, T, E> {
    fn drop(&mut self) {
        if let Some(compute) = self.compute.take() {
            compute.discard();
        }
    }
}

fn lock<K, T, E>(shard: &Mutex<Shard<K, T, E>>) -> MutexGuard<'_, Shard<K, T, E>> {
    // A panic of a key's `Eq` or `Hash` comes before any change, so a poisoned table is still whole.
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

fn most_parts() -> usize {
    std::thread::available_parallelism().map_or(8, |cores| cores.get().next_power_of_two() * 4)
}

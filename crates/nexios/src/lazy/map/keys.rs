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
//! 4. No user code but the keys' `Eq` and `Hash`, and their `Clone` in `reset_all`, runs under a lock: cells, keys and values
//!    that are replaced or evicted are dropped after it, weights are taken and keys cloned before. (When an `Eq` or `Hash`
//!    panics there, what its caller holds is dropped as it unwinds.)

use std::{
    borrow::{Borrow, Cow},
    collections::HashMap,
    hash::{BuildHasher, Hash, RandomState},
    num::NonZeroU64,
    ptr,
    sync::{Arc, OnceLock, PoisonError},
    time::Duration,
};

use arc_swap::Guard;
use quick_cache::{Lifecycle, OptionsBuilder, Weighter, sync::Cache};

use crate::{
    lazy::{
        cell::{Residency, ValueCell, ValueSource},
        computation::{Computation, discard, discard_flat},
        error::LazyError,
        freshness::{ValueEntry, Weight},
        living::LivingLazy,
        recursion::{Identity, next_id},
        settings::LazySettings,
        stats::{LazyCounters, LazyState, LazyStats, Served},
        tallies::Tallies,
    },
    log,
    panics::caught,
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering},
    },
    work::alive::{CensusEntry, LongLived},
};

/// Locks for cells that compute; a power of two.
const SHARDS: usize = 16;

/// The fewest entries that a part of the cache is made for.
const FEWEST_A_PART: usize = 32;

/// The most parts of a cache whose entries have weights: each part has its share of the bound for itself.
const MOST_WEIGHTED_PARTS: usize = 4;

/// Makes the computations of keys.
pub(super) trait MakeComputation<K, T, E>: Send + Sync {
    /// Makes the computation of `key` with the given time limit.
    fn compute(&self, key: K, limit: Option<Duration>) -> Computation<T, E>;

    /// Drops itself. It may own another map, which is dropped next and not inside of it.
    fn discard(self: Box<Self>);
}

impl<K, T, E, F> MakeComputation<K, T, E> for F
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

/// Told of every computation that brought no value, with its key.
pub(super) type ErrorHook<K, E> = Box<dyn Fn(&K, &LazyError<E>) + Send + Sync>;

/// A lock's part of the cells that compute.
pub(super) type Shard<K, T, E> = HashMap<K, Arc<ValueCell<T, E>>>;

pub(crate) struct Keys<K, T, E> {
    /// On the list of the living, from the first computation on.
    pub(super) entry: OnceLock<CensusEntry<dyn LivingLazy>>,
    resident: Cache<K, Resident<T, E>, ByWeight, RandomState, Collect>,
    aloft: [Mutex<Shard<K, T, E>>; SHARDS],
    /// Which cells are seen; the next one begins with `reset_all`.
    generation: AtomicU64,
    hasher: RandomState,
    /// There until the map is dropped.
    compute: Option<Box<dyn MakeComputation<K, T, E>>>,
    /// `None`: every entry counts as one.
    weigh: Option<Weigh<K, T>>,
    on_error: Option<ErrorHook<K, E>>,
    settings: Arc<LazySettings>,
    counters: Arc<LazyCounters>,
    hits: Tallies<()>,
    /// Tells this map from all others of the process.
    id: u64,
}

/// A cell in the cache.
struct Resident<T, E> {
    cell: Arc<ValueCell<T, E>>,
    /// Of what the cell held as it was put here: a cache must be told the same weight every time.
    weight: NonZeroU64,
}

impl<T, E> Clone for Resident<T, E> {
    #[inline]
    fn clone(&self) -> Self {
        Self {
            cell: Arc::clone(&self.cell),
            weight: self.weight,
        }
    }
}

#[derive(Clone)]
struct ByWeight;

impl<K, T, E> Weighter<K, Resident<T, E>> for ByWeight {
    fn weight(&self, _key: &K, resident: &Resident<T, E>) -> u64 {
        resident.weight.get()
    }
}

/// Collects what the cache gives up, to be dropped after its lock is released.
#[derive(Clone)]
struct Collect;

impl<K, T, E> Lifecycle<K, Resident<T, E>> for Collect {
    type RequestState = GivenUp<K, T, E>;

    fn on_evict(&self, given_up: &mut GivenUp<K, T, E>, key: K, resident: Resident<T, E>) {
        given_up.0.push((key, resident.cell));
    }
}

pub(super) struct GivenUp<K, T, E>(Vec<(K, Arc<ValueCell<T, E>>)>);

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
        compute: Box<dyn MakeComputation<K, T, E>>,
        weigh: Option<Weigh<K, T>>,
        on_error: Option<ErrorHook<K, E>>,
        settings: LazySettings,
    ) -> Self {
        let most = if weigh.is_some() {
            MOST_WEIGHTED_PARTS
        } else {
            most_parts()
        };
        let wanted = (capacity / FEWEST_A_PART).clamp(1, most);
        let parts = if wanted.is_power_of_two() {
            wanted
        } else {
            wanted.next_power_of_two() / 2
        };
        let options = OptionsBuilder::new()
            .shards(parts)
            // What it is for: how many keys to remember that were evicted.
            .estimated_items_capacity(if weigh.is_some() {
                capacity.min(1_024)
            } else {
                capacity
            })
            // A part's share is rounded up; this way all of them together stay inside the bound.
            .weight_capacity((capacity - capacity % parts) as u64)
            .build()
            .expect("both capacities are set");
        let hasher = RandomState::new();
        Self {
            entry: OnceLock::new(),
            resident: Cache::with_options(options, ByWeight, hasher.clone(), Collect),
            aloft: std::array::from_fn(|_| Mutex::new(HashMap::new())),
            generation: AtomicU64::new(0),
            hasher,
            compute: Some(compute),
            weigh,
            on_error,
            settings: Arc::new(settings),
            counters: Arc::default(),
            hits: Tallies::new(),
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
        if resident.cell.generation != self.generation() {
            return None;
        }
        self.hits.count();
        Some(value)
    }

    /// The entry of a key if it is inside any of its limits.
    pub(super) fn servable<Q>(&self, key: &Q) -> Option<Guard<Option<Arc<ValueEntry<T>>>>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let (cell, generation) = {
            let shard = self.shard(key);
            (self.find(&shard, key)?, self.generation())
        };
        if cell.generation == generation {
            cell.servable()
        } else {
            None
        }
    }

    /// Forgets a key.
    pub(super) fn reset<Q>(&self, key: &Q)
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let (aloft, resident) = {
            let mut shard = self.shard(key);
            (shard.remove_entry(key), self.resident.remove(key))
        };
        if let Some((_, cell)) = &aloft {
            cell.empty().overtake();
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
            let old: Vec<_> = lock(shard)
                .extract_if(|_, cell| cell.generation < generation)
                .collect();
            for (key, cell) in old {
                self.throw_away(key, cell);
            }
        }
        for (key, _) in self.resident.iter() {
            discard(
                self.resident
                    .remove_if(&key, |resident| resident.cell.generation < generation),
            );
        }
    }

    /// Takes a cell down whose flight has ended.
    pub(super) fn land(&self, key: &K, cell: &ValueCell<T, E>) {
        let mut shard = self.shard(key);
        // It is aloft no more if `reset`, `set` or a call of the next generation came first. Then what it holds is not to
        // be seen, and the key's place may be another cell's.
        let is_aloft = shard.get(key).is_some_and(|aloft| ptr::eq(&**aloft, cell));
        // With the next flight it is to stay, or that one's callers would start a second beside it. It lands too.
        if !is_aloft || matches!(cell.rest(), Residency::Aloft) {
            return;
        }
        let given_up = shard
            .remove_entry(key)
            .map(|(key, cell)| self.place(key, cell));
        drop(shard);
        discard(given_up);
    }

    /// Makes a cell resident that is aloft no more, if it holds anything to be seen; under the lock of the key's shard.
    pub(super) fn place(&self, key: K, cell: Arc<ValueCell<T, E>>) -> GivenUp<K, T, E> {
        let mut given_up = GivenUp::default();
        // Read here, under the lock: a `reset_all` from now on comes to the cache after this cell.
        let generation = self.generation();
        match cell.rest() {
            Residency::Holding(weight) if cell.generation == generation => {
                let own = Arc::as_ptr(&cell);
                let resident = Resident { cell, weight };
                self.resident
                    .insert_with_lifecycle(key, resident, &mut given_up);
                // The cell itself is given up when it is heavier than a part, its key's former one when it is replaced.
                let is_evicted = |old: &Arc<ValueCell<T, E>>| {
                    !ptr::eq(Arc::as_ptr(old), own) && old.generation == generation
                };
                let evicted = given_up.0.iter().filter(|(_, old)| is_evicted(old));
                self.counters.evictions.add(evicted.count() as u64);
            }
            _ => {
                let former = self
                    .resident
                    .remove(&key)
                    .map(|(key, former)| (key, former.cell));
                given_up.0.extend(former);
                given_up.0.push((key, cell));
            }
        }
        given_up
    }

    pub(super) fn compute(&self, key: K, limit: Option<Duration>) -> Computation<T, E> {
        let compute = self
            .compute
            .as_deref()
            .expect("only the map's destructor takes it out");
        compute.compute(key, limit)
    }

    /// The cell of a key, which may be of an older generation.
    pub(super) fn find<Q>(&self, shard: &Shard<K, T, E>, key: &Q) -> Option<Arc<ValueCell<T, E>>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let aloft = shard
            .get(key)
            .filter(|cell| cell.generation == self.generation());
        aloft
            .cloned()
            .or_else(|| Some(self.resident.get(key)?.cell))
    }

    /// Makes a cell of this map.
    pub(super) fn make(
        &self,
        key: &K,
        source: Box<dyn ValueSource<T, E>>,
        generation: u64,
    ) -> ValueCell<T, E> {
        let identity = Identity {
            owner: self.id,
            hash: self.hasher.hash_one(key),
        };
        let (settings, counters) = (Arc::clone(&self.settings), Arc::clone(&self.counters));
        ValueCell::new(source, settings, counters, identity, generation)
    }

    /// Lets go of a cell that is aloft no more: its flight goes on for those who wait.
    pub(super) fn throw_away(&self, key: K, cell: Arc<ValueCell<T, E>>) {
        cell.empty().overtake();
        discard((key, cell));
    }

    /// What an entry weighs, at least one.
    pub(super) fn weigh(&self, key: &K, value: &T) -> Weight {
        let Some(weigh) = &self.weigh else {
            return Some(NonZeroU64::MIN);
        };
        match caught(|| weigh(key, value)) {
            Ok(told) => Some(NonZeroU64::new(told as u64).unwrap_or(NonZeroU64::MIN)),
            Err(panic) => {
                let lazy = self.name();
                log::tell(panic, |panic| {
                    tracing::error!(lazy, panic, "the weigher of a lazy map panicked");
                });
                None
            }
        }
    }

    /// Tells the user's hook of a computation that brought no value.
    pub(super) fn failed(&self, key: &K, error: &LazyError<E>) {
        if let Some(hook) = &self.on_error {
            hook(key, error);
        }
    }

    pub(super) fn generation(&self) -> u64 {
        self.generation.load(Ordering::SeqCst)
    }

    /// Locks a key's part of the cells that compute.
    pub(super) fn shard<Q: Hash + ?Sized>(&self, key: &Q) -> MutexGuard<'_, Shard<K, T, E>> {
        lock(&self.aloft[self.hasher.hash_one(key) as usize % SHARDS])
    }
}

impl<K, T, E> LongLived for Keys<K, T, E>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    T: Send + Sync + 'static,
    E: Send + Sync + 'static,
{
    type Stats = LazyStats;

    fn name(&self) -> Cow<'static, str> {
        self.settings.name().into()
    }

    fn stats(&self) -> LazyStats {
        Self::stats(self)
    }
}

impl<K, T, E> LivingLazy for Keys<K, T, E>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    T: Send + Sync + 'static,
    E: Send + Sync + 'static,
{
    fn reset(&self) {
        self.reset_all();
    }

    fn refresh(&self) -> bool {
        false
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

    pub(super) fn stats(&self) -> LazyStats {
        let state = if self.computing() > 0 {
            LazyState::Computing
        } else {
            LazyState::Empty
        };
        self.counters.read(
            self.hits.sum(),
            Served {
                state,
                age: None,
                fresh_for: None,
                is_map: true,
            },
        )
    }

    /// How many keys are being computed.
    pub(super) fn computing(&self) -> usize {
        self.aloft.iter().map(|shard| lock(shard).len()).sum()
    }

    /// Drops every computation: the map is going away.
    pub(super) fn close(&self) {
        for shard in &self.aloft {
            let cells = std::mem::take(&mut *lock(shard));
            cells.values().for_each(|cell| cell.close());
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

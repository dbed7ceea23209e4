//! What lives long and has worked at least once: pools, lazy values, hedges, registries of background tasks.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use super::identity::{WorkId, take_numbers};

/// A thing that lives long, as those see it who look around.
pub(crate) trait LongLived: Send + Sync {
    type Stats;
    /// The given name, else the place that made it.
    fn name(&self) -> Cow<'static, str>;
    fn stats(&self) -> Self::Stats;
}

/// The things of one kind that are alive, in the order of their first work.
pub(crate) struct Census<T: ?Sized>(Mutex<BTreeMap<WorkId, Weak<T>>>);

impl<T: ?Sized> Census<T> {
    pub(crate) const fn new() -> Self {
        Self(Mutex::new(BTreeMap::new()))
    }

    /// Takes a thing in, until the entry is dropped.
    pub(crate) fn enter(&'static self, thing: Weak<T>) -> CensusEntry<T> {
        let id = WorkId(take_numbers(1));
        self.lock().insert(id, thing);
        CensusEntry { id, census: self }
    }

    /// All of them. None is dropped under the lock: the last use of a thing may be ours.
    pub(crate) fn all(&self) -> Vec<(WorkId, Arc<T>)> {
        self.lock()
            .iter()
            .filter_map(|(id, thing)| Some((*id, thing.upgrade()?)))
            .collect()
    }

    pub(crate) fn get(&self, id: WorkId) -> Option<Arc<T>> {
        self.lock().get(&id)?.upgrade()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<WorkId, Weak<T>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A thing is on the list of the living, until this is dropped.
pub(crate) struct CensusEntry<T: ?Sized + 'static> {
    id: WorkId,
    census: &'static Census<T>,
}

impl<T: ?Sized> Drop for CensusEntry<T> {
    fn drop(&mut self) {
        self.census.lock().remove(&self.id);
    }
}

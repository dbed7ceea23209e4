//! Lazy values and maps as those see them who look around.

use std::{borrow::Cow, sync::Arc};

use super::{
    call::{LazyCall, Site},
    cell::{Entrance, ValueCell, Visit},
    runtime::Runtime,
    shortcut::Shortcuts,
    stats::LazyStats,
};
use crate::work::alive::{Census, CensusEntry, LongLived};

/// The lazy values and maps that are alive and have computed.
pub(crate) static ALIVE: Census<dyn LivingLazy> = Census::new();

/// A lazy value or a map of them.
pub(crate) trait LivingLazy: LongLived<Stats = LazyStats> {
    fn reset(&self);

    /// False if it is a map, or if there is no runtime.
    fn refresh(&self) -> bool;
}

/// A place on the list of the living.
pub(super) struct Alive {
    _entry: CensusEntry<dyn LivingLazy>,
    _living: Arc<dyn LivingLazy>,
}

impl Alive {
    pub(super) fn new(living: Arc<dyn LivingLazy>) -> Self {
        Self {
            _entry: ALIVE.enter(Arc::downgrade(&living)),
            _living: living,
        }
    }

    pub(super) fn of_value<T, E>(
        cell: &Arc<ValueCell<T, E>>,
        shortcuts: &Arc<dyn Shortcuts<T>>,
    ) -> Self
    where
        T: Send + Sync + 'static,
        E: Send + Sync + 'static,
    {
        Self::new(Arc::new(Value {
            cell: Arc::clone(cell),
            shortcuts: Arc::clone(shortcuts),
        }))
    }
}

struct Value<T, E> {
    cell: Arc<ValueCell<T, E>>,
    shortcuts: Arc<dyn Shortcuts<T>>,
}

impl<T: Send + Sync + 'static, E: Send + Sync + 'static> LongLived for Value<T, E> {
    type Stats = LazyStats;

    fn name(&self) -> Cow<'static, str> {
        self.cell.name().into()
    }

    fn stats(&self) -> LazyStats {
        self.cell.stats(self.shortcuts.hits())
    }
}

impl<T: Send + Sync + 'static, E: Send + Sync + 'static> LivingLazy for Value<T, E> {
    fn reset(&self) {
        self.cell.empty().overtake();
    }

    fn refresh(&self) -> bool {
        let Some(runtime) = Runtime::try_current().ok() else {
            return false;
        };
        let site = Refreshed(Arc::clone(&self.cell));
        runtime.spawn(async move {
            // What became of it is in the statistics, and a failure that nobody waited for in the log.
            let _ = LazyCall::<_, _, _, true>::new(site).await;
        });
        true
    }
}

/// A cell whose value is computed anew, on behalf of nobody who keeps it.
struct Refreshed<T, E>(Arc<ValueCell<T, E>>);

impl<T: Send + Sync + 'static, E: Send + Sync + 'static> Site<T, E> for Refreshed<T, E> {
    fn fresh(&self) -> Option<Arc<T>> {
        None
    }

    fn enter(&self, visit: Visit) -> (Arc<ValueCell<T, E>>, Entrance<T, E>) {
        let (entrance, leftover) = self.0.enter(visit);
        leftover.discard();
        (Arc::clone(&self.0), entrance)
    }
}

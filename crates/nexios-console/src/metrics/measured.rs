//! Work that lives, as far as its numbers need it.

use std::{
    collections::HashMap,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

use nexios::{
    CancelReason,
    observe::{WorkId, WorkKind},
};

use super::{attempt::Attempt, label::Value};

/// Pieces of work at a time, about 10 MB; those beyond are not measured.
const MOST: usize = 65_536;
const PARTS: usize = 16;
/// Pieces of work that each part always has room for.
const ROOM: usize = 64;

/// One piece of live work.
pub(super) struct Measured {
    pub(super) kind: WorkKind,
    /// Its name as a label: of a pool job the pool's, of a computation that of its value, of an attempt its own.
    pub(super) name: Value,
    /// What it is told beside: the group that it is in, or the race.
    pub(super) within: Value,
    pub(super) made: Instant,
    pub(super) started: Option<Instant>,
    pub(super) cancelled: Option<(Instant, CancelReason)>,
    /// Of a group: how many children it had.
    pub(super) count: u32,
    /// An attempt after the first of its call. Its label may be `_other`.
    pub(super) hedges: bool,
    /// Of a background task.
    pub(super) attempt: Attempt,
}

/// All live work, in parts, so that threads seldom meet.
#[derive(Default)]
pub(super) struct Live {
    parts: [Mutex<HashMap<WorkId, Measured>>; PARTS],
    /// Relaxed: a bound that a few may pass.
    len: AtomicUsize,
}

impl Live {
    /// False if there are too many.
    pub(super) fn insert(&self, id: WorkId, work: Measured) -> bool {
        if self.len.load(Ordering::Relaxed) >= MOST {
            return false;
        }
        if self.part(id).insert(id, work).is_none() {
            self.len.fetch_add(1, Ordering::Relaxed);
        }
        true
    }

    pub(super) fn remove(&self, id: WorkId) -> Option<Measured> {
        let mut part = self.part(id);
        let work = part.remove(&id)?;
        // A crowd that is gone leaves no room behind; half of it stays free, so that this is seldom.
        if part.capacity() > ROOM && part.len() * 4 < part.capacity() {
            let room = part.len() * 2;
            part.shrink_to(room);
        }
        drop(part);
        self.len.fetch_sub(1, Ordering::Relaxed);
        Some(work)
    }

    /// Looks at one, or changes it; nothing else may be done in there.
    pub(super) fn with<T>(&self, id: WorkId, f: impl FnOnce(&mut Measured) -> T) -> Option<T> {
        self.part(id).get_mut(&id).map(f)
    }

    /// Shows each of them, under the lock of its part: for counting.
    pub(super) fn each(&self, mut see: impl FnMut(WorkId, &Measured)) {
        for part in &self.parts {
            let part = part.lock().unwrap_or_else(PoisonError::into_inner);
            part.iter().for_each(|(id, work)| see(*id, work));
        }
    }

    fn part(&self, id: WorkId) -> MutexGuard<'_, HashMap<WorkId, Measured>> {
        // A map is whole after every single step.
        self.parts[id.0 as usize % PARTS]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

//! Work that lives.
//!
//! In many parts with a lock each, found by the work's number. Whoever holds one lock takes no other, and holds it for as long
//! as it takes to copy some records at most: the bound on memory bounds that too.

use std::{
    collections::HashMap,
    panic::Location,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use nexios::{
    CancelReason,
    observe::{Work, WorkId, WorkKind},
};

use super::{
    memory::Memory,
    moment::Moment,
    span::{End, Span},
    text::{LINE, NAME, bounded},
    tree::Tree,
};
use crate::model::State;

/// A power of two; with 8 MiB a part has some hundred records at most.
const PARTS: usize = 64;

/// A piece of live work.
#[derive(Debug, Clone)]
pub(super) struct Live {
    pub(super) parent: Option<WorkId>,
    pub(super) link: Option<WorkId>,
    pub(super) kind: WorkKind,
    pub(super) name: Box<str>,
    pub(super) owner: Option<Box<str>>,
    pub(super) made_at: Option<&'static Location<'static>>,
    pub(super) made: Moment,
    pub(super) started: Option<Moment>,
    pub(super) cancelling: Option<(CancelReason, Moment)>,
    /// For a lazy value.
    pub(super) waiting: Option<Wait>,
    pub(super) progress: Option<(u64, u64)>,
    pub(super) message: Option<Box<str>>,
    pub(super) attempt: u32,
    /// Of the attempt or the run before.
    pub(super) last_error: Option<Box<str>>,
    /// Of a schedule.
    pub(super) next_run_unix_ms: Option<u64>,
    /// The process waits for it, its parent does not.
    pub(super) adopted: bool,
    /// Of the request that it is, or is part of.
    pub(super) tree: Option<Arc<Tree>>,
}

/// A wait for a lazy value.
#[derive(Debug, Clone)]
pub(super) struct Wait {
    pub(super) name: Box<str>,
    /// The computation.
    on: Option<WorkId>,
    pub(super) since: Moment,
}

impl Wait {
    /// A bar under the work that waits; none where the computation is not known.
    pub(super) fn into_span(self, waiter: WorkId, ended: Option<Moment>, end: End) -> Option<Span> {
        Some(Span {
            id: self.on?,
            parent: Some(waiter),
            kind: WorkKind::Computation,
            name: self.name,
            owner: None,
            made: self.since,
            started: None,
            ended,
            end,
        })
    }
}

impl Live {
    pub(super) fn new(kind: WorkKind, name: &str, made: Moment) -> Self {
        Self {
            parent: None,
            link: None,
            kind,
            name: bounded(name, NAME),
            owner: None,
            made_at: None,
            made,
            started: None,
            cancelling: None,
            waiting: None,
            progress: None,
            message: None,
            attempt: 1,
            last_error: None,
            next_run_unix_ms: None,
            adopted: false,
            tree: None,
        }
    }

    pub(super) fn made(work: &Work<'_>, made: Moment) -> Self {
        Self {
            parent: work.parent,
            link: work.link,
            owner: work.owner.map(|owner| bounded(owner, NAME)),
            made_at: work.made_at,
            ..Self::new(work.kind, work.name, made)
        }
    }

    pub(super) fn say(&mut self, message: &str) {
        self.message = Some(bounded(message, LINE));
    }

    pub(super) fn wait_for(&mut self, name: &str, on: Option<WorkId>, since: Moment) {
        let name = bounded(name, NAME);
        self.waiting = Some(Wait { name, on, since });
    }

    /// The wait that goes on, as a part of the request beside the work that waits.
    pub(super) fn open_wait(&self, id: WorkId) -> Option<Span> {
        let end = End {
            state: State::Waiting,
            reason: None,
            error: None,
        };
        self.waiting.as_ref()?.clone().into_span(id, None, end)
    }

    pub(super) fn state(&self) -> State {
        if self.cancelling.is_some() {
            State::Cancelling
        } else if self.started.is_none() || self.waiting.is_some() {
            State::Waiting
        } else {
            State::Running
        }
    }

    /// The request that it is, or is part of.
    pub(super) fn request(&self) -> Option<WorkId> {
        self.tree.as_ref().map(|tree| tree.root)
    }

    /// Who holds it, as the list of live work shows it.
    pub(super) fn holder(&self) -> Option<WorkId> {
        self.parent.filter(|_| !self.adopted)
    }

    /// What is kept of it once it has ended.
    pub(super) fn into_span(self, id: WorkId, end: End, ended: Moment) -> Span {
        Span {
            ended: Some(ended),
            ..self.into_open_span(id, end)
        }
    }

    /// What there is of it so far.
    pub(super) fn into_living_span(self, id: WorkId) -> Span {
        let end = End {
            state: self.state(),
            reason: self.cancelling.map(|(reason, _)| reason),
            error: None,
        };
        self.into_open_span(id, end)
    }

    fn into_open_span(self, id: WorkId, end: End) -> Span {
        Span {
            id,
            parent: self.parent,
            kind: self.kind,
            name: self.name,
            owner: self.owner,
            made: self.made,
            started: self.started,
            ended: None,
            end,
        }
    }

    /// With its place in the map, which is at most two thirds empty.
    pub(super) fn bytes(&self) -> usize {
        let waiting = self.waiting.as_ref().map(|wait| &wait.name);
        let (message, error) = (self.message.as_ref(), self.last_error.as_ref());
        let texts = [self.owner.as_ref(), waiting, message, error];
        let texts: usize = texts.into_iter().flatten().map(|text| text.len()).sum();
        size_of::<Self>() + 3 * size_of::<(WorkId, Box<Self>)>() + self.name.len() + texts
    }
}

/// In boxes, so that a part that grows moves little under its lock.
type Part = HashMap<WorkId, Box<Live>>;

#[derive(Debug)]
pub(super) struct Lives {
    parts: Box<[Mutex<Part>]>,
    memory: Arc<Memory>,
}

impl Lives {
    pub(super) fn new(memory: Arc<Memory>) -> Self {
        Self {
            parts: (0..PARTS).map(|_| Mutex::default()).collect(),
            memory,
        }
    }

    pub(super) fn insert(&self, id: WorkId, live: Box<Live>) {
        self.memory.take_live(live.bytes());
        let replaced = self.part(id).insert(id, live);
        // Numbers are unique, but those who feed us are not ours alone.
        if let Some(replaced) = replaced {
            self.memory.give_back_live(replaced.bytes());
        }
    }

    pub(super) fn remove(&self, id: WorkId) -> Option<Box<Live>> {
        let live = {
            let mut part = self.part(id);
            let live = part.remove(&id)?;
            // After a crowd has left. A quarter, so that growing and shrinking do not take turns.
            if part.capacity() > 64 && part.len() < part.capacity() / 4 {
                let keep = part.len() * 2;
                part.shrink_to(keep);
            }
            live
        };
        self.memory.give_back_live(live.bytes());
        Some(live)
    }

    /// Changes a record, if the work lives.
    pub(super) fn update(&self, id: WorkId, change: impl FnOnce(&mut Live)) {
        let mut part = self.part(id);
        let Some(live) = part.get_mut(&id) else {
            return;
        };
        let before = live.bytes();
        change(live);
        let after = live.bytes();
        drop(part);
        if after >= before {
            self.memory.take_live(after - before);
        } else {
            self.memory.give_back_live(before - after);
        }
    }

    /// Looks at one record, under its lock.
    pub(super) fn look<R>(&self, id: WorkId, look: impl FnOnce(&Live) -> R) -> Option<R> {
        self.part(id).get(&id).map(|live| look(live))
    }

    /// Copies of those that `wanted` says yes to, in no order.
    pub(super) fn copies(
        &self,
        mut wanted: impl FnMut(WorkId, &Live) -> bool,
    ) -> Vec<(WorkId, Live)> {
        let mut copies = Vec::new();
        for part in &self.parts {
            let part = lock(part);
            copies.extend(
                part.iter()
                    .filter(|(id, live)| wanted(**id, live))
                    .map(|(id, live)| (*id, (**live).clone())),
            );
        }
        copies
    }

    /// Shows every record, under the lock of its part: for counting.
    pub(super) fn each(&self, mut see: impl FnMut(WorkId, &Live)) {
        for part in &self.parts {
            lock(part).iter().for_each(|(id, live)| see(*id, live));
        }
    }

    fn part(&self, id: WorkId) -> MutexGuard<'_, Part> {
        lock(&self.parts[id.0 as usize % PARTS])
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing of others runs under it, so what a panic left is whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

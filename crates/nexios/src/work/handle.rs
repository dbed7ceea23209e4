//! Work that somebody was told of, and who that was.

use std::sync::Arc;

use super::{
    identity::{Work, WorkId},
    observers::Observers,
    outcome::{Outcome, Update},
};

#[derive(Clone)]
pub(super) struct Handle {
    id: WorkId,
    observers: Arc<Observers>,
}

impl Handle {
    pub(super) fn new(id: WorkId, observers: Arc<Observers>) -> Self {
        Self { id, observers }
    }

    pub(super) fn id(&self) -> WorkId {
        self.id
    }

    pub(super) fn make(&self, work: &Work<'_>) {
        self.observers.tell(|observer| observer.made(work));
    }

    pub(super) fn start(&self) {
        self.observers.tell(|observer| observer.started(self.id));
    }

    pub(super) fn update(&self, update: &Update<'_>) {
        self.observers
            .tell(|observer| observer.updated(self.id, update));
    }

    pub(super) fn end(&self, outcome: &Outcome<'_>) {
        self.observers
            .tell(|observer| observer.ended(self.id, outcome));
    }
}

//! The store by what it is told and what it shows.

mod bounds;
mod earlier;
mod pages;
mod programs;
mod request;
mod retention;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use nexios::observe::{Observer, Outcome, Update, WorkId, WorkKind};
use tokio::time::advance;

use super::{
    Store,
    live::Live,
    text::{NAME, bounded},
};

/// Tells a store of work.
pub(crate) struct Feed {
    pub(crate) store: Arc<Store>,
    next: AtomicU64,
}

impl Feed {
    pub(crate) fn new(memory: usize) -> Self {
        let mut store = Store::new(memory);
        store.clock.set(Duration::from_millis(1_795_348_288_123));
        Self {
            store: Arc::new(store),
            next: AtomicU64::new(1),
        }
    }

    pub(crate) fn made(&self, kind: WorkKind, name: &str, parent: Option<WorkId>) -> WorkId {
        let id = WorkId(self.next.fetch_add(1, Ordering::Relaxed));
        let live = Live {
            parent,
            ..Live::new(kind, name, self.store.clock.now())
        };
        self.store.make(id, live);
        id
    }

    pub(crate) fn started(&self, kind: WorkKind, name: &str, parent: Option<WorkId>) -> WorkId {
        let id = self.made(kind, name, parent);
        self.store.started(id);
        id
    }

    pub(crate) fn request(&self, route: &str) -> WorkId {
        self.started(WorkKind::Request, route, None)
    }

    pub(crate) fn owned(
        &self,
        kind: WorkKind,
        name: &str,
        owner: &str,
        parent: Option<WorkId>,
    ) -> WorkId {
        let id = WorkId(self.next.fetch_add(1, Ordering::Relaxed));
        let live = Live {
            parent,
            owner: Some(bounded(owner, NAME)),
            ..Live::new(kind, name, self.store.clock.now())
        };
        self.store.make(id, live);
        id
    }

    pub(crate) fn say(&self, id: WorkId, name: &str, value: &str) {
        self.store.updated(id, &Update::Attribute { name, value });
    }

    pub(crate) fn end(&self, id: WorkId, outcome: &Outcome<'_>) {
        self.store.ended(id, outcome);
    }

    /// A request that takes so long.
    async fn answered(&self, route: &str, took: Duration, outcome: &Outcome<'_>) -> WorkId {
        let id = self.request(route);
        advance(took).await;
        self.end(id, outcome);
        id
    }
}

const MEBIBYTE: usize = 1 << 20;

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

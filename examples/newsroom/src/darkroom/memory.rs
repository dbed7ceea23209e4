//! The memory in which pictures are decoded.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use crate::thumbnail::MOST_MEMORY;

/// Memory is taken in pieces of this size.
const UNIT: u64 = 1_000_000;

/// What is kept for pictures of usual size while the largest one is decoded: the one of a phone takes about 40 MB.
const BESIDE_THE_LARGEST: u64 = 64_000_000;

/// So many bytes for all pictures that are decoded or wait for a thread, each with as many as its header told.
///
/// Those that need more than is kept beside the largest one go one by one: whatever comes, there is room for the
/// others.
pub(super) struct Memory {
    all: Arc<Semaphore>,
    large: Arc<Semaphore>,
    /// How many pictures wait for some of it.
    waiting: AtomicUsize,
}

/// Memory that was taken; it is free again when this is dropped.
pub(super) struct Taken {
    _memory: OwnedSemaphorePermit,
    _turn_of_the_large: Option<OwnedSemaphorePermit>,
}

impl Memory {
    pub(super) fn new() -> Self {
        Memory {
            all: Arc::new(Semaphore::new(
                units(MOST_MEMORY + BESIDE_THE_LARGEST) as usize
            )),
            large: Arc::new(Semaphore::new(1)),
            waiting: AtomicUsize::new(0),
        }
    }

    /// Takes memory, in the order of arrival; `None` when there is none in time.
    pub(super) async fn take(&self, bytes: u64, limit: Duration) -> Option<Taken> {
        let _waiting = Waiting::of(&self.waiting);
        let taking = async {
            let turn = if bytes > BESIDE_THE_LARGEST {
                Some(self.large.clone().acquire_owned().await.ok()?)
            } else {
                None
            };
            let memory = self
                .all
                .clone()
                .acquire_many_owned(units(bytes))
                .await
                .ok()?;
            Some(Taken {
                _memory: memory,
                _turn_of_the_large: turn,
            })
        };
        timeout(limit, taking).await.ok()?
    }

    pub(super) fn waiting(&self) -> usize {
        // Relaxed, here and below: a number to look at; nobody synchronises through it.
        self.waiting.load(Ordering::Relaxed)
    }

    pub(super) fn taken_mb(&self) -> usize {
        units(MOST_MEMORY + BESIDE_THE_LARGEST) as usize - self.all.available_permits()
    }
}

fn units(bytes: u64) -> u32 {
    u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX)
}

/// Counts for as long as it lives.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn of(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Waiting(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

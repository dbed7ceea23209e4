//! How much the store holds, in bytes, and how much it may.

use std::sync::atomic::{AtomicUsize, Ordering};

// Relaxed throughout: a sum; who is a moment late lets go a moment later.
#[derive(Debug)]
pub(super) struct Memory {
    used: AtomicUsize,
    /// The part of `used` that is live work.
    live: AtomicUsize,
    limit: usize,
}

impl Memory {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            used: AtomicUsize::new(0),
            live: AtomicUsize::new(0),
            limit,
        }
    }

    pub(super) fn take(&self, bytes: usize) {
        self.used.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn give_back(&self, bytes: usize) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }

    pub(super) fn take_live(&self, bytes: usize) {
        self.live.fetch_add(bytes, Ordering::Relaxed);
        self.take(bytes);
    }

    pub(super) fn give_back_live(&self, bytes: usize) {
        self.live.fetch_sub(bytes, Ordering::Relaxed);
        self.give_back(bytes);
    }

    /// Whether more live work may be taken in: it has half, so that no crowd of it pushes out all that was kept.
    pub(super) fn has_room_for_live(&self) -> bool {
        self.live.load(Ordering::Relaxed) < self.limit / 2
    }

    pub(super) fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    #[cfg(test)]
    pub(super) fn live(&self) -> usize {
        self.live.load(Ordering::Relaxed)
    }

    pub(super) fn limit(&self) -> usize {
        self.limit
    }
}

//! Computations that would wait for themselves.
//!
//! Two looks find them. The chain of starters, known to the thread that polls, says whose computation started
//! the one that runs here. The list of waits, one for the process, has an edge for every call made inside a
//! computation; it finds circles whose flights were started independently. Neither sees through spawned tasks
//! or pool closures.

use std::{
    cell::RefCell,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use crate::sync::thread_local;

thread_local! {
    #[allow(clippy::missing_const_for_thread_local, reason = "the model checker's macro takes no const block")]
    /// The computation that this thread is polling.
    static RUNNING: RefCell<Option<Arc<Link>>> = RefCell::new(None);
}

// The standard library's types even under the model checker, because statics outlive one of its runs.
static NEXT_ID: AtomicU64 = AtomicU64::new(1);
static WAITS: Mutex<Vec<Edge>> = Mutex::new(Vec::new());

/// A number that no other cell, flight or entry of the process has.
pub(super) fn next_id() -> u64 {
    // Relaxed: only the number matters; zero is nobody's.
    NEXT_ID.fetch_add(1, Ordering::Relaxed)
}

/// What a cell is known by: a number of the process, and for a key of a map its hash.
///
/// A key's cell may be thrown away and made again while the first one's computation runs, so the cell's
/// address or a number of its own would not find a computation that resets its key and asks again. Two keys
/// of one map with the same 64-bit hash (of randomly keyed SipHash) are taken for one, which matters only if
/// the computation of one asks for the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) owner: u64,
    pub(super) hash: u64,
}

impl Identity {
    /// A cell that has no key.
    pub(super) fn alone() -> Self {
        Self { owner: next_id(), hash: 0 }
    }
}

/// A computation, with the one that started it and waits for it.
pub(super) struct Link {
    cell: Identity,
    flight: u64,
    starter: Option<Arc<Link>>,
}

impl Link {
    /// The computation that this code is part of.
    pub(super) fn current() -> Option<Arc<Self>> {
        RUNNING.try_with(|running| running.borrow().clone()).ok().flatten()
    }

    pub(super) fn new(cell: Identity, flight: u64, starter: Option<Arc<Self>>) -> Arc<Self> {
        Arc::new(Self { cell, flight, starter })
    }

    /// Runs `f` as part of this computation.
    pub(super) fn enter<R>(self: &Arc<Self>, f: impl FnOnce() -> R) -> R {
        let outer = RUNNING.with(|running| running.replace(Some(Arc::clone(self))));
        let _restore = Restore(outer);
        f()
    }

    /// True when this computation, or one that waits for it along the chain of starters, is of the cell.
    pub(super) fn includes(&self, cell: Identity) -> bool {
        std::iter::successors(Some(self), |link| link.starter.as_deref()).any(|link| link.cell == cell)
    }

    /// Notes that this computation waits for `flight`; `None` when that would close a circle.
    pub(super) fn wait_for(&self, flight: u64) -> Option<Wait> {
        let edge = Edge { from: self.flight, to: flight };
        let mut waits = lock();
        if reaches(&waits, edge.to, edge.from) {
            return None;
        }
        waits.push(edge);
        Some(Wait { edge })
    }
}

/// Puts back the computation that was polled around this one, on a panic too.
struct Restore(Option<Arc<Link>>);

impl Drop for Restore {
    fn drop(&mut self) {
        let inner = RUNNING.with(|running| running.replace(self.0.take()));
        drop(inner);
    }
}

/// The flight `from` waits for the flight `to`.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Edge {
    from: u64,
    to: u64,
}

/// A wait of one computation for another flight; it lasts until this is dropped.
pub(super) struct Wait {
    edge: Edge,
}

impl Drop for Wait {
    fn drop(&mut self) {
        let mut waits = lock();
        if let Some(index) = waits.iter().position(|edge| *edge == self.edge) {
            waits.swap_remove(index);
        }
    }
}

/// True when `start` is `goal`, or waits for it through any number of others.
fn reaches(waits: &[Edge], start: u64, goal: u64) -> bool {
    let mut found = vec![start];
    let mut looked_at = 0;
    while let Some(&flight) = found.get(looked_at) {
        if flight == goal {
            return true;
        }
        looked_at += 1;
        for edge in waits.iter().filter(|edge| edge.from == flight) {
            if !found.contains(&edge.to) {
                found.push(edge.to);
            }
        }
    }
    false
}

fn lock() -> MutexGuard<'static, Vec<Edge>> {
    // No user code runs under this lock; a poisoned list is still whole.
    WAITS.lock().unwrap_or_else(PoisonError::into_inner)
}

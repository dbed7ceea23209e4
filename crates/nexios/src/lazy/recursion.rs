//! Computations that would wait for themselves.
//!
//! A call inside a computation that has to wait is an edge from that computation's flight to the flight that it waits
//! for. A new edge must not close a circle, and a computation must not wait for another flight of a cell that waits for
//! it: one that resets its cell and asks again would go on for ever. Neither is seen through spawned tasks or pool
//! closures.

use std::{
    cell::Cell,
    collections::{BTreeSet, HashSet},
    ops::Bound,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use crate::sync::thread_local;

thread_local! {
    #[allow(clippy::missing_const_for_thread_local, reason = "the model checker's macro takes no const block")]
    /// The computation that this thread is polling.
    static RUNNING: Cell<Option<FlightId>> = Cell::new(None);
}

// The standard library's types even under the model checker, because statics outlive one of its runs.
static NEXT_ID: AtomicU64 = AtomicU64::new(1);
static WAITS: Mutex<Waits> = Mutex::new(Waits {
    forth: BTreeSet::new(),
    back: BTreeSet::new(),
});

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
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Identity {
    pub(super) owner: u64,
    pub(super) hash: u64,
}

impl Identity {
    /// A cell that has no key.
    pub(super) fn alone() -> Self {
        Self {
            owner: next_id(),
            hash: 0,
        }
    }
}

/// What a flight, and the computation that it runs, is known by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct FlightId {
    // The order of the fields makes the flights of one cell neighbours.
    cell: Identity,
    number: u64,
}

impl FlightId {
    pub(super) fn new(cell: Identity) -> Self {
        Self {
            cell,
            number: next_id(),
        }
    }

    /// The flight whose computation this code is part of.
    pub(super) fn current() -> Option<Self> {
        RUNNING.try_with(Cell::get).ok().flatten()
    }

    /// Runs `f` as part of this flight's computation.
    pub(super) fn enter<R>(self, f: impl FnOnce() -> R) -> R {
        let _restore = Restore(RUNNING.with(|running| running.replace(Some(self))));
        f()
    }

    /// True when this flight, or one that waits for it, is of the cell.
    pub(super) fn is_inside(self, cell: Identity) -> bool {
        self.cell == cell || {
            let waits = lock();
            waits
                .flights_of(cell)
                .any(|flight| waits.lead(flight, self))
        }
    }

    /// Notes that this flight's computation waits for `other`; `None` when that would close a circle.
    pub(super) fn wait_for(self, other: Self) -> Option<Wait> {
        let mut waits = lock();
        if waits.lead(other, self) {
            return None;
        }
        let wait = Wait {
            from: self,
            to: other,
            number: next_id(),
        };
        waits.forth.insert((self, other, wait.number));
        waits.back.insert((other, self, wait.number));
        Some(wait)
    }
}

/// Puts back the flight that was polled around this one, on a panic too.
struct Restore(Option<FlightId>);

impl Drop for Restore {
    fn drop(&mut self) {
        RUNNING.with(|running| running.set(self.0));
    }
}

/// A wait of one flight for another; it lasts until this is dropped.
pub(super) struct Wait {
    from: FlightId,
    to: FlightId,
    /// A flight may wait for another more than once.
    number: u64,
}

impl Drop for Wait {
    fn drop(&mut self) {
        let mut waits = lock();
        waits.forth.remove(&(self.from, self.to, self.number));
        waits.back.remove(&(self.to, self.from, self.number));
    }
}

/// Edges of a graph, in order.
type Edges = BTreeSet<(FlightId, FlightId, u64)>;

/// All waits of the process, from both ends.
struct Waits {
    /// Who waits, for whom.
    forth: Edges,
    /// Who is waited for, by whom.
    back: Edges,
}

impl Waits {
    /// The flights of a cell whose computations wait for something.
    fn flights_of(&self, cell: Identity) -> impl Iterator<Item = FlightId> {
        let mut last = FlightId { cell, number: 0 };
        std::iter::from_fn(move || {
            let after = Bound::Excluded((last, LAST, u64::MAX));
            let (next, ..) = *self.forth.range((after, Bound::Unbounded)).next()?;
            last = next;
            (next.cell == cell).then_some(next)
        })
    }

    /// True when `start` is `goal`, or waits for it through any number of others.
    ///
    /// The look is from both ends in turn, an edge at a time, so it is over as soon as either end knows no more: it costs
    /// little that a new flight waits for one with a long chain before it or for one that waits for many, and that the
    /// end of a long chain waits for a new one.
    fn lead(&self, start: FlightId, goal: FlightId) -> bool {
        if start == goal {
            return true;
        }
        let (mut before, mut behind) = (Search::from(start), Search::from(goal));
        loop {
            match before.step(&self.forth) {
                None => return false,
                Some(found) if found == goal => return true,
                Some(_) => {}
            }
            match behind.step(&self.back) {
                None => return false,
                Some(found) if found == start => return true,
                Some(_) => {}
            }
        }
    }
}

const LAST: FlightId = FlightId {
    cell: Identity {
        owner: u64::MAX,
        hash: u64::MAX,
    },
    number: u64::MAX,
};
const FIRST: FlightId = FlightId {
    cell: Identity { owner: 0, hash: 0 },
    number: 0,
};

/// A walk along edges to everything that can be reached.
struct Search {
    found: HashSet<FlightId>,
    /// Flights whose edges were not all followed, each with the last one that was.
    open: Vec<(FlightId, FlightId, u64)>,
}

impl Search {
    fn from(start: FlightId) -> Self {
        Self {
            found: HashSet::new(),
            open: vec![(start, FIRST, 0)],
        }
    }

    /// Follows one edge more, and gives its end; `None` when there is none.
    fn step(&mut self, edges: &Edges) -> Option<FlightId> {
        while let Some(last) = self.open.last_mut() {
            let rest = (
                Bound::Excluded(*last),
                Bound::Included((last.0, LAST, u64::MAX)),
            );
            let Some(&edge) = edges.range(rest).next() else {
                self.open.pop();
                continue;
            };
            *last = edge;
            let (_, neighbour, _) = edge;
            if self.found.insert(neighbour) {
                self.open.push((neighbour, FIRST, 0));
            }
            return Some(neighbour);
        }
        None
    }
}

fn lock() -> MutexGuard<'static, Waits> {
    // No user code runs under this lock; a poisoned list is still whole.
    WAITS.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flights(count: usize) -> Vec<FlightId> {
        (0..count)
            .map(|_| FlightId::new(Identity::alone()))
            .collect()
    }

    /// All of `flights` are of cells of their own.
    fn chain(flights: &[FlightId]) -> Vec<Wait> {
        flights
            .windows(2)
            .map(|pair| pair[0].wait_for(pair[1]).expect("it closes no circle"))
            .collect()
    }

    #[test]
    fn a_circle_of_any_length_is_found_until_a_wait_of_it_ends() {
        for length in [1, 2, 3, 100] {
            let flights = flights(length);
            let mut waits = chain(&flights);
            let (first, last) = (flights[0], flights[length - 1]);
            assert!(last.wait_for(first).is_none() && last.is_inside(first.cell));
            if waits.pop().is_some() {
                assert!(last.wait_for(first).is_some() && !last.is_inside(first.cell));
            }
        }
    }

    #[test]
    fn a_flight_that_waits_twice_waits_until_both_waits_end() {
        let flights = flights(2);
        let first = flights[0].wait_for(flights[1]);
        let second = flights[0].wait_for(flights[1]);
        drop(first);
        assert!(flights[1].wait_for(flights[0]).is_none());
        drop(second);
        assert!(flights[1].wait_for(flights[0]).is_some());
    }

    #[test]
    fn every_flight_of_a_cell_counts() {
        let cell = Identity::alone();
        let (overtaken, current) = (FlightId::new(cell), FlightId::new(cell));
        let others = flights(2);
        let _first = overtaken.wait_for(others[0]).unwrap();
        let _second = current.wait_for(others[1]).unwrap();
        assert!(others.iter().all(|other| other.is_inside(cell)));
        assert!(!flights(1)[0].is_inside(cell));
    }
}

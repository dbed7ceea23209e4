//! Generations of a lazy value: what a call may see of computations and changes that overlap with it.
//!
//! Computations run as tasks of the model checker (tokio's runtime is not modelled). The cell's and the
//! flights' locks and the cell's edition are the model checker's; the pointer that is swapped under the
//! cell's lock, the waker of a computation's task and the cache behind a map take one step each. There is no
//! clock: a limit of a nanosecond has always passed by the next look, one of zero keeps nothing.

use std::{
    sync::{
        Arc,
        // Not the model checker's: what is seen here adds no steps to the schedules.
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use nexios::{AsyncLazy, AsyncLazyMap, LazyError};
use shuttle::{future::block_on, thread};

use crate::check::{check, poll_once};

type Cell = AsyncLazy<usize, ()>;

/// Values from here on were set, those below are the number of their computation.
const SET: usize = 100;

/// Numbers computations as they begin, and counts those that exist.
#[derive(Clone, Default)]
struct Numbers {
    begun: Arc<AtomicUsize>,
    alive: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
}

struct Alive(Numbers);

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.alive.fetch_sub(1, SeqCst);
    }
}

impl Numbers {
    /// A computation that is woken once before it is ready.
    fn compute(&self) -> impl Future<Output = Result<usize, ()>> + Send + use<> {
        let number = self.begun.fetch_add(1, SeqCst) + 1;
        self.most
            .fetch_max(self.alive.fetch_add(1, SeqCst) + 1, SeqCst);
        let alive = Alive(self.clone());
        async move {
            shuttle::future::yield_now().await;
            drop(alive);
            Ok(number)
        }
    }

    fn begun(&self) -> usize {
        self.begun.load(SeqCst)
    }

    fn cell(&self) -> Arc<Cell> {
        let numbers = self.clone();
        Arc::new(AsyncLazy::new(move || numbers.compute()))
    }

    fn map(&self, capacity: usize) -> Arc<AsyncLazyMap<u8, usize, ()>> {
        let numbers = self.clone();
        Arc::new(AsyncLazyMap::new(capacity, move |_| numbers.compute()))
    }

    /// Lets the tasks of dropped computations end, then checks that all are gone.
    fn all_gone(&self) {
        self.wait_until(
            "a computation lives on without anybody who wants it",
            || self.alive.load(SeqCst) == 0,
        );
    }

    /// Drops what computes, and lets its tasks end: a schedule that ends before them drops them where no lock
    /// works.
    fn end<O>(&self, owner: O) {
        drop(owner);
        // The cells hold the rest, and each task holds its cell.
        self.wait_until("a task does not end", || {
            Arc::strong_count(&self.begun) == 1
        });
    }

    fn wait_until(&self, or_else: &str, condition: impl Fn() -> bool) {
        for _ in 0..1_000 {
            if condition() {
                return;
            }
            thread::yield_now();
        }
        panic!("{or_else}");
    }
}

fn get(cell: &Cell) -> usize {
    *block_on(cell.get()).expect("no computation fails")
}

#[test]
fn a_get_after_a_reset_never_sees_an_older_computation() {
    check(|| {
        let numbers = Numbers::default();
        let cell = numbers.cell();
        let other = thread::spawn({
            let cell = cell.clone();
            move || get(&cell)
        });
        let before = numbers.begun();
        cell.reset();
        let value = get(&cell);
        assert!(
            value > before,
            "{value} began before the reset, as one of {before}"
        );
        other.join().expect("no panic");
        // What is there now is the newer one, whichever ended last.
        let kept = cell.peek().map(|value| *value);
        assert!(kept.is_some_and(|kept| kept > before));
        numbers.all_gone();
        numbers.end(cell);
    });
}

#[test]
fn a_late_completion_overwrites_no_set_value() {
    check(|| {
        let numbers = Numbers::default();
        let cell = numbers.cell();
        let other = thread::spawn({
            let cell = cell.clone();
            move || get(&cell)
        });
        cell.set(SET);
        assert_eq!(get(&cell), SET);
        let seen = other.join().expect("no panic");
        assert!(seen == SET || seen == 1, "{seen}");
        numbers.all_gone();
        assert_eq!(cell.peek().as_deref(), Some(&SET));
        numbers.end(cell);
    });
}

#[test]
fn a_refresh_and_gets_share_a_computation() {
    check(|| {
        let numbers = Numbers::default();
        let cell = numbers.cell();
        cell.set(SET);
        let refreshes: Vec<_> = (0..2)
            .map(|_| {
                let cell = cell.clone();
                thread::spawn(move || *block_on(cell.refresh()).expect("no computation fails"))
            })
            .collect();
        let seen = get(&cell);
        let brought: Vec<_> = refreshes
            .into_iter()
            .map(|refresh| refresh.join().expect("no panic"))
            .collect();
        assert!(
            brought.iter().all(|value| *value < SET),
            "{brought:?}: a refresh computes"
        );
        assert!(seen == SET || brought.contains(&seen));
        assert_eq!(numbers.most.load(SeqCst), 1, "one at a time");
        assert_eq!(get(&cell), numbers.begun(), "the last one stays");
        numbers.end(cell);
    });
}

#[test]
fn reset_during_a_refresh_is_not_undone() {
    check(|| {
        let numbers = Numbers::default();
        let cell = numbers.cell();
        cell.set(SET);
        let refresh = thread::spawn({
            let cell = cell.clone();
            move || *block_on(cell.refresh()).expect("no computation fails")
        });
        let before = numbers.begun();
        cell.reset();
        let kept = cell.peek().map(|value| *value);
        assert!(
            kept.is_none_or(|kept| kept > before && kept != SET),
            "{kept:?} after a reset"
        );
        let value = refresh.join().expect("no panic");
        assert!(value > 0 && value < SET);
        assert_ne!(cell.peek().as_deref(), Some(&SET));
        numbers.all_gone();
        numbers.end(cell);
    });
}

#[test]
fn whoever_joins_as_the_last_waiter_leaves_gets_a_value() {
    check(|| {
        let numbers = Numbers::default();
        let cell = numbers.cell();
        let leaver = thread::spawn({
            let cell = cell.clone();
            move || drop(block_on(poll_once(&mut cell.get())))
        });
        let joiner = thread::spawn({
            let cell = cell.clone();
            move || get(&cell)
        });
        leaver.join().expect("no panic");
        let value = joiner.join().expect("no panic");
        assert!((1..=2).contains(&value));
        assert_eq!(value, numbers.begun());
        numbers.all_gone();
        numbers.end(cell);
    });
}

#[test]
fn the_last_waiters_leave_and_the_computation_is_gone() {
    check(|| {
        let numbers = Numbers::default();
        let cell = numbers.cell();
        let leavers: Vec<_> = (0..2)
            .map(|_| {
                let cell = cell.clone();
                thread::spawn(move || drop(block_on(poll_once(&mut cell.get()))))
            })
            .collect();
        for leaver in leavers {
            leaver.join().expect("no panic");
        }
        numbers.all_gone();
        assert!(!format!("{cell:?}").contains("computing: true"));
        numbers.end(cell);
    });
}

#[test]
fn a_stale_value_starts_one_refresh_however_many_read_it() {
    check(|| {
        let numbers = Numbers::default();
        let cell: Arc<Cell> = {
            let numbers = numbers.clone();
            let hour = Duration::from_secs(3_600);
            Arc::new(
                AsyncLazy::builder(move || numbers.compute())
                    .ttl(Duration::ZERO)
                    .stale_while_revalidate(hour)
                    .build(),
            )
        };
        cell.set(SET);
        let readers: Vec<_> = (0..3)
            .map(|_| {
                let cell = cell.clone();
                thread::spawn(move || get(&cell))
            })
            .collect();
        for reader in readers {
            let value = reader.join().expect("no panic");
            assert!(value == SET || value <= numbers.begun());
        }
        // None, if the task of the refresh has not begun yet.
        assert!(numbers.most.load(SeqCst) <= 1, "one at a time");
        numbers.end(cell);
    });
}

#[test]
fn an_expired_value_is_never_served_and_computed_anew_once() {
    check(|| {
        let numbers = Numbers::default();
        let cell: Arc<Cell> = {
            let numbers = numbers.clone();
            Arc::new(
                AsyncLazy::builder(move || numbers.compute())
                    .ttl(Duration::from_nanos(1))
                    .build(),
            )
        };
        cell.set(SET);
        let readers: Vec<_> = (0..2)
            .map(|_| {
                let cell = cell.clone();
                thread::spawn(move || get(&cell))
            })
            .collect();
        for reader in readers {
            let value = reader.join().expect("no panic");
            assert!((1..=2).contains(&value), "{value}");
        }
        assert_eq!(numbers.most.load(SeqCst), 1);
        numbers.all_gone();
        numbers.end(cell);
    });
}

#[test]
fn a_value_read_by_a_shortcut_is_never_older_than_one_read_before() {
    check(|| {
        let numbers = Numbers::default();
        let cell = numbers.cell();
        cell.set(SET);
        let newest = Arc::new(AtomicUsize::new(SET));
        let readers: Vec<_> = (0..2)
            .map(|_| {
                let (cell, newest) = (cell.clone(), newest.clone());
                thread::spawn(move || {
                    for _ in 0..3 {
                        let before = newest.load(SeqCst);
                        let value = get(&cell);
                        assert!(value >= before, "{value} after {before}");
                        newest.fetch_max(value, SeqCst);
                    }
                })
            })
            .collect();
        cell.set(SET + 1);
        newest.fetch_max(SET + 1, SeqCst);
        for reader in readers {
            reader.join().expect("no panic");
        }
        numbers.end(cell);
    });
}

#[test]
fn a_key_has_one_computation_at_a_time_whatever_is_evicted() {
    check(|| {
        let numbers = Numbers::default();
        let map = numbers.map(1);
        let callers: Vec<_> = (0..3)
            .map(|_| {
                let map = map.clone();
                thread::spawn(move || {
                    let value = *block_on(map.get(&1)).expect("no computation fails");
                    // Pushes the other key out.
                    map.set(2, SET);
                    assert!(map.len() <= 1);
                    value
                })
            })
            .collect();
        for caller in callers {
            let value = caller.join().expect("no panic");
            assert!((1..=3).contains(&value));
        }
        assert_eq!(numbers.most.load(SeqCst), 1);
        assert!(format!("{map:?}").contains("computing: 0"));
        numbers.end(map);
    });
}

#[test]
fn a_get_after_reset_all_never_sees_an_older_computation() {
    check(|| {
        let numbers = Numbers::default();
        let map = numbers.map(10);
        let other = thread::spawn({
            let map = map.clone();
            move || *block_on(map.get(&1)).expect("no computation fails")
        });
        let before = numbers.begun();
        map.reset_all();
        let value = *block_on(map.get(&1)).expect("no computation fails");
        assert!(
            value > before,
            "{value} began before the reset, as one of {before}"
        );
        other.join().expect("no panic");
        assert!(map.peek(&1).is_some_and(|kept| *kept > before));
        assert!(map.len() <= 1 && format!("{map:?}").contains("computing: 0"));
        numbers.all_gone();
        numbers.end(map);
    });
}

#[test]
fn reset_all_forgets_every_key_at_one_instant() {
    check(|| {
        let numbers = Numbers::default();
        let map = numbers.map(10);
        for key in 1..=3 {
            map.set(key, SET);
        }
        let reader = thread::spawn({
            let map = map.clone();
            move || {
                [1, 2, 3, 2, 1]
                    .map(|key| *block_on(map.get(&key)).expect("no computation fails") == SET)
            }
        });
        map.reset_all();
        let old = reader.join().expect("no panic");
        assert!(
            old.is_sorted_by(|earlier, later| earlier >= later),
            "{old:?}: old after new"
        );
        numbers.end(map);
    });
}

#[test]
fn a_reset_key_is_not_brought_back_by_its_landing() {
    check(|| {
        let numbers = Numbers::default();
        let map = numbers.map(10);
        let other = thread::spawn({
            let map = map.clone();
            move || *block_on(map.get(&1)).expect("no computation fails")
        });
        let setter = thread::spawn({
            let map = map.clone();
            move || map.set(1, SET)
        });
        let before = numbers.begun();
        map.reset(&1);
        let kept = map.peek(&1).map(|value| *value);
        assert!(
            kept.is_none_or(|kept| kept > before),
            "{kept:?} after a reset"
        );
        let seen = other.join().expect("no panic");
        setter.join().expect("no panic");
        assert!(seen == SET || seen <= numbers.begun());
        // Whatever the order, nobody is left aloft, and what is there can be had.
        assert!(format!("{map:?}").contains("computing: 0"));
        assert!(block_on(map.get(&1)).is_ok());
        numbers.all_gone();
        numbers.end(map);
    });
}

#[test]
fn a_key_whose_last_waiter_leaves_can_be_had_again() {
    check(|| {
        let numbers = Numbers::default();
        let map = numbers.map(10);
        let leaver = thread::spawn({
            let map = map.clone();
            move || drop(block_on(poll_once(&mut map.get(&1))))
        });
        let joiner = thread::spawn({
            let map = map.clone();
            move || block_on(map.get(&1))
        });
        leaver.join().expect("no panic");
        let value: Result<_, LazyError<()>> = joiner.join().expect("no panic");
        assert!(value.is_ok_and(|value| *value == numbers.begun()));
        numbers.all_gone();
        assert!(format!("{map:?}").contains("computing: 0"));
        assert_eq!(map.len(), 1);
        numbers.end(map);
    });
}

//! The races, with real threads, many times.

use std::{
    sync::{
        Arc, Barrier,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use nexios::AsyncLazy;

use super::{Broken, Source, poll_once, seconds};

const ROUNDS: usize = 1_000;

/// Runs the two sides of a race at the same time, each on a thread that is inside the runtime.
fn race<A: Send, B: Send>(
    runtime: &tokio::runtime::Handle,
    one: impl FnOnce() -> A + Send,
    two: impl FnOnce() -> B + Send,
) -> (A, B) {
    let start = Barrier::new(2);
    std::thread::scope(|scope| {
        let other = scope.spawn(|| {
            let _inside = runtime.enter();
            start.wait();
            two()
        });
        let _inside = runtime.enter();
        start.wait();
        let one = one();
        (one, other.join().unwrap())
    })
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
}

/// Fails the test instead of hanging when `call` never ends.
fn finish<F: Future>(runtime: &tokio::runtime::Runtime, call: F) -> F::Output {
    runtime
        .block_on(async { tokio::time::timeout(seconds(20), call).await })
        .expect("it hangs")
}

/// What is being polled when nobody wants it any more is dropped as that poll returns.
fn await_the_end(source: &Source) {
    let start = std::time::Instant::now();
    while source.alive() > 0 {
        assert!(start.elapsed() < seconds(20), "a computation is left");
        std::thread::yield_now();
    }
}

#[test]
fn reset_against_completion() {
    // LZ-006, LZ-049, L2: whatever wins, a get after the reset sees a later computation.
    let runtime = runtime();
    for _ in 0..ROUNDS {
        let source = Source::new();
        let cell = source.cell();
        let mut waiting = cell.get();
        runtime.block_on(async { assert!(poll_once(&mut waiting).is_pending()) });
        while source.started() == 0 {
            std::thread::yield_now();
        }
        let ((), after) = race(
            runtime.handle(),
            || source.let_through(2),
            || {
                cell.reset();
                cell.get()
            },
        );
        assert_eq!(*finish(&runtime, waiting).unwrap(), 1);
        assert_eq!(*finish(&runtime, after).unwrap(), 2);
        assert_eq!(cell.peek().as_deref(), Some(&2));
        await_the_end(&source);
    }
}

#[test]
fn set_against_completion() {
    // LZ-024
    let runtime = runtime();
    for _ in 0..ROUNDS {
        let source = Source::new();
        let cell = source.cell();
        let mut waiting = cell.get();
        runtime.block_on(async { assert!(poll_once(&mut waiting).is_pending()) });
        let ((), ()) = race(runtime.handle(), || source.let_through(1), || cell.set(99));
        let seen = *finish(&runtime, waiting).unwrap();
        assert!(seen == 1 || seen == 99, "{seen}");
        assert_eq!(*finish(&runtime, cell.get()).unwrap(), 99);
    }
}

#[test]
fn the_last_waiter_leaves_against_a_new_caller() {
    // LZ-009, LZ-010, LZ-011: the new caller keeps the old computation alive or has one of its own.
    let runtime = runtime();
    let mut restarted = 0;
    for round in 0..ROUNDS {
        let source = Source::new();
        let cell = source.cell();
        let mut leaving = cell.get();
        runtime.block_on(async { assert!(poll_once(&mut leaving).is_pending()) });
        if round % 2 == 0 {
            while source.started() == 0 {
                std::thread::yield_now();
            }
        }
        let ((), coming) = race(
            runtime.handle(),
            || drop(leaving),
            || {
                let mut coming = cell.get();
                assert!(poll_once(&mut coming).is_pending());
                coming
            },
        );
        // One more for the abandoned computation, which may be in the middle of a poll.
        source.let_through(2);
        let value = *finish(&runtime, coming).unwrap();
        restarted += value - 1;
        // The abandoned one may have been about to begin: then it does, after the other or before.
        assert!(value <= 2 && source.started() <= 2);
        assert!(round % 2 == 1 || source.completed() <= value);
        await_the_end(&source);
    }
    // Both orders happen on any machine; this says so if one day they do not.
    assert!(restarted < ROUNDS, "nobody ever joined");
}

#[test]
fn the_last_waiter_leaves_against_completion() {
    // LZ-008, LZ-009
    let runtime = runtime();
    for _ in 0..ROUNDS {
        let source = Source::new();
        let cell = source.cell();
        let mut leaving = cell.get();
        runtime.block_on(async { assert!(poll_once(&mut leaving).is_pending()) });
        let ((), ()) = race(runtime.handle(), || source.let_through(1), || drop(leaving));
        source.let_through(1);
        let value = *finish(&runtime, cell.get()).unwrap();
        assert!(value <= 2);
        await_the_end(&source);
    }
}

#[test]
fn many_threads_share_one_computation() {
    // LZ-003
    let runtime = runtime();
    for _ in 0..ROUNDS / 5 {
        let source = Source::open();
        let cell = source.cell();
        let callers: Vec<_> = (0..8)
            .map(|_| {
                let cell = Arc::clone(&cell);
                runtime.spawn(async move { *cell.get().await.unwrap() })
            })
            .collect();
        for caller in callers {
            assert_eq!(finish(&runtime, caller).unwrap(), 1);
        }
        let stats = cell.stats();
        assert_eq!(stats.hits + stats.waits + stats.misses, 8);
        assert_eq!((source.started(), stats.misses), (1, 1));
    }
}

#[test]
fn two_readers_of_a_stale_value_begin_one_refresh_and_it_counts() {
    // LZ-045, LZ-059
    let runtime = runtime();
    for _ in 0..ROUNDS {
        let source = Source::new();
        let cell = source
            .builder()
            .ttl(Duration::ZERO)
            .stale_while_revalidate(Duration::MAX)
            .build();
        cell.set(70);
        let read = || poll_once(&mut cell.get()).is_ready();
        assert_eq!(race(runtime.handle(), read, read), (true, true));
        source.let_through(1);
        let start = std::time::Instant::now();
        while cell.peek().as_deref() != Some(&1) {
            assert!(start.elapsed() < seconds(20), "the refresh does not count");
            std::thread::yield_now();
        }
        assert_eq!(source.started(), 1);
    }
}

#[test]
fn a_runtime_that_dies_against_a_waiter_that_leaves() {
    // LZ-016
    for _ in 0..ROUNDS / 10 {
        let source = Source::new();
        let cell = source.cell();
        let doomed = runtime();
        let mut leaving = cell.get();
        doomed.block_on(async { assert!(poll_once(&mut leaving).is_pending()) });
        let living = runtime();
        let ((), ()) = race(
            living.handle(),
            || drop(leaving),
            || doomed.shutdown_timeout(Duration::from_secs(5)),
        );
        source.let_through(2);
        finish(&living, cell.get()).unwrap();
        await_the_end(&source);
    }
}

#[test]
fn hits_on_many_threads_are_all_counted() {
    let cell = AsyncLazy::new(|| async { Ok::<_, Broken>(1) });
    cell.set(7);
    let done = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..10_000 {
                    assert!(poll_once(&mut cell.get()).is_ready());
                    done.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    assert_eq!(cell.stats().hits, 80_000);
    assert_eq!(done.load(Ordering::Relaxed), 80_000);
}

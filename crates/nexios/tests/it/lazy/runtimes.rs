//! More than one runtime, runtimes that go, and no runtime at all.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use nexios::{AsyncLazy, LazyError};
use tokio::runtime::{Builder, Runtime};

use super::{Broken, Source, poll_once, seconds, settle};

fn runtime() -> Runtime {
    Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap()
}

#[test]
fn one_cell_serves_many_runtimes() {
    // LZ-037, L8
    let source = Source::open();
    let cell = source.cell();
    assert_eq!(*runtime().block_on(cell.get()).unwrap(), 1);
    assert_eq!(*runtime().block_on(cell.get()).unwrap(), 1);
    cell.reset();
    assert_eq!(*runtime().block_on(cell.get()).unwrap(), 2);
}

#[test]
fn a_computation_whose_runtime_dies_is_started_again_by_those_who_wait() {
    // LZ-016, RS-006
    let source = Source::new();
    let cell = source.cell();
    let (doomed, other) = (runtime(), runtime());
    let mut starter = cell.get();
    doomed.block_on(async {
        assert!(poll_once(&mut starter).is_pending());
        settle().await;
    });
    let waiters: Vec<_> = (0..5)
        .map(|_| {
            let cell = Arc::clone(&cell);
            other.spawn(async move { cell.get().await })
        })
        .collect();
    other.block_on(settle());
    assert_eq!((source.started(), source.alive()), (1, 1));
    drop(doomed);
    assert_eq!(source.alive(), 0);
    source.let_through(1);
    other.block_on(async {
        for waiter in waiters {
            assert_eq!(*waiter.await.unwrap().unwrap(), 2);
        }
        assert_eq!(*starter.await.unwrap(), 2);
    });
    assert_eq!(source.started(), 2);
}

#[test]
fn a_computation_that_its_runtime_never_polled_is_started_again() {
    let source = Source::open();
    let cell = source.cell();
    let doomed = runtime();
    let mut starter = cell.get();
    doomed.block_on(async {
        assert!(poll_once(&mut starter).is_pending());
    });
    drop(doomed);
    assert_eq!(*runtime().block_on(starter).unwrap(), 1);
}

#[test]
fn a_background_refresh_whose_runtime_dies_is_begun_again() {
    let source = Source::new();
    let cell = source
        .builder()
        .ttl(Duration::ZERO)
        .stale_while_revalidate(seconds(60))
        .build();
    cell.set(70);
    runtime().block_on(async {
        assert_eq!(*cell.get().await.unwrap(), 70);
        settle().await;
        assert_eq!(source.started(), 1);
    });
    source.let_through(1);
    runtime().block_on(async {
        assert_eq!(*cell.get().await.unwrap(), 70);
        settle().await;
        assert_eq!(*cell.get().await.unwrap(), 2);
    });
}

#[test]
fn on_a_runtime_that_is_shut_down_a_get_ends_with_an_error() {
    // RS-006
    let source = Source::open();
    let cell = source.cell();
    let gone = Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let handle = gone.handle().clone();
    gone.shutdown_background();
    let answer = handle.block_on(async { cell.get().await });
    assert!(matches!(answer, Err(LazyError::Shutdown)), "{answer:?}");
    assert_eq!(*runtime().block_on(cell.get()).unwrap(), 1);
}

#[test]
fn a_restart_without_a_runtime_is_an_error() {
    let source = Source::new();
    let cell = source.cell();
    let doomed = runtime();
    let mut starter = cell.get();
    doomed.block_on(async { assert!(poll_once(&mut starter).is_pending()) });
    drop(doomed);
    let std::task::Poll::Ready(answer) = poll_once(&mut starter) else {
        panic!("it hangs")
    };
    assert!(matches!(answer, Err(LazyError::Shutdown)));
}

#[test]
fn without_a_runtime_a_value_that_is_there_is_served() {
    let source = Source::open();
    let cell = source
        .builder()
        .ttl(Duration::ZERO)
        .stale_while_revalidate(Duration::MAX)
        .build();
    cell.set(70);
    let std::task::Poll::Ready(answer) = poll_once(&mut cell.get()) else {
        panic!("it waits")
    };
    assert_eq!(*answer.unwrap(), 70);
    assert_eq!(source.started(), 0);
}

#[test]
#[should_panic(expected = "the lazy value `rates` has to be computed, which needs a tokio runtime")]
fn a_computation_without_a_runtime_panics_and_names_the_cell() {
    let _ = poll_once(&mut Source::open().builder().name("rates").build().get());
}

#[test]
fn a_waiter_needs_no_runtime() {
    let source = Source::new();
    let cell = source.cell();
    let runtime = runtime();
    let mut starter = cell.get();
    runtime.block_on(async { assert!(poll_once(&mut starter).is_pending()) });
    let mut waiter = cell.get();
    assert!(poll_once(&mut waiter).is_pending());
    source.let_through(1);
    runtime.block_on(settle());
    assert!(poll_once(&mut waiter).is_ready());
}

#[tokio::test(start_paused = true)]
async fn the_computation_does_not_inherit_its_starters_scope() {
    use nexios::{CancelScope, CancelToken};
    let seen = Arc::new(AtomicUsize::new(0));
    let cell = AsyncLazy::new({
        let seen = Arc::clone(&seen);
        move || {
            // Both the closure and its future belong to the cell, not to the request that came first.
            seen.fetch_add(
                usize::from(CancelScope::current().is_some()),
                Ordering::SeqCst,
            );
            let seen = Arc::clone(&seen);
            async move {
                seen.fetch_add(
                    usize::from(CancelScope::current().is_some()),
                    Ordering::SeqCst,
                );
                Ok::<_, Broken>(1)
            }
        }
    });
    CancelScope::new(CancelToken::new(), None)
        .run(cell.get())
        .await
        .unwrap();
    assert_eq!(seen.load(Ordering::SeqCst), 0);
}

//! One computation for everybody, and who may leave it.

use std::{
    sync::{Arc, LazyLock},
    task::Poll,
};

use nexios::{AsyncLazy, LazyError};

use super::{Broken, Source, poll_once, settle};

#[tokio::test(start_paused = true)]
async fn two_gets_in_a_row_compute_once() {
    // LZ-001
    let source = Source::open();
    let cell = source.cell();
    let one = cell.get().await.unwrap();
    let two = cell.get().await.unwrap();
    assert!(Arc::ptr_eq(&one, &two));
    assert_eq!(source.started(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_is_never_asked_for_never_runs() {
    // LZ-002
    let source = Source::open();
    let cell = source.cell();
    drop(cell.get());
    assert!(cell.peek().is_none());
    settle().await;
    drop(cell);
    assert_eq!(source.started(), 0);
}

#[tokio::test(start_paused = true)]
async fn many_callers_share_one_computation() {
    // LZ-003, L10, LZ-039
    let source = Source::new();
    let cell = source.cell();
    let callers: Vec<_> = (0..100)
        .map(|_| {
            let cell = Arc::clone(&cell);
            tokio::spawn(async move { cell.get().await.unwrap() })
        })
        .collect();
    settle().await;
    source.let_through(1);
    for caller in callers {
        assert_eq!(*caller.await.unwrap(), 1);
    }
    let stats = cell.stats();
    assert_eq!(
        (stats.misses, stats.waits, stats.hits, stats.computations),
        (1, 99, 0, 1)
    );
}

#[tokio::test(start_paused = true)]
async fn a_hit_is_ready_at_the_first_poll() {
    let source = Source::open();
    let cell = source.cell();
    cell.get().await.unwrap();
    assert!(poll_once(&mut cell.get()).is_ready());
    assert!(poll_once(&mut cell.get_guard()).is_ready());
    assert_eq!(cell.stats().hits, 2);
}

#[tokio::test(start_paused = true)]
async fn a_call_begins_at_its_first_poll() {
    let source = Source::open();
    let cell = source.cell();
    let before = cell.get();
    cell.set(70);
    assert_eq!(*before.await.unwrap(), 70);
    assert_eq!(source.started(), 0);
}

#[tokio::test(start_paused = true)]
async fn none_and_unit_are_values() {
    // LZ-007, LZ-021, L1
    let nothing = AsyncLazy::new(|| async { Ok::<Option<u8>, Broken>(None) });
    assert_eq!(*nothing.get().await.unwrap(), None);
    assert_eq!(*nothing.get().await.unwrap(), None);
    assert_eq!(nothing.stats().computations, 1);
    let unit = AsyncLazy::new(|| async { Ok::<(), Broken>(()) });
    unit.get().await.unwrap();
    assert!(unit.peek().is_some());
}

#[tokio::test(start_paused = true)]
async fn a_first_caller_that_leaves_changes_nothing_for_the_second() {
    // LZ-008, L4
    let source = Source::new();
    let cell = source.cell();
    let mut first = cell.get();
    let mut second = cell.get();
    assert!(poll_once(&mut first).is_pending());
    assert!(poll_once(&mut second).is_pending());
    settle().await;
    drop(first);
    source.let_through(1);
    assert_eq!(*second.await.unwrap(), 1);
    assert_eq!(source.started(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_computation_is_dropped_as_the_last_waiter_leaves_in_any_order() {
    // LZ-009
    for order in [[0, 1, 2], [2, 1, 0], [1, 0, 2]] {
        let source = Source::new();
        let cell = source.cell();
        let mut calls: Vec<_> = (0..3).map(|_| Some(cell.get())).collect();
        for call in calls.iter_mut().flatten() {
            assert!(poll_once(call).is_pending());
        }
        settle().await;
        for (left, index) in order.into_iter().enumerate() {
            assert_eq!(source.alive(), 1, "{left} of three have left");
            calls[index] = None;
        }
        assert_eq!(source.alive(), 0, "it is dropped by then, not later");
        source.let_through(1);
        settle().await;
        assert_eq!((source.started(), source.completed()), (1, 0));
        assert_eq!(
            tokio::runtime::Handle::current()
                .metrics()
                .num_alive_tasks(),
            0,
            "its task has ended"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_computation_that_has_not_begun_never_does_when_its_last_waiter_leaves() {
    // LZ-009
    let source = Source::open();
    let cell = source.cell();
    let mut only = cell.get();
    assert!(poll_once(&mut only).is_pending());
    drop(only);
    settle().await;
    assert_eq!((source.started(), cell.stats().computations), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_get_after_everybody_left_computes_afresh() {
    // LZ-010, LZ-040
    let source = Source::new();
    let cell = source.cell();
    let mut gone = cell.get();
    assert!(poll_once(&mut gone).is_pending());
    settle().await;
    drop(gone);
    source.let_through(1);
    assert_eq!(*cell.get().await.unwrap(), 2);
    assert_eq!((source.started(), source.completed()), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn nobody_joins_a_computation_that_is_being_dropped() {
    // LZ-011: the destructor of the abandoned computation is where a new caller comes.
    type Cell = Arc<AsyncLazy<usize, Broken>>;
    struct Asks(Cell, Arc<std::sync::Mutex<Vec<bool>>>);
    impl Drop for Asks {
        fn drop(&mut self) {
            let joined = poll_once(&mut self.0.get()).is_ready();
            self.1.lock().unwrap().push(joined);
            assert_eq!(self.0.stats().waits, 0);
        }
    }
    static CELL: std::sync::Mutex<Option<Cell>> = std::sync::Mutex::new(None);
    let seen = Arc::new(std::sync::Mutex::new(Vec::new()));
    let log = Arc::clone(&seen);
    let cell = Arc::new(AsyncLazy::new(move || {
        let asks = CELL
            .lock()
            .unwrap()
            .clone()
            .map(|cell| Asks(cell, Arc::clone(&log)));
        async move {
            let _asks = asks;
            std::future::pending::<()>().await;
            Ok(1)
        }
    }));
    *CELL.lock().unwrap() = Some(Arc::clone(&cell));
    let mut only = cell.get();
    assert!(poll_once(&mut only).is_pending());
    settle().await;
    *CELL.lock().unwrap() = None;
    drop(only);
    assert_eq!(*seen.lock().unwrap(), [false]);
    let stats = cell.stats();
    assert_eq!((stats.misses, stats.waits), (2, 0));
}

#[tokio::test(start_paused = true)]
async fn keep_warm_goes_on_without_waiters() {
    let source = Source::new();
    let cell = source.builder().keep_warm(true).build();
    let mut gone = cell.get();
    assert!(poll_once(&mut gone).is_pending());
    drop(gone);
    source.let_through(1);
    settle().await;
    assert_eq!(cell.peek().as_deref(), Some(&1));
}

#[tokio::test(start_paused = true)]
async fn impatient_callers_do_not_restart_a_slow_computation() {
    // L5, L6, LZ-039: half a second of work, a fifth of a second of patience.
    let cell = Arc::new(AsyncLazy::new(|| async {
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
        Ok::<_, Broken>(5)
    }));
    let mut served = 0;
    let mut patient = cell.get();
    for _ in 0..5 {
        let call = tokio::time::timeout(std::time::Duration::from_millis(200), cell.get());
        assert!(poll_once(&mut patient).is_pending() || served > 0);
        if call.await.is_ok() {
            served += 1;
            break;
        }
    }
    assert_eq!(served, 1);
    assert_eq!(cell.stats().computations, 1);
}

#[tokio::test(start_paused = true)]
async fn dropping_the_cell_drops_its_computation() {
    let source = Source::new();
    let cell = source.builder().keep_warm(true).build();
    assert!(poll_once(&mut cell.get()).is_pending());
    settle().await;
    assert_eq!(source.alive(), 1);
    drop(cell);
    assert_eq!(source.alive(), 0);
}

#[tokio::test(start_paused = true)]
async fn peek_neither_waits_nor_computes() {
    // LZ-023
    let source = Source::new();
    let cell = source.cell();
    assert!(cell.peek().is_none() && cell.peek_guard().is_none() && cell.age().is_none());
    let mut waiting = cell.get();
    assert!(poll_once(&mut waiting).is_pending());
    settle().await;
    assert!(cell.peek().is_none());
    source.let_through(1);
    waiting.await.unwrap();
    assert_eq!(cell.peek().as_deref(), Some(&1));
    assert_eq!(cell.peek_guard().map(|value| *value), Some(1));
    assert_eq!(source.started(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_guard_keeps_its_value_whatever_happens_to_the_cell() {
    // L9
    let source = Source::open();
    let cell = source.cell();
    let first = cell.get_guard().await.unwrap();
    let second = cell.get_guard().await.unwrap();
    cell.set(9);
    cell.reset();
    drop(cell);
    assert_eq!((*first, *second), (1, 1));
    assert_eq!(format!("{first:?}"), "1");
}

#[tokio::test(start_paused = true)]
async fn a_set_value_is_served_without_a_computation() {
    // LZ-026
    let source = Source::open();
    let cell = source.cell();
    cell.set(8);
    assert_eq!(*cell.get().await.unwrap(), 8);
    cell.set(9);
    assert_eq!(*cell.get().await.unwrap(), 9);
    assert_eq!(source.started(), 0);
}

#[tokio::test(start_paused = true)]
async fn refresh_computes_though_there_is_a_value() {
    let source = Source::new();
    let cell = source.cell();
    cell.set(70);
    let mut refresh = cell.refresh();
    assert!(poll_once(&mut refresh).is_pending());
    assert_eq!(*cell.get().await.unwrap(), 70);
    source.let_through(1);
    assert_eq!(*refresh.await.unwrap(), 1);
    assert_eq!(*cell.get().await.unwrap(), 1);
}

#[tokio::test(start_paused = true)]
async fn refresh_joins_the_running_computation() {
    // LZ-061, LZ-062
    let source = Source::new();
    let cell = source.cell();
    let (mut get, mut one, mut two) = (cell.get(), cell.refresh(), cell.refresh());
    assert!(poll_once(&mut get).is_pending());
    assert!(poll_once(&mut one).is_pending());
    assert!(poll_once(&mut two).is_pending());
    source.let_through(3);
    assert_eq!(
        [
            *get.await.unwrap(),
            *one.await.unwrap(),
            *two.await.unwrap()
        ],
        [1, 1, 1]
    );
    assert_eq!(source.started(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_refresh_whose_caller_leaves_is_dropped() {
    let source = Source::new();
    let cell = source.cell();
    cell.set(70);
    let mut refresh = cell.refresh();
    assert!(poll_once(&mut refresh).is_pending());
    settle().await;
    drop(refresh);
    assert_eq!(source.alive(), 0);
    assert_eq!(*cell.get().await.unwrap(), 70);
}

#[tokio::test(start_paused = true)]
async fn debug_shows_name_state_and_waiters() {
    let source = Source::new();
    let cell = source.builder().name("rates").build();
    let mut waiting = cell.get();
    assert!(poll_once(&mut waiting).is_pending());
    let shown = format!("{cell:?}");
    assert!(
        shown.contains("rates")
            && shown.contains("waiters: 1")
            && shown.contains("computing: true"),
        "{shown}"
    );
    let unnamed = AsyncLazy::new(|| async { Ok::<_, Broken>(1) });
    assert!(
        format!("{unnamed:?}").contains("sharing.rs:"),
        "{unnamed:?}"
    );
}

#[test]
fn cells_futures_and_errors_cross_threads() {
    // RS-007, L8
    fn shared<V: Send + Sync>(_: &V) {}
    fn sent<V: Send>(_: &V) {}
    fn is_error<V: std::error::Error>() {}
    let cell = AsyncLazy::new(|| async { Ok::<_, Broken>(1) });
    shared(&cell);
    sent(&cell.get());
    sent(&cell.get_guard());
    sent(&cell.refresh());
    is_error::<LazyError<Broken>>();
}

#[tokio::test(start_paused = true)]
async fn a_static_cell_works() {
    static CELL: LazyLock<AsyncLazy<u8, Broken>> =
        LazyLock::new(|| AsyncLazy::new(|| async { Ok(3) }));
    assert_eq!(*CELL.get().await.unwrap(), 3);
    CELL.reset();
    assert!(matches!(poll_once(&mut CELL.get()), Poll::Pending));
}

/// A waker is code of others, which may panic.
#[tokio::test(start_paused = true)]
async fn a_waker_that_panics_keeps_nobody_else_from_being_woken() {
    struct Fragile;

    impl std::task::Wake for Fragile {
        fn wake(self: Arc<Self>) {
            panic!("a waker");
        }
    }

    let source = Source::new();
    let cell = source.cell();
    let mut first = cell.get();
    let waker = std::task::Waker::from(Arc::new(Fragile));
    let mut cx = std::task::Context::from_waker(&waker);
    assert!(std::pin::Pin::new(&mut first).poll(&mut cx).is_pending());
    let second = tokio::spawn({
        let cell = Arc::clone(&cell);
        async move { cell.get().await.map(|value| *value) }
    });
    settle().await;
    source.let_through(1);
    let answer = tokio::time::timeout(super::seconds(1), second)
        .await
        .expect("it is woken");
    assert_eq!(answer.unwrap().unwrap(), 1);
    assert!(poll_once(&mut first).is_ready());
}

//! What `reset` and `set` do to computations that began before them.

use std::{sync::Arc, time::Duration};

use nexios::AsyncLazy;

use super::{Broken, Source, pass_time, poll_once, seconds, settle};

#[tokio::test(start_paused = true)]
async fn a_get_after_reset_computes_again() {
    // LZ-005
    let source = Source::open();
    let cell = source.cell();
    assert_eq!(*cell.get().await.unwrap(), 1);
    cell.reset();
    assert!(cell.peek().is_none());
    assert_eq!(*cell.get().await.unwrap(), 2);
}

/// Computations that end when their own number is let through.
fn numbered() -> (
    tokio::sync::watch::Sender<Vec<usize>>,
    Arc<AsyncLazy<usize, Broken>>,
) {
    let (sender, receiver) = tokio::sync::watch::channel(Vec::new());
    let count = std::sync::atomic::AtomicUsize::new(0);
    let cell = AsyncLazy::new(move || {
        let number = count.fetch_add(1, std::sync::atomic::Ordering::SeqCst) + 1;
        let mut receiver = receiver.clone();
        async move {
            receiver
                .wait_for(|done| done.contains(&number))
                .await
                .unwrap();
            Ok(number)
        }
    });
    (sender, Arc::new(cell))
}

#[tokio::test(start_paused = true)]
async fn a_get_after_reset_never_sees_the_older_computation() {
    // LZ-006, LZ-024, LZ-033, L2
    for order in [[1, 2], [2, 1]] {
        let (done, cell) = numbered();
        let mut first = cell.get();
        assert!(poll_once(&mut first).is_pending());
        settle().await;
        cell.reset();
        let (mut second, mut third) = (cell.get(), cell.get());
        assert!(poll_once(&mut second).is_pending());
        assert!(poll_once(&mut third).is_pending());
        settle().await;
        for number in order {
            done.send_modify(|done| done.push(number));
            settle().await;
        }
        assert_eq!(
            [
                *first.await.unwrap(),
                *second.await.unwrap(),
                *third.await.unwrap()
            ],
            [1, 2, 2]
        );
        assert_eq!(
            cell.peek().as_deref(),
            Some(&2),
            "the old completion overwrites nothing"
        );
        assert_eq!(cell.stats().computations, 2);
    }
}

#[tokio::test(start_paused = true)]
async fn a_refresh_after_reset_does_not_join_the_older_computation() {
    let (done, cell) = numbered();
    let mut old = cell.get();
    assert!(poll_once(&mut old).is_pending());
    settle().await;
    cell.reset();
    let mut refresh = cell.refresh();
    assert!(poll_once(&mut refresh).is_pending());
    settle().await;
    done.send_modify(|done| done.extend([1, 2]));
    assert_eq!(*refresh.await.unwrap(), 2);
}

#[tokio::test(start_paused = true)]
async fn set_wins_over_an_older_computation_in_flight() {
    // LZ-024, LZ-025
    let source = Source::new();
    let cell = source.cell();
    let mut waiting = cell.get();
    assert!(poll_once(&mut waiting).is_pending());
    settle().await;
    cell.set(99);
    assert_eq!(source.alive(), 0, "nobody needs that computation any more");
    source.let_through(1);
    settle().await;
    assert_eq!(*waiting.await.unwrap(), 99);
    assert_eq!(*cell.get().await.unwrap(), 99);
    assert_eq!((source.started(), source.completed()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_refresh_that_set_overtakes_is_given_the_set_value() {
    let source = Source::new();
    let cell = source.cell();
    cell.set(1);
    let mut refresh = cell.refresh();
    assert!(poll_once(&mut refresh).is_pending());
    cell.set(99);
    assert_eq!(*refresh.await.unwrap(), 99);
}

#[tokio::test(start_paused = true)]
async fn setting_the_same_value_again_still_beats_the_refresh() {
    // LZ-052
    let source = Source::new();
    let cell = source.builder().keep_warm(true).build();
    cell.set(50);
    let mut refresh = cell.refresh();
    assert!(poll_once(&mut refresh).is_pending());
    settle().await;
    cell.set(50);
    source.let_through(1);
    settle().await;
    assert_eq!(cell.peek().as_deref(), Some(&50));
}

#[tokio::test(start_paused = true)]
async fn reset_during_a_refresh_is_not_undone_by_its_completion() {
    // LZ-049
    let source = Source::new();
    let cell = source.cell();
    cell.set(70);
    let mut refresh = cell.refresh();
    assert!(poll_once(&mut refresh).is_pending());
    settle().await;
    cell.reset();
    source.let_through(1);
    assert_eq!(*refresh.await.unwrap(), 1);
    assert!(cell.peek().is_none());
}

#[tokio::test(start_paused = true)]
async fn reset_drops_a_computation_that_nobody_waits_for() {
    let source = Source::new();
    let cell = source.builder().keep_warm(true).build();
    assert!(poll_once(&mut cell.get()).is_pending());
    settle().await;
    assert_eq!(source.alive(), 1);
    cell.reset();
    assert_eq!(source.alive(), 0);

    let stale = source
        .builder()
        .ttl(seconds(1))
        .stale_while_revalidate(seconds(9))
        .build();
    stale.set(70);
    pass_time(1.0).await;
    assert_eq!(*stale.get().await.unwrap(), 70);
    settle().await;
    assert_eq!(source.alive(), 1);
    stale.reset();
    assert_eq!(source.alive(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_last_waiter_of_an_overtaken_computation_ends_it_even_if_kept_warm() {
    let source = Source::new();
    let cell = source.builder().keep_warm(true).build();
    let mut waiting = cell.get();
    assert!(poll_once(&mut waiting).is_pending());
    settle().await;
    cell.reset();
    assert_eq!(source.alive(), 1, "somebody waits");
    drop(waiting);
    assert_eq!(source.alive(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_failure_from_before_a_reset_counts_for_nothing_after_it() {
    let source = Source::open();
    let failing = Arc::new(1.into());
    let cell = source.fallible(&failing).error_backoff(seconds(60)).build();
    assert!(cell.get().await.is_err());
    failing.store(0, std::sync::atomic::Ordering::SeqCst);
    assert!(cell.get().await.is_err());
    cell.reset();
    assert_eq!(*cell.get().await.unwrap(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_cell_that_resets_itself_while_computing_keeps_nothing() {
    static CELL: std::sync::OnceLock<AsyncLazy<u8, Broken>> = std::sync::OnceLock::new();
    let cell = CELL.get_or_init(|| {
        AsyncLazy::new(|| async {
            if let Some(cell) = CELL.get() {
                cell.reset();
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
            Ok(1)
        })
    });
    assert_eq!(*cell.get().await.unwrap(), 1);
    assert!(cell.peek().is_none());
}

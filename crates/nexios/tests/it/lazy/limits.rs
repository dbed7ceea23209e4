//! Time to live, stale limits, jitter, background refreshes.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use nexios::{AsyncLazy, LazyError};

use super::{Broken, Source, pass_time, poll_once, seconds, settle};

#[tokio::test(start_paused = true)]
async fn an_age_equal_to_the_ttl_is_expired() {
    // LZ-027
    let source = Source::open();
    let cell = source.builder().ttl(seconds(10)).build();
    assert_eq!(*cell.get().await.unwrap(), 1);
    pass_time(9.999).await;
    assert_eq!(*cell.get().await.unwrap(), 1);
    assert_eq!(cell.age(), Some(Duration::from_millis(9_999)));
    pass_time(0.001).await;
    assert!(cell.peek().is_none() && cell.age().is_none());
    assert_eq!(*cell.get().await.unwrap(), 2);
    assert_eq!(source.started(), 2);
}

#[tokio::test(start_paused = true)]
async fn without_a_ttl_a_value_stays() {
    // LZ-027
    let source = Source::open();
    let cell = source.builder().stale_if_error(seconds(1)).build();
    cell.get().await.unwrap();
    pass_time(1e9).await;
    assert_eq!(*cell.get().await.unwrap(), 1);
    assert_eq!(cell.age(), Some(seconds(1_000_000_000)));
}

#[tokio::test(start_paused = true)]
async fn the_ttl_counts_from_completion() {
    // LZ-028
    let source = Source::new();
    let cell = source.builder().ttl(seconds(1)).build();
    let mut slow = cell.get();
    assert!(poll_once(&mut slow).is_pending());
    pass_time(2.0).await;
    source.let_through(1);
    assert_eq!(*slow.await.unwrap(), 1);
    assert_eq!(cell.age(), Some(Duration::ZERO));
    assert!(poll_once(&mut cell.get()).is_ready());
}

#[tokio::test(start_paused = true)]
async fn a_ttl_of_zero_never_caches_but_still_shares() {
    let source = Source::new();
    let cell = source.builder().ttl(Duration::ZERO).build();
    let (mut one, mut two) = (cell.get(), cell.get());
    assert!(poll_once(&mut one).is_pending() && poll_once(&mut two).is_pending());
    source.let_through(2);
    assert_eq!((*one.await.unwrap(), *two.await.unwrap()), (1, 1));
    assert!(cell.peek().is_none());
    assert_eq!(*cell.get().await.unwrap(), 2);
}

#[tokio::test(start_paused = true)]
async fn huge_limits_never_end() {
    // LZ-058
    let source = Source::open();
    let cell = source
        .builder()
        .ttl(Duration::MAX)
        .stale_while_revalidate(Duration::MAX)
        .stale_if_error(Duration::MAX)
        .error_backoff(Duration::MAX)
        .timeout(Duration::MAX)
        .jitter(1.0)
        .build();
    cell.get().await.unwrap();
    pass_time(1e9).await;
    assert!(cell.peek().is_some());
    cell.get().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_stale_value_is_served_at_once_while_one_refresh_runs() {
    // LZ-045, L12
    let source = Source::new();
    let cell = source
        .builder()
        .ttl(seconds(10))
        .stale_while_revalidate(seconds(5))
        .build();
    cell.set(70);
    pass_time(10.0).await;
    for _ in 0..50 {
        assert_eq!(*cell.get().await.unwrap(), 70);
    }
    settle().await;
    assert_eq!(source.started(), 1);
    assert_eq!(cell.peek().as_deref(), Some(&70));
    source.let_through(1);
    settle().await;
    assert_eq!(*cell.get().await.unwrap(), 1);
    let stats = cell.stats();
    assert_eq!(
        (stats.stale, stats.hits, stats.waits, stats.misses),
        (50, 1, 0, 0)
    );
}

#[tokio::test(start_paused = true)]
async fn past_the_stale_limit_callers_wait_for_the_refresh_and_its_value_counts() {
    // LZ-048: the old value is gone by then, the new one is as good as any.
    let source = Source::new();
    let cell = source
        .builder()
        .ttl(seconds(10))
        .stale_while_revalidate(seconds(5))
        .build();
    cell.set(70);
    pass_time(14.999).await;
    assert_eq!(*cell.get().await.unwrap(), 70);
    pass_time(0.001).await;
    assert!(cell.peek().is_none());
    let mut waiting = cell.get();
    assert!(poll_once(&mut waiting).is_pending());
    source.let_through(1);
    assert_eq!(*waiting.await.unwrap(), 1);
    assert_eq!(*cell.get().await.unwrap(), 1);
    assert_eq!(source.started(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_caller_who_leaves_a_background_refresh_does_not_stop_it() {
    let source = Source::new();
    let cell = source
        .builder()
        .ttl(seconds(10))
        .stale_while_revalidate(seconds(5))
        .build();
    cell.set(70);
    pass_time(10.0).await;
    cell.get().await.unwrap();
    let mut joined = cell.refresh();
    assert!(poll_once(&mut joined).is_pending());
    settle().await;
    drop(joined);
    assert_eq!(source.alive(), 1);
    source.let_through(1);
    settle().await;
    assert_eq!(*cell.get().await.unwrap(), 1);
}

#[tokio::test(start_paused = true)]
async fn failed_background_refreshes_are_a_second_apart() {
    let source = Source::open();
    let failing = Arc::new(AtomicUsize::new(1));
    let cell = source
        .fallible(&failing)
        .ttl(seconds(10))
        .stale_while_revalidate(seconds(100))
        .build();
    cell.set(70);
    pass_time(10.0).await;
    for started in 1..=5 {
        assert_eq!(*cell.get().await.unwrap(), 70);
        settle().await;
        assert_eq!(source.started(), started);
        pass_time(0.999).await;
        assert_eq!(*cell.get().await.unwrap(), 70);
        settle().await;
        assert_eq!(source.started(), started);
        pass_time(0.001).await;
    }
    failing.store(0, Ordering::SeqCst);
    cell.get().await.unwrap();
    settle().await;
    assert_eq!(*cell.get().await.unwrap(), 6);
}

#[tokio::test(start_paused = true)]
async fn with_a_backoff_failed_background_refreshes_are_that_far_apart() {
    let source = Source::open();
    let failing = Arc::new(AtomicUsize::new(1));
    let cell = source
        .fallible(&failing)
        .ttl(seconds(10))
        .stale_while_revalidate(seconds(100))
        .error_backoff(seconds(7))
        .build();
    cell.set(70);
    pass_time(10.0).await;
    for second in 0..14 {
        assert_eq!(*cell.get().await.unwrap(), 70);
        settle().await;
        assert_eq!(source.started(), 1 + second / 7);
        pass_time(1.0).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_failed_refresh_leaves_value_and_age_alone() {
    // LZ-046, LZ-054: one attempt a period, the old value each time.
    let source = Source::open();
    let failing = Arc::new(AtomicUsize::new(1));
    let cell = source
        .fallible(&failing)
        .ttl(seconds(10))
        .stale_while_revalidate(seconds(1_000))
        .build();
    cell.set(70);
    for period in 1..=5 {
        pass_time(10.0).await;
        assert_eq!(*cell.get().await.unwrap(), 70);
        settle().await;
        assert_eq!(source.started(), period as usize);
        assert_eq!(cell.age(), Some(seconds(10 * period)));
        assert!(
            matches!(cell.refresh().await, Err(LazyError::Failed(_))),
            "the caller is told"
        );
        assert_eq!(cell.age(), Some(seconds(10 * period)));
        source.started.fetch_sub(1, Ordering::SeqCst);
    }
}

#[tokio::test(start_paused = true)]
async fn a_background_refresh_whose_closure_panics_leaves_the_cell_usable() {
    // LZ-056
    let runs = Arc::new(AtomicUsize::new(0));
    let cell = AsyncLazy::builder({
        let runs = Arc::clone(&runs);
        move || {
            assert!(runs.fetch_add(1, Ordering::SeqCst) > 0, "no future");
            async { Ok::<_, Broken>(1) }
        }
    })
    .ttl(seconds(10))
    .stale_while_revalidate(seconds(10))
    .build();
    cell.set(70);
    pass_time(10.0).await;
    assert_eq!(*cell.get().await.unwrap(), 70);
    pass_time(1.0).await;
    assert_eq!(*cell.get().await.unwrap(), 70);
    settle().await;
    assert_eq!(*cell.get().await.unwrap(), 1);
}

#[tokio::test(start_paused = true)]
async fn on_failure_the_old_value_stands_in_until_its_limit() {
    // L11
    let source = Source::open();
    let failing = Arc::new(AtomicUsize::new(1));
    let cell = source
        .fallible(&failing)
        .ttl(seconds(10))
        .stale_if_error(seconds(20))
        .build();
    cell.set(70);
    pass_time(10.0).await;
    assert_eq!(cell.peek().as_deref(), Some(&70));
    assert_eq!(*cell.get().await.unwrap(), 70);
    assert_eq!(source.started(), 1, "it was tried first");
    pass_time(19.999).await;
    assert_eq!(*cell.get().await.unwrap(), 70);
    pass_time(0.001).await;
    assert!(cell.get().await.is_err());
    assert!(cell.peek().is_none());
    assert_eq!(cell.stats().stale, 2);
}

#[tokio::test(start_paused = true)]
async fn the_old_value_is_not_served_when_its_limit_passes_while_the_attempt_runs() {
    let source = Source::new();
    let failing = Arc::new(AtomicUsize::new(1));
    let cell = source
        .fallible(&failing)
        .ttl(seconds(10))
        .stale_if_error(seconds(20))
        .build();
    cell.set(70);
    pass_time(29.0).await;
    let mut waiting = cell.get();
    assert!(poll_once(&mut waiting).is_pending());
    pass_time(1.0).await;
    source.let_through(1);
    assert!(waiting.await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_panic_and_a_timeout_use_the_old_value_too() {
    let panicking = AsyncLazy::builder(|| async {
        if true {
            panic!("no value");
        }
        Ok::<_, Broken>(1)
    });
    let stuck = AsyncLazy::builder(std::future::pending::<Result<i32, Broken>>).timeout(seconds(1));
    for builder in [panicking, stuck] {
        let cell = builder.ttl(seconds(10)).stale_if_error(seconds(20)).build();
        cell.set(70);
        pass_time(10.0).await;
        assert_eq!(*cell.get().await.unwrap(), 70);
    }
}

#[tokio::test(start_paused = true)]
async fn in_a_backoff_the_old_value_stands_in_at_once() {
    let source = Source::open();
    let failing = Arc::new(AtomicUsize::new(1));
    let cell = source
        .fallible(&failing)
        .ttl(seconds(10))
        .stale_if_error(seconds(20))
        .error_backoff(seconds(60))
        .build();
    cell.set(70);
    pass_time(10.0).await;
    cell.get().await.unwrap();
    assert_eq!(*cell.get().await.unwrap(), 70);
    assert_eq!(source.started(), 1);
    pass_time(20.0).await;
    assert!(
        cell.get().await.is_err(),
        "past the limit the error is served, not the value"
    );
    assert_eq!(source.started(), 1);
}

#[tokio::test(start_paused = true)]
async fn after_a_reset_nothing_stands_in() {
    let source = Source::open();
    let failing = Arc::new(AtomicUsize::new(1));
    let cell = source
        .fallible(&failing)
        .ttl(seconds(10))
        .stale_if_error(seconds(20))
        .build();
    cell.set(70);
    cell.reset();
    assert!(cell.get().await.is_err());
}

#[tokio::test(start_paused = true)]
async fn jitter_shortens_each_ttl_by_its_own_share() {
    let cells: Vec<_> = (0..64)
        .map(|number| {
            let cell = AsyncLazy::builder(|| async { Ok::<_, Broken>(0) })
                .ttl(seconds(100))
                .jitter(0.5)
                .build();
            cell.set(number);
            cell
        })
        .collect();
    let left = || cells.iter().filter(|cell| cell.peek().is_some()).count();
    pass_time(49.999).await;
    assert_eq!(left(), 64);
    pass_time(25.0).await;
    assert!(
        (8..56).contains(&left()),
        "{} of 64 are left half way",
        left()
    );
    pass_time(25.001).await;
    assert_eq!(left(), 0);
}

#[test]
#[should_panic(expected = "not 1.5")]
fn a_jitter_above_one_is_refused() {
    let _ = Source::open().builder().jitter(1.5);
}

#[test]
#[should_panic(expected = "not NaN")]
fn a_jitter_that_is_no_number_is_refused() {
    let _ = Source::open().builder().jitter(f64::NAN);
}

#[tokio::test(start_paused = true)]
async fn an_idle_cell_has_no_task_and_no_timer() {
    let source = Source::open();
    let cell = source
        .builder()
        .ttl(seconds(10))
        .stale_while_revalidate(seconds(5))
        .build();
    cell.get().await.unwrap();
    settle().await;
    assert_eq!(
        tokio::runtime::Handle::current()
            .metrics()
            .num_alive_tasks(),
        0
    );
}

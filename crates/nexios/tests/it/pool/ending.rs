//! What the counters say.

use std::time::Duration;

use futures_util::future::join_all;
use nexios::{Overload, PoolError};
use tokio::time::advance;

use super::{Gate, occupy, poll_once, pool, ticking, until};

/// PITFALLS 2.2: how long is this queue, how long do jobs wait in it, how old is the oldest one running.
#[tokio::test(start_paused = true)]
async fn waits_and_ages_are_on_the_callers_clock() {
    let pool = pool(1, 4, Overload::Wait);
    assert_eq!(pool.stats().oldest_running, None);
    let gate = Gate::default();
    let running = occupy(&pool, &gate).await;
    let mut queued = Box::pin(pool.run(|| ()));
    assert!(poll_once(&mut queued).is_pending());
    advance(Duration::from_millis(800)).await;
    assert_eq!(
        pool.stats().oldest_running,
        Some(Duration::from_millis(800))
    );
    gate.open();
    queued.await.unwrap();
    join_all(running).await;
    let stats = pool.stats();
    assert_eq!(stats.oldest_running, None);
    assert_eq!(stats.wait_p50, Duration::ZERO);
    // Reported at most an eighth too high.
    assert!(
        (800..=900).contains(&stats.wait_p95.as_millis()),
        "{:?}",
        stats.wait_p95
    );
}

/// Also of a closure that panics, and of one whose caller has gone.
#[tokio::test(start_paused = true)]
async fn run_times_are_on_the_callers_clock() {
    let pool = pool(1, 4, Overload::Wait);
    for kind in 0..3 {
        let gate = Gate::default();
        let guard = gate.guard();
        let call = tokio::spawn({
            let pool = pool.clone();
            async move {
                pool.run(move || {
                    guard();
                    assert!(kind != 1, "a panic takes as long as it takes");
                })
                .await
            }
        });
        until(|| gate.arrived() == 1).await;
        if kind == 2 {
            call.abort();
        }
        advance(Duration::from_millis(80 * (kind + 1))).await;
        gate.open();
        assert_eq!(call.await.is_ok(), kind == 0);
        until(|| pool.stats().running == 0).await;
    }
    let stats = pool.stats();
    // Reported at most an eighth too high.
    assert!(
        (160..=180).contains(&stats.run_p50.as_millis()),
        "{:?}",
        stats.run_p50
    );
    assert!(
        (240..=270).contains(&stats.run_p95.as_millis()),
        "{:?}",
        stats.run_p95
    );
    assert_eq!(stats.wait_p95, Duration::ZERO);
}

/// TP-010: every call ends in exactly one counter.
#[tokio::test(start_paused = true)]
async fn every_call_is_counted_exactly_once() {
    let pool = pool(1, 2, Overload::ShedAfter(Duration::from_millis(10)));
    let gate = Gate::default();
    let running = occupy(&pool, &gate).await;
    let mut leaves = Box::pin(pool.run(|| ()));
    assert!(poll_once(&mut leaves).is_pending());
    drop(leaves);
    assert_eq!(ticking(pool.run(|| ())).await, Err(PoolError::QueueTimeout));
    let accepted: Vec<_> = (0..2).map(|_| pool.try_run(|| ()).ok().unwrap()).collect();
    assert!(pool.try_run(|| ()).is_err());
    gate.open();
    assert_eq!(join_all(accepted).await, [Ok(()), Ok(())]);
    join_all(running).await;
    assert!(
        tokio::spawn({
            let pool = pool.clone();
            async move { pool.run(|| panic!("counted as well")).await }
        })
        .await
        .is_err()
    );
    pool.close().await;
    assert_eq!(pool.run(|| ()).await, Err(PoolError::Closed));
    let stats = pool.stats();
    assert_eq!((stats.completed, stats.shed, stats.cancelled), (4, 2, 2));
    assert_eq!((stats.running, stats.queued, stats.waiting), (0, 0, 0));
}

/// A caller that has its value sees it counted, and its thread free.
#[tokio::test(start_paused = true)]
async fn the_count_is_written_before_the_caller_sees_the_outcome() {
    let pool = pool(2, 4, Overload::Wait);
    for number in 1..=2_000 {
        pool.run(|| ()).await.unwrap();
        let stats = pool.stats();
        assert_eq!((stats.completed, stats.running), (number, 0));
    }
}

//! Who gets a thread or a place, and when.

use std::sync::{Arc, Mutex};

use futures_util::future::join_all;
use nexios::{Overload, PoolError, ThreadPool};

use super::{Gate, occupy, poll_once, pool, until};

/// TP-009: three threads, four calls: three run, one is queued, the counters are exact.
#[tokio::test(start_paused = true)]
async fn a_job_beyond_the_threads_is_queued() {
    let pool = pool(3, 4, Overload::Wait);
    let gate = Gate::default();
    let running = occupy(&pool, &gate).await;
    let mut fourth = Box::pin(pool.run(|| 4));
    assert!(poll_once(&mut fourth).is_pending());
    let stats = pool.stats();
    assert_eq!(
        (stats.threads, stats.running, stats.queued, stats.waiting),
        (3, 3, 1, 0)
    );
    gate.open();
    assert_eq!(fourth.await, Ok(4));
    join_all(running).await;
    let stats = pool.stats();
    assert_eq!((stats.running, stats.queued, stats.completed), (0, 0, 4));
}

/// Capacity is threads and queue together, also in a burst before any thread has woken.
#[tokio::test(start_paused = true)]
async fn a_burst_is_accepted_up_to_threads_plus_queue() {
    for (threads, places) in [(2, 0), (2, 3), (1, 1)] {
        let pool = pool(threads, places, Overload::Shed);
        let gate = Gate::default();
        let mut accepted = Vec::new();
        for _ in 0..threads + places {
            accepted.push(pool.try_run(gate.guard()).ok().unwrap());
        }
        assert!(pool.try_run(gate.guard()).is_err());
        assert_eq!(pool.run(|| ()).await, Err(PoolError::Saturated));
        let stats = pool.stats();
        assert_eq!(
            (stats.running, stats.queued, stats.shed),
            (threads, places, 2)
        );
        gate.open();
        join_all(accepted).await;
        assert_eq!(pool.stats().completed as usize, threads + places);
        assert_eq!(pool.run(|| 1).await, Ok(1));
    }
}

/// P2: callers beyond the queue wait in order, hold no thread, and are not counted as queued.
#[tokio::test(start_paused = true)]
async fn waiting_callers_are_served_in_the_order_of_their_first_poll() {
    let pool = pool(1, 2, Overload::Wait);
    let gate = Gate::default();
    let running = occupy(&pool, &gate).await;
    let order = Arc::new(Mutex::new(Vec::new()));
    let mut calls: Vec<_> = (0..50)
        .map(|number| {
            let order = order.clone();
            Box::pin(pool.run(move || order.lock().unwrap().push(number)))
        })
        .collect();
    // Polled in another order than made.
    for call in calls.iter_mut().rev() {
        assert!(poll_once(call).is_pending());
    }
    let stats = pool.stats();
    assert_eq!((stats.queued, stats.waiting), (2, 48));
    assert!(
        pool.try_run(|| ()).is_err(),
        "nobody overtakes those who wait"
    );
    gate.open();
    join_all(calls).await;
    join_all(running).await;
    assert_eq!(*order.lock().unwrap(), (0..50).rev().collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn without_a_queue_callers_still_wait_in_order() {
    let pool = pool(1, 0, Overload::Wait);
    let gate = Gate::default();
    let running = occupy(&pool, &gate).await;
    let mut calls: Vec<_> = (0..3)
        .map(|number| Box::pin(pool.run(move || number)))
        .collect();
    for call in &mut calls {
        assert!(poll_once(call).is_pending());
    }
    assert_eq!((pool.stats().queued, pool.stats().waiting), (0, 3));
    gate.open();
    assert_eq!(join_all(calls).await, [Ok(0), Ok(1), Ok(2)]);
    join_all(running).await;
}

#[tokio::test(start_paused = true)]
async fn try_run_hands_the_closure_back_when_full() {
    let pool = pool(1, 0, Overload::Wait);
    let gate = Gate::default();
    let running = occupy(&pool, &gate).await;
    let captured = String::from("mine");
    let f = match pool.try_run(move || captured) {
        Ok(_) => panic!("there was no place"),
        Err(f) => f,
    };
    assert_eq!(f(), "mine");
    assert_eq!(pool.stats().shed, 1);
    gate.open();
    join_all(running).await;
}

/// `try_run` submits before it is polled.
#[tokio::test(start_paused = true)]
async fn try_run_starts_without_being_polled() {
    let pool = pool(1, 0, Overload::Shed);
    let gate = Gate::default();
    let accepted = pool.try_run(gate.guard()).ok().unwrap();
    until(|| gate.arrived() == 1).await;
    gate.open();
    assert_eq!(accepted.await, Ok(()));
}

/// A future that was never polled has submitted nothing.
#[tokio::test(start_paused = true)]
async fn an_unpolled_call_changes_nothing() {
    let pool = pool(1, 0, Overload::Shed);
    drop(pool.run(|| ()));
    let stats = pool.stats();
    assert_eq!((stats.completed, stats.shed, stats.cancelled), (0, 0, 0));
}

/// TP-031, H7: a full pool does not delay another one.
#[tokio::test(start_paused = true)]
async fn pools_do_not_wait_for_each_other() {
    let slow = pool(1, 0, Overload::Wait);
    let gate = Gate::default();
    let running = occupy(&slow, &gate).await;
    let other: ThreadPool = pool(1, 0, Overload::Shed);
    assert_eq!(other.run(|| 1).await, Ok(1));
    gate.open();
    join_all(running).await;
}

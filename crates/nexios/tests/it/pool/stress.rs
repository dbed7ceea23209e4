//! Races, a thousand times each, on real threads.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use nexios::{CancelToken, Overload, PoolError, ThreadPool};
use tokio::task::JoinSet;

use super::{Drops, block_on, poll_once, pool};

fn settled(pool: &ThreadPool, calls: u64) {
    loop {
        let stats = pool.stats();
        if stats.running + stats.queued + stats.waiting == 0 {
            assert_eq!(stats.completed + stats.shed + stats.cancelled, calls);
            return;
        }
        thread::yield_now();
    }
}

/// TP-008, TP-010: whoever wins, the closure is run or dropped once, and counted once.
#[test]
fn cancel_against_start() {
    let pool = pool(2, 4, Overload::Wait);
    let (drops, ran) = (Drops::default(), Arc::new(AtomicUsize::new(0)));
    for round in 0..1_000 {
        let (captured, counter) = (drops.token(), ran.clone());
        let mut call = Box::pin(pool.run(move || {
            let _captured = captured;
            counter.fetch_add(1, Ordering::SeqCst);
        }));
        let _ = poll_once(&mut call);
        for _ in 0..round % 50 {
            std::hint::spin_loop();
        }
        if round % 3 == 0 {
            thread::yield_now();
        }
        drop(call);
    }
    settled(&pool, 1_000);
    assert_eq!(drops.count(), 1_000);
    assert_eq!(pool.stats().completed as usize, ran.load(Ordering::SeqCst));
}

/// PITFALLS 2.1, 2.12: a submission that meets a thread on its way to sleep is not lost.
#[test]
fn submit_against_park() {
    for threads in [1, 2] {
        let pool = pool(threads, 4, Overload::Wait);
        for round in 0..1_000 {
            assert_eq!(block_on(pool.run(move || round)), Ok(round));
            for _ in 0..(round * 37) % 2_000 {
                std::hint::spin_loop();
            }
        }
        settled(&pool, 1_000);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_callers_that_come_and_go_are_all_accounted_for() {
    for overload in [
        Overload::Wait,
        Overload::Shed,
        Overload::ShedAfter(std::time::Duration::from_micros(50)),
    ] {
        let pool = pool(2, 3, overload);
        let drops = Drops::default();
        let mut calls = JoinSet::new();
        for number in 0..1_000_usize {
            let (pool, captured) = (pool.clone(), drops.token());
            let call = calls.spawn(async move {
                match pool.run(move || (captured, number).1).await {
                    Ok(value) => assert_eq!(value, number),
                    Err(error) => assert_ne!(error, PoolError::Closed),
                }
            });
            if number % 3 == 0 {
                tokio::task::yield_now().await;
                call.abort();
            }
        }
        let mut aborted = 0;
        while let Some(outcome) = calls.join_next().await {
            aborted += u64::from(outcome.is_err());
        }
        // An aborted task may not have been polled once, so it may not have submitted anything.
        loop {
            let stats = pool.stats();
            let ended = stats.completed + stats.shed + stats.cancelled;
            if stats.running == 0 && stats.queued == 0 && stats.waiting == 0 {
                assert!((1_000 - aborted..=1_000).contains(&ended), "{stats:?}");
                break;
            }
            thread::yield_now();
        }
        assert_eq!(drops.count(), 1_000);
        assert_eq!(pool.run(|| 1).await, Ok(1));
    }
}

#[test]
fn close_against_submit_and_start() {
    for round in 0..300_u64 {
        let pool = pool(2, 2, Overload::Wait);
        let drops = Drops::default();
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    for _ in 0..5 {
                        let captured = drops.token();
                        let outcome = block_on(pool.run_with(move |token: &CancelToken| {
                            let _captured = captured;
                            token.is_cancelled()
                        }));
                        assert!(matches!(outcome, Ok(_) | Err(PoolError::Closed)));
                    }
                });
            }
            for _ in 0..round * 20 {
                std::hint::spin_loop();
            }
            block_on(pool.close());
            assert_eq!(pool.stats().running, 0);
        });
        settled(&pool, 15);
        assert_eq!(drops.count(), 15);
    }
}

/// Nested jobs from several threads at once, each also cancelled now and then.
#[test]
fn nested_jobs_against_each_other() {
    let (one, other) = (pool(2, 1, Overload::Wait), pool(1, 1, Overload::Wait));
    thread::scope(|scope| {
        for caller in 0..4_usize {
            let (one, other) = (&one, &other);
            scope.spawn(move || {
                for round in 0..250_usize {
                    let (inner, through) = (one.clone(), other.clone());
                    let value = block_on(one.run(move || {
                        if (round + caller) % 5 == 0 {
                            let _ = poll_once(&mut Box::pin(inner.run(|| ())));
                        }
                        let back = inner.clone();
                        let detour = block_on(
                            through.run(move || block_on(back.run(move || round)).unwrap()),
                        );
                        detour.unwrap() + block_on(inner.run(|| 1)).unwrap()
                    }));
                    assert_eq!(value, Ok(round + 1));
                }
            });
        }
    });
}

/// The last handle goes while jobs are accepted.
#[test]
fn the_last_handle_against_accepted_work() {
    for round in 0..1_000_u32 {
        let pool = pool(2, 2, Overload::Wait);
        let first = pool.try_run(move || round).ok().unwrap();
        let second = pool.try_run(move || round + 1).ok().unwrap();
        drop(pool);
        assert_eq!(
            (block_on(first), block_on(second)),
            (Ok(round), Ok(round + 1))
        );
    }
}

//! Limits and waits of callers beside code that is always ready.

use std::{
    future::Future,
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use nexios::{CancelReason, CancelScope, CancelToken, Overload, PoolError, ThreadPool};

use super::{Gate, pool};
use crate::race::{busy, everywhere, ms};

/// How long the busy code would go on, and what is long before that.
const BUSY: Duration = ms(3_000);
const SOON: Duration = ms(1_000);

/// Beside a neighbour in the same task that goes first in every poll.
async fn beside_a_busy_neighbour<T>(work: impl Future<Output = T>) -> T {
    let began = Instant::now();
    let end = tokio::select! {
        biased;
        () = busy(BUSY) => panic!("the neighbour was faster"),
        end = work => end,
    };
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
    end
}

/// Occupies the only thread of a pool.
async fn occupied(
    pool: &ThreadPool,
) -> (Gate, impl Future<Output = Result<(), PoolError>> + use<>) {
    let gate = Gate::default();
    let job = pool
        .try_run(gate.guard())
        .map_err(|_| "it is free")
        .unwrap();
    super::until(|| gate.arrived() == 1).await;
    (gate, job)
}

#[test]
fn the_limit_of_shed_after_holds_beside_code_that_is_always_ready() {
    everywhere(|| async {
        for places in [0, 1] {
            let pool = pool(1, places, Overload::ShedAfter(ms(50)));
            let (_gate, _job) = occupied(&pool).await;
            let end = beside_a_busy_neighbour(pool.run(|| ())).await;
            assert_eq!(end, Err(PoolError::QueueTimeout));
        }
    });
}

#[test]
fn callers_are_admitted_and_answered_in_time_beside_code_that_is_always_ready() {
    everywhere(|| async {
        for places in [0, 1] {
            let pool = pool(1, places, Overload::Wait);
            let (gate, job) = occupied(&pool).await;
            thread::spawn(move || {
                thread::sleep(ms(50));
                gate.open();
            });
            let calls = async { tokio::join!(pool.run(|| 1), pool.run(|| 2), pool.run(|| 3), job) };
            assert_eq!(
                beside_a_busy_neighbour(calls).await,
                (Ok(1), Ok(2), Ok(3), Ok(()))
            );
        }
    });
}

#[test]
fn the_token_of_a_closure_fires_in_time_beside_code_that_is_always_ready() {
    everywhere(|| async {
        let pool = pool(1, 1, Overload::Wait);
        let until_cancelled = || {
            pool.run_with(|token| {
                while !token.is_cancelled() {
                    thread::yield_now();
                }
                token.reason()
            })
        };
        let deadline = tokio::time::Instant::now() + ms(50);
        let scope = CancelScope::new(CancelToken::new(), Some(deadline));
        let end = scope.run(beside_a_busy_neighbour(until_cancelled())).await;
        assert_eq!(end, Ok(Some(CancelReason::Deadline)));
        let token = CancelToken::new();
        let scope = CancelScope::new(token.clone(), None);
        thread::spawn(move || {
            thread::sleep(ms(50));
            token.cancel(CancelReason::ClientDisconnected);
        });
        let end = scope.run(beside_a_busy_neighbour(until_cancelled())).await;
        assert_eq!(end, Ok(Some(CancelReason::ClientDisconnected)));
    });
}

#[test]
fn drain_ends_at_its_limit_beside_code_that_is_always_ready() {
    everywhere(|| async {
        let pool = pool(1, 1, Overload::Wait);
        let (_gate, _job) = occupied(&pool).await;
        let report = beside_a_busy_neighbour(pool.drain(ms(50))).await;
        assert_eq!(report.still_running, 1);
    });
}

#[test]
fn close_and_drain_end_with_the_last_closure_beside_code_that_is_always_ready() {
    everywhere(|| async {
        for drain in [false, true] {
            let pool = pool(1, 1, Overload::Wait);
            let (gate, _job) = occupied(&pool).await;
            let (closed, closing) = mpsc::channel::<()>();
            thread::spawn(move || {
                thread::sleep(ms(50));
                gate.open();
                drop(closed);
            });
            beside_a_busy_neighbour(async {
                match drain {
                    true => assert_eq!(pool.drain(BUSY).await.still_running, 0),
                    false => pool.close().await,
                }
            })
            .await;
            assert!(closing.recv().is_err());
        }
    });
}

//! What many callers cost: in proportion to their number.

use std::{
    future::Future,
    time::{Duration, Instant},
};

use nexios::{Overload, PoolError, ThreadPool};

use super::{Gate, occupy, poll_once, pool};
use crate::race::linear;

/// Callers behind an occupied thread, some queued and the others waiting for a place.
fn waiting(
    pool: &ThreadPool,
    callers: usize,
) -> Vec<impl Future<Output = Result<(), PoolError>> + Unpin + use<'_>> {
    let mut calls: Vec<_> = (0..callers).map(|_| Box::pin(pool.run(|| ()))).collect();
    for call in &mut calls {
        assert!(poll_once(call).is_pending());
    }
    calls
}

/// Queues of no place, of places for half of the callers, and of places for all.
fn queues(callers: usize) -> [usize; 3] {
    [0, callers / 2, callers]
}

const LONG: Duration = Duration::from_secs(600);

#[tokio::test]
async fn callers_leave_in_any_order_at_a_cost_that_is_linear() {
    for overload in [Overload::Wait, Overload::ShedAfter(LONG)] {
        for (order, places) in [0, 1, 2]
            .into_iter()
            .flat_map(|order| [0, 1, 2].map(|places| (order, places)))
        {
            linear("leaving", 4_000, async |callers| {
                let gate = Gate::default();
                let pool = pool(1, queues(callers)[places], overload);
                let _running = occupy(&pool, &gate).await;
                let mut calls = waiting(&pool, callers);
                match order {
                    0 => {}
                    1 => calls.reverse(),
                    _ => calls.sort_by_cached_key(|call| {
                        std::ptr::from_ref(call).addr().wrapping_mul(0x9e37_79b9)
                    }),
                }
                let began = Instant::now();
                drop(calls);
                let took = began.elapsed();
                assert_eq!(pool.stats().cancelled as usize, callers);
                took
            })
            .await;
        }
    }
}

#[tokio::test]
async fn a_pool_closes_and_drains_at_a_cost_that_is_linear() {
    for (drain, places) in [false, true]
        .into_iter()
        .flat_map(|drain| [0, 1, 2].map(|places| (drain, places)))
    {
        linear("closing", 4_000, async |callers| {
            let gate = Gate::default();
            let pool = pool(1, queues(callers)[places], Overload::Wait);
            let running = occupy(&pool, &gate).await;
            let calls = waiting(&pool, callers);
            let mut ends: Vec<_> = (0..callers / 100).map(|_| Box::pin(pool.close())).collect();
            let began = Instant::now();
            if drain {
                let mut drained = Box::pin(pool.drain(LONG));
                assert!(poll_once(&mut drained).is_pending());
                gate.open();
                drained.await;
            } else {
                for end in &mut ends {
                    assert!(poll_once(end).is_pending());
                }
                gate.open();
                for end in ends {
                    end.await;
                }
            }
            for call in calls {
                // Those that were queued as it was drained have run.
                let _ = call.await;
            }
            let took = began.elapsed();
            for job in running {
                job.await.unwrap().unwrap();
            }
            took
        })
        .await;
    }
}

#[tokio::test]
async fn callers_are_served_at_a_cost_that_is_linear() {
    for places in [0, 1, 2] {
        linear("serving", 4_000, async |callers| {
            let gate = Gate::default();
            let pool = pool(1, queues(callers)[places], Overload::Wait);
            let _running = occupy(&pool, &gate).await;
            let calls = waiting(&pool, callers);
            let began = Instant::now();
            gate.open();
            for call in calls {
                call.await.unwrap();
            }
            began.elapsed()
        })
        .await;
    }
}

/// Another pool's, so that none of them has to run on the job's own thread.
#[tokio::test]
async fn a_job_waits_for_many_others_at_a_cost_that_is_linear() {
    let (outer, inner) = (pool(1, 0, Overload::Wait), pool(1, 100_000, Overload::Wait));
    linear("waiting for others", 2_000, async |jobs| {
        let inner = inner.clone();
        let job = move || {
            let began = Instant::now();
            let runtime = tokio::runtime::Builder::new_current_thread()
                .build()
                .unwrap();
            runtime.block_on(futures_util::future::join_all(
                (0..jobs).map(|_| inner.run(|| ())),
            ));
            began.elapsed()
        };
        outer.run(job).await.unwrap()
    })
    .await;
}

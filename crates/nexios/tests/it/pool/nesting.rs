//! Jobs that wait for jobs.

use std::{
    collections::HashSet,
    future::Future,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
        mpsc::channel,
    },
    thread,
};

use futures_util::future::join_all;
use nexios::{Overload, PoolError, ThreadPool};
use tokio::runtime::{Builder, Handle};

use super::{Gate, block_on, occupy, poll_once, pool, until};

/// TP-030, P8, PITFALLS 2.6, 2.7: even with one thread, whatever happens when the queue is full.
#[tokio::test(start_paused = true)]
async fn a_job_may_wait_for_a_job_of_its_own_pool() {
    for overload in [Overload::Wait, Overload::Shed, Overload::ShedAfter(std::time::Duration::from_secs(1))] {
        let pool = pool(1, 0, overload);
        let inner = pool.clone();
        assert_eq!(pool.run(move || block_on(inner.run(|| 1))).await, Ok(Ok(1)));
        let stats = pool.stats();
        assert_eq!((stats.completed, stats.shed, stats.running), (2, 0, 0));
    }
}

type Waited = Pin<Box<dyn Future<Output = Result<i32, PoolError>> + Send>>;

fn nest(pool: &ThreadPool, depth: usize, wait: fn(&ThreadPool, usize) -> usize) -> usize {
    if depth == 0 { 0 } else { 1 + wait(pool, depth) }
}

/// Deeper than threads and overflow threads together, with a wait that may be nested.
#[tokio::test(start_paused = true)]
async fn nesting_may_be_deeper_than_there_are_threads() {
    fn wait(pool: &ThreadPool, depth: usize) -> usize {
        let inner = pool.clone();
        block_on(pool.run(move || nest(&inner, depth - 1, wait))).unwrap()
    }
    let pool = pool(1, 0, Overload::Shed);
    let inner = pool.clone();
    assert_eq!(pool.run(move || nest(&inner, 30, wait)).await, Ok(30));
    assert_eq!(pool.stats().completed, 31);
}

/// The same with tokio's own `block_on`, which does not allow another inside.
#[tokio::test(start_paused = true)]
async fn nested_jobs_may_use_the_runtimes_block_on_at_any_depth() {
    fn wait(pool: &ThreadPool, depth: usize) -> usize {
        let inner = pool.clone();
        Handle::current().block_on(pool.run(move || nest(&inner, depth - 1, wait))).unwrap()
    }
    let pool = pool(1, 0, Overload::Shed);
    let inner = pool.clone();
    assert_eq!(pool.run(move || nest(&inner, 10, wait)).await, Ok(10));
}

#[test]
fn nested_jobs_may_use_the_block_on_of_a_multi_thread_runtime_at_any_depth() {
    fn wait(pool: &ThreadPool, depth: usize) -> usize {
        let inner = pool.clone();
        Handle::current().block_on(pool.run(move || nest(&inner, depth - 1, wait))).unwrap()
    }
    let runtime = Builder::new_multi_thread().worker_threads(2).build().unwrap();
    let pool = pool(1, 0, Overload::Shed);
    let inner = pool.clone();
    assert_eq!(runtime.block_on(pool.run(move || nest(&inner, 10, wait))), Ok(10));
}

/// A runtime of their own inside each job: such a `block_on` cannot be left, a stand-in runs the job.
#[test]
fn nested_jobs_may_bring_a_runtime_of_their_own() {
    fn wait(pool: &ThreadPool, depth: usize) -> usize {
        let inner = pool.clone();
        let runtime = Builder::new_current_thread().build().unwrap();
        runtime.block_on(pool.run(move || nest(&inner, depth - 1, wait))).unwrap()
    }
    let pool = pool(1, 0, Overload::Shed);
    let inner = pool.clone();
    assert_eq!(block_on(pool.run(move || nest(&inner, 5, wait))), Ok(5));
}

#[tokio::test(start_paused = true)]
async fn nested_jobs_get_at_most_as_many_overflow_threads_as_threads() {
    let pool = pool(2, 0, Overload::Wait);
    let seen = Arc::new(Mutex::new(HashSet::new()));
    let outer = (0..2).map(|_| {
        let (inner, seen) = (pool.clone(), seen.clone());
        pool.run(move || {
            seen.lock().unwrap().insert(thread::current().id());
            let jobs = (0..50).map(|_| {
                let seen = seen.clone();
                inner.run(move || {
                    seen.lock().unwrap().insert(thread::current().id());
                    thread::yield_now();
                })
            });
            block_on(join_all(jobs)).len()
        })
    });
    assert_eq!(join_all(outer).await, [Ok(50), Ok(50)]);
    let threads = seen.lock().unwrap().len();
    assert!(threads <= 4, "{threads}");
    assert_eq!(pool.stats().completed, 102);
    assert_eq!((pool.stats().running, pool.stats().overflow_threads), (0, 0));
}

/// Every thread is blocked by a job that waits for one more.
#[tokio::test(start_paused = true)]
async fn a_pool_full_of_jobs_that_each_need_the_pool_finishes() {
    let pool = pool(2, 4, Overload::Wait);
    let jobs = (0..40).map(|number| {
        let inner = pool.clone();
        pool.run(move || block_on(inner.run(move || number)).unwrap())
    });
    let values: Vec<_> = join_all(jobs).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(values, (0..40).collect::<Vec<_>>());
}

/// Through another pool and back, several times over.
#[tokio::test(start_paused = true)]
async fn a_job_may_wait_for_its_own_pool_through_another_one() {
    fn bounce(here: &ThreadPool, there: &ThreadPool, times: usize) -> usize {
        if times == 0 {
            return 0;
        }
        let (from, to) = (here.clone(), there.clone());
        1 + block_on(there.run(move || bounce(&to, &from, times - 1))).unwrap()
    }
    let (one, other) = (pool(1, 0, Overload::Shed), pool(1, 0, Overload::Shed));
    let (from, to) = (one.clone(), other.clone());
    assert_eq!(one.run(move || bounce(&from, &to, 9)).await, Ok(9));
    assert_eq!((one.stats().shed, other.stats().shed), (0, 0));
}

/// A plain job of another pool obeys that pool's bound.
#[tokio::test(start_paused = true)]
async fn a_wait_from_another_pool_alone_is_not_nested() {
    let (one, other) = (pool(1, 0, Overload::Wait), pool(1, 0, Overload::Shed));
    let gate = Gate::default();
    let running = occupy(&other, &gate).await;
    let to = other.clone();
    assert_eq!(one.run(move || block_on(to.run(|| ()))).await, Ok(Err(PoolError::Saturated)));
    gate.open();
    join_all(running).await;
}

/// The future was made, and its job queued, outside; only then is it waited for inside.
#[tokio::test(start_paused = true)]
async fn a_queued_job_that_a_thread_of_the_pool_begins_to_wait_for_gets_a_way_to_run() {
    let pool = pool(1, 4, Overload::Wait);
    for occupied_overflow in [false, true] {
        let (hand_over, take) = channel();
        let inner = pool.clone();
        let outer = pool.try_run(move || {
            let future = take.recv().unwrap();
            if occupied_overflow {
                // The overflow thread is taken by a job that waits for the outcome as well.
                let (done, wait) = channel::<()>();
                let mut blocked = Box::pin(inner.run(move || wait.recv().is_ok()));
                assert!(poll_once(&mut blocked).is_pending());
                let value = block_on(future);
                done.send(()).unwrap();
                assert_eq!(block_on(blocked), Ok(true));
                value
            } else {
                block_on(future)
            }
        });
        let outer = outer.ok().unwrap();
        until(|| pool.stats().running == 1).await;
        let queued = pool.try_run(|| 7).ok().unwrap();
        assert_eq!(pool.stats().queued, 1);
        hand_over.send(queued).unwrap();
        assert_eq!(outer.await, Ok(Ok(7)));
    }
}

/// The waits come in an order that only shows the ring at its end: `first` begins to wait for `second`, which
/// runs in another pool and has been waiting all along for a job queued behind `first`.
#[tokio::test(start_paused = true)]
async fn a_wait_that_closes_a_ring_afterwards_is_seen() {
    for occupied_overflow in [false, true] {
        let (one, other) = (pool(1, 4, Overload::Wait), pool(1, 4, Overload::Wait));
        let (hand_over, take) = channel();
        let inner = one.clone();
        let first = one
            .try_run(move || {
                let (done, wait) = channel::<()>();
                let blocked = occupied_overflow.then(|| {
                    let mut blocked = Box::pin(inner.run(move || wait.recv().is_ok()));
                    assert!(poll_once(&mut blocked).is_pending());
                    blocked
                });
                let value = block_on(take.recv().unwrap());
                drop(done);
                drop(blocked);
                value
            })
            .ok()
            .unwrap();
        until(|| one.stats().running > usize::from(occupied_overflow)).await;
        let behind_first = one.try_run(|| 7).ok().unwrap();
        let waiting = Arc::new(AtomicUsize::new(0));
        let seen = waiting.clone();
        let second = other
            .try_run(move || {
                let mut behind_first = behind_first;
                assert!(poll_once(&mut behind_first).is_pending());
                seen.store(1, Ordering::SeqCst);
                block_on(behind_first).unwrap()
            })
            .ok()
            .unwrap();
        until(|| waiting.load(Ordering::SeqCst) == 1).await;
        assert_eq!(one.stats().queued, 1, "so far nobody in the first pool waits for it");
        hand_over.send(second).unwrap();
        assert_eq!(first.await, Ok(Ok(7)));
    }
}

/// The same ring, longer by a job of a third pool: what is learnt late is handed on to the last in the row.
#[tokio::test(start_paused = true)]
async fn a_wait_that_closes_a_long_ring_afterwards_is_seen() {
    let pools: Vec<_> = (0..3).map(|_| pool(1, 4, Overload::Wait)).collect();
    let (hand_over, take) = channel();
    let first = pools[0].try_run(move || block_on(take.recv().unwrap())).ok().unwrap();
    until(|| pools[0].stats().running == 1).await;
    let mut last: Waited = pools[0].try_run(|| 7).ok().unwrap();
    let waiting = Arc::new(AtomicUsize::new(0));
    for (number, pool) in pools.iter().enumerate().skip(1) {
        let seen = waiting.clone();
        let mut waited_for = last;
        last = pool
            .try_run(move || {
                assert!(poll_once(&mut waited_for).is_pending());
                seen.store(number, Ordering::SeqCst);
                block_on(waited_for).unwrap()
            })
            .ok()
            .unwrap();
        until(|| waiting.load(Ordering::SeqCst) == number).await;
    }
    assert_eq!(pools[0].stats().queued, 1, "so far nobody in the first pool waits for it");
    hand_over.send(last).unwrap();
    assert_eq!(first.await, Ok(Ok(7)));
}

#[tokio::test(start_paused = true)]
async fn a_nested_try_run_takes_an_overflow_thread_or_is_handed_back() {
    let pool = pool(1, 0, Overload::Wait);
    let inner = pool.clone();
    let outcome = pool
        .run(move || {
            let gate = Gate::default();
            let first = inner.try_run(gate.guard()).ok().unwrap();
            let second = inner.try_run(|| ()).is_err();
            gate.open();
            block_on(first).unwrap();
            second
        })
        .await;
    assert_eq!(outcome, Ok(true));
}

/// A nested job's panic is its waiter's, also when it ran on the waiter's thread.
#[tokio::test(start_paused = true)]
async fn a_nested_panic_resumes_in_the_job_that_waits() {
    fn wait(pool: &ThreadPool, depth: usize) -> usize {
        if depth == 1 {
            panic!("at the bottom");
        }
        let inner = pool.clone();
        block_on(pool.run(move || nest(&inner, depth - 1, wait))).unwrap()
    }
    let pool = pool(1, 0, Overload::Wait);
    let inner = pool.clone();
    let caught = tokio::spawn({
        let pool = pool.clone();
        async move { pool.run(move || nest(&inner, 6, wait)).await }
    });
    let payload = caught.await.unwrap_err().into_panic();
    assert_eq!(*payload.downcast::<&str>().unwrap(), "at the bottom");
    let stats = pool.stats();
    assert_eq!((stats.completed, stats.running), (6, 0));
    assert_eq!(pool.run(|| 1).await, Ok(1));
}

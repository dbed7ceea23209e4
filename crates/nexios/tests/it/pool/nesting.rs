//! Jobs that wait for jobs.

use std::{
    collections::HashSet,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, mpsc::channel},
    thread,
};

use futures_util::future::join_all;
use nexios::{Overload, PoolError, ThreadPool};
use tokio::runtime::{Builder, Handle};

use super::{Gate, block_on, occupy, poll_once, pool, until};

/// TP-030, P8, PITFALLS 2.6, 2.7: even with one thread, whatever happens when the queue is full.
#[tokio::test(start_paused = true)]
async fn a_job_may_wait_for_a_job_of_its_own_pool() {
    for overload in [
        Overload::Wait,
        Overload::Shed,
        Overload::ShedAfter(std::time::Duration::from_secs(1)),
    ] {
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

/// Deeper than there are threads, with a wait that may be nested.
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
        Handle::current()
            .block_on(pool.run(move || nest(&inner, depth - 1, wait)))
            .unwrap()
    }
    let pool = pool(1, 0, Overload::Shed);
    let inner = pool.clone();
    assert_eq!(pool.run(move || nest(&inner, 10, wait)).await, Ok(10));
}

#[test]
fn nested_jobs_may_use_the_block_on_of_a_multi_thread_runtime_at_any_depth() {
    fn wait(pool: &ThreadPool, depth: usize) -> usize {
        let inner = pool.clone();
        Handle::current()
            .block_on(pool.run(move || nest(&inner, depth - 1, wait)))
            .unwrap()
    }
    let runtime = Builder::new_multi_thread()
        .worker_threads(2)
        .build()
        .unwrap();
    let pool = pool(1, 0, Overload::Shed);
    let inner = pool.clone();
    assert_eq!(
        runtime.block_on(pool.run(move || nest(&inner, 10, wait))),
        Ok(10)
    );
}

/// A runtime of their own inside each job: such a `block_on` cannot be left, a stand-in runs the job.
#[test]
fn nested_jobs_may_bring_a_runtime_of_their_own() {
    fn wait(pool: &ThreadPool, depth: usize) -> usize {
        let inner = pool.clone();
        let runtime = Builder::new_current_thread().build().unwrap();
        runtime
            .block_on(pool.run(move || nest(&inner, depth - 1, wait)))
            .unwrap()
    }
    let pool = pool(1, 0, Overload::Shed);
    let inner = pool.clone();
    assert_eq!(block_on(pool.run(move || nest(&inner, 5, wait))), Ok(5));
}

/// A free thread takes a nested job, and where there is none its waiter does: no more threads than said.
#[tokio::test(start_paused = true)]
async fn nested_jobs_run_on_free_threads_and_on_those_that_wait_for_them() {
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
    assert!(threads <= 2, "{threads}");
    assert_eq!((pool.stats().completed, pool.stats().running), (102, 0));
}

#[tokio::test(start_paused = true)]
async fn a_free_thread_takes_a_nested_job() {
    let pool = pool(2, 0, Overload::Wait);
    let inner = pool.clone();
    let here = || thread::current().id();
    let (outer, nested) = pool
        .run(move || (here(), block_on(inner.run(here)).unwrap()))
        .await
        .unwrap();
    assert_ne!(outer, nested);
}

/// Every thread is blocked by a job that waits for one more.
#[tokio::test(start_paused = true)]
async fn a_pool_full_of_jobs_that_each_need_the_pool_finishes() {
    let pool = pool(2, 4, Overload::Wait);
    let jobs = (0..40).map(|number| {
        let inner = pool.clone();
        pool.run(move || block_on(inner.run(move || number)).unwrap())
    });
    let values: Vec<_> = join_all(jobs)
        .await
        .into_iter()
        .map(Result::unwrap)
        .collect();
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

/// What is awaited on a thread of one pool is never shed by another, which may be full: it runs right there.
#[tokio::test(start_paused = true)]
async fn a_job_awaited_on_a_thread_of_another_pool_runs_right_there() {
    for overload in [
        Overload::Wait,
        Overload::Shed,
        Overload::ShedAfter(std::time::Duration::ZERO),
    ] {
        let (one, other) = (pool(1, 0, Overload::Wait), pool(1, 0, overload));
        let gate = Gate::default();
        let running = occupy(&other, &gate).await;
        let to = other.clone();
        let here = || thread::current().id();
        let (outer, nested) = one
            .run(move || (here(), block_on(to.run(here)).unwrap()))
            .await
            .unwrap();
        assert_eq!(outer, nested);
        gate.open();
        join_all(running).await;
        assert_eq!((other.stats().completed, other.stats().shed), (2, 0));
    }
}

/// The future was made, and its job queued or in line, outside; only then is it waited for on a thread of this pool or of
/// another.
#[tokio::test(start_paused = true)]
async fn a_job_that_was_queued_before_runs_on_the_thread_that_begins_to_wait_for_it() {
    let (one, other) = (pool(1, 1, Overload::Wait), pool(1, 1, Overload::Wait));
    for waiter in [&one, &other] {
        for in_line in [false, true] {
            let gate = Gate::default();
            let (hand_over, take) = channel::<Waited>();
            // Of `one`, whose only thread is taken: by the waiter, or by a job at the gate.
            let outer = waiter
                .try_run(move || block_on(take.recv().unwrap()))
                .ok()
                .unwrap();
            until(|| waiter.stats().running == 1).await;
            let running = if one.stats().running == 0 {
                occupy(&one, &gate).await
            } else {
                Vec::new()
            };
            let before = in_line.then(|| one.try_run(|| 0).ok().unwrap());
            let pool = one.clone();
            let mut queued: Waited = Box::pin(async move { pool.run(|| 7).await });
            assert!(poll_once(&mut queued).is_pending());
            assert_eq!(
                (one.stats().queued, one.stats().waiting),
                (1, usize::from(in_line))
            );
            hand_over.send(queued).unwrap();
            assert_eq!(outer.await, Ok(Ok(7)));
            gate.open();
            join_all(running).await;
            if let Some(before) = before {
                assert_eq!(before.await, Ok(0));
            }
        }
    }
}

/// Pools whose only threads wait for each other's jobs, in a ring that a job of the first one closes.
#[tokio::test(start_paused = true)]
async fn a_ring_of_waits_through_other_pools_ends() {
    let pools: Vec<_> = (0..3).map(|_| pool(1, 4, Overload::Wait)).collect();
    let (hand_over, take) = channel::<Waited>();
    let first = pools[0]
        .try_run(move || block_on(take.recv().unwrap()))
        .ok()
        .unwrap();
    until(|| pools[0].stats().running == 1).await;
    let mut last: Waited = pools[0].try_run(|| 7).ok().unwrap();
    for pool in &pools[1..] {
        let waited_for = last;
        last = pool
            .try_run(move || block_on(waited_for).unwrap())
            .ok()
            .unwrap();
    }
    hand_over.send(last).unwrap();
    assert_eq!(first.await, Ok(Ok(7)));
}

/// `try_run` does not wait, so it needs no thread either.
#[tokio::test(start_paused = true)]
async fn a_nested_try_run_is_handed_back_when_the_pool_is_full() {
    let pool = pool(1, 1, Overload::Wait);
    let inner = pool.clone();
    let outcome = pool
        .run(move || {
            let accepted = inner.try_run(|| 1).ok().unwrap();
            let refused = inner.try_run(|| 2).is_err();
            (block_on(accepted), refused)
        })
        .await;
    assert_eq!(outcome, Ok((Ok(1), true)));
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

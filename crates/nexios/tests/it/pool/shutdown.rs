//! The end of a pool.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    task::{Context, Wake, Waker},
    time::Duration,
};

use futures_util::future::join_all;
use nexios::{CancelReason, CancelToken, Overload, PoolError, ThreadPool};
use tokio::{
    task::spawn_blocking,
    time::{Instant, advance},
};

use super::{Drops, Gate, awake, block_on, occupy, poll_once, pool, ticking, until};

fn spin_until_cancelled(
    started: Arc<AtomicBool>,
) -> impl FnOnce(&CancelToken) -> Option<CancelReason> + Send {
    move |token| {
        started.store(true, Ordering::SeqCst);
        while !token.is_cancelled() {
            std::thread::yield_now();
        }
        token.reason()
    }
}

#[tokio::test(start_paused = true)]
async fn close_fires_tokens_drops_queued_closures_and_waits_for_running_ones() {
    let pool = pool(1, 1, Overload::Wait);
    let started = Arc::new(AtomicBool::new(false));
    let running = tokio::spawn({
        let (pool, spin) = (pool.clone(), spin_until_cancelled(started.clone()));
        async move { pool.run_with(spin).await }
    });
    until(|| started.load(Ordering::SeqCst)).await;
    let drops = Drops::default();
    let (one, two) = (drops.token(), drops.token());
    let mut queued = Box::pin(pool.run(move || drop(one)));
    let mut waiting = Box::pin(pool.run(move || drop(two)));
    assert!(poll_once(&mut queued).is_pending());
    assert!(poll_once(&mut waiting).is_pending());
    pool.close().await;
    assert_eq!(pool.stats().running, 0);
    assert_eq!(drops.count(), 2);
    assert_eq!(running.await.unwrap(), Ok(Some(CancelReason::Shutdown)));
    assert_eq!(
        (queued.await, waiting.await),
        (Err(PoolError::Closed), Err(PoolError::Closed))
    );
    assert_eq!(pool.run(|| ()).await, Err(PoolError::Closed));
    assert!(pool.try_run(|| ()).is_err());
    let stats = pool.stats();
    assert_eq!((stats.completed, stats.cancelled, stats.shed), (1, 4, 0));
    pool.close().await;
}

/// TP-022, TP-017.
#[tokio::test(start_paused = true)]
async fn close_resolves_only_after_every_running_closure_has_ended() {
    let pool = pool(2, 0, Overload::Wait);
    let (first, second) = (Gate::default(), Gate::default());
    let one = pool.try_run(first.guard()).ok().unwrap();
    let two = pool.try_run(second.guard()).ok().unwrap();
    until(|| first.arrived() + second.arrived() == 2).await;
    let mut closing = Box::pin(pool.close());
    assert!(poll_once(&mut closing).is_pending());
    assert_eq!(pool.stats().running, 2);
    first.open();
    until(|| pool.stats().running == 1).await;
    assert!(poll_once(&mut closing).is_pending());
    second.open();
    closing.await;
    assert_eq!((one.await, two.await), (Ok(()), Ok(())));
    // A second one has nothing to wait for.
    let mut again = Box::pin(pool.close());
    assert!(poll_once(&mut again).is_ready());
}

#[tokio::test(start_paused = true)]
async fn drain_lets_accepted_work_finish_and_refuses_the_rest() {
    let pool = pool(1, 1, Overload::Wait);
    let gate = Gate::default();
    let running = occupy(&pool, &gate).await;
    let mut queued = Box::pin(pool.run(|| 1));
    let mut waiting = Box::pin(pool.run(|| 2));
    assert!(poll_once(&mut queued).is_pending());
    assert!(poll_once(&mut waiting).is_pending());
    let mut draining = Box::pin(pool.drain(Duration::from_secs(30)));
    assert!(poll_once(&mut draining).is_pending());
    assert_eq!(waiting.await, Err(PoolError::Closed), "not accepted yet");
    assert_eq!(pool.run(|| 3).await, Err(PoolError::Closed));
    gate.open();
    assert_eq!(awake(draining).await.still_running, 0);
    assert_eq!(queued.await, Ok(1));
    join_all(running).await;
    assert_eq!((pool.stats().completed, pool.stats().cancelled), (2, 2));
}

/// P10: what does not end is told to stop, counted, and not waited for.
#[tokio::test(start_paused = true)]
async fn drain_gives_up_at_its_limit_and_counts_what_still_runs() {
    let pool = pool(2, 1, Overload::Wait);
    let gate = Gate::default();
    let (guard, started) = (gate.guard(), Arc::new(AtomicBool::new(false)));
    let stuck = pool.try_run(guard).ok().unwrap();
    let watching = tokio::spawn({
        let (pool, spin) = (pool.clone(), spin_until_cancelled(started.clone()));
        async move { pool.run_with(spin).await }
    });
    until(|| gate.arrived() == 1 && started.load(Ordering::SeqCst)).await;
    let drops = Drops::default();
    let captured = drops.token();
    let queued = pool.try_run(move || drop(captured)).ok().unwrap();
    let begin = Instant::now();
    let report = ticking(pool.drain(Duration::from_secs(5))).await;
    assert!((5_000..5_010).contains(&begin.elapsed().as_millis()));
    assert!((1..=2).contains(&report.still_running), "{report:?}");
    assert_eq!(drops.count(), 1);
    assert_eq!(queued.await, Err(PoolError::Closed));
    assert_eq!(watching.await.unwrap(), Ok(Some(CancelReason::Shutdown)));
    gate.open();
    assert_eq!(stuck.await, Ok(()));
}

/// TP-022: nothing to wait for, no clock needed.
#[test]
fn draining_an_idle_pool_is_immediate_and_needs_no_runtime() {
    let pool = pool(1, 0, Overload::Wait);
    assert_eq!(block_on(pool.run(|| 1)), Ok(1));
    let mut draining = Box::pin(pool.drain(Duration::from_secs(60)));
    assert!(poll_once(&mut draining).is_ready());
    assert_eq!(block_on(pool.run(|| 1)), Err(PoolError::Closed));
}

/// Accepted work may need a nested job to finish.
#[tokio::test(start_paused = true)]
async fn a_draining_pool_still_takes_the_nested_jobs_of_accepted_ones() {
    let pool = pool(1, 0, Overload::Shed);
    let gate = Gate::default();
    let (inner, guard) = (pool.clone(), gate.guard());
    let accepted = pool
        .try_run(move || {
            guard();
            block_on(inner.run(|| 7))
        })
        .ok()
        .unwrap();
    until(|| gate.arrived() == 1).await;
    let mut draining = Box::pin(pool.drain(Duration::from_secs(30)));
    assert!(poll_once(&mut draining).is_pending());
    gate.open();
    assert_eq!(accepted.await, Ok(Ok(7)));
}

#[tokio::test(start_paused = true)]
async fn dropping_a_drain_lets_accepted_work_finish() {
    let pool = pool(1, 1, Overload::Wait);
    let gate = Gate::default();
    let running = occupy(&pool, &gate).await;
    let accepted = pool.try_run(|| 1).ok().unwrap();
    let mut draining = Box::pin(pool.drain(Duration::from_secs(1)));
    assert!(poll_once(&mut draining).is_pending());
    drop(draining);
    advance(Duration::from_secs(2)).await;
    assert_eq!(pool.run(|| 2).await, Err(PoolError::Closed));
    gate.open();
    assert_eq!(accepted.await, Ok(1));
    join_all(running).await;
}

#[tokio::test(start_paused = true)]
async fn a_job_that_closes_its_own_pool_waits_for_the_others_only() {
    let pool = pool(1, 0, Overload::Wait);
    let inner = pool.clone();
    assert_eq!(pool.run(move || block_on(inner.close())).await, Ok(()));
    assert_eq!(pool.run(|| ()).await, Err(PoolError::Closed));
}

struct PanicsOnDrop;
impl Drop for PanicsOnDrop {
    fn drop(&mut self) {
        panic!("destructor");
    }
}

#[tokio::test(start_paused = true)]
async fn a_destructors_panic_does_not_stop_a_close() {
    let pool = pool(1, 4, Overload::Wait);
    let gate = Gate::default();
    let running = occupy(&pool, &gate).await;
    let mut calls = Vec::new();
    for _ in 0..3 {
        let captured = PanicsOnDrop;
        let mut call = Box::pin(pool.run(move || std::mem::forget(captured)));
        assert!(poll_once(&mut call).is_pending());
        calls.push(call);
    }
    let mut closing = Box::pin(pool.close());
    assert!(poll_once(&mut closing).is_pending());
    gate.open();
    closing.await;
    assert_eq!(join_all(calls).await, [Err(PoolError::Closed); 3]);
    join_all(running).await;
}

/// Closures end when the pool's threads do: each thread holds a thread-local that counts its end.
#[tokio::test(start_paused = true)]
async fn accepted_work_is_finished_after_the_last_handle_and_then_the_threads_end() {
    thread_local! {
        static HELD: std::cell::RefCell<Vec<super::Dropped>> = const { std::cell::RefCell::new(Vec::new()) };
    }
    let pool: ThreadPool = pool(2, 4, Overload::Wait);
    let (gate, ends) = (Gate::default(), Drops::default());
    let hold = |gate: Option<&Gate>| {
        let (ends, guard) = (ends.token(), gate.map(Gate::guard));
        move || {
            HELD.with_borrow_mut(|held| held.push(ends));
            if let Some(guard) = guard {
                guard();
            }
        }
    };
    let mut accepted: Vec<_> = (0..2)
        .map(|_| pool.try_run(hold(Some(&gate))).ok().unwrap())
        .collect();
    until(|| gate.arrived() == 2).await;
    accepted.push(pool.try_run(hold(None)).ok().unwrap());
    let clone = pool.clone();
    drop(pool);
    assert_eq!(clone.stats().queued, 1);
    drop(clone);
    gate.open();
    for call in accepted {
        assert_eq!(call.await, Ok(()));
    }
    until(|| ends.count() == 3).await;
}

/// PITFALLS 2.10: sleeping threads end as well.
#[tokio::test(start_paused = true)]
async fn idle_threads_end_with_the_last_handle_and_with_a_close() {
    thread_local! {
        static HELD: std::cell::RefCell<Option<super::Dropped>> = const { std::cell::RefCell::new(None) };
    }
    for close in [false, true] {
        let ends = Drops::default();
        let pool = pool(1, 0, Overload::Wait);
        let token = ends.token();
        pool.run(move || HELD.set(Some(token))).await.unwrap();
        if close {
            pool.close().await;
        } else {
            drop(pool);
        }
        until(|| ends.count() == 1).await;
    }
}

#[tokio::test]
async fn a_waker_that_panics_keeps_no_closure_from_hearing_of_a_close() {
    struct Bomb;
    impl Wake for Bomb {
        fn wake(self: Arc<Self>) {
            panic!("waker");
        }
    }
    let pool = ThreadPool::builder().threads(2).build();
    let (send, tokens) = mpsc::channel();
    let jobs: Vec<_> = (0..2)
        .map(|_| {
            let (pool, send) = (pool.clone(), send.clone());
            tokio::spawn(async move {
                pool.run_with(move |token| {
                    send.send(token.clone()).unwrap();
                    while !token.is_cancelled() {
                        std::thread::yield_now();
                    }
                })
                .await
            })
        })
        .collect();
    // Both run, and of each somebody waits for the token.
    let tokens = spawn_blocking(move || [tokens.recv().unwrap(), tokens.recv().unwrap()]);
    let bomb = Waker::from(Arc::new(Bomb));
    let waits = tokens.await.unwrap().map(|token| {
        let mut wait = Box::pin(async move { token.cancelled().await });
        let first = wait.as_mut().poll(&mut Context::from_waker(&bomb));
        assert!(first.is_pending());
        wait
    });
    pool.close().await;
    for job in jobs {
        job.await.unwrap().unwrap();
    }
    drop(waits);
}

//! More work than the pool can do.

use std::{
    sync::{Arc, Mutex, mpsc::channel},
    time::Duration,
};

use futures_util::future::join_all;
use nexios::{Overload, PoolError, PoolStats};
use tokio::time::{Instant, advance, timeout};

use super::{Drops, Gate, awake, block_on, occupy, poll_once, pool, ticking, until};

const LIMIT: Duration = Duration::from_millis(100);

#[tokio::test(start_paused = true)]
async fn shed_refuses_at_once_and_drops_the_closure() {
    let pool = pool(1, 1, Overload::Shed);
    let gate = Gate::default();
    let running = occupy(&pool, &gate).await;
    let drops = Drops::default();
    let (queued, refused) = (drops.token(), drops.token());
    let mut queued = Box::pin(pool.run(move || drop(queued)));
    assert!(poll_once(&mut queued).is_pending());
    assert_eq!(
        pool.run(move || drop(refused)).await,
        Err(PoolError::Saturated)
    );
    assert_eq!(drops.count(), 1);
    assert_eq!((pool.stats().shed, pool.stats().cancelled), (1, 0));
    gate.open();
    assert_eq!(queued.await, Ok(()));
    join_all(running).await;
}

/// One limit over waiting for a place and being queued.
#[tokio::test(start_paused = true)]
async fn shed_after_limits_admission_and_queueing_together() {
    let pool = pool(1, 1, Overload::ShedAfter(LIMIT));
    let gate = Gate::default();
    let running = occupy(&pool, &gate).await;
    let begin = Instant::now();
    let drops = Drops::default();
    let (one, two) = (drops.token(), drops.token());
    let queued = pool.run(move || drop(one));
    let waiting = pool.run(move || drop(two));
    let outcomes = ticking(futures_util::future::join(queued, waiting)).await;
    assert_eq!(
        outcomes,
        (Err(PoolError::QueueTimeout), Err(PoolError::QueueTimeout))
    );
    assert!(
        (LIMIT..LIMIT + Duration::from_millis(2)).contains(&begin.elapsed()),
        "{:?}",
        begin.elapsed()
    );
    assert_eq!(drops.count(), 2);
    let stats = pool.stats();
    assert_eq!((stats.shed, stats.queued, stats.waiting), (2, 0, 0));
    gate.open();
    join_all(running).await;
    assert_eq!(pool.run(|| 1).await, Ok(1));
}

/// A caller that moves from the line into the queue keeps its limit.
#[tokio::test(start_paused = true)]
async fn a_place_in_the_queue_does_not_begin_the_limit_again() {
    let pool = pool(1, 1, Overload::ShedAfter(LIMIT));
    let gate = Gate::default();
    let running = occupy(&pool, &gate).await;
    let begin = Instant::now();
    let mut queued = Box::pin(pool.run(|| ()));
    let mut waiting = Box::pin(pool.run(|| ()));
    assert!(poll_once(&mut queued).is_pending());
    assert!(poll_once(&mut waiting).is_pending());
    advance(LIMIT - Duration::from_millis(10)).await;
    drop(queued);
    assert_eq!(pool.stats().queued, 1);
    assert_eq!(ticking(waiting).await, Err(PoolError::QueueTimeout));
    assert!(begin.elapsed() < LIMIT + Duration::from_millis(2));
    gate.open();
    join_all(running).await;
}

#[tokio::test(start_paused = true)]
async fn shed_after_never_cuts_a_started_closure() {
    let pool = pool(1, 1, Overload::ShedAfter(LIMIT));
    let gate = Gate::default();
    let mut call = Box::pin(pool.run(gate.guard()));
    assert!(poll_once(&mut call).is_pending());
    until(|| gate.arrived() == 1).await;
    advance(LIMIT * 10).await;
    assert!(poll_once(&mut call).is_pending());
    gate.open();
    assert_eq!(call.await, Ok(()));
    assert_eq!(pool.stats().shed, 0);
}

/// A caller that is not polled at its limit: its job is too old to begin all the same.
#[tokio::test(start_paused = true)]
async fn a_job_past_its_limit_is_not_begun() {
    let pool = pool(1, 1, Overload::ShedAfter(LIMIT));
    let gate = Gate::default();
    let running = occupy(&pool, &gate).await;
    let drops = Drops::default();
    let captured = drops.token();
    let mut queued = Box::pin(pool.run(move || drop(captured)));
    assert!(poll_once(&mut queued).is_pending());
    advance(LIMIT).await;
    gate.open();
    join_all(running).await;
    until(|| pool.stats().running == 0).await;
    assert_eq!(
        (pool.stats().shed, pool.stats().completed, drops.count()),
        (1, 1, 1)
    );
    assert_eq!(queued.await, Err(PoolError::QueueTimeout));
}

/// The thread that finds a job too old drops its closure, and survives that.
#[tokio::test(start_paused = true)]
async fn a_destructors_panic_in_a_job_past_its_limit_harms_nobody() {
    struct PanicsOnDrop;
    impl Drop for PanicsOnDrop {
        fn drop(&mut self) {
            panic!("destructor");
        }
    }
    let pool = pool(1, 1, Overload::ShedAfter(LIMIT));
    let gate = Gate::default();
    let running = occupy(&pool, &gate).await;
    let captured = PanicsOnDrop;
    let mut queued = Box::pin(pool.run(move || std::mem::forget(captured)));
    assert!(poll_once(&mut queued).is_pending());
    advance(LIMIT).await;
    gate.open();
    join_all(running).await;
    until(|| pool.stats().shed == 1).await;
    assert_eq!(queued.await, Err(PoolError::QueueTimeout));
    assert_eq!(pool.run(|| 1).await, Ok(1));
    assert_eq!((pool.stats().running, pool.stats().completed), (0, 2));
}

/// A free thread has no limit, however long the thread takes to wake.
#[tokio::test(start_paused = true)]
async fn a_job_that_finds_a_thread_free_is_not_shed() {
    let pool = pool(2, 0, Overload::ShedAfter(Duration::from_nanos(1)));
    for _ in 0..200 {
        let (one, two) = futures_util::future::join(pool.run(|| 1), pool.run(|| 2)).await;
        assert_eq!((one, two), (Ok(1), Ok(2)));
    }
}

#[tokio::test(start_paused = true)]
async fn shed_after_serves_the_oldest_first_until_a_limit_is_reached_and_then_the_newest() {
    let pool = pool(1, 8, Overload::ShedAfter(LIMIT));
    let order = Arc::new(Mutex::new(Vec::new()));
    let note = |number: usize| {
        let order = order.clone();
        move || order.lock().unwrap().push(number)
    };
    for overloaded in [false, true, false] {
        let gate = Gate::default();
        let running = occupy(&pool, &gate).await;
        if overloaded {
            assert_eq!(ticking(pool.run(|| ())).await, Err(PoolError::QueueTimeout));
        }
        // More than the queue holds, so that some wait for a place.
        let mut calls: Vec<_> = (0..10)
            .map(|number| Box::pin(pool.run(note(number))))
            .collect();
        // The one that reached its limit left the queue empty, which ended the overload.
        let mut late = Box::pin(pool.run(|| ()));
        if overloaded {
            assert!(poll_once(&mut late).is_pending());
            advance(LIMIT / 2).await;
            for call in &mut calls {
                assert!(poll_once(call).is_pending());
            }
            advance(LIMIT / 2).await;
            assert!(poll_once(&mut late).is_ready());
        }
        for call in &mut calls {
            assert!(poll_once(call).is_pending());
        }
        gate.open();
        assert!(awake(join_all(calls)).await.iter().all(Result::is_ok));
        join_all(running).await;
        let served = std::mem::take(&mut *order.lock().unwrap());
        let expected: Vec<_> = if overloaded {
            (0..10).rev().collect()
        } else {
            (0..10).collect()
        };
        assert_eq!(served, expected);
    }
}

const WORK: Duration = Duration::from_millis(10);
const SLOTS: usize = 200;

/// What came out of [`overload`].
struct Outcome {
    /// Jobs whose caller was still there for the result.
    good: usize,
    /// How long the jobs that began had waited, in the order of time.
    waits: Vec<Duration>,
    stats: PoolStats,
}

/// Gives one thread twice the work that it can do, on the paused clock: every 10 ms two callers come, and the
/// closure that runs ends. A caller leaves after `patience`.
async fn overload(overload: Overload, patience: Duration) -> Outcome {
    let pool = pool(1, 64, overload);
    let mut calls = Vec::new();
    let mut finish = None;
    let mut waits = Vec::new();
    let (started, starts) = channel();
    for _ in 0..SLOTS {
        for _ in 0..2 {
            let (release, wait) = channel::<()>();
            let (started, submitted) = (started.clone(), Instant::now());
            let pool = pool.clone();
            calls.push(tokio::spawn(async move {
                let run = pool.run(move || {
                    // Nobody listens any more at the end.
                    let _ = started.send((release, submitted));
                    let _ = wait.recv();
                });
                timeout(patience, run).await
            }));
        }
        tokio::task::yield_now().await;
        // The thread ends one job and begins the next.
        drop(finish.take());
        let mut next = None;
        until(|| {
            next = starts.try_recv().ok();
            next.is_some()
        })
        .await;
        if let Some((release, submitted)) = next {
            waits.push(submitted.elapsed());
            finish = Some(release);
        }
        advance(WORK).await;
    }
    drop(finish);
    drop(starts);
    pool.close().await;
    let outcomes = join_all(calls).await;
    let good = outcomes
        .iter()
        .filter(|outcome| matches!(outcome, Ok(Ok(Ok(())))))
        .count();
    Outcome {
        good,
        waits,
        stats: pool.stats(),
    }
}

/// P2: goodput stays at capacity, and what is served has not waited beyond the limit and mostly hardly at all.
#[tokio::test(start_paused = true)]
async fn under_twice_the_load_goodput_stays_at_capacity_and_waits_are_bounded() {
    let Outcome {
        good,
        mut waits,
        stats,
    } = overload(Overload::ShedAfter(LIMIT), LIMIT * 2).await;
    assert!(good >= SLOTS * 95 / 100, "{good} of {SLOTS}");
    waits.sort();
    assert!(waits.last().is_some_and(|worst| *worst <= LIMIT));
    assert!(
        waits[SLOTS / 2] <= WORK,
        "half of the served have hardly waited: {:?}",
        waits[SLOTS / 2]
    );
    assert_eq!(
        stats.completed + stats.shed + stats.cancelled,
        2 * SLOTS as u64
    );
    assert!(stats.queued <= 64);
}

/// Callers that leave before the limit never reach it; that the queue stands shows it all the same.
#[tokio::test(start_paused = true)]
async fn goodput_stays_at_capacity_when_callers_leave_before_the_limit() {
    let Outcome { good, .. } = overload(Overload::ShedAfter(LIMIT), LIMIT / 2 + WORK / 2).await;
    assert!(good >= SLOTS * 95 / 100, "{good} of {SLOTS}");
}

/// The same experiment without a limit: the oldest first, everybody is served too late. So it can fail.
#[tokio::test(start_paused = true)]
async fn without_a_limit_goodput_collapses_when_callers_leave() {
    let Outcome { good, .. } = overload(Overload::Wait, LIMIT / 2 + WORK / 2).await;
    assert!(good <= SLOTS / 4, "{good} of {SLOTS}");
}

/// A burst that drains within the limit is not an overload.
#[tokio::test(start_paused = true)]
async fn a_queue_that_has_been_empty_does_not_stand() {
    let pool = pool(1, 8, Overload::ShedAfter(LIMIT));
    let order = Arc::new(Mutex::new(Vec::new()));
    for first in [0, 3, 6] {
        let gate = Gate::default();
        let running = occupy(&pool, &gate).await;
        let mut calls: Vec<_> = (first..first + 3)
            .map(|number| {
                let order = order.clone();
                Box::pin(pool.run(move || order.lock().unwrap().push(number)))
            })
            .collect();
        for call in &mut calls {
            assert!(poll_once(call).is_pending());
            advance(LIMIT / 4).await;
        }
        gate.open();
        assert!(awake(join_all(calls)).await.iter().all(Result::is_ok));
        join_all(running).await;
    }
    assert_eq!(*order.lock().unwrap(), (0..9).collect::<Vec<_>>());
}

#[test]
fn a_limit_that_cannot_be_reached_is_none() {
    let pool = pool(1, 1, Overload::ShedAfter(Duration::MAX));
    let gate = Gate::default();
    let first = pool.try_run(gate.guard()).ok().unwrap();
    let mut queued = Box::pin(pool.run(|| 1));
    // Without a runtime: no timer is needed.
    assert!(poll_once(&mut queued).is_pending());
    gate.open();
    assert_eq!((block_on(first), block_on(queued)), (Ok(()), Ok(1)));
}

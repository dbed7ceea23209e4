//! Callers that go away.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures_util::future::join_all;
use nexios::{CancelReason, CancelScope, CancelToken, Overload, PoolError};
use tokio::time::Instant;

use super::{Drops, Gate, occupy, poll_once, pool, ticking, until};

/// TP-003, TP-030, P3, PITFALLS 2.9, 2.11.
#[tokio::test(start_paused = true)]
async fn a_queued_closure_is_dropped_by_its_callers_own_drop_and_never_runs() {
    let pool = pool(1, 1, Overload::Wait);
    let gate = Gate::default();
    let running = occupy(&pool, &gate).await;
    let (drops, ran) = (Drops::default(), Arc::new(AtomicBool::new(false)));
    // One in the queue, one waiting for a place, one handed in by `try_run`.
    let closure = || {
        let (captured, ran) = (drops.token(), ran.clone());
        move || {
            let _captured = captured;
            ran.store(true, Ordering::SeqCst);
        }
    };
    let mut queued = Box::pin(pool.run(closure()));
    let mut waiting = Box::pin(pool.run(closure()));
    assert!(poll_once(&mut queued).is_pending());
    assert!(poll_once(&mut waiting).is_pending());
    drop(waiting);
    assert_eq!(drops.count(), 1);
    drop(queued);
    assert_eq!(drops.count(), 2);
    let accepted = pool.try_run(closure()).ok().unwrap();
    drop(accepted);
    assert_eq!(drops.count(), 3);
    let stats = pool.stats();
    assert_eq!((stats.queued, stats.waiting, stats.cancelled), (0, 0, 3));
    gate.open();
    join_all(running).await;
    assert_eq!(pool.run(|| 1).await, Ok(1));
    assert!(!ran.load(Ordering::SeqCst));
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_place_is_free_at_once_and_goes_to_the_next_in_line() {
    let pool = pool(1, 1, Overload::Wait);
    let gate = Gate::default();
    let running = occupy(&pool, &gate).await;
    let mut queued = Box::pin(pool.run(|| 1));
    let mut waiting = Box::pin(pool.run(|| 2));
    assert!(poll_once(&mut queued).is_pending());
    assert!(poll_once(&mut waiting).is_pending());
    drop(queued);
    assert_eq!((pool.stats().queued, pool.stats().waiting), (1, 0));
    assert!(pool.try_run(|| ()).is_err());
    drop(waiting);
    let accepted = pool.try_run(|| 3).ok().unwrap();
    gate.open();
    assert_eq!(accepted.await, Ok(3));
    join_all(running).await;
}

/// Nothing grows behind a stuck thread: a hundred thousand callers come and go.
#[tokio::test(start_paused = true)]
async fn cancelled_jobs_leave_nothing_behind_a_stuck_thread() {
    let pool = pool(1, 8, Overload::Wait);
    let gate = Gate::default();
    let running = occupy(&pool, &gate).await;
    let drops = Drops::default();
    for round in 1..=1_000 {
        let mut calls: Vec<_> = (0..100)
            .map(|_| {
                let captured = drops.token();
                Box::pin(pool.run(move || drop(captured)))
            })
            .collect();
        for call in &mut calls {
            assert!(poll_once(call).is_pending());
        }
        drop(calls);
        assert_eq!(drops.count(), round * 100);
    }
    let stats = pool.stats();
    assert_eq!(
        (stats.queued, stats.waiting, stats.cancelled),
        (0, 0, 100_000)
    );
    gate.open();
    join_all(running).await;
}

/// TP-004, P4: the caller is free at once, the closure runs on, and its thread is busy until it ends.
#[tokio::test(start_paused = true)]
async fn a_running_closure_runs_on_and_keeps_its_thread() {
    let pool = pool(1, 0, Overload::Shed);
    let (gate, drops) = (Gate::default(), Drops::default());
    let (guard, captured) = (gate.guard(), drops.token());
    let call = tokio::spawn({
        let pool = pool.clone();
        async move {
            pool.run(move || {
                guard();
                captured
            })
            .await
        }
    });
    until(|| gate.arrived() == 1).await;
    call.abort();
    assert!(call.await.is_err_and(|error| error.is_cancelled()));
    assert_eq!(pool.stats().running, 1);
    assert_eq!(pool.run(|| ()).await, Err(PoolError::Saturated));
    assert_eq!(drops.count(), 0);
    gate.open();
    until(|| pool.stats().running == 0).await;
    assert_eq!(
        drops.count(),
        1,
        "the unwanted result is dropped before the thread is free"
    );
    let stats = pool.stats();
    assert_eq!((stats.completed, stats.cancelled, stats.shed), (1, 0, 1));
}

/// TP-008: half of the callers leave; never more closures at once than threads, and all of them end.
#[tokio::test(start_paused = true)]
async fn cancelled_callers_do_not_free_their_thread_early() {
    for threads in [3, 5, 10] {
        let pool = pool(threads, 2 * threads, Overload::Wait);
        let gate = Gate::default();
        let mut calls = occupy(&pool, &gate).await;
        for _ in 0..threads {
            let (pool, guard) = (pool.clone(), gate.guard());
            calls.push(tokio::spawn(async move { pool.run(guard).await }));
        }
        until(|| pool.stats().queued == threads).await;
        for call in calls.iter().take(threads) {
            call.abort();
        }
        until(|| calls.iter().take(threads).all(|call| call.is_finished())).await;
        assert_eq!(
            (gate.arrived(), pool.stats().running, pool.stats().queued),
            (threads, threads, threads)
        );
        gate.open();
        for call in calls.into_iter().skip(threads) {
            call.await.unwrap().unwrap();
        }
        until(|| pool.stats().completed as usize == 2 * threads).await;
        assert_eq!(gate.arrived(), 2 * threads);
    }
}

/// A closure that spins until its token has fired, and tells the reason.
fn watch(
    started: &Arc<AtomicBool>,
) -> impl FnOnce(&CancelToken) -> Option<CancelReason> + Send + use<> {
    let started = started.clone();
    move |token| {
        started.store(true, Ordering::SeqCst);
        while !token.is_cancelled() {
            std::thread::yield_now();
        }
        token.reason()
    }
}

/// TP-019, TP-026, PITFALLS 2.3 (rayon#1014).
#[tokio::test(start_paused = true)]
async fn the_token_fires_when_the_caller_goes() {
    let pool = pool(1, 0, Overload::Wait);
    let started = Arc::new(AtomicBool::new(false));
    let (send, seen) = std::sync::mpsc::channel();
    let spin = watch(&started);
    let call = tokio::spawn({
        let pool = pool.clone();
        async move {
            pool.run_with(move |token| send.send(spin(token)).unwrap())
                .await
        }
    });
    until(|| started.load(Ordering::SeqCst)).await;
    call.abort();
    let _ = call.await;
    until(|| pool.stats().running == 0).await;
    assert_eq!(seen.recv().unwrap(), Some(CancelReason::OwnerDropped));
}

/// TP-019: the caller is still there and gets the closure's value.
#[tokio::test(start_paused = true)]
async fn the_token_fires_with_the_callers_scope() {
    let pool = pool(1, 0, Overload::Wait);
    let started = Arc::new(AtomicBool::new(false));
    let request = CancelToken::new();
    let scope = CancelScope::new(request.clone(), None);
    let call = tokio::spawn({
        let (pool, spin) = (pool.clone(), watch(&started));
        async move { scope.run(pool.run_with(spin)).await }
    });
    until(|| started.load(Ordering::SeqCst)).await;
    request.cancel(CancelReason::ClientDisconnected);
    assert_eq!(
        call.await.unwrap(),
        Ok(Some(CancelReason::ClientDisconnected))
    );
    assert!(
        !pool.run_with(CancelToken::is_cancelled).await.unwrap(),
        "the next caller has its own"
    );
}

#[tokio::test(start_paused = true)]
async fn the_token_fires_at_the_scopes_deadline() {
    let pool = pool(1, 0, Overload::Wait);
    let started = Arc::new(AtomicBool::new(false));
    let begin = Instant::now();
    let scope = CancelScope::new(CancelToken::new(), Some(begin + Duration::from_millis(50)));
    assert_eq!(
        ticking(scope.run(pool.run_with(watch(&started)))).await,
        Ok(Some(CancelReason::Deadline))
    );
    assert!(begin.elapsed() >= Duration::from_millis(50));
    // Now it has passed: fired before the closure begins.
    assert_eq!(
        scope.run(pool.run_with(|token| token.reason())).await,
        Ok(Some(CancelReason::Deadline))
    );
}

/// TP-027: abandonment shows in the token; an end of the closure's own, a good one or a failure, is none.
#[tokio::test(start_paused = true)]
async fn the_token_does_not_fire_for_a_closure_that_ends_by_itself() {
    let pool = pool(1, 0, Overload::Wait);
    for fails in [false, true] {
        let (send, seen) = std::sync::mpsc::channel();
        let call = tokio::spawn({
            let pool = pool.clone();
            async move {
                pool.run_with(move |token| {
                    send.send(token.clone()).unwrap();
                    assert!(!fails, "a failure of its own");
                })
                .await
            }
        });
        assert_eq!(call.await.is_err(), fails);
        until(|| pool.stats().running == 0).await;
        assert_eq!(seen.recv().unwrap().reason(), None);
    }
}

/// The scope reaches the closure's token only: the call itself goes on.
#[tokio::test(start_paused = true)]
async fn a_scope_does_not_end_the_call_itself() {
    let pool = pool(1, 0, Overload::Wait);
    let token = CancelToken::new();
    token.cancel(CancelReason::Shutdown);
    let scope = CancelScope::new(token, Some(Instant::now()));
    assert_eq!(scope.run(pool.run(|| 5)).await, Ok(5));
}

struct PanicsOnDrop;
impl Drop for PanicsOnDrop {
    fn drop(&mut self) {
        panic!("destructor");
    }
}

/// The result is there, and its caller goes without taking it.
#[tokio::test(start_paused = true)]
async fn an_untaken_results_destructor_panics_in_its_callers_drop_only() {
    let pool = pool(1, 4, Overload::Wait);
    let gate = Gate::default();
    let guard = gate.guard();
    let mut call = Box::pin(pool.run(move || {
        guard();
        PanicsOnDrop
    }));
    assert!(poll_once(&mut call).is_pending());
    gate.open();
    until(|| pool.stats().completed == 1).await;
    assert_eq!(
        pool.run(|| 1).await,
        Ok(1),
        "the thread has nothing to do with it any more"
    );
    assert!(catch_unwind(AssertUnwindSafe(|| drop(call))).is_err());
    assert_eq!((pool.stats().completed, pool.stats().cancelled), (2, 0));
}

#[tokio::test(start_paused = true)]
async fn a_queued_closures_destructor_panics_in_its_callers_drop_only() {
    let pool = pool(1, 4, Overload::Wait);
    let gate = Gate::default();
    let running = occupy(&pool, &gate).await;
    let captured = PanicsOnDrop;
    let mut call = Box::pin(pool.run(move || std::mem::forget(captured)));
    assert!(poll_once(&mut call).is_pending());
    assert!(catch_unwind(AssertUnwindSafe(|| drop(call))).is_err());
    assert_eq!((pool.stats().queued, pool.stats().cancelled), (0, 1));
    // While another panic unwinds it is contained, or the process would end.
    let captured = PanicsOnDrop;
    let mut call = Box::pin(pool.run(move || std::mem::forget(captured)));
    assert!(poll_once(&mut call).is_pending());
    let caught = catch_unwind(AssertUnwindSafe(|| {
        let _call = call;
        panic!("first");
    }));
    assert_eq!(*caught.unwrap_err().downcast::<&str>().unwrap(), "first");
    gate.open();
    join_all(running).await;
    assert_eq!(pool.run(|| 1).await, Ok(1));
}

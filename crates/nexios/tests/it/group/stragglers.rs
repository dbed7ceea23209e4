//! Children that do not end at once: what waits for them, and for how long.

use std::{
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc,
    },
};

use nexios::{CancelReason, CancelToken, OnError, TaskGroup};
use tokio::{sync::oneshot, time::Instant};
use tracing::Level;

use super::logs::Logs;
use super::probes::{
    CountDrop, Diary, Failed, after, bounded, cancelled, count, millis, settle, soon, value_after,
    watched,
};

/// TG-100, T7: once the end has begun, a second one changes neither the reason nor the wait, and opens nothing.
#[tokio::test(start_paused = true)]
async fn a_second_interrupt_while_the_end_waits_for_a_straggler_changes_nothing() {
    let (parent, begun) = (CancelToken::new(), Instant::now());
    let diary = Diary::default();
    let group = TaskGroup::builder()
        .parent(&parent)
        .grace(millis(200))
        .build();
    group.spawn(async {
        let _mark = diary.at_drop("straggler");
        after(110).await;
        Ok::<_, Failed>(())
    });
    let interrupts = async {
        after(10).await;
        parent.cancel(CancelReason::Shutdown);
        for _ in 0..3 {
            after(20).await;
            group.cancel();
            parent.cancel(CancelReason::Requested);
            let refused = group.spawn(async { Ok(()) });
            assert_eq!(refused.await, Err(cancelled(CancelReason::Shutdown)));
        }
    };
    let (outcome, ()) =
        bounded(async { tokio::join!(group.run(pending::<Result<(), _>>()), interrupts) }).await;
    assert_eq!(outcome, Err(cancelled(CancelReason::Shutdown)));
    assert_eq!(diary.pages(), ["straggler"]);
    assert!(begun.elapsed() >= millis(110), "{:?}", begun.elapsed());
    assert!(begun.elapsed() <= millis(210), "{:?}", begun.elapsed());
}

/// T6: a child that ignores the end gets the grace, and a child on another thread that cannot even be dropped gets
/// a second; then `run` goes on without it and says who it is.
#[tokio::test(start_paused = true)]
async fn a_parallel_child_that_does_not_unwind_is_left_with_a_warning_that_names_it() {
    let (logs, _guard) = Logs::capture();
    let other = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .build()
        .unwrap();
    let (begun, (release, stuck)) = (Instant::now(), mpsc::channel::<()>());
    let (entered, started) = mpsc::channel();
    let ended = Arc::new(AtomicBool::new(false));
    let group = TaskGroup::<Failed>::new();
    let task = {
        let _inside = other.enter();
        let ended = ended.clone();
        group.spawn_parallel(async move {
            entered.send(()).unwrap();
            // Not an await: nothing can interrupt it.
            let _ = stuck.recv();
            ended.store(true, Ordering::SeqCst);
            Ok(())
        })
    };
    started.recv().unwrap();
    let name = task.name().to_owned();
    let outcome: Result<(), _> = bounded(group.run(async { Err(Failed::With("body")) })).await;
    assert_eq!(outcome, Err(Failed::With("body")));
    assert_eq!(begun.elapsed(), millis(1_000));
    assert!(!ended.load(Ordering::SeqCst));
    let logged = logs.at(Level::WARN);
    assert_eq!(logged.len(), 1, "{logged:?}");
    assert!(
        logged[0].text.contains(&name) && name.contains("stragglers.rs"),
        "{logged:?}"
    );
    assert_eq!(
        bounded(task).await,
        Err(cancelled(CancelReason::SiblingFailed))
    );
    release.send(()).unwrap();
    while !ended.load(Ordering::SeqCst) {
        std::thread::yield_now();
    }
    other.shutdown_background();
}

/// TG-138, TG-137: cancelling a parallel child returns at once; the end still waits for it to be gone.
#[tokio::test(start_paused = true)]
async fn cancelling_a_parallel_child_does_not_wait_but_the_end_does() {
    for _ in 0..100 {
        let dropped = Arc::new(AtomicUsize::new(0));
        let group = TaskGroup::<Failed>::new();
        let outcome = bounded(group.run(async {
            let task = {
                let dropped = dropped.clone();
                group.spawn_parallel(async move {
                    let _held = CountDrop(&dropped);
                    pending::<Result<(), _>>().await
                })
            };
            settle().await;
            task.cancel();
            assert_eq!(count(&dropped), 0, "its thread has had no chance yet");
            assert_eq!(task.await, Err(cancelled(CancelReason::Requested)));
            Ok(())
        }))
        .await;
        assert_eq!(outcome, Ok(()));
        assert_eq!(count(&dropped), 1);
    }
}

/// TG-137: cancelling an in-task child returns when its cleanup is done; one that had not started never starts.
#[tokio::test(start_paused = true)]
async fn cancelling_an_in_task_child_returns_after_its_cleanup() {
    let (dropped, started) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let group = TaskGroup::<Failed>::new();
    let outcome = bounded(group.run(async {
        for round in 0..100 {
            let held = CountDrop(&dropped);
            let task = group.spawn(async {
                let _held = held;
                started.fetch_add(1, Ordering::SeqCst);
                pending::<Result<(), _>>().await
            });
            let runs = round % 2 == 0;
            if runs {
                settle().await;
            }
            task.cancel();
            assert_eq!(count(&dropped), round + 1);
            assert_eq!(count(&started), round / 2 + 1);
            assert!(task.is_finished());
        }
        Ok(group.len())
    }))
    .await;
    assert_eq!(outcome, Ok(0));
}

/// TG-151: silent loss would be worse than an error.
#[tokio::test]
async fn a_parallel_child_that_the_runtime_aborts_is_a_failure() {
    for on_error in [OnError::Cancel, OnError::Continue] {
        let other = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .build()
            .unwrap();
        let group = TaskGroup::builder().on_error(on_error).build();
        let task = {
            let _inside = other.enter();
            group.spawn_parallel(pending::<Result<(), Failed>>())
        };
        let sibling = group.spawn(value_after(50));
        let shutdown = async {
            settle().await;
            other.shutdown_background();
        };
        let (outcome, ()) = soon(async { tokio::join!(group.join(), shutdown) }).await;
        let lost = || cancelled(CancelReason::Shutdown);
        match on_error {
            OnError::Cancel => {
                assert_eq!(outcome, Err(lost()));
                assert_eq!(
                    soon(task).await,
                    Err(cancelled(CancelReason::SiblingFailed))
                );
                assert_eq!(
                    soon(sibling).await,
                    Err(cancelled(CancelReason::SiblingFailed))
                );
            }
            OnError::Continue => {
                assert_eq!(outcome, Ok(()));
                assert_eq!(soon(task).await, Err(lost()));
                assert_eq!(soon(sibling).await, Ok(50));
            }
        }
    }
}

/// TG-052: a child in the middle of blocking work cannot be interrupted; `run` waits for it.
#[test]
fn run_waits_for_a_parallel_child_that_cannot_be_interrupted_right_now() {
    watched(|| {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let diary = Arc::new(Diary::default());
            let (started, has_started) = oneshot::channel();
            let (release, released) = mpsc::channel::<()>();
            let group = TaskGroup::<Failed>::new();
            let token = group.token();
            let inner = diary.clone();
            group.spawn_parallel(async move {
                let _mark = inner.at_drop("child gone");
                started.send(()).unwrap();
                released.recv().unwrap();
                inner.note("blocking work done");
                // The token fires a moment before the abort, so a shorter await could still be passed.
                pending::<Result<(), _>>().await
            });
            let releaser = std::thread::spawn({
                let diary = diary.clone();
                let handle = tokio::runtime::Handle::current();
                move || {
                    handle.block_on(token.cancelled());
                    diary.note("cancelled");
                    release.send(()).unwrap();
                }
            });
            let outcome = soon(group.run(async {
                has_started.await.unwrap();
                Err::<(), _>(Failed::With("body"))
            }))
            .await;
            diary.note("run returned");
            assert_eq!(outcome, Err(Failed::With("body")));
            releaser.join().unwrap();
            assert_eq!(
                diary.pages(),
                [
                    "cancelled",
                    "blocking work done",
                    "child gone",
                    "run returned"
                ]
            );
        });
    });
}

/// TG-052: the same for an in-task child that another thread is polling while the group is dropped.
#[test]
fn drop_waits_for_the_poll_of_another_thread_to_return() {
    watched(|| {
        let diary = Arc::new(Diary::default());
        let group = TaskGroup::<Failed>::new();
        let (polling, is_polling) = mpsc::channel();
        let (release, released) = mpsc::channel::<()>();
        let inner = diary.clone();
        let mark_owner = diary.clone();
        let mark = super::probes::OnDrop(move || mark_owner.note("child gone"));
        let task = group.spawn(async move {
            let _mark = mark;
            polling.send(()).unwrap();
            released.recv().unwrap();
            inner.note("poll returns");
            pending::<Result<(), _>>().await
        });
        let driver = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(soon(task))
        });
        is_polling.recv().unwrap();
        let token = group.token();
        let releaser = std::thread::spawn(move || {
            while !token.is_cancelled() {
                std::thread::yield_now();
            }
            release.send(()).unwrap();
        });
        drop(group);
        diary.note("drop returned");
        assert_eq!(
            driver.join().unwrap(),
            Err(cancelled(CancelReason::OwnerDropped))
        );
        releaser.join().unwrap();
        assert_eq!(
            diary.pages(),
            ["poll returns", "child gone", "drop returned"]
        );
    });
}

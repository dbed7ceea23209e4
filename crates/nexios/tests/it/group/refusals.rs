//! Spawns that come too late or have nowhere to go: refused, never polled, with a typed error.

use std::{
    future::{Future, pending},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker},
};

use nexios::{CancelReason, Interrupted, Task, TaskGroup};

use super::probes::{
    CountDrop, Failed, OnDrop, after, bounded, cancelled, count, millis, soon, watched,
};

/// TG-025: within the grace.
#[tokio::test(start_paused = true)]
async fn a_child_under_cancellation_cannot_spawn() {
    let polled = AtomicBool::new(false);
    let group = TaskGroup::builder().grace(millis(50)).build();
    let (token, spawner) = (group.token(), group.spawner());
    let polled_ref = &polled;
    group.spawn(async move {
        token.cancelled().await;
        let late = spawner.spawn(async {
            polled_ref.store(true, Ordering::SeqCst);
            Ok(())
        });
        assert!(late.is_finished());
        assert_eq!(late.await, Err(cancelled(CancelReason::SiblingFailed)));
        after(10).await;
        Ok(())
    });
    group.spawn(async {
        after(1).await;
        Err::<(), _>(Failed::With("first"))
    });
    assert_eq!(bounded(group.join()).await, Err(Failed::With("first")));
    assert!(!polled.load(Ordering::SeqCst));
    assert_eq!(group.suppressed(), []);
}

/// TG-025: from the destructor of a child that is dropped, on every way out.
#[test]
fn a_destructor_of_a_dropped_child_cannot_spawn_into_the_ending_group() {
    watched(|| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .unwrap();
        for way in ["failure", "cancel", "deadline", "abort", "drop", "panic"] {
            let polled = Arc::new(AtomicBool::new(false));
            let refused = Arc::new(Mutex::new(None::<Task<'static, (), Failed>>));
            runtime.block_on(async {
                let builder = TaskGroup::builder();
                let builder = if way == "deadline" {
                    builder.timeout(millis(20))
                } else {
                    builder
                };
                let group = builder.build();
                let (spawner, polled, refused) = (group.spawner(), polled.clone(), refused.clone());
                let late = OnDrop(move || {
                    let polled = polled.clone();
                    let task = spawner.spawn(async move {
                        polled.store(true, Ordering::SeqCst);
                        Ok(())
                    });
                    spawner.cancel();
                    *refused.lock().unwrap() = Some(task);
                });
                group.spawn(async move {
                    let _late = late;
                    pending::<Result<(), _>>().await
                });
                if way == "drop" {
                    let _ =
                        tokio::time::timeout(millis(1), group.spawn(pending::<Result<(), _>>()))
                            .await;
                    drop(group);
                    return;
                }
                let run = group.run(async {
                    after(10).await;
                    match way {
                        "failure" => return Err(Failed::With("body")),
                        "cancel" => group.cancel(),
                        "panic" => panic!("on purpose"),
                        _ => pending().await,
                    }
                    Ok(())
                });
                let run = AssertUnwindSafe(tokio::time::timeout(millis(100), run));
                let _ = futures_util::FutureExt::catch_unwind(run).await;
            });
            let task = refused.lock().unwrap().take().expect("the destructor ran");
            assert!(task.is_finished(), "{way}");
            assert!(matches!(
                runtime.block_on(bounded(task)),
                Err(Failed::Interrupted(
                    Interrupted::Cancelled(_) | Interrupted::DeadlineExceeded
                ))
            ));
            assert!(!polled.load(Ordering::SeqCst), "{way}");
        }
    });
}

/// TG-028
#[tokio::test(start_paused = true)]
async fn a_spawn_on_a_finished_group_is_refused_and_frees_what_it_captured() {
    let polled = AtomicBool::new(false);
    let group = TaskGroup::<Failed>::new();
    let spawner = group.spawner();
    assert_eq!(bounded(group.join()).await, Ok(()));
    for by_spawner in [false, true] {
        let captured = Arc::new(());
        let seen = Arc::downgrade(&captured);
        let work = async {
            let _captured = captured;
            polled.store(true, Ordering::SeqCst);
            Ok(())
        };
        let task = if by_spawner {
            spawner.spawn(work)
        } else {
            group.spawn(work)
        };
        assert_eq!(seen.strong_count(), 0);
        assert!(task.is_finished());
        assert_eq!(bounded(task).await, Err(cancelled(CancelReason::Finished)));
    }
    assert!(group.is_empty());
    assert!(!polled.load(Ordering::SeqCst));
}

/// TG-028: the same when there is no group any more.
#[tokio::test(start_paused = true)]
async fn a_spawner_without_its_group_refuses() {
    let group = TaskGroup::<Failed>::new();
    let spawner = group.spawner();
    drop(group);
    let captured = Arc::new(());
    let seen = Arc::downgrade(&captured);
    let task = spawner.spawn_named("late", async {
        let _captured = captured;
        Ok(())
    });
    assert_eq!(seen.strong_count(), 0);
    assert_eq!(task.name(), "late");
    assert!(matches!(
        bounded(task).await,
        Err(Failed::Interrupted(Interrupted::Cancelled(_)))
    ));
    assert!(spawner.token().is_cancelled());
    let parallel = spawner.spawn_parallel(async { Ok::<(), Failed>(()) });
    assert!(matches!(
        bounded(parallel).await,
        Err(Failed::Interrupted(Interrupted::Cancelled(_)))
    ));
}

/// TG-029: in-task children need no runtime, parallel ones say clearly that they do.
#[test]
fn without_a_runtime_only_parallel_children_are_impossible() {
    let group = TaskGroup::<Failed>::new();
    let task = group.spawn(async { Ok(1) });
    let mut run = pin!(group.run(task));
    let polled = run.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    assert_eq!(polled, Poll::Ready(Ok(1)));

    let group = TaskGroup::<Failed>::new();
    let attempt = catch_unwind(AssertUnwindSafe(|| {
        drop(group.spawn_parallel(async { Ok::<(), Failed>(()) }));
    }));
    let payload = attempt.unwrap_err();
    let message = payload.downcast_ref::<&str>().copied().map(String::from);
    let message = message
        .or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap();
    assert!(message.contains("runtime"), "{message}");
    assert!(group.is_empty(), "no half-registered child");
    let mut join = pin!(group.join());
    assert_eq!(
        join.as_mut().poll(&mut Context::from_waker(Waker::noop())),
        Poll::Ready(Ok(()))
    );
}

/// TG-070
#[tokio::test(start_paused = true)]
async fn a_spawn_after_a_failed_end_is_refused() {
    let dropped = AtomicUsize::new(0);
    let group = TaskGroup::<Failed>::new();
    let outcome: Result<(), _> = bounded(group.run(async { Err(Failed::With("body")) })).await;
    assert_eq!(outcome, Err(Failed::With("body")));
    let held = CountDrop(&dropped);
    let late = group.spawn(async move {
        let _held = held;
        Ok(())
    });
    assert_eq!(count(&dropped), 1);
    assert_eq!(
        bounded(late).await,
        Err(cancelled(CancelReason::SiblingFailed))
    );
}

/// TG-093
#[test]
fn a_parallel_child_on_a_runtime_that_is_gone_is_an_error_and_no_panic() {
    watched(|| {
        let gone = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let handle = gone.handle().clone();
        gone.shutdown_background();
        let dropped = Arc::new(AtomicUsize::new(0));
        let group = TaskGroup::<Failed>::new();
        let task = {
            let _entered = handle.enter();
            let dropped = dropped.clone();
            let held = OnDrop(move || {
                dropped.fetch_add(1, Ordering::SeqCst);
            });
            group.spawn_parallel(async move {
                let _held = held;
                Ok::<(), Failed>(())
            })
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let outcome = runtime.block_on(soon(group.join()));
        assert_eq!(outcome, Err(cancelled(CancelReason::Shutdown)));
        assert_eq!(count(&dropped), 1);
        assert!(group.is_empty());
        assert!(task.is_finished());
    });
}

/// TG-093: a runtime that shuts down under a running parallel child.
#[test]
fn a_runtime_that_shuts_down_fails_its_parallel_child() {
    watched(|| {
        let other = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let group = TaskGroup::<Failed>::new();
        {
            let _entered = other.enter();
            group.spawn_parallel(pending::<Result<(), Failed>>());
        }
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let outcome = runtime.block_on(soon(group.run(async {
            tokio::task::yield_now().await;
            other.shutdown_background();
            pending::<Result<(), _>>().await
        })));
        assert_eq!(outcome, Err(cancelled(CancelReason::Shutdown)));
    });
}

/// A waker that drives the group right where it is woken: here while a parallel child is still being started.
#[test]
fn a_parallel_child_that_ends_while_it_is_started_is_heard_of() {
    #[derive(Default)]
    struct DriveAtOnce {
        sibling: Mutex<Option<Task<'static, (), Failed>>>,
        heard: Mutex<Option<Failed>>,
    }

    impl DriveAtOnce {
        fn drive(self: Arc<Self>, mut sibling: Task<'static, (), Failed>) {
            let waker = Waker::from(self.clone());
            match pin!(&mut sibling).poll(&mut Context::from_waker(&waker)) {
                Poll::Pending => *self.sibling.lock().unwrap() = Some(sibling),
                Poll::Ready(ended) => *self.heard.lock().unwrap() = ended.err(),
            }
        }
    }

    impl std::task::Wake for DriveAtOnce {
        fn wake(self: Arc<Self>) {
            let sibling = self.sibling.lock().unwrap().take();
            if let Some(sibling) = sibling {
                self.drive(sibling);
            }
        }
    }

    watched(|| {
        let gone = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let handle = gone.handle().clone();
        drop(gone);
        let group = TaskGroup::<Failed>::new();
        let driver = Arc::new(DriveAtOnce::default());
        driver.clone().drive(group.spawn(pending()));
        {
            let _entered = handle.enter();
            // Such a runtime drops the future before it hands out the task.
            group.spawn_parallel(async { Ok::<(), Failed>(()) });
        }
        assert_eq!(
            driver.heard.lock().unwrap().take(),
            Some(cancelled(CancelReason::Shutdown))
        );
    });
}

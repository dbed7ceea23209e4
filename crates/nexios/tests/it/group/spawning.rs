//! Who may spawn, when, and what becomes of a spawn that is refused.

use std::{
    future::{Future, pending},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::{Pin, pin},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker},
};

use nexios::{CancelReason, Interrupted, Spawner, Task, TaskGroup};
use tokio::time::Instant;

use super::support::{
    CountDrop, Diary, Failed, OnDrop, after, bounded, cancelled, count, millis, settle, soon, watched,
};

/// TG-020
#[tokio::test(start_paused = true)]
async fn the_count_of_live_children_falls_while_the_group_is_open() {
    let group = TaskGroup::<Failed>::new();
    let outcome = bounded(group.run(async {
        for n in 1..=10 {
            group.spawn(async move {
                after(n * 10).await;
                Ok(())
            });
        }
        for alive in (0..10).rev() {
            assert_eq!(group.len(), alive + 1);
            assert!(!group.is_empty());
            after(if alive == 9 { 11 } else { 10 }).await;
            assert_eq!(group.len(), alive);
        }
        assert!(group.is_empty());
        Ok(())
    }))
    .await;
    assert_eq!(outcome, Ok(()));
}

/// TG-020: what a finished child held is freed though the group, and even the handle, lives on.
#[tokio::test(start_paused = true)]
async fn a_finished_child_frees_what_it_held_at_once() {
    let group = TaskGroup::<Failed>::new();
    bounded(group.run(async {
        let mut handles = Vec::new();
        for parallel in [false, true] {
            let held = Arc::new(());
            let seen = Arc::downgrade(&held);
            let work = async move {
                after(1).await;
                drop(held);
                Ok(())
            };
            handles.push(if parallel { group.spawn_parallel(work) } else { group.spawn(work) });
            after(10).await;
            assert_eq!(seen.strong_count(), 0, "parallel: {parallel}");
        }
        assert!(group.is_empty());
        Ok(())
    }))
    .await
    .unwrap();
}

/// TG-021
#[tokio::test(start_paused = true)]
async fn grandchildren_are_waited_for() {
    let finished = AtomicUsize::new(0);
    let begun = Instant::now();
    let group = TaskGroup::<Failed>::new();
    let spawner = group.spawner();
    let finished_ref = &finished;
    let child = group.spawn(async move {
        for wait in [20, 50] {
            spawner.spawn(async move {
                after(wait).await;
                finished_ref.fetch_add(1, Ordering::SeqCst);
                Ok(())
            });
        }
        Ok("child")
    });
    assert_eq!(bounded(group.join()).await, Ok(()));
    assert_eq!(count(&finished), 2);
    assert_eq!(begun.elapsed(), millis(50));
    assert_eq!(bounded(child).await, Ok("child"));
}

type Boxed<'a> = Pin<Box<dyn Future<Output = Result<(), Failed>> + Send + 'a>>;

fn breed<'a>(spawner: Spawner<'a, Failed>, born: &'a AtomicUsize) -> Boxed<'a> {
    Box::pin(async move {
        born.fetch_add(1, Ordering::SeqCst);
        after(1).await;
        for _ in 0..2 {
            spawner.spawn(breed(spawner.clone(), born));
        }
        Ok(())
    })
}

/// TG-022
#[tokio::test(start_paused = true)]
async fn children_that_keep_spawning_end_with_the_first_failure() {
    let born = AtomicUsize::new(0);
    let group = TaskGroup::new();
    group.spawn(breed(group.spawner(), &born));
    group.spawn(async {
        after(8).await;
        Err::<(), _>(Failed::With("enough"))
    });
    assert_eq!(bounded(group.join()).await, Err(Failed::With("enough")));
    let seen = count(&born);
    assert!((127..=511).contains(&seen), "{seen}");
    assert!(group.is_empty());
    assert_eq!(group.suppressed(), []);
    after(50).await;
    assert_eq!(count(&born), seen);
}

fn breed_parallel(spawner: Spawner<'static, Failed>, born: Arc<AtomicUsize>) -> Boxed<'static> {
    Box::pin(async move {
        let before = born.fetch_add(1, Ordering::SeqCst);
        tokio::task::yield_now().await;
        // Enough for the race; on a busy machine the failure could come millions of children later.
        for _ in 0..if before < 500 { 2 } else { 0 } {
            spawner.spawn_parallel(breed_parallel(spawner.clone(), born.clone()));
        }
        Ok(())
    })
}

/// TG-022: many times, on several threads, in-task and parallel children mixed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn spawning_races_with_the_failure_and_nothing_is_born_after_it() {
    soon(async {
        for round in 0..300 {
            let born = Arc::new(AtomicUsize::new(0));
            let group = TaskGroup::<Failed>::new();
            group.spawn_parallel(breed_parallel(group.spawner(), born.clone()));
            let watching = born.clone();
            group.spawn(async move {
                while count(&watching) < 5 + round % 60 {
                    tokio::task::yield_now().await;
                }
                Err::<(), _>(Failed::With("enough"))
            });
            assert_eq!(group.join().await, Err(Failed::With("enough")), "round {round}");
            let seen = count(&born);
            settle().await;
            assert_eq!(count(&born), seen, "round {round}");
            assert_eq!(Arc::strong_count(&born), 1, "round {round}");
        }
    })
    .await;
}

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
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        for way in ["failure", "cancel", "deadline", "abort", "drop", "panic"] {
            let polled = Arc::new(AtomicBool::new(false));
            let refused = Arc::new(Mutex::new(None::<Task<'static, (), Failed>>));
            runtime.block_on(async {
                let builder = TaskGroup::builder();
                let builder = if way == "deadline" { builder.timeout(millis(20)) } else { builder };
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
                    let _ = tokio::time::timeout(millis(1), group.spawn(pending::<Result<(), _>>())).await;
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
                Err(Failed::Interrupted(Interrupted::Cancelled(_) | Interrupted::DeadlineExceeded))
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
        let task = if by_spawner { spawner.spawn(work) } else { group.spawn(work) };
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
    assert!(matches!(bounded(task).await, Err(Failed::Interrupted(Interrupted::Cancelled(_)))));
    assert!(spawner.token().is_cancelled());
    let parallel = spawner.spawn_parallel(async { Ok::<(), Failed>(()) });
    assert!(matches!(bounded(parallel).await, Err(Failed::Interrupted(Interrupted::Cancelled(_)))));
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
    let message = message.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap();
    assert!(message.contains("runtime"), "{message}");
    assert!(group.is_empty(), "no half-registered child");
    let mut join = pin!(group.join());
    assert_eq!(join.as_mut().poll(&mut Context::from_waker(Waker::noop())), Poll::Ready(Ok(())));
}

/// TG-053
#[tokio::test(start_paused = true)]
async fn after_the_body_a_living_child_may_spawn_and_after_the_last_nobody() {
    let diary = Diary::default();
    let group = TaskGroup::<Failed>::new();
    let spawner = group.spawner();
    let diary_ref = &diary;
    let outcome = bounded(group.run(async {
        let spawner = spawner.clone();
        group.spawn(async move {
            after(10).await;
            spawner.spawn(async move {
                after(10).await;
                diary_ref.note("grandchild");
                Ok(())
            });
            diary_ref.note("child");
            Ok(())
        });
        diary_ref.note("body");
        Ok(())
    }))
    .await;
    assert_eq!(outcome, Ok(()));
    assert_eq!(diary.pages(), ["body", "child", "grandchild"]);
    let late = spawner.spawn(async { Ok(()) });
    assert_eq!(bounded(late).await, Err(cancelled(CancelReason::Finished)));
}

/// TG-053: the very last child, in its last poll, still may.
#[tokio::test(start_paused = true)]
async fn the_last_child_may_spawn_in_the_poll_that_ends_it() {
    let ran = AtomicUsize::new(0);
    let group = TaskGroup::<Failed>::new();
    let spawner = group.spawner();
    let ran_ref = &ran;
    group.spawn(async move {
        spawner.spawn(async {
            ran_ref.fetch_add(1, Ordering::SeqCst);
            Ok(())
        });
        Ok(())
    });
    assert_eq!(bounded(group.join()).await, Ok(()));
    assert_eq!(count(&ran), 1);
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
    assert_eq!(bounded(late).await, Err(cancelled(CancelReason::SiblingFailed)));
}

/// TG-078
#[tokio::test(start_paused = true)]
async fn the_bodys_value_comes_after_all_grandchildren_have_finished() {
    let finished = AtomicUsize::new(0);
    let begun = Instant::now();
    let group = TaskGroup::<Failed>::new();
    let finished_ref = &finished;
    let outcome = bounded(group.run(async {
        for _ in 0..2 {
            let spawner = group.spawner();
            group.spawn(async move {
                for wait in [10, 30] {
                    spawner.spawn(async move {
                        after(wait).await;
                        finished_ref.fetch_add(1, Ordering::SeqCst);
                        Ok(())
                    });
                }
                Ok(())
            });
        }
        Ok("value")
    }))
    .await;
    assert_eq!(outcome, Ok("value"));
    assert_eq!(count(&finished), 4);
    assert_eq!(begun.elapsed(), millis(30));
    // The caller was not cancelled by any of this.
    after(1).await;
}

/// TG-090: others may spawn through a spawner, from any thread, while the owner joins.
#[test]
fn another_thread_spawns_through_a_spawner() {
    watched(|| {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(soon(async {
            let group = TaskGroup::<Failed>::new();
            let (send, tasks) = tokio::sync::oneshot::channel();
            let spawner = group.spawner();
            let stranger = std::thread::spawn(move || {
                let tasks: Vec<_> = (0..100).map(|n| spawner.spawn(async move { Ok(n) })).collect();
                assert!(send.send(tasks).is_ok(), "the body waits");
            });
            let sum = group
                .run(async {
                    let mut sum = 0;
                    for task in tasks.await.unwrap() {
                        sum += task.await?;
                    }
                    Ok(sum)
                })
                .await;
            stranger.join().unwrap();
            assert_eq!(sum, Ok(4_950));
        }));
    });
}

/// TG-090: a handle awaited by a stranger does not end the group, nor take it from its owner.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handle_awaited_in_another_task_leaves_the_group_with_its_owner() {
    soon(async {
        for _ in 0..200 {
            let group = TaskGroup::<Failed>::new();
            let one = group.spawn(async {
                tokio::task::yield_now().await;
                Ok(1)
            });
            let two = group.spawn(async {
                for _ in 0..3 {
                    tokio::task::yield_now().await;
                }
                Ok(2)
            });
            let stranger = tokio::spawn(one);
            let outcome = group.run(two).await;
            assert_eq!(outcome, Ok(2));
            assert_eq!(stranger.await.unwrap(), Ok(1));
        }
    })
    .await;
}

/// TG-093
#[test]
fn a_parallel_child_on_a_runtime_that_is_gone_is_an_error_and_no_panic() {
    watched(|| {
        let gone =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
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
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
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
        let other =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let group = TaskGroup::<Failed>::new();
        {
            let _entered = other.enter();
            group.spawn_parallel(pending::<Result<(), Failed>>());
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let outcome = runtime.block_on(soon(group.run(async {
            tokio::task::yield_now().await;
            other.shutdown_background();
            pending::<Result<(), _>>().await
        })));
        assert_eq!(outcome, Err(cancelled(CancelReason::Shutdown)));
    });
}

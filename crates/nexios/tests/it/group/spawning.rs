//! Who may spawn, when, and what becomes of a spawn that is refused.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use nexios::{CancelReason, Spawner, TaskGroup};
use tokio::time::Instant;

use super::probes::{
    Diary, Failed, after, bounded, cancelled, count, millis, settle, soon, watched,
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
            handles.push(if parallel {
                group.spawn_parallel(work)
            } else {
                group.spawn(work)
            });
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
            assert_eq!(
                group.join().await,
                Err(Failed::With("enough")),
                "round {round}"
            );
            let seen = count(&born);
            settle().await;
            assert_eq!(count(&born), seen, "round {round}");
            assert_eq!(Arc::strong_count(&born), 1, "round {round}");
        }
    })
    .await;
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
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(soon(async {
            let group = TaskGroup::<Failed>::new();
            let (send, tasks) = tokio::sync::oneshot::channel();
            let spawner = group.spawner();
            let stranger = std::thread::spawn(move || {
                let tasks: Vec<_> = (0..100)
                    .map(|n| spawner.spawn(async move { Ok(n) }))
                    .collect();
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

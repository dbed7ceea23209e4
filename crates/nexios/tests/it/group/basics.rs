//! The central promises: results, first failure, cancellation, drop.

use std::{
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use nexios::{CancelReason, Interrupted, OnError, TaskGroup};
use tokio::time::{Instant, sleep};

#[derive(Debug, PartialEq)]
enum Failed {
    With(&'static str),
    Interrupted(Interrupted),
}
impl From<Interrupted> for Failed {
    fn from(interrupted: Interrupted) -> Self {
        Failed::Interrupted(interrupted)
    }
}

struct CountDrop<'a>(&'a AtomicUsize);
impl Drop for CountDrop<'_> {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

fn after(millis: u64) -> tokio::time::Sleep {
    sleep(Duration::from_millis(millis))
}

/// TG-001
#[tokio::test(start_paused = true)]
async fn children_run_side_by_side() {
    let begun = Instant::now();
    let group = TaskGroup::<Failed>::new();
    let sum = group
        .run(async {
            let one = group.spawn(async {
                after(100).await;
                Ok(1)
            });
            let two = group.spawn(async {
                after(200).await;
                Ok(2)
            });
            Ok(one.await? + two.await?)
        })
        .await;
    assert_eq!(sum, Ok(3));
    assert_eq!(begun.elapsed(), Duration::from_millis(200));
    assert!(group.is_empty());
    assert_eq!(group.token().reason(), Some(CancelReason::Finished));
}

/// TG-004, T1, T2
#[tokio::test(start_paused = true)]
async fn first_failure_cancels_siblings_and_interrupts_the_body() {
    let begun = Instant::now();
    let dropped = AtomicUsize::new(0);
    let group = TaskGroup::new();
    let outcome: Result<(), Failed> = group
        .run(async {
            group.spawn(async {
                after(100).await;
                Err::<(), _>(Failed::With("first"))
            });
            let slow = group.spawn(async {
                let _count = CountDrop(&dropped);
                pending::<Result<(), _>>().await
            });
            let _count = CountDrop(&dropped);
            slow.await?;
            unreachable!("the body is interrupted at its await")
        })
        .await;
    assert_eq!(outcome, Err(Failed::With("first")));
    assert_eq!(begun.elapsed(), Duration::from_millis(100));
    assert_eq!(dropped.load(Ordering::SeqCst), 2);
    assert!(group.suppressed().is_empty());
}

#[tokio::test]
async fn the_value_of_a_child_nobody_awaits_is_waited_for() {
    let finished = AtomicUsize::new(0);
    let group = TaskGroup::<Failed>::new();
    group
        .run(async {
            group.spawn(async {
                tokio::task::yield_now().await;
                finished.fetch_add(1, Ordering::SeqCst);
                Ok(())
            });
            Ok(())
        })
        .await
        .unwrap();
    assert_eq!(finished.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn tasks_may_be_awaited_without_run() {
    let text = String::from("text");
    let group = TaskGroup::<Failed>::new();
    let one = group.spawn(async { Ok(text.len()) });
    let two = group.spawn(async {
        after(5).await;
        Ok(text.len() * 2)
    });
    assert_eq!(two.await, Ok(8));
    assert_eq!(one.await, Ok(4));
}

#[tokio::test(start_paused = true)]
async fn outside_run_the_first_awaiter_gets_the_siblings_error_itself() {
    let group = TaskGroup::<Failed>::new();
    let waiting = group.spawn(pending::<Result<(), _>>());
    let failing = group.spawn(async { Err::<(), _>(Failed::With("boom")) });
    assert_eq!(waiting.await, Err(Failed::With("boom")));
    let told = Err(Failed::Interrupted(Interrupted::Cancelled(
        CancelReason::SiblingFailed,
    )));
    assert_eq!(failing.await, told);
}

#[tokio::test]
async fn under_continue_an_error_comes_out_of_its_own_handle() {
    let group = TaskGroup::builder().on_error(OnError::Continue).build();
    let outcome = group
        .run(async {
            let bad = group.spawn(async { Err::<(), _>(Failed::With("bad")) });
            let good = group.spawn(async {
                tokio::task::yield_now().await;
                Ok(1)
            });
            assert_eq!(bad.await, Err(Failed::With("bad")));
            good.await
        })
        .await;
    assert_eq!(outcome, Ok(1));
}

#[tokio::test(start_paused = true)]
async fn dropping_run_drops_every_child_before_it_returns() {
    let dropped = AtomicUsize::new(0);
    let group = TaskGroup::<Failed>::new();
    for _ in 0..10 {
        group.spawn(async {
            let _count = CountDrop(&dropped);
            pending::<Result<(), _>>().await
        });
    }
    let run = group.run(pending::<Result<(), Failed>>());
    assert!(
        tokio::time::timeout(Duration::from_millis(1), run)
            .await
            .is_err()
    );
    assert_eq!(dropped.load(Ordering::SeqCst), 10);
    assert_eq!(group.token().reason(), Some(CancelReason::OwnerDropped));
}

#[tokio::test(start_paused = true)]
async fn at_the_deadline_finished_handles_keep_their_values() {
    let group = TaskGroup::builder()
        .timeout(Duration::from_millis(50))
        .build();
    let quick = group.spawn(async { Ok::<_, Failed>(1) });
    let slow = group.spawn(pending::<Result<(), Failed>>());
    assert_eq!(
        group.join().await,
        Err(Failed::Interrupted(Interrupted::DeadlineExceeded))
    );
    assert_eq!(quick.await, Ok(1));
    assert_eq!(
        slow.await,
        Err(Failed::Interrupted(Interrupted::DeadlineExceeded))
    );
}

#[tokio::test]
async fn a_childs_panic_resumes_in_the_parent_after_its_siblings_are_gone() {
    let dropped = Arc::new(AtomicUsize::new(0));
    let seen = dropped.clone();
    let joined = tokio::spawn(async move {
        let group = TaskGroup::<Failed>::new();
        group.spawn(async {
            let _count = CountDrop(&dropped);
            pending::<Result<(), _>>().await
        });
        group.spawn(async { if true { panic!("boom") } else { Ok(()) } });
        group.join().await
    })
    .await;
    let payload = joined.unwrap_err().into_panic();
    assert_eq!(payload.downcast_ref::<&str>(), Some(&"boom"));
    assert_eq!(seen.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_child_spawns_siblings_at_limit_one() {
    let group = TaskGroup::<Failed>::builder_with_limit(1);
    let sum = group
        .run(async {
            let spawner = group.spawner();
            let first = group.spawn(async move {
                let second = spawner.spawn(async { Ok(2) });
                Ok(1 + second.await?)
            });
            first.await
        })
        .await;
    assert_eq!(sum, Ok(3));
}

trait WithLimit {
    fn builder_with_limit(limit: usize) -> Self;
}
impl WithLimit for TaskGroup<'_, Failed> {
    fn builder_with_limit(limit: usize) -> Self {
        TaskGroup::builder().limit(limit).build()
    }
}

#[tokio::test]
async fn map_keeps_item_order_and_the_limit() {
    let active = AtomicUsize::new(0);
    let most = AtomicUsize::new(0);
    let group = TaskGroup::<Failed>::builder_with_limit(3);
    let doubled = group
        .map(0..50_u64, |item| {
            let (active, most) = (&active, &most);
            async move {
                most.fetch_max(active.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                for _ in 0..item % 4 {
                    tokio::task::yield_now().await;
                }
                active.fetch_sub(1, Ordering::SeqCst);
                Ok(item * 2)
            }
        })
        .await
        .unwrap();
    assert_eq!(doubled, (0..50).map(|item| item * 2).collect::<Vec<_>>());
    assert_eq!(most.load(Ordering::SeqCst), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parallel_children_run_on_the_runtime() {
    let group = TaskGroup::<Failed>::new();
    let sum = group
        .run(async {
            let tasks: Vec<_> = (0..8)
                .map(|n| group.spawn_parallel(async move { Ok(n) }))
                .collect();
            let mut sum = 0;
            for task in tasks {
                sum += task.await?;
            }
            Ok(sum)
        })
        .await;
    assert_eq!(sum, Ok(28));
}

#[tokio::test(start_paused = true)]
async fn with_grace_children_clean_up_after_the_token_fired() {
    let cleaned = AtomicUsize::new(0);
    let group = TaskGroup::builder()
        .grace(Duration::from_millis(100))
        .build();
    let token = group.token();
    let begun = Instant::now();
    let outcome = group
        .run(async {
            let cleaned = &cleaned;
            group.spawn(async move {
                let reason = token.cancelled().await;
                after(50).await;
                assert_eq!(reason, CancelReason::SiblingFailed);
                cleaned.fetch_add(1, Ordering::SeqCst);
                Ok(())
            });
            group.spawn(pending::<Result<(), _>>());
            group.spawn(async { Err::<(), _>(Failed::With("late")) });
            pending::<Result<(), Failed>>().await
        })
        .await;
    assert_eq!(outcome, Err(Failed::With("late")));
    assert_eq!(cleaned.load(Ordering::SeqCst), 1);
    assert_eq!(begun.elapsed(), Duration::from_millis(100));
}

#[tokio::test]
async fn finalizers_run_last_in_first_out_before_run_returns() {
    let order = Arc::new(std::sync::Mutex::new(Vec::new()));
    let group = TaskGroup::<Failed>::new();
    for n in 0..3 {
        let order = order.clone();
        group.defer(async move {
            tokio::task::yield_now().await;
            order.lock().unwrap().push(n);
        });
    }
    group.join().await.unwrap();
    assert_eq!(*order.lock().unwrap(), [2, 1, 0]);
}

#[tokio::test]
async fn cancel_is_no_error() {
    let group = TaskGroup::<Failed>::new();
    let outcome = group
        .run(async {
            let task = group.spawn(pending::<Result<(), _>>());
            group.cancel();
            assert_eq!(
                task.await,
                Err(Failed::Interrupted(Interrupted::Cancelled(
                    CancelReason::Requested
                )))
            );
            Ok(7)
        })
        .await;
    assert_eq!(outcome, Ok(7));
}

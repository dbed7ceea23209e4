//! What is left when a group has ended: tokens, counts, payloads, and those who were late.

use std::{
    future::{pending, poll_fn},
    panic::AssertUnwindSafe,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::Poll,
};

use futures_util::{FutureExt, future::poll_immediate};
use nexios::{CancelReason, CancelScope, CancelToken, Interrupted, TaskGroup};
use tokio::time::Instant;
use tracing::Level;

use super::logs::Logs;
use super::probes::{
    CountDrop, Diary, Failed, after, bounded, cancelled, count, millis, settle, soon, too_late,
    value_after,
};

/// The token fires on every end, for its reason; whoever asks later is told the same.
#[tokio::test(start_paused = true)]
async fn the_token_fires_on_every_end_with_its_reason() {
    for (way, reason) in [
        ("finished", CancelReason::Finished),
        ("failed", CancelReason::SiblingFailed),
        ("body failed", CancelReason::SiblingFailed),
        ("panicked", CancelReason::SiblingFailed),
        ("late", CancelReason::Deadline),
        ("cancelled", CancelReason::Requested),
        ("scope", CancelReason::ClientDisconnected),
        ("dropped", CancelReason::OwnerDropped),
    ] {
        let parent = CancelToken::new();
        let group = TaskGroup::<Failed>::late_under(&parent);
        let token = group.token();
        let run = group.run(async {
            group.spawn(async {
                after(5).await;
                match way {
                    "failed" => Err(Failed::With("child")),
                    "panicked" => panic!("child"),
                    _ => Ok(()),
                }
            });
            match way {
                "body failed" => return Err(Failed::With("body")),
                "late" | "dropped" => pending().await,
                "cancelled" => group.cancel(),
                "scope" => parent.cancel(CancelReason::ClientDisconnected),
                _ => {}
            }
            Ok(())
        });
        if way == "dropped" {
            assert!(poll_immediate(pin!(run)).await.is_none());
        } else {
            let _ = bounded(AssertUnwindSafe(run).catch_unwind()).await;
        }
        assert_eq!(token.reason(), Some(reason), "{way}");
        assert_eq!(
            group.token().reason(),
            Some(reason),
            "{way}, asked after the end"
        );
        assert_eq!(bounded(token.cancelled()).await, reason, "{way}");
        assert_eq!(
            parent.is_cancelled(),
            way == "scope",
            "the end of a group is not its parent's"
        );
        // TG-095: and so is every later run.
        let again: Result<(), _> = bounded(group.run(async { unreachable!("{way}") })).await;
        let says = if way == "late" {
            too_late()
        } else {
            cancelled(reason)
        };
        assert_eq!(again, Err(says), "{way}");
    }
}

trait Late {
    fn late_under(parent: &CancelToken) -> Self;
}

impl Late for TaskGroup<'_, Failed> {
    fn late_under(parent: &CancelToken) -> Self {
        TaskGroup::builder()
            .timeout(millis(50))
            .parent(parent)
            .build()
    }
}

#[tokio::test(start_paused = true)]
async fn counts_and_debug_tell_who_is_alive() {
    let group = TaskGroup::builder().name("page").limit(2).build();
    assert!(group.is_empty());
    let user = group.spawn_named("user", value_after(10));
    let posts = group.spawn_named("posts", value_after(20));
    let stats = group.spawn_named("stats", value_after(30));
    group.spawn_daemon(pending());
    assert_eq!(
        group.len(),
        3,
        "a daemon keeps nothing open, so it is not counted"
    );
    assert!(!group.is_empty());
    let text = format!("{group:?}");
    for part in ["page", "user", "posts", "stats", "waiting"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let text = format!("{user:?}");
    for part in ["user", &user.id().to_string(), "finished: false"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert_eq!(bounded(user).await, Ok(10));
    assert_eq!(group.len(), 2);
    let text = format!("{group:?}");
    assert!(!text.contains("user") && text.contains("stats"), "{text}");
    posts.cancel();
    assert_eq!(group.len(), 1);
    assert_eq!(bounded(group.join()).await, Ok(()));
    assert!(group.is_empty());
    assert!(format!("{stats:?}").contains("finished: true"));
    let text = format!("{group:?}");
    assert!(
        text.contains("Finished") && !text.contains("stats"),
        "{text}"
    );
}

/// TG-109, TG-153, T4: a body that looks at no result and leaves early: the children finish all the same.
#[tokio::test(start_paused = true)]
async fn leaving_the_body_waits_for_the_children_and_cancels_nobody() {
    let begun = Instant::now();
    let finished = AtomicUsize::new(0);
    let group = TaskGroup::<Failed>::new();
    let outcome = bounded(group.run(async {
        for wait in [10, 30, 20] {
            let finished = &finished;
            group.spawn(async move {
                after(wait).await;
                finished.fetch_add(1, Ordering::SeqCst);
                Ok(())
            });
        }
        Ok("left")
    }))
    .await;
    assert_eq!(outcome, Ok("left"));
    assert_eq!(count(&finished), 3);
    assert_eq!(begun.elapsed(), millis(30));
}

/// TG-153: who wants to leave pending children behind says so.
#[tokio::test(start_paused = true)]
async fn cancelling_at_the_end_of_the_body_leaves_no_child_to_wait_for() {
    let begun = Instant::now();
    let dropped = AtomicUsize::new(0);
    let group = TaskGroup::<Failed>::new();
    let outcome = bounded(group.run(async {
        let held = CountDrop(&dropped);
        group.spawn(async move {
            let _held = held;
            pending::<Result<(), _>>().await
        });
        let first = group.spawn(value_after(10)).await?;
        group.cancel();
        Ok(first)
    }))
    .await;
    assert_eq!(outcome, Ok(10));
    assert_eq!(count(&dropped), 1);
    assert_eq!(begun.elapsed(), millis(10));
}

/// TG-110: a cancelled group says so, refuses, and an empty one has nothing to wait for.
#[tokio::test(start_paused = true)]
async fn a_cancelled_group_says_so_and_refuses() {
    let polled = Arc::new(AtomicBool::new(false));
    let group = TaskGroup::<Failed>::new();
    group.cancel();
    assert!(group.token().is_cancelled());
    let touch = || {
        let polled = polled.clone();
        async move {
            polled.store(true, Ordering::SeqCst);
            Ok(())
        }
    };
    let refused = [
        group.spawn(touch()),
        group.spawn_parallel(touch()),
        group.spawner().spawn(touch()),
    ];
    assert!(group.is_empty());
    for task in refused {
        assert!(task.is_finished());
        assert_eq!(bounded(task).await, Err(cancelled(CancelReason::Requested)));
    }
    assert_eq!(bounded(group.join()).await, Ok(()));
    assert!(!polled.load(Ordering::SeqCst));
}

/// TG-135
#[tokio::test(start_paused = true)]
async fn a_group_with_only_daemons_left_ends_and_cancels_them() {
    let diary = Diary::default();
    let group = TaskGroup::<Failed>::new();
    let token = group.token();
    group.spawn_daemon(async {
        let _mark = diary.at_drop("stubborn");
        pending::<()>().await;
    });
    group.spawn_daemon(async move {
        token.cancelled().await;
    });
    group.spawn(async {
        let _mark = diary.at_drop("child");
        after(10).await;
        Ok(())
    });
    assert_eq!(bounded(group.join()).await, Ok(()));
    assert_eq!(diary.pages(), ["child", "stubborn"]);
    let alone = TaskGroup::<Failed>::new();
    alone.spawn_daemon(pending());
    assert_eq!(bounded(alone.run(async { Ok(1) })).await, Ok(1));
}

/// TG-136
#[tokio::test(start_paused = true)]
async fn a_child_spawned_into_the_outer_group_from_an_inner_one_lives_until_the_outer_ends() {
    let begun = Instant::now();
    let outer = TaskGroup::<Failed>::new();
    let outcome = bounded(outer.run(async {
        let inner = TaskGroup::<Failed>::new();
        let spawner = outer.spawner();
        let task = inner
            .run(async {
                let maker = inner.spawn(async move {
                    after(10).await;
                    Ok(spawner.spawn(value_after(40)))
                });
                maker.await
            })
            .await?;
        drop(inner);
        assert_eq!(begun.elapsed(), millis(10));
        assert!(!task.is_finished(), "the inner group's end is not its own");
        Ok(task)
    }))
    .await;
    assert_eq!(begun.elapsed(), millis(50));
    assert_eq!(bounded(outcome.unwrap()).await, Ok(40));
}

/// TG-152
#[tokio::test(start_paused = true)]
async fn of_a_cancelled_pair_the_finished_half_was_cleaned_up_and_the_other_is() {
    let diary = Diary::default();
    let scope = CancelScope::new(CancelToken::new(), None);
    let pair = scope.run(async {
        let group = TaskGroup::<Failed>::new();
        let (left, right) = (&diary, &diary);
        let outcome: Result<(), Failed> = group
            .run(async {
                let done = group.spawn(async move {
                    let _mark = left.at_drop("left");
                    Ok(())
                });
                group.spawn(async move {
                    let _mark = right.at_drop("right");
                    pending::<Result<(), _>>().await
                });
                done.await?;
                left.note("half");
                pending().await
            })
            .await;
        outcome
    });
    let cancel = async {
        after(10).await;
        assert_eq!(diary.pages(), ["left", "half"]);
        scope.token().cancel(CancelReason::ClientDisconnected);
    };
    let (outcome, ()) = bounded(async { tokio::join!(pair, cancel) }).await;
    assert_eq!(outcome, Err(cancelled(CancelReason::ClientDisconnected)));
    assert_eq!(diary.pages(), ["left", "half", "right"]);
}

/// T9: spawning after the end is refused with a typed error, without a warning and without a leak.
#[tokio::test(start_paused = true)]
async fn a_spawn_after_the_end_is_a_typed_error_and_drops_the_future_before_it_returns() {
    let (logs, _guard) = Logs::capture();
    let freed = Arc::new(());
    let group = TaskGroup::<Interrupted>::new();
    bounded(group.join()).await.unwrap();
    let held = freed.clone();
    let refused = group.spawn(async move {
        drop(held);
        Ok(())
    });
    assert_eq!(Arc::strong_count(&freed), 1);
    assert_eq!(
        bounded(refused).await,
        Err(Interrupted::Cancelled(CancelReason::Finished))
    );
    let mut never = pin!(poll_fn(|_| Poll::<()>::Pending));
    assert!(poll_immediate(never.as_mut()).await.is_none());
    assert!(logs.at(Level::WARN).is_empty());
}

/// PITFALLS 1.1: with many children the failure is as quick as with few.
#[tokio::test(start_paused = true)]
async fn a_failure_is_immediate_with_any_number_of_children() {
    for children in [1, 30, 31, 1_000] {
        let begun = Instant::now();
        let dropped = AtomicUsize::new(0);
        let group = TaskGroup::<Failed>::new();
        for _ in 0..children {
            let held = CountDrop(&dropped);
            group.spawn(async move {
                let _held = held;
                value_after(300).await
            });
        }
        group.spawn(async { Err::<(), _>(Failed::With("last")) });
        assert_eq!(bounded(group.join()).await, Err(Failed::With("last")));
        assert_eq!(begun.elapsed(), millis(0));
        assert_eq!(count(&dropped), children);
    }
}

/// PITFALLS 1.2: one aborted child is no panic for those who wait for all.
#[tokio::test(start_paused = true)]
async fn waiting_for_all_survives_a_cancelled_child() {
    let group = TaskGroup::<Failed>::new();
    let tasks: Vec<_> = (1..4)
        .map(|wait| group.spawn_parallel(value_after(wait)))
        .collect();
    tasks[1].cancel();
    let mut outcomes = Vec::new();
    for task in tasks {
        outcomes.push(bounded(task).await);
    }
    assert_eq!(
        outcomes,
        [Ok(1), Err(cancelled(CancelReason::Requested)), Ok(3)]
    );
}

/// PITFALLS 1.4: spawning and joining are separate halves: a spawner goes wherever it is needed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn spawning_and_joining_are_separate_halves() {
    let group = TaskGroup::<Failed>::new();
    let spawner = group.spawner();
    let joined = group.run(async {
        let producer = group.spawn_parallel(async move {
            Ok((0..50)
                .map(|n| spawner.spawn_parallel(async move { Ok(n) }))
                .collect::<Vec<_>>())
        });
        let mut sum = 0;
        for task in producer.await? {
            sum += task.await?;
        }
        Ok(sum)
    });
    assert_eq!(soon(joined).await, Ok(1_225));
}

/// PITFALLS 1.7: a child that has finished is not polled again, however often it is woken.
#[tokio::test(start_paused = true)]
async fn a_finished_child_is_never_polled_again() {
    let kept = Arc::new(std::sync::Mutex::new(None::<std::task::Waker>));
    let group = TaskGroup::<Failed>::new();
    let mut done = false;
    let waker = kept.clone();
    let task = group.spawn(poll_fn(move |cx| {
        assert!(!done, "polled after it was ready");
        done = true;
        *waker.lock().unwrap() = Some(cx.waker().clone());
        Poll::Ready(Ok(1))
    }));
    let outcome = bounded(group.run(async {
        let value = task.await?;
        // The slot is used again; a late wake of the old child is not the new one's end.
        let next = group.spawn(value_after(5));
        for _ in 0..3 {
            kept.lock().unwrap().as_ref().unwrap().wake_by_ref();
            settle().await;
        }
        Ok(value + next.await?)
    }))
    .await;
    assert_eq!(outcome, Ok(6));
}

//! How a group ends: once, in time, and with what it has.

use std::{
    future::{Future, pending},
    panic::AssertUnwindSafe,
    pin::pin,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    task::{Context, Poll, Waker},
};

use futures_util::{FutureExt, StreamExt};
use nexios::{CancelReason, Interrupted, TaskGroup};
use tokio::time::Instant;

use super::probes::{CountDrop, Diary, Failed, after, bounded, cancelled, count, millis, too_late};

fn message_of(payload: &(dyn std::any::Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().copied().map(String::from);
    text.or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_default()
}

/// TG-027
#[tokio::test(start_paused = true)]
async fn a_second_run_at_the_same_time_panics_clearly_and_leaves_the_first_alone() {
    let body_polled = AtomicBool::new(false);
    let group = TaskGroup::<Failed>::new();
    let task = group.spawn(async {
        after(10).await;
        Ok(1)
    });
    let first = group.run(task);
    let second = async {
        after(5).await;
        let again = group.run(async {
            body_polled.store(true, Ordering::SeqCst);
            Ok(())
        });
        AssertUnwindSafe(again).catch_unwind().await
    };
    let (first, second) = bounded(async { tokio::join!(first, second) }).await;
    assert_eq!(first, Ok(1));
    let message = message_of(&*second.unwrap_err());
    assert!(message.contains("run"), "{message}");
    assert!(!body_polled.load(Ordering::SeqCst));
    assert_eq!(group.token().reason(), Some(CancelReason::Finished));
}

/// TG-027: from inside its own body or child as well.
#[tokio::test(start_paused = true)]
async fn a_group_run_inside_its_own_run_panics_instead_of_hanging() {
    let group = TaskGroup::<Failed>::new();
    let run = group.run(async {
        let inner: Result<(), _> = group.join().await;
        inner
    });
    let payload = bounded(AssertUnwindSafe(run).catch_unwind())
        .await
        .unwrap_err();
    let message = message_of(&*payload);
    assert!(message.contains("run"), "{message}");
}

/// TG-094
#[test]
fn a_join_without_children_is_ok_at_the_first_poll_without_a_runtime() {
    let group = TaskGroup::<Failed>::new();
    let mut join = pin!(group.join());
    assert_eq!(
        join.as_mut().poll(&mut Context::from_waker(Waker::noop())),
        Poll::Ready(Ok(()))
    );
    assert_eq!(group.token().reason(), Some(CancelReason::Finished));
    let group = TaskGroup::<Failed>::new();
    let mut run = pin!(group.run(async { Ok("only the body") }));
    assert_eq!(
        run.as_mut().poll(&mut Context::from_waker(Waker::noop())),
        Poll::Ready(Ok("only the body"))
    );
}

/// TG-095
#[tokio::test(start_paused = true)]
async fn a_second_run_after_the_end_says_how_the_first_ended_and_polls_no_body() {
    for (way, says) in [
        ("finished", Interrupted::Cancelled(CancelReason::Finished)),
        ("cancelled", Interrupted::Cancelled(CancelReason::Requested)),
        (
            "failed",
            Interrupted::Cancelled(CancelReason::SiblingFailed),
        ),
        ("late", Interrupted::DeadlineExceeded),
        (
            "dropped",
            Interrupted::Cancelled(CancelReason::OwnerDropped),
        ),
    ] {
        let builder = TaskGroup::builder();
        let group = if way == "late" {
            builder.timeout(millis(5))
        } else {
            builder
        }
        .build();
        {
            let mut run = pin!(group.run(async {
                match way {
                    "finished" => {}
                    "cancelled" => group.cancel(),
                    "failed" => return Err(Failed::With("first")),
                    _ => pending().await,
                }
                Ok(())
            }));
            if way == "dropped" {
                assert!(
                    futures_util::future::poll_immediate(run.as_mut())
                        .await
                        .is_none()
                );
            } else {
                let _ = bounded(run).await;
            }
        }
        for _ in 0..2 {
            let body_polled = AtomicBool::new(false);
            let again = bounded(group.run(async {
                body_polled.store(true, Ordering::SeqCst);
                Ok(())
            }))
            .await;
            assert_eq!(again, Err(Failed::Interrupted(says)), "{way}");
            assert!(!body_polled.load(Ordering::SeqCst), "{way}");
            assert_eq!(
                bounded(group.join()).await,
                Err(Failed::Interrupted(says)),
                "{way}"
            );
        }
    }
}

/// TG-095: a join that timed out is over, the group with it.
#[tokio::test(start_paused = true)]
async fn a_join_given_up_from_outside_has_ended_the_group() {
    let dropped = AtomicUsize::new(0);
    let group = TaskGroup::<Failed>::new();
    let held = CountDrop(&dropped);
    let task = group.spawn(async move {
        let _held = held;
        pending::<Result<(), _>>().await
    });
    assert!(
        tokio::time::timeout(millis(10), group.join())
            .await
            .is_err()
    );
    assert_eq!(count(&dropped), 1);
    assert_eq!(
        bounded(group.join()).await,
        Err(cancelled(CancelReason::OwnerDropped))
    );
    assert_eq!(
        bounded(task).await,
        Err(cancelled(CancelReason::OwnerDropped))
    );
}

/// TG-097
#[tokio::test(start_paused = true)]
async fn a_deadline_far_away_changes_nothing() {
    for limit in [millis(3_600_000), std::time::Duration::MAX] {
        let begun = Instant::now();
        let group = TaskGroup::builder().timeout(limit).build();
        let outcome: Result<i32, Failed> = bounded(group.run(async {
            group
                .spawn(async {
                    after(10).await;
                    Ok(1)
                })
                .await
        }))
        .await;
        assert_eq!(outcome, Ok(1));
        assert_eq!(begun.elapsed(), millis(10));
        assert_eq!(group.token().reason(), Some(CancelReason::Finished));
    }
}

/// TG-097
#[tokio::test(start_paused = true)]
async fn a_short_deadline_ends_the_children_and_the_body() {
    let begun = Instant::now();
    let diary = Diary::default();
    let group = TaskGroup::builder().timeout(millis(50)).build();
    let outcome: Result<(), Failed> = bounded(group.run(async {
        let _mark = diary.at_drop("body");
        group.spawn(async {
            let _mark = diary.at_drop("child");
            pending::<Result<(), _>>().await
        });
        group.spawn_parallel(pending::<Result<(), Failed>>());
        pending().await
    }))
    .await;
    assert_eq!(outcome, Err(too_late()));
    assert_eq!(begun.elapsed(), millis(50));
    assert_eq!(diary.pages().len(), 2);
    assert_eq!(group.token().reason(), Some(CancelReason::Deadline));
    assert_eq!(group.suppressed(), []);
}

/// TG-097: a limit of zero is reached at once; nobody is polled twice.
#[tokio::test(start_paused = true)]
async fn a_deadline_already_past_ends_the_group_at_once() {
    let begun = Instant::now();
    let polls = AtomicUsize::new(0);
    let group = TaskGroup::builder().timeout(millis(0)).build();
    let work = || async {
        polls.fetch_add(1, Ordering::SeqCst);
        tokio::task::yield_now().await;
        polls.fetch_add(100, Ordering::SeqCst);
        pending::<Result<(), Failed>>().await
    };
    let one = group.spawn(work());
    let outcome: Result<(), Failed> = bounded(group.run(async {
        group.spawn(work());
        pending().await
    }))
    .await;
    assert_eq!(outcome, Err(too_late()));
    assert_eq!(begun.elapsed(), millis(0));
    assert_eq!(bounded(one).await, Err(too_late()));
    // How often a child that is always ready is polled in that turn is not promised, that it ends is.
    assert!(count(&polls) <= 202, "{}", count(&polls));
}

/// TG-097: the limit counts from the first poll, not from the making of the group.
#[tokio::test(start_paused = true)]
async fn the_limit_counts_from_the_first_poll() {
    let group = TaskGroup::builder().timeout(millis(50)).build();
    let task = group.spawn(pending::<Result<(), Failed>>());
    after(500).await;
    let begun = Instant::now();
    assert_eq!(bounded(task).await, Err(too_late()));
    assert_eq!(begun.elapsed(), millis(50));
}

/// TG-097: the grace after a deadline ends in time, however stubborn the children.
#[tokio::test(start_paused = true)]
async fn a_stubborn_child_gets_the_grace_after_the_deadline_and_no_more() {
    let begun = Instant::now();
    let diary = Diary::default();
    let group = TaskGroup::builder()
        .timeout(millis(50))
        .grace(millis(20))
        .build();
    let token = group.token();
    let (stubborn, polite) = (&diary, &diary);
    group.spawn(async move {
        let _mark = stubborn.at_drop("stubborn");
        loop {
            after(7).await;
            if false {
                return Ok(());
            }
        }
    });
    group.spawn(async move {
        let _mark = polite.at_drop("polite");
        assert_eq!(token.cancelled().await, CancelReason::Deadline);
        after(10).await;
        Err::<(), _>(Failed::With("cleanup failed"))
    });
    assert_eq!(bounded(group.join()).await, Err(too_late()));
    assert_eq!(begun.elapsed(), millis(70));
    assert_eq!(diary.pages(), ["polite", "stubborn"]);
    assert_eq!(group.suppressed(), [Failed::With("cleanup failed")]);
}

/// TG-097: a child that is always ready cannot keep the deadline from being seen.
#[tokio::test]
async fn a_child_that_never_rests_does_not_hide_the_deadline() {
    let group = TaskGroup::builder().timeout(millis(20)).build();
    group.spawn(async {
        loop {
            futures_yield().await;
            if false {
                return Ok::<(), Failed>(());
            }
        }
    });
    let joined = tokio::time::timeout(std::time::Duration::from_secs(20), group.join()).await;
    assert_eq!(joined.expect("the deadline is seen"), Err(too_late()));
}

/// Wakes itself without asking the runtime, unlike tokio's own.
async fn futures_yield() {
    let mut yielded = false;
    std::future::poll_fn(|cx| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// TG-098
#[tokio::test(start_paused = true)]
async fn the_first_to_finish_may_stop_the_others_and_keeps_its_result() {
    let dropped = AtomicUsize::new(0);
    let begun = Instant::now();
    let group = TaskGroup::<Failed>::new();
    let dropped_ref = &dropped;
    let tasks: Vec<_> = [30, 10, 20]
        .into_iter()
        .map(|wait| {
            let spawner = group.spawner();
            group.spawn(async move {
                let _count = CountDrop(dropped_ref);
                after(wait).await;
                spawner.cancel();
                Ok(wait)
            })
        })
        .collect();
    assert_eq!(bounded(group.join()).await, Ok(()));
    assert_eq!(begun.elapsed(), millis(10));
    assert_eq!(count(&dropped), 3);
    let mut outcomes = Vec::new();
    for task in tasks {
        outcomes.push(bounded(task).await);
    }
    let requested = || Err(cancelled(CancelReason::Requested));
    assert_eq!(outcomes, [requested(), Ok(10), requested()]);
}

/// TG-098: the same by a stream that is left after its first result.
#[tokio::test(start_paused = true)]
async fn a_stream_left_after_its_first_result_drops_the_others() {
    let dropped = AtomicUsize::new(0);
    let group = TaskGroup::<Failed>::new();
    let first = {
        let mut results = pin!(group.map_unordered([30_u64, 10, 20], |wait| {
            let held = CountDrop(&dropped);
            async move {
                let _held = held;
                after(wait).await;
                Ok(wait)
            }
        }));
        bounded(results.next()).await
    };
    assert_eq!(first, Some(Ok(10)));
    assert_eq!(count(&dropped), 3);
    assert!(!group.token().is_cancelled(), "the group stays open");
}

/// TG-097, TG-007: the order of drop that holds for an abort holds for a deadline and a failure too.
#[tokio::test(start_paused = true)]
async fn without_grace_the_body_is_dropped_before_the_children() {
    for late in [true, false] {
        let diary = Diary::default();
        let group = TaskGroup::builder().timeout(millis(50)).build();
        let outcome: Result<(), Failed> = bounded(group.run(async {
            let _mark = diary.at_drop("body");
            group.spawn(async {
                let _mark = diary.at_drop("child");
                pending::<Result<(), _>>().await
            });
            group.spawn(async move {
                after(if late { 1_000 } else { 10 }).await;
                Err::<(), _>(Failed::With("child"))
            });
            pending().await
        }))
        .await;
        assert!(outcome.is_err());
        assert_eq!(diary.pages(), ["body", "child"]);
    }
}

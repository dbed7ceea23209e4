//! The first cause decides: who gets the error, what is kept beside it, what happens to the rest.

use std::{
    future::{pending, poll_fn},
    task::Poll,
};

use nexios::{CancelReason, Interrupted, OnError, TaskGroup};
use tokio::time::Instant;

use super::probes::{Failed, Gauge, after, cancelled, fails, group, millis, never, value, within};

/// TG-104, TG-116, T3
#[tokio::test(start_paused = true)]
async fn the_first_error_in_time_wins_over_an_earlier_spawned_one() {
    let group = group();
    group.spawn(fails(20, "spawned first"));
    group.spawn(fails(10, "failed first"));
    assert_eq!(
        within(1000, group.join()).await,
        Err(Failed::With("failed first"))
    );
    assert!(
        group.suppressed().is_empty(),
        "the other was dropped before it failed"
    );
}

/// TG-104
#[tokio::test(start_paused = true)]
async fn results_come_in_the_order_of_the_handles_whatever_finishes_first() {
    let group = group();
    let all = group
        .run(async {
            let tasks: Vec<_> = [30, 10, 20]
                .into_iter()
                .map(|ms| group.spawn(value(ms, ms)))
                .collect();
            let mut all = Vec::new();
            for task in tasks {
                all.push(task.await?);
            }
            Ok(all)
        })
        .await;
    assert_eq!(all, Ok(vec![30, 10, 20]));
}

/// TG-104
#[tokio::test]
async fn an_empty_group_joins_at_once() {
    let group = group();
    assert_eq!(group.join().await, Ok(()));
}

/// T1: pitfall 1.9, `try_join!` on handles leaves siblings running
#[tokio::test(start_paused = true)]
async fn a_failure_reaches_the_parent_at_once_though_the_body_awaits_another() {
    let begun = Instant::now();
    let gauge = Gauge::default();
    let group = group();
    let outcome: Result<(), _> = group
        .run(async {
            let slow = group.spawn(gauge.hold(value(1000, ())));
            group.spawn(fails(50, "early"));
            slow.await
        })
        .await;
    assert_eq!(outcome, Err(Failed::With("early")));
    assert_eq!(begun.elapsed(), millis(50));
    assert_eq!(gauge.live(), 0);
}

/// T2
#[tokio::test(start_paused = true)]
async fn the_failure_of_a_child_nobody_awaits_is_not_lost() {
    let group = group();
    let outcome = group
        .run(async {
            drop(group.spawn(fails(50, "unseen")));
            Ok(1)
        })
        .await;
    assert_eq!(outcome, Err(Failed::With("unseen")));
}

/// Inside `run` the error is `run`'s, and every handle says that a sibling failed, the failed one's too.
#[tokio::test(start_paused = true)]
async fn inside_run_no_handle_yields_the_error() {
    let group = group();
    let mut handles = Vec::new();
    let outcome = group
        .run(async {
            handles.push(group.spawn(fails(10, "the one")));
            handles.push(group.spawn(never()));
            Ok(())
        })
        .await;
    assert_eq!(outcome, Err(Failed::With("the one")));
    for handle in handles {
        assert_eq!(handle.await, Err(cancelled(CancelReason::SiblingFailed)));
    }
}

/// A value from before the failure stays with its handle.
#[tokio::test(start_paused = true)]
async fn a_child_that_finished_before_the_failure_keeps_its_value() {
    let group = group();
    let good = group.spawn(value(1, 7));
    group.spawn(fails(2, "late"));
    assert_eq!(group.join().await, Err(Failed::With("late")));
    assert_eq!(good.await, Ok(7));
}

#[tokio::test(start_paused = true)]
async fn outside_run_only_one_awaiter_gets_the_error_and_the_next_are_told() {
    let group = group();
    let failing = group.spawn(fails(5, "boom"));
    let two = group.spawn(never::<()>());
    let three = group.spawn(never::<()>());
    let (a, b, c) = within(1000, futures_util::future::join3(two, three, failing)).await;
    let outcomes = [a, b, c];
    assert_eq!(
        outcomes
            .iter()
            .filter(|outcome| **outcome == Err(Failed::With("boom")))
            .count(),
        1
    );
    let told = Err(cancelled(CancelReason::SiblingFailed));
    assert_eq!(
        outcomes.iter().filter(|outcome| **outcome == told).count(),
        2
    );
    assert!(group.suppressed().is_empty());
}

/// TG-111
#[tokio::test(start_paused = true)]
async fn rethrowing_from_the_body_cancels_the_rest_and_gives_the_error_once() {
    let gauge = Gauge::default();
    let group = TaskGroup::builder().on_error(OnError::Continue).build();
    let outcome: Result<(), _> = group
        .run(async {
            group.spawn(gauge.hold(never::<()>()));
            let bad = group.spawn(fails(5, "rethrown"));
            bad.await
        })
        .await;
    assert_eq!(outcome, Err(Failed::With("rethrown")));
    assert_eq!(gauge.live(), 0);
    assert!(group.suppressed().is_empty());
}

/// TG-114
#[test]
fn a_failed_child_always_beats_the_value_of_the_body() {
    for round in 0..1000 {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let outcome = runtime.block_on(async {
            let group = group();
            group
                .run(async {
                    for child in 0..4 {
                        group.spawn(async move {
                            for _ in 0..(round + child) % 5 {
                                tokio::task::yield_now().await;
                            }
                            if child == round % 4 {
                                Err(Failed::Number(round))
                            } else {
                                Ok(())
                            }
                        });
                    }
                    Ok("value")
                })
                .await
        });
        assert_eq!(outcome, Err(Failed::Number(round)));
    }
}

/// TG-118
#[tokio::test(start_paused = true)]
async fn the_tokens_reason_tells_children_why() {
    let group = TaskGroup::builder().grace(millis(10)).build();
    let token = group.token();
    let seen = group.spawn(async move { Ok::<_, Failed>(token.cancelled().await) });
    group.spawn(fails(5, "cause"));
    assert_eq!(group.join().await, Err(Failed::With("cause")));
    assert_eq!(seen.await, Ok(CancelReason::SiblingFailed));

    let fine = super::probes::group();
    let token = fine.token();
    fine.join().await.unwrap();
    assert_eq!(token.reason(), Some(CancelReason::Finished));
}

/// TG-124, TG-140
#[tokio::test(start_paused = true)]
async fn the_typed_error_comes_out_alone_without_the_noise_of_the_cancelled() {
    let group = TaskGroup::builder().grace(millis(50)).build();
    let outcome: Result<(), Failed> = group
        .run(async {
            let failing = group.spawn(fails(5, "typed"));
            // Waits for the failed one, and only repeats what the group says about it.
            group.spawn(failing);
            let token = group.token();
            group.spawn(async move {
                token.cancelled().await;
                Ok(())
            });
            never().await
        })
        .await;
    assert_eq!(outcome, Err(Failed::With("typed")));
    assert!(group.suppressed().is_empty(), "{:?}", group.suppressed());
}

/// T3: errors of the grace are kept, in spawn order.
#[tokio::test(start_paused = true)]
async fn errors_in_the_grace_are_suppressed_in_spawn_order() {
    let group = TaskGroup::builder().grace(millis(100)).build();
    for (ms, text) in [(30, "one"), (10, "two"), (20, "three")] {
        let token = group.token();
        group.spawn(async move {
            token.cancelled().await;
            fails(ms, text).await
        });
    }
    group.spawn(fails(5, "first"));
    assert_eq!(group.join().await, Err(Failed::With("first")));
    let kept = ["one", "two", "three"].map(Failed::With);
    assert_eq!(group.suppressed(), kept);
    assert!(group.suppressed().is_empty(), "drained");
}

/// At most 64 are kept, the rest counted.
#[tokio::test(start_paused = true)]
async fn no_more_than_sixty_four_errors_are_kept() {
    let group = TaskGroup::builder().grace(millis(100)).build();
    for number in 0..100 {
        let token = group.token();
        group.spawn(async move {
            token.cancelled().await;
            Err::<(), _>(Failed::Number(number))
        });
    }
    group.spawn(fails(5, "first"));
    assert_eq!(group.join().await, Err(Failed::With("first")));
    assert!(
        format!("{group:?}").contains("36"),
        "the rest is counted: {group:?}"
    );
    assert_eq!(
        group.suppressed(),
        (0..64).map(Failed::Number).collect::<Vec<_>>()
    );
}

/// TG-118: after `cancel()` errors of children are kept, and the body's Ok is what `run` returns.
#[tokio::test(start_paused = true)]
async fn errors_after_cancel_are_suppressed_and_the_body_is_not_interrupted() {
    let group = TaskGroup::builder().grace(millis(100)).build();
    let outcome = group
        .run(async {
            let token = group.token();
            group.spawn(async move {
                token.cancelled().await;
                Err::<(), _>(Failed::With("on the way out"))
            });
            after(1).await;
            group.cancel();
            after(500).await;
            Ok("body")
        })
        .await;
    assert_eq!(outcome, Ok("body"));
    assert_eq!(group.suppressed(), [Failed::With("on the way out")]);
    assert_eq!(group.token().reason(), Some(CancelReason::Requested));
}

/// T5: the body's error is the first one like any other.
#[tokio::test(start_paused = true)]
async fn an_error_of_the_body_drops_the_children_before_run_returns() {
    let gauge = Gauge::default();
    let group = group();
    let outcome: Result<(), _> = group
        .run(async {
            group.spawn(gauge.hold(never::<()>()));
            after(5).await;
            Err(Failed::With("body"))
        })
        .await;
    assert_eq!(outcome, Err(Failed::With("body")));
    assert_eq!((gauge.live(), gauge.entered()), (0, 1));
}

/// Swallowing the failure in the body does not stop fail-fast.
#[tokio::test(start_paused = true)]
async fn a_failure_cuts_the_body_at_its_await_even_if_the_body_would_swallow_it() {
    let group = group();
    let mut went_on = false;
    let outcome = group
        .run(async {
            let _ = group.spawn(fails(5, "swallowed")).await;
            went_on = true;
            Ok(())
        })
        .await;
    assert_eq!(outcome, Err(Failed::With("swallowed")));
    assert!(!went_on, "the body is dropped at its await");
}

/// With zero grace, children that are ready in the same turn are dropped, not polled.
#[tokio::test(start_paused = true)]
async fn children_ready_in_the_same_turn_as_the_first_failure_are_not_polled() {
    let mut polled = false;
    let group = group();
    group.spawn(async { Err::<(), _>(Failed::With("first")) });
    group.spawn(async {
        polled = true;
        Err::<(), _>(Failed::With("second"))
    });
    assert_eq!(group.join().await, Err(Failed::With("first")));
    assert!(group.suppressed().is_empty());
    drop(group);
    assert!(!polled);
}

/// A deadline that passed first is the cause; what children say in the grace does not replace it.
#[tokio::test(start_paused = true)]
async fn a_failure_in_the_grace_after_the_deadline_does_not_replace_it() {
    let group = TaskGroup::builder()
        .timeout(millis(10))
        .grace(millis(50))
        .build();
    let token = group.token();
    group.spawn(async move {
        let reason = token.cancelled().await;
        assert_eq!(reason, CancelReason::Deadline);
        Err::<(), _>(Failed::With("cleanup"))
    });
    let outcome = group.run(pending::<Result<(), Failed>>()).await;
    assert_eq!(
        outcome,
        Err(Failed::Interrupted(Interrupted::DeadlineExceeded))
    );
    assert_eq!(group.suppressed(), [Failed::With("cleanup")]);
}

/// Cancelling after a failure, and failing after a cancel: the first stays.
#[tokio::test(start_paused = true)]
async fn cancel_after_a_failure_changes_nothing() {
    let group = TaskGroup::builder().grace(millis(50)).build();
    let spawner = group.spawner();
    let token = group.token();
    group.spawn(async move {
        token.cancelled().await;
        spawner.cancel();
        Ok(())
    });
    group.spawn(fails(5, "first"));
    assert_eq!(group.join().await, Err(Failed::With("first")));
    assert_eq!(group.token().reason(), Some(CancelReason::SiblingFailed));
}

/// The body is polled at most once more after it is done; its own pending wakes are no concern of the group.
#[tokio::test(start_paused = true)]
async fn the_body_is_dropped_when_it_has_finished_not_when_the_group_has() {
    let gauge = Gauge::default();
    let group = group();
    let inside = gauge.enter();
    let seen = group
        .run(async {
            group.spawn(async {
                after(10).await;
                assert_eq!(gauge.live(), 0, "what the body held is gone");
                Ok(())
            });
            let mut inside = Some(inside);
            poll_fn(|cx| {
                cx.waker().wake_by_ref();
                drop(inside.take());
                Poll::Ready(Ok(3))
            })
            .await
        })
        .await;
    assert_eq!(seen, Ok(3));
}

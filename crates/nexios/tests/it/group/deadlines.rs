//! Time limits of groups: when they hold, whose they are, and what wins against them.

use std::{
    future::{pending, ready},
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::future::poll_immediate;
use nexios::{CancelReason, CancelScope, CancelToken, Interrupted, OnError, TaskGroup};
use tokio::time::{Instant, advance, timeout};

use super::probes::{
    CountDrop, Diary, Failed, after, bounded, cancelled, count, millis, too_late, value_after,
};

fn limited<'env>(limit: u64) -> TaskGroup<'env, Failed> {
    TaskGroup::builder().timeout(millis(limit)).build()
}

/// TO-002
#[tokio::test(start_paused = true)]
async fn work_within_the_limit_is_ok_and_the_limit_leaves_no_trace() {
    let begun = Instant::now();
    let group = limited(50);
    let outcome = bounded(group.run(async {
        let child = group.spawn(value_after(10));
        let far = group.spawn_parallel(value_after(20));
        Ok(child.await? + far.await? + group.map([30], value_after).await?[0])
    }))
    .await;
    assert_eq!(outcome, Ok(60));
    assert_eq!(begun.elapsed(), millis(50));
    assert_eq!(group.token().reason(), Some(CancelReason::Finished));
    after(100).await;
    assert_eq!(
        group.token().reason(),
        Some(CancelReason::Finished),
        "the limit passes after the end"
    );
    assert_eq!(
        bounded(group.join()).await,
        Err(cancelled(CancelReason::Finished))
    );
}

/// TO-003: no limit, and one too far away to be an instant, are the same.
#[tokio::test(start_paused = true)]
async fn without_a_limit_nothing_is_ever_too_late() {
    let begun = Instant::now();
    let year = 365 * 24 * 3_600 * 1_000;
    for builder in [
        TaskGroup::builder(),
        TaskGroup::builder().timeout(Duration::MAX),
    ] {
        let group = builder.build();
        let child = group.spawn(value_after(year));
        assert_eq!(child.await, Ok(year));
        assert_eq!(group.join().await, Ok(()));
    }
    assert_eq!(begun.elapsed(), millis(2 * year));
}

/// TO-004: zero and the past: what is ready at its first poll counts, what has to wait is too late.
#[tokio::test(start_paused = true)]
async fn a_limit_that_has_passed_ends_the_first_wait() {
    let begun = Instant::now();
    let past = CancelScope::new(CancelToken::new(), Some(begun - millis(1)));
    for scope in [CancelScope::new(CancelToken::new(), None), past] {
        scope
            .run(async {
                let group = limited(0);
                let at_once = group.spawn(ready(Ok(1)));
                let waits = group.spawn(value_after(1));
                let outcome: Result<(), _> = bounded(group.join()).await;
                assert_eq!(outcome, Err(too_late()));
                assert_eq!(bounded(at_once).await, Ok(1));
                assert_eq!(bounded(waits).await, Err(too_late()));
                assert_eq!(bounded(limited(0).run(async { Ok(2) })).await, Ok(2));
                assert_eq!(
                    bounded(limited(0).run(pending::<Result<(), _>>())).await,
                    Err(too_late())
                );
            })
            .await;
    }
    assert_eq!(begun.elapsed(), millis(0));
}

/// TO-005: each limit is reported by the group that has it.
#[tokio::test(start_paused = true)]
async fn an_inner_limit_is_not_mistaken_for_the_outer_one() {
    let outer = limited(50);
    let outcome = bounded(outer.run(async {
        let inner = limited(10);
        assert_eq!(inner.run(pending::<Result<(), _>>()).await, Err(too_late()));
        assert!(!outer.token().is_cancelled());
        value_after(10).await
    }))
    .await;
    assert_eq!(outcome, Ok(10));
    assert_eq!(outer.token().reason(), Some(CancelReason::Finished));
}

/// TO-005: the outer one cuts the inner group off; its token tells why it ended.
#[tokio::test(start_paused = true)]
async fn when_the_outer_limit_comes_first_the_inner_group_is_dropped() {
    for inner_limit in [50, 80] {
        let begun = Instant::now();
        let diary = Diary::default();
        let inner_token = Arc::new(std::sync::Mutex::new(None));
        let token = inner_token.clone();
        let outer = limited(50);
        outer.spawn(async {
            let inner = limited(inner_limit);
            *token.lock().unwrap() = Some(inner.token());
            inner.spawn(async {
                let _mark = diary.at_drop("inner child");
                pending::<Result<(), _>>().await
            });
            inner.join().await
        });
        let outcome: Result<(), _> = bounded(outer.run(pending())).await;
        assert_eq!(outcome, Err(too_late()));
        assert_eq!(begun.elapsed(), millis(50));
        assert_eq!(diary.pages(), ["inner child"]);
        let reason = inner_token
            .lock()
            .unwrap()
            .take()
            .and_then(|token| token.reason());
        if inner_limit == 80 {
            assert_eq!(reason, Some(CancelReason::OwnerDropped));
            assert_eq!(outer.token().reason(), Some(CancelReason::Deadline));
        } else {
            assert!(reason.is_some(), "both are due, either may be first");
        }
    }
}

/// TO-006: the thread was busy past the inner limit; the rest of the outer one still holds.
#[tokio::test(start_paused = true)]
async fn an_inner_limit_that_comes_late_leaves_the_outer_one_in_force() {
    let begun = Instant::now();
    let outer = limited(50);
    let outcome: Result<(), _> = bounded(outer.run(async {
        let inner = limited(10);
        inner.spawn(async {
            advance(millis(30)).await;
            pending::<Result<(), Failed>>().await
        });
        assert_eq!(inner.join().await, Err(too_late()));
        assert_eq!(begun.elapsed(), millis(30));
        pending().await
    }))
    .await;
    assert_eq!(outcome, Err(too_late()));
    assert_eq!(begun.elapsed(), millis(50));
}

/// TO-006: a group busy past its own limit is told at the first wait, not a whole limit later.
#[tokio::test(start_paused = true)]
async fn a_limit_that_passed_while_the_thread_was_busy_holds_at_the_next_wait() {
    let begun = Instant::now();
    let group = limited(10);
    group.spawn(async {
        advance(millis(100)).await;
        after(1).await;
        Ok::<_, Failed>(())
    });
    assert_eq!(bounded(group.join()).await, Err(too_late()));
    assert!(begun.elapsed() <= millis(101), "{:?}", begun.elapsed());
}

/// TO-007: an error of the work itself, before the limit or in the same instant, is what comes out.
#[tokio::test(start_paused = true)]
async fn an_error_of_the_work_wins_over_the_limit() {
    for at in [10, 50] {
        let child = limited(50);
        child.spawn(async move {
            after(at).await;
            Err::<(), _>(Failed::With("own"))
        });
        assert_eq!(
            bounded(child.join()).await,
            Err(Failed::With("own")),
            "a child at {at}"
        );
        let body = limited(50);
        let outcome: Result<(), _> = bounded(body.run(async {
            after(at).await;
            Err(Failed::With("own"))
        }))
        .await;
        assert_eq!(outcome, Err(Failed::With("own")), "the body at {at}");
    }
}

/// TO-007: so does a value, under both policies.
#[tokio::test(start_paused = true)]
async fn a_value_in_the_same_instant_wins_over_the_limit() {
    for on_error in [OnError::Cancel, OnError::Continue] {
        let group = TaskGroup::builder()
            .timeout(millis(50))
            .on_error(on_error)
            .build();
        let outcome: Result<u64, Failed> = bounded(group.run(async {
            let child = group.spawn(value_after(50));
            child.await
        }))
        .await;
        assert_eq!(outcome, Ok(50));
        let outside = limited(50);
        assert_eq!(bounded(outside.spawn(value_after(50))).await, Ok(50));
    }
}

/// TO-007: what cleanup returns after the limit is kept, and the limit stays what `run` reports.
#[tokio::test(start_paused = true)]
async fn an_error_of_the_cleanup_is_kept_beside_the_limit() {
    let group = TaskGroup::builder()
        .timeout(millis(10))
        .grace(millis(100))
        .build();
    let token = group.token();
    group.spawn(async move {
        token.cancelled().await;
        after(5).await;
        Err::<(), _>(Failed::With("cleanup"))
    });
    assert_eq!(bounded(group.join()).await, Err(too_late()));
    assert_eq!(group.suppressed(), [Failed::With("cleanup")]);
}

/// TO-009: what is around a group that timed out goes on, and so do its neighbours.
#[tokio::test(start_paused = true)]
async fn whoever_is_around_a_group_that_timed_out_goes_on() {
    let scope = CancelScope::new(CancelToken::new(), None);
    let outer = scope
        .run(async {
            let outer = TaskGroup::<Failed>::new();
            let outcome = bounded(outer.run(async {
                let neighbour = outer.spawn(value_after(100));
                let child = outer.spawn(async {
                    let inner = limited(10);
                    let outcome: Result<(), _> = inner.run(pending()).await;
                    after(10).await;
                    Ok(outcome)
                });
                assert_eq!(child.await?, Err(too_late()));
                neighbour.await
            }))
            .await;
            (outcome, outer.token().reason())
        })
        .await;
    assert_eq!(outer, (Ok(100), Some(CancelReason::Finished)));
    assert!(!scope.token().is_cancelled());
}

/// TO-011: cleanup has the time it gives itself, in the grace and in a finalizer.
#[tokio::test(start_paused = true)]
async fn cleanup_after_a_cancel_may_use_limits_of_its_own() {
    let begun = Instant::now();
    let parent = CancelToken::new();
    let seen = Arc::new(std::sync::Mutex::new(Vec::new()));
    let group = TaskGroup::builder()
        .parent(&parent)
        .timeout(millis(500))
        .grace(millis(100))
        .build();
    let (token, in_grace, in_finalizer) = (group.token(), seen.clone(), seen.clone());
    group.spawn(async move {
        token.cancelled().await;
        let slow = timeout(millis(20), pending::<()>()).await;
        in_grace.lock().unwrap().push(slow.is_err());
        Ok::<_, Failed>(())
    });
    group.defer(async move {
        let cleanup = TaskGroup::<Failed>::timed_alone(millis(30));
        let quick = cleanup.spawn(value_after(5));
        assert_eq!(quick.await, Ok(5));
        let outcome: Result<(), _> = cleanup.run(pending()).await;
        in_finalizer
            .lock()
            .unwrap()
            .push(outcome == Err(too_late()));
    });
    let fire = async {
        after(10).await;
        parent.cancel(CancelReason::ClientDisconnected);
    };
    let _ = bounded(async { tokio::join!(group.join(), fire) }).await;
    assert_eq!(*seen.lock().unwrap(), [true, true]);
    assert_eq!(begun.elapsed(), millis(10 + 20 + 30));
}

trait TimedAlone {
    fn timed_alone(limit: Duration) -> Self;
}

impl TimedAlone for TaskGroup<'_, Failed> {
    fn timed_alone(limit: Duration) -> Self {
        TaskGroup::builder().timeout(limit).detached().build()
    }
}

/// TO-012: a limit begins once, with the first poll, whoever drives; nobody can restart or enter it twice.
#[tokio::test(start_paused = true)]
async fn the_limit_begins_once_whoever_drives() {
    let group = limited(50);
    let mut first = pin!(group.spawn(value_after(500)));
    after(100).await;
    let begun = Instant::now();
    assert!(poll_immediate(first.as_mut()).await.is_none());
    after(30).await;
    let outcome: Result<(), _> = bounded(group.run(pending())).await;
    assert_eq!(outcome, Err(too_late()));
    assert_eq!(begun.elapsed(), millis(50));
    let again: Result<(), _> = bounded(group.run(async { unreachable!() })).await;
    assert_eq!(again, Err(too_late()));
    assert_eq!(
        begun.elapsed(),
        millis(50),
        "the second run has no limit to wait for"
    );
}

/// TO-013: a child that ignores the limit gets the grace and no more; work that shall go on is not the group's.
#[tokio::test(start_paused = true)]
async fn what_shall_outlive_the_limit_is_a_background_task() {
    let begun = Instant::now();
    let dropped = AtomicUsize::new(0);
    let done = Arc::new(AtomicUsize::new(0));
    let group = limited(10);
    let outcome: Result<(), _> = bounded(group.run(async {
        let held = CountDrop(&dropped);
        group.spawn::<(), _>(async move {
            let _held = held;
            loop {
                after(1).await;
            }
        });
        let counted = done.clone();
        let task = nexios::create_background_task("goes on", async move {
            after(50).await;
            counted.fetch_add(1, Ordering::SeqCst);
        });
        task.await.map_err(|_| Failed::With("background"))
    }))
    .await;
    assert_eq!(outcome, Err(too_late()));
    assert_eq!(
        (begun.elapsed(), count(&dropped), count(&done)),
        (millis(10), 1, 0)
    );
    after(100).await;
    assert_eq!(count(&done), 1);
}

/// TO-016, without a shield: inside several limits the earliest counts, and `detached` steps out of the scope's.
#[tokio::test(start_paused = true)]
async fn the_effective_limit_is_the_earliest_unless_detached() {
    let begun = Instant::now();
    let scope = CancelScope::new(CancelToken::new(), Some(begun + millis(40)));
    scope
        .run(async {
            for (own, detached, at) in [(20, false, 20), (60, false, 40), (60, true, 100)] {
                let builder = TaskGroup::builder().timeout(millis(own));
                let group: TaskGroup<'_, Failed> = if detached {
                    builder.detached()
                } else {
                    builder
                }
                .build();
                let outcome: Result<(), _> = bounded(group.run(pending())).await;
                assert_eq!(outcome, Err(too_late()));
                assert_eq!(begun.elapsed(), millis(at));
            }
        })
        .await;
}

/// T15, TG-097: the limit reaches children on other threads, those that wait for a place, and the items of a map.
#[tokio::test(start_paused = true)]
async fn at_the_limit_every_kind_of_child_is_told() {
    let group = TaskGroup::builder().timeout(millis(10)).limit(2).build();
    let running = group.spawn(pending::<Result<(), Failed>>());
    let parallel = group.spawn_parallel(pending::<Result<(), Failed>>());
    let waiting = group.spawn(async { Ok::<_, Failed>(()) });
    group.spawn_daemon(pending());
    let map = group.map([1], |_| pending::<Result<(), _>>());
    assert_eq!(bounded(group.run(map)).await, Err(too_late()));
    for task in [running, parallel, waiting] {
        assert_eq!(bounded(task).await, Err(too_late()));
    }
    assert_eq!(group.suppressed(), []);
    let refused = group.spawn(async { Ok::<_, Failed>(()) });
    let refused = bounded(refused).await;
    assert!(
        matches!(
            refused,
            Err(Failed::Interrupted(Interrupted::DeadlineExceeded))
        ),
        "{refused:?}"
    );
}

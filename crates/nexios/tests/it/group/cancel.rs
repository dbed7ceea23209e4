//! Stopping a group, or one child of it, on purpose.

use std::{
    future::{Future, pending},
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use nexios::{CancelReason, CancelScope, CancelToken, TaskGroup};
use tokio::time::Instant;

use super::probes::{
    CountDrop, Diary, Failed, OnDrop, after, bounded, cancelled, count, counting_polls, millis,
    settle,
};

/// TG-016: who wants to answer the cancellation does it around `run`.
#[tokio::test(start_paused = true)]
async fn an_answer_to_the_cancellation_is_given_around_run() {
    let request = CancelToken::new();
    let outcome: Result<(), _> = CancelScope::new(request.clone(), None)
        .run(bounded(async {
            let group = TaskGroup::builder().grace(millis(50)).build();
            let run = async {
                let cut = group
                    .run(async { group.spawn(pending::<Result<(), Failed>>()).await })
                    .await;
                assert_eq!(cut, Err(cancelled(CancelReason::ClientDisconnected)));
                after(5).await;
                Err(Failed::With("half of it was sent"))
            };
            let outer = async {
                after(10).await;
                request.cancel(CancelReason::ClientDisconnected);
            };
            tokio::join!(run, outer).0
        }))
        .await;
    assert_eq!(outcome, Err(Failed::With("half of it was sent")));
    assert!(
        request.is_cancelled(),
        "the outer cancellation stays visible in the token"
    );
}

/// TG-016: the body is cut at its await, whatever it is about to do, as at a deadline; with a grace or without.
#[tokio::test(start_paused = true)]
async fn a_scopes_token_cuts_the_body_at_its_await() {
    for grace in [0, 100] {
        let request = CancelToken::new();
        let begun = Instant::now();
        let outcome: Result<(), _> = CancelScope::new(request.clone(), None)
            .run(bounded(async {
                let group = TaskGroup::builder().grace(millis(grace)).build();
                let token = request.clone();
                let run = group.run(async {
                    token.cancelled().await;
                    Err(Failed::With("own answer"))
                });
                let outer = async {
                    after(10).await;
                    request.cancel(CancelReason::Shutdown);
                };
                tokio::join!(run, outer).0
            }))
            .await;
        assert_eq!(outcome, Err(cancelled(CancelReason::Shutdown)));
        assert_eq!(begun.elapsed(), millis(10));
    }
}

/// `cancel()` leaves the body alone, its own error too.
#[tokio::test(start_paused = true)]
async fn after_cancel_run_returns_the_bodys_own_error() {
    for grace in [0, 50] {
        let group = TaskGroup::builder().grace(millis(grace)).build();
        let outcome: Result<(), _> = bounded(group.run(async {
            group.spawn(pending::<Result<(), Failed>>());
            group.cancel();
            after(5).await;
            Err(Failed::With("own answer"))
        }))
        .await;
        assert_eq!(outcome, Err(Failed::With("own answer")));
        assert_eq!(group.suppressed(), []);
    }
}

/// TG-035
#[tokio::test(start_paused = true)]
async fn cancel_stops_the_children_and_returns_what_the_body_returns() {
    let dropped = AtomicUsize::new(0);
    let begun = Instant::now();
    let group = TaskGroup::<Failed>::new();
    let outcome = bounded(group.run(async {
        for _ in 0..3 {
            group.spawn(async {
                let _count = CountDrop(&dropped);
                pending::<Result<(), _>>().await
            });
        }
        group.spawn_parallel(pending::<Result<(), Failed>>());
        after(10).await;
        group.cancel();
        assert_eq!(count(&dropped), 3);
        assert!(group.is_empty());
        assert_eq!(group.token().reason(), Some(CancelReason::Requested));
        // The body is not interrupted.
        after(10).await;
        Ok("body")
    }))
    .await;
    assert_eq!(outcome, Ok("body"));
    assert_eq!(begun.elapsed(), millis(20));
    assert_eq!(group.suppressed(), []);
}

/// TG-035: from a child, through the spawner.
#[tokio::test(start_paused = true)]
async fn a_child_cancels_the_whole_group_itself_included() {
    let diary = Diary::default();
    let group = TaskGroup::<Failed>::new();
    let spawner = group.spawner();
    group.spawn(async {
        let _mark = diary.at_drop("sibling");
        pending::<Result<(), _>>().await
    });
    let diary_of_child = &diary;
    let canceller = group.spawn(async move {
        let _mark = diary_of_child.at_drop("canceller");
        after(5).await;
        spawner.cancel();
        pending::<Result<(), _>>().await
    });
    assert_eq!(bounded(group.join()).await, Ok(()));
    assert_eq!(diary.pages(), ["sibling", "canceller"]);
    assert_eq!(
        bounded(canceller).await,
        Err(cancelled(CancelReason::Requested))
    );
}

/// TG-036
#[tokio::test(start_paused = true)]
async fn the_bodys_own_error_after_cancel_is_not_swallowed() {
    let group = TaskGroup::new();
    let outcome: Result<(), _> = bounded(group.run(async {
        group.spawn(pending::<Result<(), Failed>>());
        group.cancel();
        after(1).await;
        Err(Failed::With("own"))
    }))
    .await;
    assert_eq!(outcome, Err(Failed::With("own")));
}

/// TG-036: within the grace, too, and what the children return then is kept.
#[tokio::test(start_paused = true)]
async fn the_bodys_own_error_after_cancel_beats_what_children_return_in_the_grace() {
    let group = TaskGroup::builder().grace(millis(50)).build();
    let token = group.token();
    let outcome: Result<(), _> = bounded(group.run(async {
        group.spawn(async move {
            token.cancelled().await;
            Err::<(), _>(Failed::With("cleanup"))
        });
        group.cancel();
        after(10).await;
        Err(Failed::With("own"))
    }))
    .await;
    assert_eq!(outcome, Err(Failed::With("own")));
    assert_eq!(group.suppressed(), [Failed::With("cleanup")]);
}

/// TG-037
#[tokio::test(start_paused = true)]
async fn cancelling_twice_is_cancelling_once() {
    let group = TaskGroup::<Failed>::new();
    let outcome = bounded(group.run(async {
        let task = group.spawn(pending::<Result<(), _>>());
        group.cancel();
        group.cancel();
        group.spawner().cancel();
        assert_eq!(task.await, Err(cancelled(CancelReason::Requested)));
        Ok(1)
    }))
    .await;
    assert_eq!(outcome, Ok(1));
}

/// TG-037: a second cancel does not cut the grace of the first short.
#[tokio::test(start_paused = true)]
async fn cancelling_twice_leaves_the_grace_as_it_is() {
    let begun = Instant::now();
    let diary = Diary::default();
    let group = TaskGroup::<Failed>::builder_with_grace(50);
    let (token, diary_of_child) = (group.token(), &diary);
    let outcome = bounded(group.run(async {
        group.spawn(async move {
            token.cancelled().await;
            after(30).await;
            diary_of_child.note("cleaned up");
            Ok(())
        });
        after(1).await;
        group.cancel();
        after(10).await;
        group.cancel();
        Ok(())
    }))
    .await;
    assert_eq!(outcome, Ok(()));
    assert_eq!(diary.pages(), ["cleaned up"]);
    assert_eq!(begun.elapsed(), millis(31));
}

/// TG-037
#[tokio::test(start_paused = true)]
async fn cancelling_after_the_end_changes_nothing() {
    let group = TaskGroup::<Failed>::new();
    let task = group.spawn(async { Ok(3) });
    assert_eq!(bounded(group.join()).await, Ok(()));
    group.cancel();
    task.cancel();
    assert_eq!(group.token().reason(), Some(CancelReason::Finished));
    assert_eq!(bounded(task).await, Ok(3));
    let spawner = group.spawner();
    drop(group);
    spawner.cancel();
}

/// TG-037: the body still runs, its spawns are refused.
#[tokio::test(start_paused = true)]
async fn cancelling_before_the_start_cancels_on_entry() {
    let polled = AtomicBool::new(false);
    let group = TaskGroup::<Failed>::new();
    let early = group.spawn(async {
        polled.store(true, Ordering::SeqCst);
        Ok(())
    });
    group.cancel();
    let outcome = bounded(group.run(async {
        let refused = group.spawn(async {
            polled.store(true, Ordering::SeqCst);
            Ok(())
        });
        assert_eq!(refused.await, Err(cancelled(CancelReason::Requested)));
        Ok("body")
    }))
    .await;
    assert_eq!(outcome, Ok("body"));
    assert_eq!(
        bounded(early).await,
        Err(cancelled(CancelReason::Requested))
    );
    assert!(!polled.load(Ordering::SeqCst));
}

/// TG-043
#[tokio::test(start_paused = true)]
async fn nothing_spawned_into_a_cancelled_group_is_ever_polled() {
    let polled = AtomicUsize::new(0);
    let dropped = Arc::new(AtomicUsize::new(0));
    let group = TaskGroup::<Failed>::new();
    group.cancel();
    let work = || {
        let held = CountDrop(&dropped);
        let polled = &polled;
        async move {
            let _held = held;
            polled.fetch_add(1, Ordering::SeqCst);
            Ok::<(), Failed>(())
        }
    };
    let spawner = group.spawner();
    let tasks = [
        group.spawn(work()),
        group.spawn_named("named", work()),
        spawner.spawn(work()),
        spawner.spawn_named("named", work()),
    ];
    let daemon = work();
    group.spawn_daemon(async {
        let _ = daemon.await;
    });
    let held = OnDrop({
        let dropped = dropped.clone();
        move || {
            dropped.fetch_add(1, Ordering::SeqCst);
        }
    });
    let parallel = group.spawn_parallel(async move {
        let _held = held;
        Ok::<(), Failed>(())
    });
    assert_eq!(
        count(&dropped),
        6,
        "refused futures are dropped before the spawn returns"
    );
    assert!(group.is_empty());
    for task in tasks.into_iter().chain([parallel]) {
        assert!(task.is_finished());
        assert_eq!(bounded(task).await, Err(cancelled(CancelReason::Requested)));
    }
    assert_eq!(count(&polled), 0);
}

/// TG-071
#[tokio::test(start_paused = true)]
async fn a_cancellation_while_joining_still_waits_for_the_children_to_end() {
    let diary = Diary::default();
    let begun = Instant::now();
    let group = TaskGroup::<Failed>::builder_with_grace(100);
    let (token, spawner) = (group.token(), group.spawner());
    let diary_of_child = &diary;
    group.spawn(async move {
        token.cancelled().await;
        after(30).await;
        diary_of_child.note("cleaned up");
        Ok(())
    });
    let outer = async {
        after(10).await;
        spawner.cancel();
        diary.note("cancelled");
    };
    let join = async {
        let outcome = group.join().await;
        diary.note("joined");
        outcome
    };
    let (outcome, ()) = bounded(async { tokio::join!(join, outer) }).await;
    assert_eq!(outcome, Ok(()));
    assert_eq!(diary.pages(), ["cancelled", "cleaned up", "joined"]);
    assert_eq!(begun.elapsed(), millis(40));
}

/// TG-072
#[tokio::test(start_paused = true)]
async fn one_task_goes_through_two_cancelled_groups() {
    for _ in 0..2 {
        let request = CancelToken::new();
        let outcome: Result<(), _> = CancelScope::new(request.clone(), None)
            .run(bounded(async {
                let group = TaskGroup::<Failed>::new();
                let run = group.run(async { group.spawn(pending()).await });
                let outer = async {
                    after(1).await;
                    request.cancel(CancelReason::Shutdown);
                };
                tokio::join!(run, outer).0
            }))
            .await;
        assert_eq!(outcome, Err(cancelled(CancelReason::Shutdown)));
    }
    assert!(CancelScope::current().is_none());
}

/// TG-077
#[tokio::test(start_paused = true)]
async fn a_cancelled_group_with_finished_children_does_not_spin() {
    let group_polls = AtomicUsize::new(0);
    let child_polls = AtomicUsize::new(0);
    let group = TaskGroup::<Failed>::builder_with_grace(1_000);
    for _ in 0..10 {
        group.spawn(async { Ok(()) });
    }
    group.spawn(counting_polls(&child_polls, async {
        after(500).await;
        Ok(())
    }));
    let run = group.run(async {
        after(5).await;
        group.cancel();
        Ok(())
    });
    let mut run = pin!(counting_polls(&group_polls, run));
    assert_eq!(bounded(run.as_mut()).await, Ok(()));
    assert!(
        count(&child_polls) <= 3,
        "{} polls of a child that waits",
        count(&child_polls)
    );
    assert!(
        count(&group_polls) <= 10,
        "{} polls of a group that waits",
        count(&group_polls)
    );
}

trait WithGrace {
    fn builder_with_grace(millis: u64) -> Self;
}

impl WithGrace for TaskGroup<'_, Failed> {
    fn builder_with_grace(grace: u64) -> Self {
        TaskGroup::builder().grace(millis(grace)).build()
    }
}

/// TG-035: dropping `run` during the grace ends everything at once.
#[tokio::test(start_paused = true)]
async fn a_run_dropped_within_the_grace_drops_the_children_at_once() {
    let dropped = AtomicUsize::new(0);
    let group = TaskGroup::<Failed>::builder_with_grace(1_000);
    {
        let mut run = pin!(group.run(async {
            group.spawn(async {
                let _count = CountDrop(&dropped);
                pending::<Result<(), _>>().await
            });
            after(1).await;
            group.cancel();
            Ok(())
        }));
        let step = std::future::poll_fn(|cx| {
            let _ = run.as_mut().poll(cx);
            if group.token().is_cancelled() {
                std::task::Poll::Ready(())
            } else {
                std::task::Poll::Pending
            }
        });
        bounded(step).await;
        settle().await;
        assert_eq!(count(&dropped), 0);
    }
    assert_eq!(count(&dropped), 1);
    assert!(group.is_empty());
}

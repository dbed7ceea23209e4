//! The first failure decides, and reaches the caller as it was.

use std::{
    error::Error,
    fmt,
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
};

use nexios::{CancelReason, CancelScope, CancelToken, TaskGroup};
use tokio::time::Instant;

use super::probes::{CountDrop, Diary, Failed, OnDrop, after, bounded, cancelled, count, millis};

/// TG-005
#[tokio::test(start_paused = true)]
async fn failures_in_one_instant_are_all_kept_within_the_grace() {
    let diary = Diary::default();
    let group = TaskGroup::builder().grace(millis(10)).build();
    let outcome = bounded(group.run(async {
        let _mark = diary.at_drop("body");
        for name in ["one", "two", "three"] {
            group.spawn(async move {
                after(100).await;
                Err::<(), _>(Failed::With(name))
            });
        }
        let sibling = group.spawn(async {
            let _mark = diary.at_drop("sibling");
            pending::<Result<(), _>>().await
        });
        sibling.await?;
        diary.note("the body went on");
        Ok(())
    }))
    .await;
    let Err(Failed::With(first)) = outcome else {
        panic!("{outcome:?}")
    };
    let others: Vec<_> = ["one", "two", "three"]
        .into_iter()
        .filter(|name| *name != first)
        .map(Failed::With)
        .collect();
    assert_eq!(group.suppressed(), others);
    assert_eq!(group.suppressed(), [], "drained by the first call");
    assert_eq!(diary.pages(), ["body", "sibling"]);
}

/// TG-005: without grace the others of that instant are dropped, not polled.
#[tokio::test(start_paused = true)]
async fn without_grace_children_ready_with_the_first_failure_are_not_polled() {
    let polled = AtomicUsize::new(0);
    let dropped = AtomicUsize::new(0);
    let group = TaskGroup::new();
    for name in ["one", "two", "three"] {
        let (polled, held) = (&polled, CountDrop(&dropped));
        group.spawn(async move {
            let _held = held;
            after(100).await;
            polled.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            Err::<(), _>(Failed::With(name))
        });
    }
    let outcome = bounded(group.run(pending::<Result<(), _>>())).await;
    assert!(
        matches!(outcome, Err(Failed::With("one" | "two" | "three"))),
        "{outcome:?}"
    );
    assert_eq!(count(&polled), 1);
    assert_eq!(count(&dropped), 3);
    assert_eq!(group.suppressed(), []);
}

/// TG-005: a child that passes the group's own cancellation on adds nothing to the suppressed errors.
#[tokio::test(start_paused = true)]
async fn the_groups_own_cancellation_is_not_among_the_suppressed_errors() {
    let group = TaskGroup::builder().grace(millis(50)).build();
    let outcome = bounded(group.run(async {
        let (token, spawner) = (group.token(), group.spawner());
        group.spawn(async move {
            token.cancelled().await;
            // Refused, and handed on with the question mark.
            spawner.spawn(async { Ok(()) }).await
        });
        let token = group.token();
        group.spawn(async move {
            token.cancelled().await;
            Err::<(), _>(Failed::With("rollback failed"))
        });
        after(5).await;
        Err::<(), _>(Failed::With("body"))
    }))
    .await;
    assert_eq!(outcome, Err(Failed::With("body")));
    assert_eq!(group.suppressed(), [Failed::With("rollback failed")]);
}

/// TG-009
#[tokio::test(start_paused = true)]
async fn a_body_that_fails_after_an_await_cancels_the_children() {
    let dropped = AtomicUsize::new(0);
    let group = TaskGroup::new();
    let outcome = bounded(group.run(async {
        for _ in 0..3 {
            group.spawn(async {
                let _count = CountDrop(&dropped);
                pending::<Result<(), _>>().await
            });
        }
        after(30).await;
        Err::<(), _>(Failed::With("body"))
    }))
    .await;
    assert_eq!(outcome, Err(Failed::With("body")));
    assert_eq!(count(&dropped), 3);
    assert_eq!(group.suppressed(), []);
}

/// TG-039: whichever comes first is returned, the other is kept.
#[tokio::test(start_paused = true)]
async fn errors_of_body_and_child_are_both_kept() {
    let group = TaskGroup::builder().grace(millis(10)).build();
    let token = group.token();
    let outcome = bounded(group.run(async {
        group.spawn(async move {
            token.cancelled().await;
            Err::<(), _>(Failed::With("child"))
        });
        tokio::task::yield_now().await;
        Err::<(), _>(Failed::With("body"))
    }))
    .await;
    assert_eq!(outcome, Err(Failed::With("body")));
    assert_eq!(group.suppressed(), [Failed::With("child")]);
}

/// TG-039: both fail in one instant.
#[tokio::test(start_paused = true)]
async fn a_body_and_a_child_that_fail_in_one_instant_lose_no_error_within_the_grace() {
    let group = TaskGroup::builder().grace(millis(10)).build();
    let outcome = bounded(group.run(async {
        group.spawn(async {
            after(10).await;
            Err::<(), _>(Failed::With("child"))
        });
        after(10).await;
        Err::<(), _>(Failed::With("body"))
    }))
    .await;
    match outcome {
        Err(Failed::With("body")) => assert_eq!(group.suppressed(), [Failed::With("child")]),
        // The failed child interrupts the body at its await: the body has no error then.
        Err(Failed::With("child")) => assert_eq!(group.suppressed(), []),
        other => panic!("{other:?}"),
    }
}

/// TG-041
#[tokio::test(start_paused = true)]
async fn a_body_that_waits_for_ever_is_interrupted_by_a_failure() {
    let begun = Instant::now();
    let dropped = AtomicUsize::new(0);
    let group = TaskGroup::new();
    let outcome = bounded(group.run(async {
        group.spawn(async {
            after(20).await;
            Err::<(), _>(Failed::With("child"))
        });
        let _count = CountDrop(&dropped);
        pending::<Result<(), _>>().await
    }))
    .await;
    assert_eq!(outcome, Err(Failed::With("child")));
    assert_eq!(begun.elapsed(), millis(20));
    assert_eq!(count(&dropped), 1);
}

/// TG-041: parallel children and grandchildren wake the parent as well.
#[tokio::test(start_paused = true)]
async fn a_failed_parallel_child_interrupts_the_body() {
    let begun = Instant::now();
    let group = TaskGroup::new();
    let outcome = bounded(group.run(async {
        group.spawn_parallel(async {
            after(20).await;
            Err::<(), _>(Failed::With("parallel"))
        });
        pending::<Result<(), _>>().await
    }))
    .await;
    assert_eq!(outcome, Err(Failed::With("parallel")));
    assert_eq!(begun.elapsed(), millis(20));
}

#[derive(Debug)]
struct DiskFull;
impl fmt::Display for DiskFull {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("disk full")
    }
}
impl Error for DiskFull {}

/// TG-066
#[tokio::test(start_paused = true)]
async fn an_errors_source_chain_is_intact_after_the_group() {
    let group = TaskGroup::<anyhow::Error>::new();
    let outcome = bounded(group.run(async {
        group.spawn(async {
            Err::<(), _>(
                anyhow::Error::new(DiskFull)
                    .context("cannot save")
                    .context("upload"),
            )
        });
        pending::<anyhow::Result<()>>().await
    }))
    .await;
    let error = outcome.unwrap_err();
    let chain: Vec<_> = error.chain().map(ToString::to_string).collect();
    assert_eq!(chain, ["upload", "cannot save", "disk full"]);
    assert!(error.root_cause().is::<DiskFull>());
}

/// TG-066
#[tokio::test(start_paused = true)]
async fn a_boxed_error_comes_back_as_the_type_it_was() {
    let group = TaskGroup::<Box<dyn Error + Send + Sync>>::new();
    group.spawn(async { Err::<(), _>(Box::from(DiskFull)) });
    let error = bounded(group.join()).await.unwrap_err();
    assert!(error.is::<DiskFull>());
}

/// TG-079
#[tokio::test(start_paused = true)]
async fn the_caller_matches_the_original_error_and_is_not_cancelled_itself() {
    let request = CancelToken::new();
    let scope = CancelScope::new(request.clone(), None);
    let handled = scope
        .run(bounded(async {
            let group = TaskGroup::new();
            let token = group.token();
            let outcome = group
                .run(async {
                    group.spawn(async { Err::<(), _>(Failed::With("quota")) });
                    pending::<Result<(), _>>().await
                })
                .await;
            assert_eq!(token.reason(), Some(CancelReason::SiblingFailed));
            match outcome {
                Err(Failed::With("quota")) => {}
                other => panic!("{other:?}"),
            }
            // The caller goes on, and a second group in the same scope is as good as new.
            after(1).await;
            let next = TaskGroup::<Failed>::new();
            next.run(async { next.spawn(async { Ok(2) }).await }).await
        }))
        .await;
    assert_eq!(handled, Ok(2));
    assert!(!request.is_cancelled());
}

/// TG-081
#[tokio::test(start_paused = true)]
async fn the_original_error_surfaces_whichever_handle_is_awaited_first() {
    for first_fails in [true, false] {
        let group = TaskGroup::new();
        let work = |fails: bool| async move {
            if fails {
                after(10).await;
                Err(Failed::With("original"))
            } else {
                pending().await
            }
        };
        let outcome: Result<(), _> = bounded(group.run(async {
            let one = group.spawn(work(first_fails));
            let two = group.spawn(work(!first_fails));
            one.await?;
            two.await
        }))
        .await;
        assert_eq!(
            outcome,
            Err(Failed::With("original")),
            "first fails: {first_fails}"
        );
    }
}

/// TG-081: without `run` as well.
#[tokio::test(start_paused = true)]
async fn the_original_error_surfaces_without_run_too() {
    for first_fails in [true, false] {
        let group = TaskGroup::new();
        let work = |fails: bool| async move {
            if fails {
                after(10).await;
                Err::<(), _>(Failed::With("original"))
            } else {
                pending().await
            }
        };
        let one = group.spawn(work(first_fails));
        let two = group.spawn(work(!first_fails));
        assert_eq!(
            bounded(one).await,
            Err(Failed::With("original")),
            "first fails: {first_fails}"
        );
        assert_eq!(
            bounded(two).await,
            Err(cancelled(CancelReason::SiblingFailed)),
            "first fails: {first_fails}"
        );
    }
}

/// TG-084
#[tokio::test(start_paused = true)]
async fn swallowing_a_childs_error_in_the_body_does_not_stop_the_failure() {
    let diary = Diary::default();
    let group = TaskGroup::new();
    let outcome = bounded(group.run(async {
        group.spawn(async {
            let _mark = diary.at_drop("sibling");
            pending::<Result<(), _>>().await
        });
        let bad = group.spawn(async { Err::<(), _>(Failed::With("bad")) });
        if bad.await.is_err() {
            diary.note("swallowed");
        }
        after(1).await;
        diary.note("the body went on");
        Ok(1)
    }))
    .await;
    assert_eq!(outcome, Err(Failed::With("bad")));
    assert_eq!(diary.pages(), ["sibling"]);
}

/// TG-084: nor does a body that never looks at the handle and returns Ok in the same instant.
#[tokio::test(start_paused = true)]
async fn a_body_that_is_done_does_not_hide_a_later_failure() {
    let group = TaskGroup::new();
    let outcome = bounded(group.run(async {
        group.spawn(async {
            after(10).await;
            Err::<(), _>(Failed::With("late"))
        });
        Ok(1)
    }))
    .await;
    assert_eq!(outcome, Err(Failed::With("late")));
}

/// The first cause decides; the error of a parallel child that had failed by itself before is kept beside it, without a
/// grace too.
#[test]
fn the_error_of_a_parallel_child_that_had_ended_before_is_suppressed_not_lost() {
    let workers = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let group = TaskGroup::new();
    let ended = Arc::new(AtomicBool::new(false));
    // Not in a task: the child needs the worker for itself.
    let outcome: Result<(), _> = workers.block_on(group.run(async {
        let sets = ended.clone();
        group.spawn_parallel(async move {
            let _sets = OnDrop(move || sets.store(true, Ordering::SeqCst));
            Err::<(), _>(Failed::With("second"))
        });
        // Holds the driver, so that it hears of the body's error first.
        while !ended.load(Ordering::SeqCst) {
            thread::yield_now();
        }
        thread::sleep(millis(100));
        Err(Failed::With("first"))
    }));
    assert_eq!(outcome, Err(Failed::With("first")));
    assert_eq!(group.suppressed(), [Failed::With("second")]);
}

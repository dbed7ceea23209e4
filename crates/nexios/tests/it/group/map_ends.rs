//! How a `map` ends before its items do: failures, panics, the deadline, a closed group, a drop.

use std::{
    future::{pending, ready},
    panic::AssertUnwindSafe,
    pin::pin,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
};

use futures_util::{FutureExt, StreamExt, future::poll_immediate};
use nexios::{CancelReason, Interrupted, OnError, TaskGroup, TaskGroupBuilder};
use tokio::time::Instant;

use super::probes::{
    CountDrop, Diary, Failed, after, bounded, cancelled, count, millis, too_late, value_after,
};

fn group<'env>(
    settings: impl FnOnce(TaskGroupBuilder) -> TaskGroupBuilder,
) -> TaskGroup<'env, Failed> {
    settings(TaskGroup::builder()).build()
}

fn text_of(payload: Box<dyn std::any::Any + Send>) -> &'static str {
    *payload.downcast::<&'static str>().expect("another payload")
}

#[tokio::test(start_paused = true)]
async fn outside_run_the_first_failed_item_fails_the_group_and_comes_out_of_map() {
    let begun = Instant::now();
    let dropped = AtomicUsize::new(0);
    let group = TaskGroup::<Failed>::new();
    let child = group.spawn(pending::<Result<(), Failed>>());
    let results = bounded(group.map([1, 2, 3], |item| {
        let held = CountDrop(&dropped);
        async move {
            let _held = held;
            after(if item == 2 { 10 } else { 500 }).await;
            Err::<(), _>(Failed::With("item"))
        }
    }))
    .await;
    assert_eq!(results, Err(Failed::With("item")));
    assert_eq!(begun.elapsed(), millis(10));
    assert_eq!(count(&dropped), 3);
    assert_eq!(
        bounded(child).await,
        Err(cancelled(CancelReason::SiblingFailed))
    );
    assert_eq!(group.token().reason(), Some(CancelReason::SiblingFailed));
    assert_eq!(group.suppressed(), [], "it came out by value, once");
}

#[tokio::test(start_paused = true)]
async fn inside_run_the_failed_items_error_is_the_runs() {
    let after_the_map = AtomicBool::new(false);
    let dropped = AtomicUsize::new(0);
    let group = TaskGroup::<Failed>::new();
    let held = CountDrop(&dropped);
    let outcome: Result<(), Failed> = bounded(group.run(async {
        group.spawn(async move {
            let _held = held;
            pending::<Result<(), _>>().await
        });
        // Swallowing it does not stop fail-fast.
        let inside = group
            .map([1, 2], |item| async move {
                after(item).await;
                if item == 1 {
                    Err(Failed::With("item"))
                } else {
                    Ok(())
                }
            })
            .await;
        assert_ne!(inside, Ok(vec![(), ()]));
        after(100).await;
        after_the_map.store(true, Ordering::SeqCst);
        Ok(())
    }))
    .await;
    assert_eq!(outcome, Err(Failed::With("item")));
    assert_eq!(count(&dropped), 1);
    assert!(!after_the_map.load(Ordering::SeqCst));
}

#[tokio::test(start_paused = true)]
async fn a_failed_child_ends_the_map_and_its_items() {
    for inside in [true, false] {
        let begun = Instant::now();
        let dropped = AtomicUsize::new(0);
        let group = TaskGroup::<Failed>::new();
        group.spawn(async {
            after(10).await;
            Err::<(), _>(Failed::With("child"))
        });
        let map = group.map(0..3, |_| {
            let held = CountDrop(&dropped);
            async move {
                let _held = held;
                pending::<Result<(), _>>().await
            }
        });
        let outcome = if inside {
            bounded(group.run(map)).await
        } else {
            bounded(map).await
        };
        assert_eq!(outcome, Err(Failed::With("child")));
        assert_eq!(begun.elapsed(), millis(10));
        assert_eq!(count(&dropped), 3);
    }
}

#[tokio::test(start_paused = true)]
async fn a_map_ends_at_the_deadline() {
    for inside in [true, false] {
        let begun = Instant::now();
        let dropped = AtomicUsize::new(0);
        let group = group(|builder| builder.timeout(millis(50)).limit(2));
        let map = group.map(0..10, |_| {
            let held = CountDrop(&dropped);
            async move {
                let _held = held;
                after(20).await;
                Ok(())
            }
        });
        let outcome = if inside {
            bounded(group.run(map)).await
        } else {
            bounded(map).await
        };
        assert_eq!(outcome, Err(too_late()));
        assert_eq!(begun.elapsed(), millis(50));
        assert_eq!(
            count(&dropped),
            6,
            "four finished, two were under way, four never started"
        );
    }
}

/// A stream ends with the group: it says so once.
#[tokio::test(start_paused = true)]
async fn a_stream_of_an_ended_group_says_why_once_and_ends() {
    let group = group(|builder| builder.timeout(millis(15)));
    let mut results = pin!(group.map_unordered([10, 20], value_after));
    assert_eq!(bounded(results.next()).await, Some(Ok(10)));
    assert_eq!(bounded(results.next()).await, Some(Err(too_late())));
    assert_eq!(bounded(results.next()).await, None);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_map_drops_its_items_at_once() {
    let dropped = AtomicUsize::new(0);
    let group = TaskGroup::<Failed>::new();
    let child = group.spawn(value_after(10));
    {
        let map = pin!(group.map(0..5, |_| {
            let held = CountDrop(&dropped);
            async move {
                let _held = held;
                pending::<Result<(), _>>().await
            }
        }));
        assert!(poll_immediate(map).await.is_none());
        assert_eq!(count(&dropped), 0);
    }
    assert_eq!(count(&dropped), 5);
    assert!(
        !group.token().is_cancelled(),
        "dropping a map ends nothing else"
    );
    assert_eq!(bounded(child).await, Ok(10));
}

#[tokio::test(start_paused = true)]
async fn under_continue_a_failed_item_leaves_the_others_alone() {
    let group = group(|builder| builder.on_error(OnError::Continue).limit(1));
    let fails_at_two = |item| async move {
        after(1).await;
        if item == 2 {
            Err(Failed::With("two"))
        } else {
            Ok(item)
        }
    };
    let child = group.spawn(value_after(50));
    let mut results = pin!(group.map_unordered(1..=3, fails_at_two));
    let mut all = Vec::new();
    while let Some(result) = bounded(results.next()).await {
        all.push(result);
    }
    assert_eq!(all, [Ok(1), Err(Failed::With("two")), Ok(3)]);
    // An ordered map has no way to go on without the result of an item.
    assert_eq!(
        bounded(group.map(1..=3, fails_at_two)).await,
        Err(Failed::With("two"))
    );
    assert!(!group.token().is_cancelled());
    assert_eq!(bounded(child).await, Ok(50));
    assert_eq!(bounded(group.join()).await, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn a_closed_group_refuses_without_calling_the_closure() {
    for (way, says) in [
        ("finished", Interrupted::Cancelled(CancelReason::Finished)),
        ("cancelled", Interrupted::Cancelled(CancelReason::Requested)),
    ] {
        let group = TaskGroup::<Failed>::new();
        if way == "finished" {
            bounded(group.join()).await.unwrap();
        } else {
            group.cancel();
        }
        let (made, taken) = (AtomicBool::new(false), AtomicBool::new(false));
        let items = || std::iter::repeat_with(|| taken.store(true, Ordering::SeqCst));
        let make = |()| {
            made.store(true, Ordering::SeqCst);
            ready(Ok(()))
        };
        assert_eq!(
            bounded(group.map(items(), make)).await,
            Err(Failed::Interrupted(says)),
            "{way}"
        );
        let mut results = pin!(group.map_unordered(items(), make));
        assert_eq!(
            bounded(results.next()).await,
            Some(Err(Failed::Interrupted(says))),
            "{way}"
        );
        assert_eq!(bounded(results.next()).await, None, "{way}");
        assert!(
            !made.load(Ordering::SeqCst) && !taken.load(Ordering::SeqCst),
            "{way}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn no_item_is_made_after_the_group_was_cancelled() {
    let made = AtomicUsize::new(0);
    let group = group(|builder| builder.limit(1));
    let outcome = bounded(group.run(async {
        let inside = group
            .map(0..10, |item| {
                made.fetch_add(1, Ordering::SeqCst);
                let group = &group;
                async move {
                    after(1).await;
                    if item == 2 {
                        group.cancel();
                    }
                    Ok(())
                }
            })
            .await;
        assert_eq!(inside, Err(cancelled(CancelReason::Requested)));
        Ok(())
    }))
    .await;
    assert_eq!(outcome, Ok(()));
    assert_eq!(count(&made), 3);
}

/// TG-134: a panic in an item blocks nobody: the others are dropped, the group ends, the panic comes out.
#[tokio::test(start_paused = true)]
async fn an_items_panic_is_a_childs_panic() {
    for inside in [true, false] {
        let diary = Diary::default();
        let group = group(|builder| builder.on_error(OnError::Continue));
        group.spawn(async {
            let _mark = diary.at_drop("child");
            pending::<Result<(), _>>().await
        });
        let map = group.map([10, 500], |wait| {
            let diary = &diary;
            async move {
                let _mark = diary.at_drop("item");
                after(wait).await;
                if wait == 10 {
                    panic!("the item");
                }
                Ok(())
            }
        });
        let payload = if inside {
            bounded(AssertUnwindSafe(group.run(map)).catch_unwind())
                .await
                .unwrap_err()
        } else {
            bounded(AssertUnwindSafe(map).catch_unwind())
                .await
                .unwrap_err()
        };
        assert_eq!(text_of(payload), "the item");
        let mut pages = diary.pages();
        pages.sort_unstable();
        assert_eq!(pages, ["child", "item", "item"], "inside run: {inside}");
        assert_eq!(group.token().reason(), Some(CancelReason::SiblingFailed));
    }
}

/// TG-143: the closure that makes the futures panics, at the start or later: what is under way is dropped first.
#[tokio::test(start_paused = true)]
async fn when_the_closure_panics_the_items_under_way_are_gone_before_it_surfaces() {
    for (at, limit) in [(2, 10), (5, 3)] {
        for inside in [true, false] {
            let dropped = AtomicUsize::new(0);
            let group = group(|builder| builder.limit(limit));
            let child = group.spawn(pending::<Result<(), Failed>>());
            let map = group.map(0..10, |item| {
                assert!(item < at, "the closure");
                let held = CountDrop(&dropped);
                async move {
                    let _held = held;
                    after(10 * item).await;
                    Ok(())
                }
            });
            let payload = if inside {
                bounded(AssertUnwindSafe(group.run(map)).catch_unwind())
                    .await
                    .unwrap_err()
            } else {
                bounded(AssertUnwindSafe(map).catch_unwind())
                    .await
                    .unwrap_err()
            };
            assert_eq!(text_of(payload), "the closure");
            assert_eq!(count(&dropped) as u64, at, "at {at}, inside run: {inside}");
            assert_eq!(group.len(), 0);
            assert_eq!(
                bounded(child).await,
                Err(cancelled(CancelReason::SiblingFailed))
            );
        }
    }
}

/// Also where the map itself is dropped, and where it is ended by a failure.
#[tokio::test(start_paused = true)]
async fn an_item_whose_destructor_panics_leaves_no_other_item_behind() {
    struct Panics;
    impl Drop for Panics {
        fn drop(&mut self) {
            panic!("the destructor");
        }
    }
    // Those that are dropped before it and those that are dropped after it.
    for which in 0..5 {
        for fails in [false, true] {
            let dropped = AtomicUsize::new(0);
            let group = TaskGroup::<Failed>::new();
            let mut map = Box::pin(group.map(0..5, |item| {
                let held = CountDrop(&dropped);
                // Made only where it is wanted: a value that is not taken would be dropped here.
                let bomb = (item == which).then(|| Panics);
                async move {
                    let _held = held;
                    let _bomb = bomb;
                    if fails && item != which {
                        after(10).await;
                        return Err::<(), _>(Failed::With("another"));
                    }
                    pending().await
                }
            }));
            assert!(poll_immediate(&mut map).await.is_none());
            assert_eq!(count(&dropped), 0);
            let payload = if fails {
                bounded(AssertUnwindSafe(&mut map).catch_unwind())
                    .await
                    .unwrap_err()
            } else {
                std::panic::catch_unwind(AssertUnwindSafe(|| drop(map))).unwrap_err()
            };
            assert_eq!(text_of(payload), "the destructor");
            assert_eq!(count(&dropped), 5, "{which}, fails: {fails}");
        }
    }
}

/// TG-143: the same for the iterator the items come from.
#[tokio::test(start_paused = true)]
async fn a_panic_of_the_iterator_is_a_childs_panic_too() {
    let dropped = AtomicUsize::new(0);
    let group = TaskGroup::<Failed>::new();
    let items = (0..5).inspect(|item| assert!(*item < 3, "the iterator"));
    let map = group.map(items, |_| {
        let held = CountDrop(&dropped);
        async move {
            let _held = held;
            pending::<Result<(), _>>().await
        }
    });
    let payload = bounded(AssertUnwindSafe(map).catch_unwind())
        .await
        .unwrap_err();
    assert_eq!(text_of(payload), "the iterator");
    assert_eq!(count(&dropped), 3);
}

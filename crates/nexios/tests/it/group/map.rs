//! `map` and `map_unordered`: many items, few futures.

use std::{
    cell::RefCell,
    future::{pending, ready},
    pin::pin,
    sync::atomic::{AtomicUsize, Ordering},
};

use futures_util::{StreamExt, future::poll_immediate};
use nexios::{CancelReason, TaskGroup, TaskGroupBuilder};
use tokio::time::Instant;

use super::probes::{
    CountDrop, Failed, after, bounded, cancelled, count, millis, settle, soon, too_late,
    value_after,
};

fn group<'env>(
    settings: impl FnOnce(TaskGroupBuilder) -> TaskGroupBuilder,
) -> TaskGroup<'env, Failed> {
    settings(TaskGroup::builder()).build()
}

#[tokio::test(start_paused = true)]
async fn map_gives_results_in_item_order_whatever_finishes_first() {
    let begun = Instant::now();
    let group = TaskGroup::<Failed>::new();
    let items = [30, 10, 20];
    // Items and closure may borrow.
    let results = bounded(group.map(items.iter(), |wait| value_after(*wait))).await;
    assert_eq!(results, Ok(vec![30, 10, 20]));
    assert_eq!(begun.elapsed(), millis(30));
    assert_eq!(
        bounded(group.map([0_u64; 0], value_after)).await,
        Ok(vec![])
    );
}

#[tokio::test(start_paused = true)]
async fn map_unordered_gives_each_result_when_it_is_there() {
    let begun = Instant::now();
    let group = TaskGroup::<Failed>::new();
    let mut results = pin!(group.map_unordered([30, 10, 20], value_after));
    for expected in [10, 20, 30] {
        assert_eq!(bounded(results.next()).await, Some(Ok(expected)));
        assert_eq!(begun.elapsed(), millis(expected));
    }
    assert_eq!(bounded(results.next()).await, None);
    assert_eq!(
        bounded(results.next()).await,
        None,
        "an ended stream stays ended"
    );
}

#[tokio::test(start_paused = true)]
async fn items_are_taken_from_the_iterator_only_when_there_is_room() {
    let taken = AtomicUsize::new(0);
    let group = group(|builder| builder.limit(3));
    let items = std::iter::from_fn(|| Some(taken.fetch_add(1, Ordering::SeqCst) as u64));
    let mut results = pin!(group.map_unordered(items, |item| value_after(10 + item)));
    assert_eq!(count(&taken), 0, "lazy until polled");
    for seen in 1..20 {
        assert!(bounded(results.next()).await.is_some());
        assert!(count(&taken) <= seen + 3);
    }
}

#[tokio::test(start_paused = true)]
async fn items_have_a_limit_of_their_own() {
    let group = group(|builder| builder.limit(1));
    let outcome = bounded(group.run(async {
        // This child has the only place until the items are done.
        let (done, wait) = tokio::sync::oneshot::channel();
        let child = group.spawn(async move { wait.await.map_err(|_| Failed::With("nobody")) });
        let items = group.map([1, 2, 3], |wait| {
            let inside = group.len();
            async move { value_after(wait).await.map(|wait| (wait, inside)) }
        });
        let results = items.await?;
        done.send(()).unwrap();
        child.await?;
        Ok(results)
    }))
    .await;
    assert_eq!(
        outcome,
        Ok(vec![(1, 1), (2, 1), (3, 1)]),
        "and are not counted as children"
    );
}

/// TG-145: who was spawned before the map is not waited for by it.
#[tokio::test(start_paused = true)]
async fn map_drives_the_children_but_does_not_wait_for_them() {
    let begun = Instant::now();
    let group = TaskGroup::<Failed>::new();
    let short = group.spawn(value_after(5));
    let long = group.spawn(value_after(500));
    assert_eq!(bounded(group.map([10], value_after)).await, Ok(vec![10]));
    assert_eq!(begun.elapsed(), millis(10));
    assert!(short.is_finished());
    assert!(!long.is_finished());
    assert_eq!(bounded(long).await, Ok(500));
}

#[tokio::test(start_paused = true)]
async fn an_ok_leaves_the_group_open() {
    let group = TaskGroup::<Failed>::new();
    assert_eq!(
        bounded(group.map([1, 2], value_after)).await,
        Ok(vec![1, 2])
    );
    assert!(!group.token().is_cancelled());
    let task = group.spawn(value_after(3));
    assert_eq!(bounded(group.map([4], value_after)).await, Ok(vec![4]));
    assert_eq!(bounded(task).await, Ok(3));
    assert_eq!(bounded(group.join()).await, Ok(()));
}

/// A child of the same group may map; it is told of the end, whoever drives.
#[tokio::test(start_paused = true)]
async fn a_map_in_a_child_works_and_ends_with_the_group() {
    let dropped = AtomicUsize::new(0);
    // A child cannot borrow its own group, a child of a nested one can borrow the outer.
    let outer = group(|builder| builder.limit(2));
    let inner = TaskGroup::<Failed>::new();
    let child = inner.spawn(outer.map([3, 2, 1], value_after));
    assert_eq!(bounded(child).await, Ok(vec![3, 2, 1]));
    let child = inner.spawn(outer.map(0..2, |_| {
        let held = CountDrop(&dropped);
        async move {
            let _held = held;
            pending::<Result<(), _>>().await
        }
    }));
    let failing = async {
        after(10).await;
        outer.cancel();
        Ok::<_, Failed>(())
    };
    let (child, _) = bounded(async { tokio::join!(child, failing) }).await;
    assert_eq!(child, Err(cancelled(CancelReason::Requested)));
    assert_eq!(count(&dropped), 2);
}

/// Items that are ready at once never let the runtime see that time passes, unless the map itself yields.
#[tokio::test]
async fn items_that_are_always_ready_do_not_hide_the_deadline() {
    let group = group(|builder| builder.timeout(millis(20)).limit(1));
    let made = AtomicUsize::new(0);
    let items = std::iter::repeat_n((), 5_000_000);
    let make = |()| {
        made.fetch_add(1, Ordering::SeqCst);
        ready(Ok(()))
    };
    let outcome = soon(group.map(items, make)).await;
    assert_eq!(outcome, Err(too_late()), "{} items", count(&made));
}

/// T12, PITFALLS 1.5: a million items need the memory of eight.
#[tokio::test]
async fn a_million_short_items_at_limit_eight_are_never_more_than_eight_futures() {
    let (alive, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let group = group(|builder| builder.limit(8));
    let results = soon(group.map(0..1_000_000_u64, |item| {
        let now = alive.fetch_add(1, Ordering::SeqCst) + 1;
        most.fetch_max(now, Ordering::SeqCst);
        let alive = &alive;
        async move {
            if item % 1_000 == 0 {
                tokio::task::yield_now().await;
            }
            alive.fetch_sub(1, Ordering::SeqCst);
            Ok(item)
        }
    }))
    .await
    .unwrap();
    assert!(results.iter().copied().eq(0..1_000_000));
    assert_eq!(count(&most), 8);
}

/// PITFALLS 1.6: all places are used from the first poll on, and children run on while nobody polls the stream.
#[tokio::test(start_paused = true)]
async fn every_place_is_used_at_once_and_children_do_not_wait_for_the_streams_reader() {
    let started = AtomicUsize::new(0);
    let group = group(|builder| builder.limit(10));
    let outcome = bounded(group.run(async {
        let child = group.spawn(value_after(30));
        let mut results = pin!(group.map_unordered(0..100, |item| {
            started.fetch_add(1, Ordering::SeqCst);
            value_after(10 + item)
        }));
        assert!(poll_immediate(results.next()).await.is_none());
        assert_eq!(count(&started), 10);
        after(100).await;
        assert!(
            child.is_finished(),
            "the body holds the stream, the group is driven all the same"
        );
        let mut seen = 0;
        while results.next().await.transpose()?.is_some() {
            seen += 1;
        }
        Ok(seen)
    }))
    .await;
    assert_eq!(outcome, Ok(100));
}

/// Two maps of one group have a limit each, and a failure in one ends the other.
#[tokio::test(start_paused = true)]
async fn two_maps_share_the_fate_but_not_the_limit() {
    let begun = Instant::now();
    let group = group(|builder| builder.limit(1));
    let both = bounded(async {
        tokio::join!(
            group.map([10, 10], value_after),
            group.map([10, 10], value_after)
        )
    })
    .await;
    assert_eq!(both, (Ok(vec![10, 10]), Ok(vec![10, 10])));
    assert_eq!(begun.elapsed(), millis(20));
    let fails = group.map([5], |wait| async move {
        after(wait).await;
        Err::<(), _>(Failed::With("one"))
    });
    let (one, other) = bounded(async { tokio::join!(fails, group.map([500], value_after)) }).await;
    assert_eq!(one, Err(Failed::With("one")));
    assert_eq!(other, Err(cancelled(CancelReason::SiblingFailed)));
    assert_eq!(begun.elapsed(), millis(25));
}

/// A destructor of an item may use the group.
#[tokio::test(start_paused = true)]
async fn items_may_spawn_into_their_group_even_while_they_are_dropped() {
    let refused = RefCell::new(Vec::new());
    let group = TaskGroup::<Failed>::new();
    {
        let (spawner, spawned) = (group.spawner(), AtomicUsize::new(0));
        let map = group.map(0..2, |_| {
            let spawner = spawner.clone();
            spawned.fetch_add(1, Ordering::SeqCst);
            async move {
                let _at_end = super::probes::OnDrop(move || drop(spawner.spawn(async { Ok(()) })));
                pending::<Result<(), Failed>>().await
            }
        });
        assert!(poll_immediate(pin!(map)).await.is_none());
        refused.borrow_mut().push(count(&spawned));
    }
    settle().await;
    assert_eq!(*refused.borrow(), [2]);
    assert_eq!(group.len(), 2, "the group was open, so both were taken");
    assert_eq!(bounded(group.join()).await, Ok(()));
}

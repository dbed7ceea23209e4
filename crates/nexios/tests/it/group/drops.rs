//! Dropping `run` or the group: what is gone when `drop` returns, on whatever thread, whatever destructors do.

use std::{
    future::pending,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::FutureExt;
use nexios::{CancelReason, TaskGroup};

use super::logs::Log;
use super::probes::{
    Failed, Gauge, OnDrop, Order, after, cancelled, fails, group, millis, never, poll_once,
    text_of, value,
};

/// T8: body first, then children in spawn order, all before `drop` returns.
#[tokio::test(start_paused = true)]
async fn the_body_goes_first_then_children_in_spawn_order() {
    let order = Order::default();
    let group = group();
    {
        let mut run = pin!(group.run(async {
            let _body = order.on_drop("body");
            for child in ["one", "two", "three"] {
                let on_drop = order.on_drop(child);
                group.spawn(async move {
                    let _on_drop = on_drop;
                    never::<()>().await
                });
            }
            never::<()>().await
        }));
        assert!(poll_once(run.as_mut()).is_pending());
        assert_eq!(group.len(), 3);
    }
    assert_eq!(order.seen(), ["body", "one", "two", "three"]);
    assert_eq!(group.len(), 0);
}

/// Slots that were used again do not change the order.
#[tokio::test(start_paused = true)]
async fn spawn_order_holds_when_earlier_children_have_ended() {
    let order = Order::default();
    let group = group();
    let quick: Vec<_> = (0..3).map(|_| group.spawn(value(0, ()))).collect();
    let first = order.on_drop("first");
    group.spawn(async move {
        let _first = first;
        never::<()>().await
    });
    for task in quick {
        task.await.unwrap();
    }
    for name in ["second", "third", "fourth", "fifth"] {
        let on_drop = order.on_drop(name);
        group.spawn(async move {
            let _on_drop = on_drop;
            never::<()>().await
        });
    }
    drop(group);
    assert_eq!(
        order.seen(),
        ["first", "second", "third", "fourth", "fifth"]
    );
}

/// Those that wait for a place under the limit are dropped as well, unpolled.
#[tokio::test(start_paused = true)]
async fn children_that_never_started_are_dropped_too() {
    let gauge = Gauge::default();
    let group = TaskGroup::builder().limit(2).build();
    for _ in 0..10 {
        group.spawn(gauge.hold(never::<()>()));
    }
    {
        let mut run = pin!(group.join());
        assert!(poll_once(run.as_mut()).is_pending());
        assert_eq!(gauge.live(), 10);
    }
    assert_eq!(gauge.live(), 0);
}

/// A `run` that was never polled changes nothing when it is dropped.
#[tokio::test(start_paused = true)]
async fn an_unpolled_run_changes_nothing() {
    let group = group();
    let task = group.spawn(value(5, 1));
    drop(group.run(async { Ok(()) }));
    drop(group.join());
    assert_eq!(group.len(), 1);
    assert_eq!(group.token().reason(), None);
    assert_eq!(group.run(task).await, Ok(1));
}

/// Handles of a dropped group resolve, from any task.
#[tokio::test(start_paused = true)]
async fn handles_outlive_their_group_and_say_that_the_owner_was_dropped() {
    let group = group();
    let done = group.spawn(value(0, 1));
    let also = group.spawn(value(1, 2));
    assert_eq!(also.await, Ok(2));
    let cut = group.spawn(never::<()>());
    let token = group.token();
    drop(group);
    assert!(done.is_finished() && cut.is_finished());
    assert_eq!(done.await, Ok(1));
    assert_eq!(
        tokio::spawn(cut).await.unwrap(),
        Err(cancelled(CancelReason::OwnerDropped))
    );
    assert_eq!(token.reason(), Some(CancelReason::OwnerDropped));
}

/// Grace is for cancellation; a drop cannot wait.
#[tokio::test(start_paused = true)]
async fn a_drop_gives_no_grace() {
    let gauge = Gauge::default();
    let group = TaskGroup::builder()
        .grace(Duration::from_secs(3600))
        .build();
    let token = group.token();
    let held = gauge.clone();
    group.spawn(async move {
        let _inside = held.enter();
        token.cancelled().await;
        after(10).await;
        Ok::<_, Failed>(())
    });
    assert!(tokio::time::timeout(millis(1), group.join()).await.is_err());
    assert_eq!((gauge.live(), gauge.entered()), (0, 1));
}

/// Dropped in the middle of the grace, the rest goes at once.
#[tokio::test(start_paused = true)]
async fn a_drop_in_the_grace_cuts_it_short() {
    let gauge = Gauge::default();
    let group = TaskGroup::builder()
        .grace(Duration::from_secs(3600))
        .build();
    group.spawn(gauge.hold(never::<()>()));
    group.spawn(fails(5, "begins the grace"));
    assert!(
        tokio::time::timeout(millis(50), group.join())
            .await
            .is_err()
    );
    assert_eq!(gauge.live(), 0);
    assert_eq!(
        group.token().reason(),
        Some(CancelReason::SiblingFailed),
        "the first cause stays"
    );
}

/// A destructor that panics does not stop the others; the panic resumes from `drop`.
#[test]
fn a_panicking_destructor_does_not_stop_the_others() {
    let gauge = Gauge::default();
    let group = group();
    let held = gauge.clone();
    for child in 0..5 {
        let held = held.clone();
        group.spawn(async move {
            let _inside = held.enter();
            let _panics = OnDrop(move || {
                if child % 2 == 1 {
                    panic!("destructor {child}");
                }
            });
            never::<()>().await
        });
    }
    let last = group.spawn(never::<()>());
    assert!(poll_once(pin!(last).as_mut()).is_pending());
    assert_eq!(gauge.live(), 5);
    let payload = catch_unwind(AssertUnwindSafe(|| drop(group))).unwrap_err();
    assert_eq!(text_of(&*payload), "destructor 1");
    assert_eq!(gauge.live(), 0);
}

/// While the thread unwinds already, it is logged instead of aborting the process.
#[test]
fn a_destructors_panic_is_logged_while_unwinding() {
    let (log, _guard) = Log::record();
    let gauge = Gauge::default();
    let payload = catch_unwind(AssertUnwindSafe(|| {
        let group = group();
        let panicking = group.spawn_named("bad destructor", async {
            let _panics = OnDrop(|| panic!("second panic"));
            never::<()>().await
        });
        group.spawn(gauge.hold(never::<()>()));
        assert!(poll_once(pin!(panicking).as_mut()).is_pending());
        panic!("first panic");
    }))
    .unwrap_err();
    assert_eq!(text_of(&*payload), "first panic");
    assert_eq!(gauge.live(), 0);
    assert!(log.with(&["second panic"]) >= 1, "{:?}", log.lines());
    assert!(log.with(&["bad destructor"]) >= 1, "{:?}", log.lines());
}

/// T10: a destructor that spawns is refused; its future is dropped before `spawn` returns.
#[tokio::test(start_paused = true)]
async fn a_destructor_that_spawns_is_refused() {
    let gauge = Gauge::default();
    let refusals = Arc::new(AtomicUsize::new(0));
    let group = group();
    let spawner = group.spawner();
    let (held, counted) = (gauge.clone(), refusals.clone());
    let child = group.spawn(async move {
        let _spawns = OnDrop(move || {
            let task = spawner.spawn(held.hold(async { Ok(()) }));
            assert_eq!(held.live(), 0, "dropped before spawn returned");
            let refused = task.now_or_never();
            assert!(
                matches!(refused, Some(Err(Failed::Interrupted(_)))),
                "{refused:?}"
            );
            counted.fetch_add(1, Ordering::SeqCst);
        });
        never::<()>().await
    });
    assert!(poll_once(pin!(child).as_mut()).is_pending());
    drop(group);
    assert_eq!(refusals.load(Ordering::SeqCst), 1);
    assert_eq!((gauge.entered(), gauge.live()), (1, 0));
}

/// Destructors that cancel the group, ask it, or drop handles of siblings find it usable.
#[tokio::test(start_paused = true)]
async fn destructors_may_use_the_group() {
    let ran = AtomicUsize::new(0);
    let gauge = Gauge::default();
    let group = Arc::new(TaskGroup::<'_, Failed>::new());
    let sibling = group.spawn(gauge.hold(never::<()>()));
    let weak = Arc::downgrade(&group);
    let ran_ref = &ran;
    let child = group.spawn(async move {
        let _uses = OnDrop(|| {
            ran_ref.fetch_add(1, Ordering::SeqCst);
            sibling.cancel();
            assert!(sibling.is_finished());
            if let Some(group) = weak.upgrade() {
                group.cancel();
                assert!(group.len() <= 2);
                assert!(!format!("{group:?}").is_empty());
                assert!(group.token().is_cancelled());
            }
        });
        never::<()>().await
    });
    let outcome = group
        .run(async {
            group.spawn(fails(5, "ends it"));
            child.await
        })
        .await;
    assert_eq!(outcome, Err(Failed::With("ends it")));
    assert_eq!(ran.load(Ordering::SeqCst), 1);
    assert_eq!(gauge.live(), 0);
}

/// Dropped from inside a child's own poll: that child goes as its poll returns, the others at once.
#[tokio::test(start_paused = true)]
async fn a_child_may_drop_the_last_owner_of_its_group() {
    let gauge = Gauge::default();
    let group = Arc::new(TaskGroup::<'static, Failed>::new());
    group.spawn(gauge.hold(never::<()>()));
    let (owner, held) = (Arc::new(std::sync::Mutex::new(None)), gauge.clone());
    let owned = owner.clone();
    let child = group.spawn(async move {
        let _inside = held.enter();
        after(1).await;
        drop(owned.lock().unwrap().take());
        assert_eq!(held.live(), 1, "only this child is left");
        never::<()>().await
    });
    *owner.lock().unwrap() = Some(group);
    let outcome = super::probes::within(1000, child).await;
    assert_eq!(outcome, Err(cancelled(CancelReason::OwnerDropped)));
    assert_eq!(gauge.live(), 0);
}

/// Pitfall 1.3: a `run` that is forgotten instead of dropped leaves nothing dangling; the group's drop still ends
/// the children.
#[tokio::test(start_paused = true)]
async fn a_forgotten_run_does_not_keep_children_past_the_group() {
    let gauge = Gauge::default();
    let group = group();
    group.spawn(gauge.hold(never::<()>()));
    {
        let mut run = Box::pin(group.join());
        assert!(poll_once(run.as_mut()).is_pending());
        std::mem::forget(run);
    }
    assert_eq!(gauge.live(), 1);
    drop(group);
    assert_eq!(gauge.live(), 0);
}

/// Pitfall 1.9, T4: an abandoned caller stops everything, and nothing writes afterwards.
#[tokio::test(start_paused = true)]
async fn aborting_the_task_that_awaits_the_group_stops_all_children() {
    let writes = Arc::new(AtomicUsize::new(0));
    let gauge = Gauge::default();
    let (count, held) = (writes.clone(), gauge.clone());
    let caller = tokio::spawn(async move {
        let group = group();
        for _ in 0..8 {
            let count = count.clone();
            group.spawn(held.hold(async move {
                after(20).await;
                count.fetch_add(1, Ordering::SeqCst);
                pending::<Result<(), Failed>>().await
            }));
        }
        group.join().await
    });
    after(10).await;
    assert_eq!(gauge.live(), 8);
    caller.abort();
    assert!(caller.await.unwrap_err().is_cancelled());
    assert_eq!(gauge.live(), 0);
    after(100).await;
    assert_eq!(writes.load(Ordering::SeqCst), 0);
}

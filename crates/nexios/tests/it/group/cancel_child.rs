//! Stopping one child of a group, which is no failure of the group.

use std::{
    future::pending,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use nexios::{CancelReason, Task, TaskGroup};

use super::probes::{CountDrop, Failed, OnDrop, after, bounded, cancelled, count};

/// TG-003
#[tokio::test(start_paused = true)]
async fn cancelling_one_child_is_no_failure_of_the_group() {
    let dropped = AtomicUsize::new(0);
    let group = TaskGroup::<Failed>::new();
    let outcome = bounded(group.run(async {
        let one = group.spawn(async {
            let _count = CountDrop(&dropped);
            pending::<Result<(), _>>().await
        });
        let two = group.spawn(async {
            after(20).await;
            Ok(2)
        });
        after(1).await;
        one.cancel();
        assert_eq!(count(&dropped), 1, "dropped before cancel returns");
        assert!(one.is_finished());
        assert!(!group.token().is_cancelled());
        assert_eq!(one.await, Err(cancelled(CancelReason::Requested)));
        two.await
    }))
    .await;
    assert_eq!(outcome, Ok(2));
    assert_eq!(group.suppressed(), []);
    assert_eq!(group.token().reason(), Some(CancelReason::Finished));
}

/// TG-003: an unawaited handle changes nothing.
#[tokio::test(start_paused = true)]
async fn a_group_whose_only_children_were_cancelled_is_ok() {
    let group = TaskGroup::<Failed>::new();
    for _ in 0..3 {
        group.spawn(pending::<Result<(), _>>()).cancel();
    }
    group
        .spawn_parallel(pending::<Result<(), Failed>>())
        .cancel();
    assert_eq!(bounded(group.join()).await, Ok(()));
}

/// TG-003: a child that cancels itself is dropped as its poll returns.
#[tokio::test(start_paused = true)]
async fn a_child_may_cancel_itself() {
    let dropped = Arc::new(AtomicUsize::new(0));
    let own = Arc::new(Mutex::new(None::<Task<'static, (), Failed>>));
    let group = TaskGroup::<Failed>::new();
    let task = group.spawn({
        let (dropped, own) = (dropped.clone(), own.clone());
        async move {
            let _count = CountDrop(&dropped);
            own.lock().unwrap().as_ref().unwrap().cancel();
            assert_eq!(count(&dropped), 0);
            pending::<Result<(), _>>().await
        }
    });
    *own.lock().unwrap() = Some(task);
    assert_eq!(bounded(group.join()).await, Ok(()));
    assert_eq!(count(&dropped), 1);
    let task = own.lock().unwrap().take().unwrap();
    assert_eq!(bounded(task).await, Err(cancelled(CancelReason::Requested)));
}

/// TG-003: one that cancels itself and finishes in the same poll keeps its result or is cancelled, never both.
#[tokio::test(start_paused = true)]
async fn a_child_that_cancels_itself_and_finishes_has_ended() {
    let own = Arc::new(Mutex::new(None::<Task<'static, i32, Failed>>));
    let group = TaskGroup::<Failed>::new();
    let task = group.spawn({
        let own = own.clone();
        async move {
            own.lock().unwrap().as_ref().unwrap().cancel();
            Ok(1)
        }
    });
    *own.lock().unwrap() = Some(task);
    assert_eq!(bounded(group.join()).await, Ok(()));
    let task = own.lock().unwrap().take().unwrap();
    let outcome = bounded(task).await;
    assert!(
        outcome == Ok(1) || outcome == Err(cancelled(CancelReason::Requested)),
        "{outcome:?}"
    );
    assert!(group.is_empty());
}

/// TG-003: a child waiting for a place gives it up without having been polled.
#[tokio::test(start_paused = true)]
async fn cancelling_a_waiting_child_lets_the_next_one_in() {
    let polled = AtomicBool::new(false);
    let group = TaskGroup::builder().limit(1).build();
    let outcome: Result<i32, Failed> = bounded(group.run(async {
        let first = group.spawn(async {
            after(10).await;
            Ok(1)
        });
        let second = group.spawn(async {
            polled.store(true, Ordering::SeqCst);
            Ok(10)
        });
        let third = group.spawn(async { Ok(100) });
        second.cancel();
        assert_eq!(second.await, Err(cancelled(CancelReason::Requested)));
        assert_eq!(group.len(), 2);
        Ok(first.await? + third.await?)
    }))
    .await;
    assert_eq!(outcome, Ok(101));
    assert!(!polled.load(Ordering::SeqCst));
}

/// TG-003: the place of a cancelled running child goes to the next one.
#[tokio::test(start_paused = true)]
async fn cancelling_a_running_child_frees_its_place() {
    let group = TaskGroup::builder().limit(1).build();
    let outcome: Result<i32, Failed> = bounded(group.run(async {
        let stuck = group.spawn(pending::<Result<(), _>>());
        let next = group.spawn(async { Ok(5) });
        after(1).await;
        stuck.cancel();
        next.await
    }))
    .await;
    assert_eq!(outcome, Ok(5));
}

/// TG-003: destructors may use the group again.
#[tokio::test(start_paused = true)]
async fn a_cancelled_childs_destructor_may_spawn_and_cancel() {
    let group = TaskGroup::<Failed>::new();
    let ran = Arc::new(AtomicUsize::new(0));
    let outcome = bounded(group.run(async {
        let victim = Arc::new(group.spawn(pending::<Result<(), _>>()));
        let spawner = group.spawner();
        let late = OnDrop({
            let (ran, victim) = (ran.clone(), victim.clone());
            move || {
                let ran = ran.clone();
                drop(spawner.spawn(async move {
                    ran.fetch_add(1, Ordering::SeqCst);
                    Ok(())
                }));
                victim.cancel();
            }
        });
        let task = group.spawn(async move {
            let _late = late;
            pending::<Result<(), _>>().await
        });
        after(1).await;
        task.cancel();
        assert!(victim.is_finished());
        Ok(())
    }))
    .await;
    assert_eq!(outcome, Ok(()));
    assert_eq!(
        count(&ran),
        1,
        "the group is still open, so what the destructor spawned runs"
    );
}

/// TG-076
#[tokio::test(start_paused = true)]
async fn cancelling_a_finished_child_keeps_its_result() {
    let group = TaskGroup::<Failed>::new();
    let outcome = bounded(group.run(async {
        let done = group.spawn(async { Ok(1) });
        let going = group.spawn(async {
            after(10).await;
            Ok(2)
        });
        after(5).await;
        assert!(done.is_finished());
        done.cancel();
        done.cancel();
        Ok(done.await? + going.await?)
    }))
    .await;
    assert_eq!(outcome, Ok(3));
}

//! The owner goes away: everything it owned is gone before anybody can tell.

use std::{
    future::{pending, poll_fn},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Poll, Waker},
};

use nexios::{CancelReason, CancelScope, CancelToken, TaskGroup};
use tokio::sync::oneshot;

use super::probes::{CountDrop, Diary, Failed, after, bounded, cancelled, count, settle, soon};

/// TG-006
#[tokio::test(start_paused = true)]
async fn aborting_the_owner_while_it_joins_drops_every_child_once() {
    let dropped = Arc::new(AtomicUsize::new(0));
    let (send_token, token) = oneshot::channel();
    let owner = tokio::spawn({
        let dropped = dropped.clone();
        async move {
            let group = TaskGroup::<Failed>::new();
            for _ in 0..5 {
                group.spawn(async {
                    let _count = CountDrop(&dropped);
                    pending::<Result<(), _>>().await
                });
            }
            send_token.send(group.token()).unwrap();
            group.join().await
        }
    });
    let token = bounded(token).await.unwrap();
    settle().await;
    assert_eq!(count(&dropped), 0);
    owner.abort();
    assert!(bounded(owner).await.unwrap_err().is_cancelled());
    assert_eq!(count(&dropped), 5);
    assert_eq!(token.reason(), Some(CancelReason::OwnerDropped));
}

/// TG-006: the reason is the outer one, for `join` and for every handle.
#[tokio::test(start_paused = true)]
async fn a_cancelled_scope_ends_the_children_with_its_own_reason() {
    let dropped = AtomicUsize::new(0);
    let request = CancelToken::new();
    let scope = CancelScope::new(request.clone(), None);
    scope
        .run(bounded(async {
            let group = TaskGroup::<Failed>::new();
            let tasks: Vec<_> = (0..5)
                .map(|_| {
                    group.spawn(async {
                        let _count = CountDrop(&dropped);
                        pending::<Result<(), _>>().await
                    })
                })
                .collect();
            let disconnect = async {
                after(10).await;
                request.cancel(CancelReason::ClientDisconnected);
            };
            let (outcome, ()) = tokio::join!(group.join(), disconnect);
            assert_eq!(outcome, Err(cancelled(CancelReason::ClientDisconnected)));
            assert_eq!(count(&dropped), 5);
            for task in tasks {
                assert_eq!(task.await, Err(cancelled(CancelReason::ClientDisconnected)));
            }
            assert_eq!(
                group.token().reason(),
                Some(CancelReason::ClientDisconnected)
            );
        }))
        .await;
}

/// TG-007: the body goes first, then the children in spawn order, each once.
#[tokio::test(start_paused = true)]
async fn aborting_the_owner_drops_the_body_and_then_the_children_in_spawn_order() {
    let diary = Arc::new(Diary::default());
    let owner = tokio::spawn({
        let diary = diary.clone();
        async move {
            let group = TaskGroup::<Failed>::new();
            for name in ["child 1", "child 2", "child 3", "child 4", "child 5"] {
                let mark = diary.at_drop(name);
                group.spawn(async move {
                    let _mark = mark;
                    pending::<Result<(), _>>().await
                });
            }
            group
                .run(async {
                    let _mark = diary.at_drop("body");
                    pending::<Result<(), Failed>>().await
                })
                .await
        }
    });
    settle().await;
    owner.abort();
    assert!(bounded(owner).await.unwrap_err().is_cancelled());
    assert_eq!(
        diary.pages(),
        [
            "body", "child 1", "child 2", "child 3", "child 4", "child 5"
        ]
    );
}

/// TG-007
#[tokio::test(start_paused = true)]
async fn a_slot_used_again_does_not_change_the_order_of_drop() {
    let diary = Diary::default();
    let group = TaskGroup::<Failed>::new();
    let early = group.spawn(async { Ok(()) });
    group.spawn(async {
        let _mark = diary.at_drop("second");
        pending::<Result<(), _>>().await
    });
    bounded(early).await.unwrap();
    group.spawn(async {
        let _mark = diary.at_drop("third");
        pending::<Result<(), _>>().await
    });
    assert!(
        tokio::time::timeout(super::probes::millis(1), group.join())
            .await
            .is_err()
    );
    assert_eq!(diary.pages(), ["second", "third"]);
}

/// TG-015
#[tokio::test(start_paused = true)]
async fn the_body_of_an_empty_group_is_cleaned_up_once_when_aborted() {
    let dropped = AtomicUsize::new(0);
    let group = TaskGroup::<Failed>::new();
    let token = group.token();
    let run = group.run(async {
        let _count = CountDrop(&dropped);
        pending::<Result<(), _>>().await
    });
    assert!(
        tokio::time::timeout(super::probes::millis(5), run)
            .await
            .is_err()
    );
    assert_eq!(count(&dropped), 1);
    assert_eq!(token.reason(), Some(CancelReason::OwnerDropped));
    drop(group);
    assert_eq!(count(&dropped), 1);
}

/// TG-015
#[tokio::test(start_paused = true)]
async fn the_body_of_an_empty_group_is_cut_when_its_scope_is_cancelled() {
    let dropped = AtomicUsize::new(0);
    let request = CancelToken::new();
    let outcome = CancelScope::new(request.clone(), None)
        .run(bounded(async {
            let group = TaskGroup::<Failed>::new();
            let run = group.run(async {
                let _count = CountDrop(&dropped);
                pending::<Result<(), _>>().await
            });
            let shutdown = async {
                after(10).await;
                request.cancel(CancelReason::Shutdown);
            };
            tokio::join!(run, shutdown).0
        }))
        .await;
    assert_eq!(outcome, Err(cancelled(CancelReason::Shutdown)));
    assert_eq!(count(&dropped), 1);
}

/// TG-019
#[tokio::test(start_paused = true)]
async fn nothing_happens_in_a_child_after_its_group_was_aborted() {
    let steps = Arc::new(AtomicUsize::new(0));
    let owner = tokio::spawn({
        let steps = steps.clone();
        async move {
            let group = TaskGroup::<Failed>::new();
            for _ in 0..3 {
                let steps = steps.clone();
                group.spawn(async move {
                    loop {
                        after(20).await;
                        steps.fetch_add(1, Ordering::SeqCst);
                        if false {
                            return Ok(());
                        }
                    }
                });
            }
            let steps = steps.clone();
            group.spawn_parallel(async move {
                loop {
                    after(20).await;
                    steps.fetch_add(1, Ordering::SeqCst);
                    if false {
                        return Ok(());
                    }
                }
            });
            group.join().await
        }
    });
    after(50).await;
    assert_eq!(count(&steps), 8);
    owner.abort();
    assert!(bounded(owner).await.unwrap_err().is_cancelled());
    after(1_000).await;
    assert_eq!(count(&steps), 8);
    assert_eq!(Arc::strong_count(&steps), 1);
}

/// TG-019: whoever kept a child's waker may call it when the group is long gone.
#[tokio::test(start_paused = true)]
async fn a_waker_called_after_the_group_is_gone_does_nothing() {
    let kept = Mutex::new(Vec::<Waker>::new());
    let polls = AtomicUsize::new(0);
    {
        let group = TaskGroup::<Failed>::new();
        group.spawn(poll_fn(|cx| {
            polls.fetch_add(1, Ordering::SeqCst);
            kept.lock().unwrap().push(cx.waker().clone());
            Poll::<Result<(), _>>::Pending
        }));
        assert!(
            tokio::time::timeout(super::probes::millis(1), group.join())
                .await
                .is_err()
        );
        for waker in kept.lock().unwrap().iter() {
            waker.wake_by_ref();
        }
        settle().await;
    }
    let seen = count(&polls);
    let wakers = std::mem::take(&mut *kept.lock().unwrap());
    // A new group may use what the old one left behind; the old wakers must not reach it.
    let polls_of_new = AtomicUsize::new(0);
    let group = TaskGroup::<Failed>::new();
    group.spawn(poll_fn(|_| {
        polls_of_new.fetch_add(1, Ordering::SeqCst);
        Poll::<Result<(), _>>::Pending
    }));
    let wake = async {
        after(1).await;
        for waker in wakers {
            waker.wake_by_ref();
            waker.wake();
        }
    };
    let run = tokio::time::timeout(super::probes::millis(10), group.join());
    let (outcome, ()) = tokio::join!(run, wake);
    assert!(outcome.is_err());
    assert_eq!(count(&polls), seen);
    assert_eq!(count(&polls_of_new), 1);
}

/// TG-063
#[tokio::test(start_paused = true)]
async fn destructors_have_run_before_the_scope_returns() {
    let dropped = AtomicUsize::new(0);
    let group = TaskGroup::<Failed>::new();
    for _ in 0..3 {
        let held = CountDrop(&dropped);
        group.spawn(async move {
            let _held = held;
            pending::<Result<(), _>>().await
        });
    }
    let run = group.run(async {
        after(1).await;
        group.cancel();
        assert_eq!(count(&dropped), 3);
        Ok(())
    });
    bounded(run).await.unwrap();
}

/// TG-063: many times, aborted from another thread at any moment.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_abort_at_any_moment_leaves_no_child_behind() {
    let alive = Arc::new(AtomicUsize::new(0));
    struct Alive(Arc<AtomicUsize>);
    impl Alive {
        fn new(counter: &Arc<AtomicUsize>) -> Self {
            counter.fetch_add(1, Ordering::SeqCst);
            Self(counter.clone())
        }
    }
    impl Drop for Alive {
        fn drop(&mut self) {
            self.0.fetch_sub(1, Ordering::SeqCst);
        }
    }
    soon(async {
        for round in 0..1_000 {
            let owner = tokio::spawn({
                let alive = alive.clone();
                async move {
                    let group = TaskGroup::<Failed>::new();
                    for _ in 0..3 {
                        let held = Alive::new(&alive);
                        group.spawn(async move {
                            let _held = held;
                            loop {
                                tokio::task::yield_now().await;
                                if false {
                                    return Ok(());
                                }
                            }
                        });
                    }
                    let held = Alive::new(&alive);
                    group.spawn(async move {
                        let _held = held;
                        pending::<Result<(), _>>().await
                    });
                    group.join().await
                }
            });
            for _ in 0..round % 7 {
                tokio::task::yield_now().await;
            }
            owner.abort();
            assert!(owner.await.unwrap_err().is_cancelled());
            assert_eq!(count(&alive), 0, "round {round}");
        }
    })
    .await;
}

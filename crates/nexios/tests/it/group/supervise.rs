//! `OnError::Continue`: children fail alone.

use std::{future::pending, sync::atomic::AtomicUsize};

use nexios::{CancelReason, CancelScope, CancelToken, OnError, TaskGroup};

use super::probes::{CountDrop, Failed, after, bounded, cancelled, count, millis};

/// TG-086
#[tokio::test(start_paused = true)]
async fn a_failed_body_cancels_the_children_under_continue_too() {
    let dropped = AtomicUsize::new(0);
    let group = TaskGroup::builder().on_error(OnError::Continue).build();
    let outcome = bounded(group.run(async {
        for _ in 0..2 {
            group.spawn(async {
                let _count = CountDrop(&dropped);
                pending::<Result<(), _>>().await
            });
        }
        after(10).await;
        Err::<(), _>(Failed::With("body"))
    }))
    .await;
    assert_eq!(outcome, Err(Failed::With("body")));
    assert_eq!(count(&dropped), 2);
}

/// TG-086: an earlier child's error does not become the group's.
#[tokio::test(start_paused = true)]
async fn under_continue_the_bodys_error_is_returned_though_a_child_failed_first() {
    let group = TaskGroup::builder().on_error(OnError::Continue).build();
    let bad = group.spawn(async { Err::<(), _>(Failed::With("child")) });
    let outcome = bounded(group.run(async {
        after(10).await;
        Err::<(), _>(Failed::With("body"))
    }))
    .await;
    assert_eq!(outcome, Err(Failed::With("body")));
    assert_eq!(bad.await, Err(Failed::With("child")));
}

/// TG-087: the child's error is not lost: its handle has it, or the suppressed errors do, never both.
#[tokio::test(start_paused = true)]
async fn a_childs_failed_cleanup_does_not_replace_the_bodys_error() {
    let group = TaskGroup::builder()
        .on_error(OnError::Continue)
        .grace(millis(50))
        .build();
    let token = group.token();
    let child = group.spawn(async move {
        token.cancelled().await;
        after(10).await;
        Err::<(), _>(Failed::With("cleanup"))
    });
    let outcome = bounded(group.run(async {
        after(10).await;
        Err::<(), _>(Failed::With("body"))
    }))
    .await;
    assert_eq!(outcome, Err(Failed::With("body")));
    let mut found = group.suppressed();
    found.extend(
        bounded(child)
            .await
            .err()
            .filter(|error| matches!(error, Failed::With(_))),
    );
    assert_eq!(found, [Failed::With("cleanup")]);
}

/// TG-088
#[tokio::test(start_paused = true)]
async fn cancelling_from_outside_ends_a_supervising_group() {
    let dropped = AtomicUsize::new(0);
    let request = CancelToken::new();
    CancelScope::new(request.clone(), None)
        .run(bounded(async {
            let group = TaskGroup::builder().on_error(OnError::Continue).build();
            let tasks: Vec<_> = (0..3)
                .map(|_| {
                    group.spawn(async {
                        let _count = CountDrop(&dropped);
                        pending::<Result<(), Failed>>().await
                    })
                })
                .collect();
            let outer = async {
                after(10).await;
                request.cancel(CancelReason::ClientDisconnected);
            };
            let (outcome, ()) = tokio::join!(group.join(), outer);
            assert_eq!(outcome, Err(cancelled(CancelReason::ClientDisconnected)));
            assert_eq!(count(&dropped), 3);
            for task in tasks {
                assert_eq!(task.await, Err(cancelled(CancelReason::ClientDisconnected)));
            }
        }))
        .await;
}

/// TG-088
#[tokio::test(start_paused = true)]
async fn cancelling_a_group_does_not_cancel_its_parent() {
    for on_error in [OnError::Continue, OnError::Cancel] {
        let request = CancelToken::new();
        CancelScope::new(request.clone(), None)
            .run(bounded(async {
                let group = TaskGroup::<Failed>::builder_in(on_error);
                let sibling_group = TaskGroup::<Failed>::builder_in(on_error);
                let task = group.spawn(pending::<Result<(), Failed>>());
                let neighbour = sibling_group.spawn(async {
                    after(10).await;
                    Ok(1)
                });
                group.cancel();
                group.token().cancel(CancelReason::Shutdown);
                assert_eq!(task.await, Err(cancelled(CancelReason::Requested)));
                assert_eq!(group.join().await, Ok(()));
                assert!(!request.is_cancelled());
                assert_eq!(neighbour.await, Ok(1));
            }))
            .await;
    }
}

trait BuilderIn {
    fn builder_in(on_error: OnError) -> Self;
}

impl BuilderIn for TaskGroup<'_, Failed> {
    fn builder_in(on_error: OnError) -> Self {
        TaskGroup::builder().on_error(on_error).build()
    }
}

//! Groups and scopes inside one another.

use std::{
    future::{Future, pending},
    pin::Pin,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
};

use nexios::{CancelReason, CancelScope, CancelToken, TaskGroup};
use tokio::time::Instant;

use super::probes::{
    CountDrop, Diary, Failed, after, bounded, cancelled, count, millis, settle, too_late, watched,
};

/// TG-012
#[tokio::test(start_paused = true)]
async fn an_outer_failure_ends_the_inner_group_and_arrives_as_it_was() {
    let diary = Diary::default();
    let outer = TaskGroup::new();
    let outcome: Result<(), _> = bounded(outer.run(async {
        outer.spawn(async {
            after(10).await;
            Err::<(), _>(Failed::With("outer"))
        });
        let inner = TaskGroup::<Failed>::new();
        let outcome = inner
            .run(async {
                inner.spawn(async {
                    let _mark = diary.at_drop("inner child");
                    pending::<Result<(), _>>().await
                });
                let _mark = diary.at_drop("inner body");
                pending::<Result<(), _>>().await
            })
            .await;
        diary.note("the outer body went on");
        outcome
    }))
    .await;
    assert_eq!(outcome, Err(Failed::With("outer")));
    assert_eq!(diary.pages(), ["inner body", "inner child"]);
    assert_eq!(outer.suppressed(), []);
}

/// TG-012: an inner failure that the outer body handles is not the outer group's.
#[tokio::test(start_paused = true)]
async fn an_inner_failure_stays_inside_if_it_is_handled() {
    let outer = TaskGroup::<Failed>::new();
    let outcome = bounded(outer.run(async {
        let neighbour = outer.spawn(async {
            after(20).await;
            Ok(1)
        });
        let inner = TaskGroup::<Failed>::new();
        inner.spawn(async { Err::<(), _>(Failed::With("inner")) });
        assert_eq!(inner.join().await, Err(Failed::With("inner")));
        neighbour.await
    }))
    .await;
    assert_eq!(outcome, Ok(1));
}

fn tree<'a>(
    dropped: &'a AtomicUsize,
    depth: usize,
) -> Pin<Box<dyn Future<Output = Result<(), Failed>> + Send + 'a>> {
    Box::pin(async move {
        let _count = CountDrop(dropped);
        if depth == 0 {
            return pending().await;
        }
        let group = TaskGroup::new();
        group
            .run(async {
                group.spawn(tree(dropped, depth - 1));
                group.spawn(tree(dropped, depth - 1));
                Ok(())
            })
            .await
    })
}

/// TG-044
#[tokio::test(start_paused = true)]
async fn cancelling_the_root_of_a_tree_of_groups_ends_every_leaf() {
    let dropped = AtomicUsize::new(0);
    let root = TaskGroup::new();
    let outcome = bounded(root.run(async {
        root.spawn(tree(&dropped, 1));
        root.spawn(tree(&dropped, 1));
        after(10).await;
        assert_eq!(count(&dropped), 0);
        root.cancel();
        assert_eq!(count(&dropped), 6, "four leaves and two inner nodes");
        Ok(())
    }))
    .await;
    assert_eq!(outcome, Ok(()));
}

/// TG-044: through tokens, where there is a grace.
#[tokio::test(start_paused = true)]
async fn with_a_grace_the_roots_token_reaches_every_leaf() {
    let told = AtomicUsize::new(0);
    let root = TaskGroup::builder().grace(millis(100)).build();
    let outcome: Result<(), Failed> = bounded(root.run(async {
        for _ in 0..2 {
            let (token, told) = (root.token(), &told);
            root.spawn(async move {
                let inner = TaskGroup::builder()
                    .parent(&token)
                    .grace(millis(50))
                    .build();
                for _ in 0..2 {
                    let token = inner.token();
                    inner.spawn(async move {
                        let reason = token.cancelled().await;
                        after(10).await;
                        assert_eq!(reason, CancelReason::Requested);
                        told.fetch_add(1, Ordering::SeqCst);
                        Ok::<(), Failed>(())
                    });
                }
                inner.join().await
            });
        }
        after(10).await;
        root.cancel();
        Ok(())
    }))
    .await;
    assert_eq!(outcome, Ok(()));
    assert_eq!(count(&told), 4);
}

/// TG-062: one token above five thousand scopes, each with a group that waits.
#[test]
fn cancelling_the_outermost_of_five_thousand_scopes_needs_no_deep_stack() {
    let thread = std::thread::Builder::new().stack_size(1 << 20).spawn(|| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(bounded(async {
            let outermost = CancelToken::new();
            let mut innermost = outermost.clone();
            let ended = AtomicUsize::new(0);
            let all = TaskGroup::<Failed>::new();
            for _ in 0..5_000 {
                innermost = innermost.child();
                let group = TaskGroup::<Failed>::of(&innermost);
                let ended = &ended;
                all.spawn(async move {
                    group.spawn(pending::<Result<(), _>>());
                    assert_eq!(group.join().await, Err(cancelled(CancelReason::Shutdown)));
                    ended.fetch_add(1, Ordering::SeqCst);
                    Ok(())
                });
            }
            let cancel = async {
                after(1).await;
                outermost.cancel(CancelReason::Shutdown);
            };
            let (outcome, ()) = tokio::join!(all.join(), cancel);
            assert_eq!(outcome, Ok(()));
            assert_eq!(count(&ended), 5_000);
            assert_eq!(innermost.reason(), Some(CancelReason::Shutdown));
        }));
    });
    thread.unwrap().join().unwrap();
}

fn nest<'a>(
    levels: usize,
    ended: &'a AtomicUsize,
) -> Pin<Box<dyn Future<Output = Result<(), Failed>> + Send + 'a>> {
    Box::pin(async move {
        if levels == 0 {
            return pending().await;
        }
        let _count = CountDrop(ended);
        let group = TaskGroup::new();
        group
            .run(async { group.spawn(nest(levels - 1, ended)).await })
            .await
    })
}

/// TG-062: groups inside groups; polling a nest takes stack for each level, dropping it no more than that.
#[test]
fn a_deep_nest_of_groups_ends_when_the_outermost_is_cancelled() {
    watched(|| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(bounded(async {
            let ended = AtomicUsize::new(0);
            let outermost = TaskGroup::<Failed>::new();
            let outcome = outermost
                .run(async {
                    let task = outermost.spawn(nest(500, &ended));
                    after(1).await;
                    outermost.cancel();
                    assert_eq!(task.await, Err(cancelled(CancelReason::Requested)));
                    Ok(())
                })
                .await;
            assert_eq!(outcome, Ok(()));
            assert_eq!(count(&ended), 500);
        }));
    });
}

/// TG-068
#[tokio::test(start_paused = true)]
async fn of_nested_deadlines_the_earliest_holds() {
    for (scope, own, effective) in [(50, 100, 50), (100, 50, 50), (70, 70, 70)] {
        let begun = Instant::now();
        let outcome: Result<(), _> =
            CancelScope::new(CancelToken::new(), Some(begun + millis(scope)))
                .run(bounded(async {
                    let group = TaskGroup::builder().timeout(millis(own)).build();
                    group
                        .run(async { group.spawn(pending::<Result<(), Failed>>()).await })
                        .await
                }))
                .await;
        assert_eq!(outcome, Err(too_late()));
        assert_eq!(
            begun.elapsed(),
            millis(effective),
            "scope {scope}, own {own}"
        );
    }
}

/// TG-068: a named parent takes the token's place, not the deadline's; a detached group has neither.
#[tokio::test(start_paused = true)]
async fn a_parent_token_keeps_the_scopes_deadline_and_detached_does_not() {
    let begun = Instant::now();
    let request = CancelToken::new();
    CancelScope::new(request.clone(), Some(begun + millis(50)))
        .run(bounded(async {
            let group = TaskGroup::builder().parent(&CancelToken::new()).build();
            let outcome: Result<(), Failed> = group.run(pending()).await;
            assert_eq!(outcome, Err(too_late()));
            assert_eq!(begun.elapsed(), millis(50));
            request.cancel(CancelReason::Shutdown);
            let free = TaskGroup::builder().detached().build();
            let outcome: Result<i32, Failed> = free
                .run(async {
                    free.spawn(async {
                        after(100).await;
                        Ok(1)
                    })
                    .await
                })
                .await;
            assert_eq!(outcome, Ok(1));
        }))
        .await;
}

/// TG-068: inside a scope that is cancelled or past its deadline nothing gets far.
#[tokio::test(start_paused = true)]
async fn a_scope_that_is_over_is_a_deadline_already_past() {
    let polls = AtomicUsize::new(0);
    let begun = Instant::now();
    after(10).await;
    let outcome: Result<(), _> = CancelScope::new(CancelToken::new(), Some(begun + millis(5)))
        .run(bounded(async {
            let group = TaskGroup::new();
            let task = group.spawn(async {
                polls.fetch_add(1, Ordering::SeqCst);
                pending::<Result<(), Failed>>().await
            });
            group.run(task).await
        }))
        .await;
    assert_eq!(outcome, Err(too_late()));
    assert_eq!(begun.elapsed(), millis(10));
    assert!(count(&polls) <= 1);
}

/// TG-073
#[tokio::test(start_paused = true)]
async fn a_child_of_a_task_in_a_cancelled_group_never_reaches_its_failure() {
    let reached = AtomicBool::new(false);
    let polled = AtomicBool::new(false);
    let outer = TaskGroup::builder().grace(millis(100)).build();
    let token = outer.token();
    let outcome: Result<(), Failed> = bounded(outer.run(async {
        let (reached, polled) = (&reached, &polled);
        outer.spawn(async move {
            token.cancelled().await;
            let inner = TaskGroup::builder().parent(&token).build();
            let child = inner.spawn(async move {
                polled.store(true, Ordering::SeqCst);
                after(10).await;
                reached.store(true, Ordering::SeqCst);
                Err::<(), _>(Failed::With("too far"))
            });
            assert_eq!(inner.join().await, Err(cancelled(CancelReason::Requested)));
            assert_eq!(child.await, Err(cancelled(CancelReason::Requested)));
            after(50).await;
            Ok(())
        });
        after(1).await;
        outer.cancel();
        Ok(())
    }))
    .await;
    assert_eq!(outcome, Ok(()));
    assert!(!reached.load(Ordering::SeqCst));
    assert!(!polled.load(Ordering::SeqCst));
    assert_eq!(outer.suppressed(), []);
}

/// TG-080
#[tokio::test(start_paused = true)]
async fn the_childrens_cleanup_comes_before_the_caller_sees_the_end() {
    let diary = Diary::default();
    let request = CancelToken::new();
    let outcome: Result<(), _> = CancelScope::new(request.clone(), None)
        .run(bounded(async {
            let group = TaskGroup::builder().grace(millis(100)).build();
            let (token, diary) = (group.token(), &diary);
            let run = async {
                let outcome = group
                    .run(async {
                        group
                            .spawn(async move {
                                let reason = token.cancelled().await;
                                after(20).await;
                                diary.note("cleaned up");
                                assert_eq!(reason, CancelReason::ClientDisconnected);
                                Err::<(), _>(Failed::from(nexios::Interrupted::Cancelled(reason)))
                            })
                            .await
                    })
                    .await;
                diary.note("seen");
                outcome
            };
            let outer = async {
                after(5).await;
                request.cancel(CancelReason::ClientDisconnected);
                diary.note("cancelled");
            };
            tokio::join!(run, outer).0
        }))
        .await;
    assert_eq!(outcome, Err(cancelled(CancelReason::ClientDisconnected)));
    assert_eq!(diary.pages(), ["cancelled", "cleaned up", "seen"]);
}

/// TG-089
#[tokio::test(start_paused = true)]
async fn a_caller_that_is_cancelled_already_starts_no_child() {
    let polled = AtomicBool::new(false);
    let request = CancelToken::new();
    request.cancel(CancelReason::ClientDisconnected);
    CancelScope::new(request, None)
        .run(bounded(async {
            let group = TaskGroup::<Failed>::new();
            let early = group.spawn(async {
                polled.store(true, Ordering::SeqCst);
                Ok(1)
            });
            let outcome = group
                .run(async {
                    let late = group.spawn(async {
                        polled.store(true, Ordering::SeqCst);
                        Ok(1)
                    });
                    late.await
                })
                .await;
            assert_eq!(outcome, Err(cancelled(CancelReason::ClientDisconnected)));
            assert_eq!(
                early.await,
                Err(cancelled(CancelReason::ClientDisconnected))
            );

            // Without `run`, and on the runtime's threads.
            let group = TaskGroup::<Failed>::new();
            let handle = group.spawn(async {
                polled.store(true, Ordering::SeqCst);
                Ok(1)
            });
            assert_eq!(
                handle.await,
                Err(cancelled(CancelReason::ClientDisconnected))
            );
            let group = TaskGroup::<Failed>::new();
            assert_eq!(
                group.map(0..3, |_| async { Ok(()) }).await,
                Err(cancelled(CancelReason::ClientDisconnected))
            );
            settle().await;
        }))
        .await;
    assert!(!polled.load(Ordering::SeqCst));
}

trait OfToken {
    fn of(token: &CancelToken) -> Self;
}

impl OfToken for TaskGroup<'_, Failed> {
    fn of(token: &CancelToken) -> Self {
        TaskGroup::builder().parent(token).build()
    }
}

//! Cancellation is ambient: what a group inherits from the scope it is made in, and what it does not.

use std::future::pending;

use nexios::{CancelReason, CancelScope, CancelToken, Interrupted, OnError, TaskGroup};
use tokio::time::Instant;

use super::probes::{
    Failed, Gauge, after, cancelled, fails, group, millis, never, poll_once, too_late, value,
    within,
};

fn scope(deadline: Option<u64>) -> (CancelToken, CancelScope) {
    let token = CancelToken::new();
    let deadline = deadline.map(|ms| Instant::now() + millis(ms));
    (token.clone(), CancelScope::new(token, deadline))
}

/// Fires the token after a while, from a task of its own.
fn fire(token: &CancelToken, ms: u64, reason: CancelReason) {
    let token = token.clone();
    tokio::spawn(async move {
        after(ms).await;
        token.cancel(reason);
    });
}

/// TG-112, T8
#[tokio::test(start_paused = true)]
async fn a_group_is_cancelled_with_its_scope_and_for_its_reason() {
    let (token, scope) = scope(None);
    fire(&token, 20, CancelReason::ClientDisconnected);
    let gauge = Gauge::default();
    let begun = Instant::now();
    scope
        .run(async {
            let group = group();
            let child = group.spawn(gauge.hold(never::<()>()));
            assert_eq!(
                within(1000, group.join()).await,
                Err(cancelled(CancelReason::ClientDisconnected))
            );
            assert_eq!(gauge.live(), 0);
            assert_eq!(
                child.await,
                Err(cancelled(CancelReason::ClientDisconnected))
            );
            assert_eq!(
                group.token().reason(),
                Some(CancelReason::ClientDisconnected)
            );
        })
        .await;
    assert_eq!(begun.elapsed(), millis(20));
}

/// T13: the reasons stay apart: a child, the group, the client, the service, the deadline.
#[tokio::test(start_paused = true)]
async fn the_reasons_stay_apart() {
    for reason in [
        CancelReason::ClientDisconnected,
        CancelReason::Shutdown,
        CancelReason::Requested,
    ] {
        let (token, scope) = scope(None);
        fire(&token, 5, reason);
        let outcome = scope.run(async { group().run(never::<()>()).await }).await;
        assert_eq!(outcome, Err(cancelled(reason)));
    }
    let group = group();
    let outcome = group
        .run(async {
            let child = group.spawn(never::<()>());
            child.cancel();
            assert_eq!(child.await, Err(cancelled(CancelReason::Requested)));
            Ok("the handler goes on")
        })
        .await;
    assert_eq!(outcome, Ok("the handler goes on"));
}

/// A token that fired with the reason `Deadline` is a deadline.
#[tokio::test(start_paused = true)]
async fn a_scope_cancelled_for_its_deadline_says_deadline_exceeded() {
    let (token, scope) = scope(None);
    fire(&token, 5, CancelReason::Deadline);
    let outcome = scope.run(async { group().run(never::<()>()).await }).await;
    assert_eq!(outcome, Err(too_late()));
}

/// T15
#[tokio::test(start_paused = true)]
async fn a_group_inherits_the_deadline_and_so_do_groups_in_its_children() {
    let (_token, scope) = scope(Some(30));
    let begun = Instant::now();
    let outcome = scope
        .run(async {
            let outer = group();
            outer
                .run(async {
                    outer
                        .spawn(async {
                            let inner = group();
                            inner.run(async { inner.spawn(never::<()>()).await }).await
                        })
                        .await
                })
                .await
        })
        .await;
    assert_eq!(outcome, Err(too_late()));
    assert_eq!(begun.elapsed(), millis(30));
}

#[tokio::test(start_paused = true)]
async fn the_earlier_of_the_two_deadlines_counts() {
    for (own, expected) in [(10, 10), (100, 30)] {
        let (_token, scope) = scope(Some(30));
        let begun = Instant::now();
        let outcome = scope
            .run(async {
                TaskGroup::builder()
                    .timeout(millis(own))
                    .build()
                    .run(never::<()>())
                    .await
            })
            .await;
        assert_eq!(outcome, Err(too_late()));
        assert_eq!(begun.elapsed(), millis(expected));
    }
}

/// A fired scope: children are never polled, `run` gives the reason.
#[tokio::test(start_paused = true)]
async fn in_a_scope_that_was_cancelled_before_no_child_is_polled() {
    let (token, scope) = scope(None);
    token.cancel(CancelReason::Shutdown);
    let mut polled = false;
    let outcome = scope
        .run(async {
            let group = group();
            let child = group.spawn(async {
                polled = true;
                Ok(())
            });
            let outcome = within(1000, group.join()).await;
            assert_eq!(child.await, Err(cancelled(CancelReason::Shutdown)));
            outcome
        })
        .await;
    assert_eq!(outcome, Err(cancelled(CancelReason::Shutdown)));
    assert!(!polled);
}

/// Inheriting is done where the group is made, not where it is awaited.
#[tokio::test(start_paused = true)]
async fn the_scope_that_counts_is_the_one_the_group_was_made_in() {
    let (token, scope) = scope(Some(50));
    let outside = group();
    token.cancel(CancelReason::Shutdown);
    let outcome = scope
        .run(async {
            outside
                .run(async { outside.spawn(value(100, 1)).await })
                .await
        })
        .await;
    assert_eq!(outcome, Ok(1), "made outside, so nothing was inherited");

    let (token, scope) = super::scopes::scope(None);
    let inside = scope.run(async { group() }).await;
    fire(&token, 5, CancelReason::ClientDisconnected);
    assert_eq!(
        within(1000, inside.run(never::<()>())).await,
        Err(cancelled(CancelReason::ClientDisconnected)),
        "made inside, awaited outside"
    );
}

/// The innermost scope counts.
#[tokio::test(start_paused = true)]
async fn of_nested_scopes_the_innermost_is_inherited() {
    let (outer_token, outer) = scope(Some(10));
    let (_inner_token, inner) = scope(Some(40));
    outer_token.cancel(CancelReason::Shutdown);
    let begun = Instant::now();
    let outcome = outer
        .run(inner.run(async { group().run(never::<()>()).await }))
        .await;
    assert_eq!(outcome, Err(too_late()));
    assert_eq!(begun.elapsed(), millis(40));
}

/// `detached()`: neither the token nor the deadline.
#[tokio::test(start_paused = true)]
async fn a_detached_group_inherits_nothing() {
    let (token, scope) = scope(Some(10));
    token.cancel(CancelReason::ClientDisconnected);
    let outcome = scope
        .run(async {
            let group = TaskGroup::builder().detached().build();
            group.run(async { group.spawn(value(50, 1)).await }).await
        })
        .await;
    assert_eq!(outcome, Ok::<_, Failed>(1));
}

/// `parent(&token)`: another token instead of the scope's.
#[tokio::test(start_paused = true)]
async fn a_named_parent_replaces_the_scopes_token() {
    let (scope_token, scope) = scope(None);
    scope_token.cancel(CancelReason::ClientDisconnected);
    let parent = CancelToken::new();
    fire(&parent, 20, CancelReason::Shutdown);
    let begun = Instant::now();
    let outcome: Result<(), Failed> = scope
        .run(async {
            TaskGroup::builder()
                .parent(&parent)
                .build()
                .run(never())
                .await
        })
        .await;
    assert_eq!(outcome, Err(cancelled(CancelReason::Shutdown)));
    assert_eq!(begun.elapsed(), millis(20));
}

/// Cancelling the group does not reach the scope: only downwards.
#[tokio::test(start_paused = true)]
async fn a_groups_end_does_not_fire_the_scopes_token() {
    let (token, scope) = scope(None);
    scope
        .run(async {
            let cancelled = group();
            cancelled.cancel();
            cancelled.token().cancel(CancelReason::Requested);
            let failed = group();
            failed.spawn(fails(1, "failed"));
            failed.join().await.unwrap_err();
            drop(group().spawn(never::<()>()));
        })
        .await;
    assert_eq!(token.reason(), None);
}

/// A group opens no scope for its children: they see the one of whoever drives.
#[tokio::test(start_paused = true)]
async fn children_see_the_scope_of_the_caller() {
    assert!(CancelScope::current().is_none());
    let (_token, scope) = scope(Some(500));
    let deadline = scope.deadline();
    let seen = scope
        .run(async {
            let group = TaskGroup::builder().timeout(millis(100)).build();
            group
                .run(async {
                    group
                        .spawn(async {
                            Ok::<_, Failed>(
                                CancelScope::current().and_then(|scope| scope.deadline()),
                            )
                        })
                        .await
                })
                .await
        })
        .await;
    assert_eq!(seen, Ok(deadline));
}

/// With a grace, an inner group is reached by passing the token on.
#[tokio::test(start_paused = true)]
async fn the_groups_token_is_passed_on_with_parent() {
    let outer: TaskGroup<'_, Failed> = TaskGroup::builder().grace(millis(100)).build();
    let token = outer.token();
    let inner_outcome = outer.spawn(async move {
        let inner = TaskGroup::builder().parent(&token).build();
        let outcome: Result<(), Failed> = inner.run(never()).await;
        Ok(outcome)
    });
    let begun = Instant::now();
    let outcome = outer
        .run(async {
            after(10).await;
            outer.cancel();
            Ok(1)
        })
        .await;
    assert_eq!(outcome, Ok(1));
    assert_eq!(
        inner_outcome.await,
        Ok(Err(cancelled(CancelReason::Requested)))
    );
    assert_eq!(begun.elapsed(), millis(10));
}

/// The grace is for children: the body is cut at its await, as at a deadline.
#[tokio::test(start_paused = true)]
async fn the_scopes_token_cuts_the_body_without_grace() {
    let (token, scope) = scope(None);
    fire(&token, 10, CancelReason::Shutdown);
    let seen = token.clone();
    let outcome: Result<(), Failed> = scope
        .run(async {
            let group = TaskGroup::builder().grace(millis(100)).build();
            group
                .run(async {
                    seen.cancelled().await;
                    after(10).await;
                    Err(Failed::With("own answer"))
                })
                .await
        })
        .await;
    assert_eq!(outcome, Err(cancelled(CancelReason::Shutdown)));
    assert_eq!(
        token.reason(),
        Some(CancelReason::Shutdown),
        "still to be seen in the token"
    );
}

/// The first cause decides, as for a deadline: that children end well in the grace is seen in their handles.
#[tokio::test(start_paused = true)]
async fn in_a_cancelled_scope_join_says_so_though_all_children_end_well_in_the_grace() {
    for well in [true, false] {
        let (token, scope) = scope(None);
        fire(&token, 10, CancelReason::Shutdown);
        let outcome = scope.run(async {
            let group: TaskGroup<'_, Failed> = TaskGroup::builder().grace(millis(50)).build();
            let mut tasks = Vec::new();
            for quick in [true, well] {
                let token = group.token();
                tasks.push(group.spawn(async move {
                    let _reason = token.cancelled().await;
                    after(if quick { 5 } else { 500 }).await;
                    Ok(())
                }));
            }
            let joined = within(1000, group.join()).await;
            for (task, ends_well) in tasks.into_iter().zip([true, well]) {
                assert_eq!(task.await.is_ok(), ends_well);
            }
            joined
        });
        assert_eq!(outcome.await, Err(cancelled(CancelReason::Shutdown)));
    }
}

/// A body that needs no await is not cut: it gets to its first one, as with a deadline that has passed.
#[tokio::test(start_paused = true)]
async fn in_a_scope_that_was_cancelled_before_the_body_gets_to_its_first_await() {
    let (token, scope) = scope(None);
    token.cancel(CancelReason::Shutdown);
    scope
        .run(async {
            assert_eq!(group().run(async { Ok(1) }).await, Ok(1));
            let mut awaited = false;
            let group = group();
            let outcome: Result<(), _> = group
                .run(async {
                    awaited = true;
                    never().await
                })
                .await;
            assert_eq!(outcome, Err(cancelled(CancelReason::Shutdown)));
            assert!(awaited);
        })
        .await;
}

/// A failure before the scope fires stays the cause.
#[tokio::test(start_paused = true)]
async fn a_failure_beats_a_later_cancellation_of_the_scope() {
    let (token, scope) = scope(None);
    let outcome = scope
        .run(async {
            let group = TaskGroup::builder().grace(millis(50)).build();
            group.spawn(fails(5, "first"));
            group.spawn(never::<()>());
            let cancels = token.clone();
            group
                .run(async move {
                    let _cancels =
                        super::probes::OnDrop(move || cancels.cancel(CancelReason::Shutdown));
                    pending::<Result<(), _>>().await
                })
                .await
        })
        .await;
    assert_eq!(outcome, Err(Failed::With("first")));
}

/// Under `Continue` the scope's end reaches the children as well.
#[tokio::test(start_paused = true)]
async fn under_continue_the_scope_still_cancels() {
    let (token, scope) = scope(None);
    fire(&token, 10, CancelReason::Shutdown);
    let gauge = Gauge::default();
    let outcome: Result<(), Failed> = scope
        .run(async {
            let group = TaskGroup::builder().on_error(OnError::Continue).build();
            group.spawn(gauge.hold(never::<()>()));
            group.run(never()).await
        })
        .await;
    assert_eq!(outcome, Err(cancelled(CancelReason::Shutdown)));
    assert_eq!(gauge.live(), 0);
}

/// Handles without `run`, and `map`, are reached too.
#[tokio::test(start_paused = true)]
async fn handles_and_map_outside_run_are_cancelled_with_the_scope() {
    let (token, scope) = scope(None);
    fire(&token, 10, CancelReason::ClientDisconnected);
    scope
        .run(async {
            let one = group();
            let two = group();
            let handle = one.spawn(never::<()>());
            let (handle, mapped) = within(
                1000,
                futures_util::future::join(handle, two.map(0..3, |_| never::<()>())),
            )
            .await;
            assert_eq!(handle, Err(cancelled(CancelReason::ClientDisconnected)));
            assert_eq!(mapped, Err(cancelled(CancelReason::ClientDisconnected)));
        })
        .await;
}

/// The token of a group is a child of the scope's: it fires with it, before anybody drives the group.
#[tokio::test(start_paused = true)]
async fn the_groups_token_fires_with_the_scope_even_undriven() {
    let (token, scope) = scope(None);
    let group = scope.run(async { group() }).await;
    let seen = group.token();
    token.cancel(CancelReason::Shutdown);
    assert_eq!(seen.reason(), Some(CancelReason::Shutdown));
    let outcome = within(100, group.run(never::<()>())).await;
    assert_eq!(outcome, Err(cancelled(CancelReason::Shutdown)));
}

/// A token of tokio-util is a parent as well.
#[tokio::test(start_paused = true)]
async fn a_tokio_util_token_can_be_the_parent() {
    let foreign = tokio_util::sync::CancellationToken::new();
    let group = TaskGroup::builder()
        .parent(&CancelToken::from(foreign.clone()))
        .build();
    let mut join = Box::pin(group.run(never::<()>()));
    assert!(poll_once(join.as_mut()).is_pending());
    foreign.cancel();
    assert_eq!(
        within(100, join).await,
        Err(Failed::Interrupted(Interrupted::Cancelled(
            CancelReason::Requested
        )))
    );
}

/// Nothing of the group stays registered at the scope's token when it is gone.
#[tokio::test(start_paused = true)]
async fn a_long_lived_scope_does_not_wake_groups_that_are_gone() {
    let (token, scope) = scope(None);
    let (wakes, waker) = super::probes::CountWakes::new();
    scope
        .run(async {
            for _ in 0..100 {
                let group = group();
                let mut join = Box::pin(group.run(never::<()>()));
                assert!(
                    join.as_mut()
                        .poll(&mut std::task::Context::from_waker(&waker))
                        .is_pending()
                );
            }
        })
        .await;
    token.cancel(CancelReason::Shutdown);
    assert_eq!(wakes.count(), 0);
}

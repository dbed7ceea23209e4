//! Limits beside code that is always ready in a cooperative way and so spends tokio's budget in every poll. In real
//! time, which is what such code takes from its limits.

use std::{
    future::Future,
    pin::{Pin, pin},
    thread,
    time::{Duration, Instant},
};

use futures_util::{StreamExt, future::select};
use nexios::{CancelReason, CancelScope, CancelToken, TaskGroup, TaskGroupBuilder};
use tokio::{runtime::Builder, task::consume_budget};

use super::probes::{Failed, cancelled, millis, never, too_late};

/// How long the busy code goes on if nobody ends it.
const BUSY: Duration = millis(3_000);
/// Far less than that, and far more than a slow machine adds to a limit of 50 ms.
const SOON: Duration = millis(1_500);
const LIMIT: Duration = millis(50);

async fn busy() {
    let began = Instant::now();
    while began.elapsed() < BUSY {
        consume_budget().await;
    }
}

async fn busy_child() -> Result<(), Failed> {
    busy().await;
    Ok(())
}

/// Where the busy code is, seen from the group whose limit is watched.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Place {
    Body,
    AwaitedChild,
    OtherChild,
    Grandchild,
    Daemon,
    ChildOfJoin,
    ManyChildren,
    HandleOutsideRun,
    MapItem,
    MapItemOutsideRun,
    StreamItem,
    ChildOfNestedGroup,
    BodyOfNestedGroup,
    BodyOfGroupAround,
    SiblingInGroupAround,
    Neighbour,
    NeighbourOfHandle,
    NeighbourOfMap,
}

const PLACES: [Place; 18] = [
    Place::Body,
    Place::AwaitedChild,
    Place::OtherChild,
    Place::Grandchild,
    Place::Daemon,
    Place::ChildOfJoin,
    Place::ManyChildren,
    Place::HandleOutsideRun,
    Place::MapItem,
    Place::MapItemOutsideRun,
    Place::StreamItem,
    Place::ChildOfNestedGroup,
    Place::BodyOfNestedGroup,
    Place::BodyOfGroupAround,
    Place::SiblingInGroupAround,
    Place::Neighbour,
    Place::NeighbourOfHandle,
    Place::NeighbourOfMap,
];

type Group<'g> = TaskGroup<'g, Failed>;

/// Polls the busy code first each time, in the same task.
async fn beside<T>(watched: impl Future<Output = Result<T, Failed>>) -> Result<(), Failed> {
    match select(pin!(busy()), pin!(watched)).await {
        futures_util::future::Either::Left(..) => Ok(()),
        futures_util::future::Either::Right((end, _)) => end.map(drop),
    }
}

async fn nested(busy_body: bool) -> Result<(), Failed> {
    let inner: Group<'_> = TaskGroup::builder().detached().build();
    inner
        .run(async {
            let child = inner.spawn(async {
                if busy_body {
                    never().await
                } else {
                    busy_child().await
                }
            });
            if busy_body {
                busy_child().await
            } else {
                child.await
            }
        })
        .await
}

/// How a group ends in which there is nothing but busy code.
async fn end_of(group: &Group<'static>, place: Place) -> Result<(), Failed> {
    match place {
        Place::Body => group.run(busy_child()).await,
        Place::AwaitedChild => group.run(async { group.spawn(busy_child()).await }).await,
        Place::OtherChild => {
            group.spawn(busy_child());
            group.run(never()).await
        }
        Place::Grandchild => {
            let spawner = group.spawner();
            group.spawn(async move { spawner.spawn(busy_child()).await });
            group.run(never()).await
        }
        Place::Daemon => {
            group.spawn_daemon(busy());
            group.run(never()).await
        }
        Place::ChildOfJoin => {
            group.spawn(busy_child());
            group.join().await
        }
        Place::ManyChildren => {
            for _ in 0..300 {
                group.spawn(busy_child());
            }
            group.run(busy_child()).await
        }
        Place::HandleOutsideRun => group.spawn(busy_child()).await,
        Place::MapItem => {
            group
                .run(async { group.map(0..3, |_| busy_child()).await.map(drop) })
                .await
        }
        Place::MapItemOutsideRun => group.map(0..3, |_| busy_child()).await.map(drop),
        Place::StreamItem => {
            let mut results = pin!(group.map_unordered(0..3, |_| busy_child()));
            while let Some(result) = results.next().await {
                result?;
            }
            Ok(())
        }
        Place::ChildOfNestedGroup => group.run(async { group.spawn(nested(false)).await }).await,
        Place::BodyOfNestedGroup => group.run(nested(true)).await,
        Place::BodyOfGroupAround => {
            let outer: Group<'_> = TaskGroup::builder().detached().build();
            outer.spawn(group.run(never::<()>()));
            outer.run(busy_child()).await
        }
        Place::SiblingInGroupAround => {
            let outer: Group<'_> = TaskGroup::builder().detached().build();
            for _ in 0..3 {
                outer.spawn(busy_child());
            }
            outer.spawn(group.run(never::<()>()));
            outer.join().await
        }
        Place::Neighbour => beside(group.run(never::<()>())).await,
        Place::NeighbourOfHandle => beside(group.spawn(never::<()>())).await,
        Place::NeighbourOfMap => beside(group.map(0..3, |_| never::<()>())).await,
    }
}

type Scene = Pin<Box<dyn Future<Output = (Result<(), Failed>, Duration)> + Send>>;

/// Plays the scene in `block_on`, in a task of a current-thread runtime, and on two workers.
fn on_every_runtime(
    scene: impl Fn() -> Scene,
    check: impl Fn(&'static str, Result<(), Failed>, Duration),
) {
    let current = || Builder::new_current_thread().enable_all().build().unwrap();
    let (end, took) = current().block_on(scene());
    check("in block_on", end, took);
    let (end, took) = current().block_on(async { tokio::spawn(scene()).await.unwrap() });
    check("in a task", end, took);
    let workers = Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let (end, took) = workers.block_on(async { tokio::spawn(scene()).await.unwrap() });
    check("on two workers", end, took);
}

/// Every place on every runtime; the group is made inside the scope.
fn everywhere(
    expected: &Failed,
    scope: impl Fn() -> CancelScope + Send + Sync + Clone + 'static,
    settings: impl Fn(TaskGroupBuilder) -> TaskGroupBuilder + Send + Sync + Clone + 'static,
) {
    for place in PLACES {
        let scene = || -> Scene {
            let (scope, settings) = (scope.clone(), settings.clone());
            Box::pin(async move {
                let began = Instant::now();
                let end = scope()
                    .run(async {
                        let group = settings(TaskGroup::builder()).build();
                        end_of(&group, place).await
                    })
                    .await;
                (end, began.elapsed())
            })
        };
        on_every_runtime(scene, |runtime, end, took| {
            assert!(took < SOON, "{place:?} {runtime}: {end:?} after {took:?}");
            assert_eq!(end.as_ref(), Err(expected), "{place:?} {runtime}");
        });
    }
}

fn no_scope() -> CancelScope {
    CancelScope::new(CancelToken::new(), None)
}

/// Fires from a thread of its own, which no runtime holds up.
fn firing() -> CancelToken {
    let token = CancelToken::new();
    let fired = token.clone();
    thread::spawn(move || {
        thread::sleep(LIMIT);
        fired.cancel(CancelReason::ClientDisconnected);
    });
    token
}

#[test]
fn a_time_limit_holds_wherever_the_busy_code_is() {
    everywhere(&too_late(), no_scope, |builder| builder.timeout(LIMIT));
}

#[test]
fn a_scopes_deadline_holds_wherever_the_busy_code_is() {
    let scope = || {
        CancelScope::new(
            CancelToken::new(),
            Some(tokio::time::Instant::now() + LIMIT),
        )
    };
    everywhere(&too_late(), scope, |builder| builder);
}

#[test]
fn a_scopes_token_ends_the_group_wherever_the_busy_code_is() {
    let scope = || CancelScope::new(firing(), None);
    everywhere(
        &cancelled(CancelReason::ClientDisconnected),
        scope,
        |builder| builder,
    );
}

#[test]
fn a_named_parent_and_the_grace_end_the_group_wherever_the_busy_code_is() {
    everywhere(
        &cancelled(CancelReason::ClientDisconnected),
        no_scope,
        |builder| builder.parent(&firing()).grace(LIMIT),
    );
}

#[test]
fn the_grace_of_a_cancelled_group_ends_beside_busy_children() {
    for place in [
        Place::OtherChild,
        Place::Daemon,
        Place::ManyChildren,
        Place::Grandchild,
    ] {
        let scene = || -> Scene {
            Box::pin(async move {
                let began = Instant::now();
                let group: Group<'_> = TaskGroup::builder().grace(LIMIT).build();
                let spawner = group.spawner();
                let children = if place == Place::ManyChildren { 300 } else { 1 };
                for _ in 0..children {
                    match place {
                        Place::Daemon => group.spawn_daemon(busy()),
                        Place::Grandchild => {
                            let spawner = group.spawner();
                            drop(group.spawn(async move { spawner.spawn(busy_child()).await }));
                        }
                        _ => drop(group.spawn(busy_child())),
                    }
                }
                let end = group
                    .run(async {
                        tokio::time::sleep(millis(20)).await;
                        spawner.cancel();
                        Ok(())
                    })
                    .await;
                (end, began.elapsed())
            })
        };
        on_every_runtime(scene, |runtime, end, took| {
            assert!(took < SOON, "{place:?} {runtime}: {took:?}");
            assert_eq!(end, Ok(()), "{place:?} {runtime}");
        });
    }
}

/// The end of a parallel child is a wake of ours.
#[test]
fn the_end_of_a_parallel_child_is_seen_beside_busy_code() {
    let scene = || -> Scene {
        Box::pin(async {
            let began = Instant::now();
            let group: Group<'_> = TaskGroup::new();
            let end =
                beside(group.run(async { group.spawn_parallel(async { Ok(()) }).await })).await;
            (end, began.elapsed())
        })
    };
    on_every_runtime(scene, |runtime, end, took| {
        assert_eq!(end, Ok(()));
        assert!(took < SOON, "{runtime}: {took:?}");
    });
}

/// Items of a map get their turns although the budget is used up each time they are looked at.
#[test]
fn the_items_of_a_map_end_beside_busy_code() {
    let scene = || -> Scene {
        Box::pin(async {
            let began = Instant::now();
            let group: Group<'_> = TaskGroup::new();
            let end = beside(group.map(0..1_000, async |_| Ok(()))).await;
            (end, began.elapsed())
        })
    };
    on_every_runtime(scene, |runtime, end, took| {
        assert_eq!(end, Ok(()));
        assert!(took < SOON, "{runtime}: {took:?}");
    });
}

/// The second that `run` waits for an aborted child which holds its thread.
#[test]
fn run_waits_no_longer_than_its_second_for_what_unwinds_beside_busy_code() {
    let workers = Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let took = workers.block_on(async {
        let began = Instant::now();
        let group: Group<'_> = TaskGroup::builder().parent(&firing()).build();
        group.spawn_parallel(async {
            thread::sleep(millis(2_900));
            Ok(())
        });
        beside(group.run(never::<()>())).await.unwrap_err();
        began.elapsed()
    });
    assert!(took > millis(900) && took < millis(2_500), "{took:?}");
}

//! A child that awaits a sibling without a place lends its own.

use std::future::Future;

use nexios::{Spawner, TaskGroup};

use super::probes::{Failed, Gauge, Order, after, millis, never, value, within};

fn limited<'env>(limit: usize) -> TaskGroup<'env, Failed> {
    TaskGroup::builder().limit(limit).build()
}

/// A handle polled inside a child's poll lends that child's place.
#[tokio::test(start_paused = true)]
async fn a_child_that_awaits_a_waiting_sibling_lends_its_place() {
    for limit in 1..4 {
        let group = limited(limit);
        let depth = 20;
        let total = group
            .run(async {
                let spawner = group.spawner();
                group.spawn(chain(spawner, depth)).await
            })
            .await;
        assert_eq!(within(1000, async { total }).await, Ok(depth));
    }
}

fn chain<'env>(
    spawner: Spawner<'env, Failed>,
    depth: u32,
) -> std::pin::Pin<Box<dyn Future<Output = Result<u32, Failed>> + Send + 'env>> {
    Box::pin(async move {
        if depth == 0 {
            return Ok(0);
        }
        let next = spawner.spawn(chain(spawner.clone(), depth - 1));
        after(1).await;
        Ok(next.await? + 1)
    })
}

/// It is the head of the queue that gets the place, and a lender awaiting one further back still gets there.
#[tokio::test(start_paused = true)]
async fn the_lent_place_goes_to_the_head_of_the_queue() {
    let order = Order::default();
    let group = limited(1);
    let outcome = group
        .run(async {
            let spawner = group.spawner();
            let names = order.clone();
            let parent = group.spawn(async move {
                let children: Vec<_> = ["one", "two", "three"]
                    .into_iter()
                    .map(|name| {
                        let names = names.clone();
                        spawner.spawn(async move {
                            names.push(name);
                            after(1).await;
                            Ok(())
                        })
                    })
                    .collect();
                for child in children.into_iter().rev() {
                    child.await?;
                }
                names.push("parent");
                Ok(())
            });
            parent.await
        })
        .await;
    assert_eq!(within(1000, async { outcome }).await, Ok(()));
    assert_eq!(order.seen(), ["one", "two", "three", "parent"]);
}

/// The lender stays pollable: its own timer works while it waits for the sibling.
#[tokio::test(start_paused = true)]
async fn a_lender_stays_pollable() {
    let group = limited(1);
    let outcome = group
        .run(async {
            let spawner = group.spawner();
            let lender = group.spawn(async move {
                let stuck = spawner.spawn(never::<()>());
                let waited = tokio::time::timeout(millis(20), stuck).await;
                Ok(waited.is_err())
            });
            let timed_out = lender.await?;
            group.cancel();
            Ok(timed_out)
        })
        .await;
    assert_eq!(within(1000, async { outcome }).await, Ok(true));
}

/// Lending through a nested group: the outer child polls, deep inside, a handle of its own group.
#[tokio::test(start_paused = true)]
async fn a_handle_awaited_inside_a_nested_group_lends_too() {
    let group = limited(1);
    let work = async {
        group
            .run(async {
                let spawner = group.spawner();
                let parent = group.spawn(async move {
                    let waiting = spawner.spawn(value(1, 4));
                    let inner = super::probes::group();
                    inner.run(async { inner.spawn(waiting).await }).await
                });
                parent.await
            })
            .await
    };
    assert_eq!(within(1000, work).await, Ok(4));
}

/// Many lenders at once: the places in use never exceed the limit plus those that are waiting for siblings.
#[tokio::test(start_paused = true)]
async fn lending_does_not_raise_the_number_of_children_that_really_run() {
    let running = Gauge::default();
    let group = limited(3);
    let work = async {
        group
            .run(async {
                for _ in 0..20 {
                    let spawner = group.spawner();
                    let leaves = running.clone();
                    group.spawn(async move {
                        let handles: Vec<_> = (0..5)
                            .map(|_| {
                                let leaves = leaves.clone();
                                spawner.spawn(async move {
                                    let _inside = leaves.enter();
                                    after(3).await;
                                    Ok(())
                                })
                            })
                            .collect();
                        for handle in handles {
                            handle.await?;
                        }
                        Ok(())
                    });
                }
                Ok(())
            })
            .await
    };
    within(100_000, work).await.unwrap();
    assert_eq!((running.entered(), running.live()), (100, 0));
    assert!(running.most() <= 3, "{} leaves ran at once", running.most());
}

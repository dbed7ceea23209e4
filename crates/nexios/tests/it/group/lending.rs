//! A sibling without a place that another child awaits is started over the limit.

use std::future::Future;

use nexios::{Spawner, TaskGroup};

use super::probes::{Failed, Gauge, Order, after, millis, never, value, within};

fn limited<'env>(limit: usize) -> TaskGroup<'env, Failed> {
    TaskGroup::builder().limit(limit).build()
}

/// A handle polled inside a child's poll starts its child at once.
#[tokio::test(start_paused = true)]
async fn a_sibling_without_a_place_starts_when_a_child_awaits_it() {
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

/// It is the awaited one that is started, not the head of the queue.
#[tokio::test(start_paused = true)]
async fn the_awaited_sibling_starts_before_those_that_wait_longer() {
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
    assert_eq!(order.seen(), ["three", "two", "one", "parent"]);
}

/// Counts itself while it runs.
async fn inside(running: &Gauge) -> Result<(), Failed> {
    let _inside = running.enter();
    value(5, ()).await
}

/// The body holds no place, so that it awaits a child is no reason to start that over the limit.
#[tokio::test(start_paused = true)]
async fn a_child_that_the_body_awaits_waits_for_its_place() {
    let running = Gauge::default();
    let group = limited(2);
    let work = group.run(async {
        let children: Vec<_> = (0..10).map(|_| group.spawn(inside(&running))).collect();
        for child in children.into_iter().rev() {
            child.await?;
        }
        Ok(())
    });
    assert_eq!(within(1000, work).await, Ok(()));
    assert_eq!(running.most(), 2);
}

/// The place over the limit goes with the sibling: whoever waits for one does not get it.
#[tokio::test(start_paused = true)]
async fn a_place_over_the_limit_is_not_handed_on() {
    let running = Gauge::default();
    let group = limited(1);
    let work = group.run(async {
        let (spawner, running) = (group.spawner(), &running);
        let parent = group.spawn(async move {
            spawner.spawn(inside(running)).await?;
            inside(running).await
        });
        for _ in 0..5 {
            group.spawn(inside(running));
        }
        parent.await
    });
    assert_eq!(within(1000, work).await, Ok(()));
    assert_eq!((running.most(), running.entered()), (1, 7));
}

/// The awaiter stays pollable: its own timer works while it waits for the sibling.
#[tokio::test(start_paused = true)]
async fn a_child_that_awaits_a_sibling_stays_pollable() {
    let group = limited(1);
    let outcome = group
        .run(async {
            let spawner = group.spawner();
            let awaiter = group.spawn(async move {
                let stuck = spawner.spawn(never::<()>());
                let waited = tokio::time::timeout(millis(20), stuck).await;
                Ok(waited.is_err())
            });
            let timed_out = awaiter.await?;
            group.cancel();
            Ok(timed_out)
        })
        .await;
    assert_eq!(within(1000, async { outcome }).await, Ok(true));
}

/// Through a nested group: the outer child polls, deep inside, a handle of its own group.
#[tokio::test(start_paused = true)]
async fn a_handle_awaited_inside_a_nested_group_starts_its_child_too() {
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

/// Many awaiters at once: the places in use never exceed the limit plus those that are waiting for siblings.
#[tokio::test(start_paused = true)]
async fn awaiting_siblings_does_not_raise_the_number_of_children_that_really_run() {
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

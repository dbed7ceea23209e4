//! At most so many children at once, in spawn order, without deadlock between siblings that await each other.

use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use nexios::{CancelReason, TaskGroup};
use tokio::time::Instant;

use super::probes::{
    Failed, Gauge, Order, after, cancelled, counted, fails, millis, never, on_workers, panic_text,
    panics, poll_once, text_of, value, within,
};

fn limited<'env>(limit: usize) -> TaskGroup<'env, Failed> {
    TaskGroup::builder().limit(limit).build()
}

/// T12, TG-120, pitfall 1.5
#[tokio::test(start_paused = true)]
async fn never_more_than_the_limit_are_under_way() {
    let begun = Instant::now();
    let gauge = Gauge::default();
    let group = limited(10);
    let gauge_ref = &gauge;
    for n in 0..1025_u64 {
        group.spawn(async move {
            let _inside = gauge_ref.enter();
            after(10 + n % 3).await;
            Ok(())
        });
    }
    assert_eq!(group.len(), 1025);
    group.join().await.unwrap();
    assert_eq!((gauge.most(), gauge.entered(), gauge.live()), (10, 1025, 0));
    assert!(begun.elapsed() >= millis(1025));
}

/// A waiting child is not polled, not even once.
#[tokio::test(start_paused = true)]
async fn waiting_children_are_not_polled() {
    let polls = Arc::new(AtomicUsize::new(0));
    let group = limited(1);
    group.spawn(value(10, ()));
    let waiting = group.spawn(counted(&polls, value(0, ())));
    let mut join = pin!(group.join());
    assert!(poll_once(join.as_mut()).is_pending());
    assert_eq!(polls.load(Ordering::SeqCst), 0);
    assert!(!waiting.is_finished());
    join.await.unwrap();
    assert!(polls.load(Ordering::SeqCst) >= 1);
}

/// Waiting children start in spawn order. Only among themselves can parallel ones be compared: when a task that was
/// started is first polled is the runtime's business.
#[tokio::test(start_paused = true)]
async fn waiting_children_start_in_spawn_order() {
    for parallel in [false, true] {
        let order = Order::default();
        let group = limited(2);
        for n in 0..12 {
            let started = order.clone();
            let child = async move {
                started.push(n.to_string());
                after(5).await;
                Ok::<_, Failed>(())
            };
            match (parallel, n % 2) {
                (true, _) => drop(group.spawn_parallel(child)),
                (_, 0) => drop(group.spawn(child)),
                _ => drop(group.spawn_named("named", child)),
            }
        }
        group.join().await.unwrap();
        let expected: Vec<_> = (0..12).map(|n| n.to_string()).collect();
        assert_eq!(order.seen(), expected);
    }
}

/// A limit of one runs children strictly one after another.
#[tokio::test(start_paused = true)]
async fn a_limit_of_one_is_a_queue() {
    let begun = Instant::now();
    let gauge = Gauge::default();
    let group = limited(1);
    let gauge_ref = &gauge;
    for _ in 0..5 {
        group.spawn(async move {
            let _inside = gauge_ref.enter();
            after(10).await;
            Ok(())
        });
    }
    group.join().await.unwrap();
    assert_eq!(gauge.most(), 1);
    assert_eq!(begun.elapsed(), millis(50));
}

/// TG-141
#[tokio::test(start_paused = true)]
async fn after_a_failure_those_that_wait_never_start() {
    let started = Gauge::default();
    let started_ref = &started;
    let group = limited(2);
    for n in 1..=5_u64 {
        group.spawn(async move {
            let _inside = started_ref.enter();
            after(10).await;
            if n == 4 {
                Err(Failed::With("the fourth"))
            } else {
                Ok(())
            }
        });
    }
    assert_eq!(
        within(1000, group.join()).await,
        Err(Failed::With("the fourth"))
    );
    assert_eq!((started.entered(), started.live()), (4, 0));
    after(100).await;
    assert_eq!(started.entered(), 4, "nothing runs after the return");
}

/// A cancelled waiting child leaves the queue; its place is not lost.
#[tokio::test(start_paused = true)]
async fn cancelling_a_waiting_child_takes_it_out_of_the_queue() {
    let gauge = Gauge::default();
    let group = limited(1);
    let first = group.spawn(value(10, 1));
    let second = group.spawn(gauge.hold(value(10, 2)));
    let third = group.spawn(value(10, 3));
    second.cancel();
    assert_eq!(gauge.live(), 0, "dropped at once, unpolled");
    assert_eq!(group.len(), 2);
    assert_eq!(second.await, Err(cancelled(CancelReason::Requested)));
    assert_eq!((first.await, third.await), (Ok(1), Ok(3)));
}

/// A cancelled running child gives its place to the next.
#[tokio::test(start_paused = true)]
async fn cancelling_a_running_child_frees_its_place() {
    let group = limited(1);
    let stuck = group.spawn(never::<()>());
    let next = group.spawn(value(10, 2));
    let outcome = group
        .run(async {
            after(5).await;
            stuck.cancel();
            next.await
        })
        .await;
    assert_eq!(outcome, Ok(2));
}

/// TG-131: places of children that panic, fail or finish at once are all given back.
#[tokio::test(start_paused = true)]
async fn every_kind_of_end_gives_the_place_back() {
    let group = TaskGroup::builder()
        .limit(1)
        .on_error(nexios::OnError::Continue)
        .build();
    let outcomes = group
        .run(async {
            let failed = group.spawn(fails(1, "failed")).await;
            let at_once = group.spawn(async { Ok(()) }).await;
            let parallel = group
                .spawn_parallel(async { Err::<(), _>(Failed::With("parallel")) })
                .await;
            let stuck = group.spawn(never::<()>());
            after(1).await;
            stuck.cancel();
            let last = group.spawn(value(1, ())).await;
            Ok([failed, at_once, parallel, last])
        })
        .await;
    let expected = [
        Err(Failed::With("failed")),
        Ok(()),
        Err(Failed::With("parallel")),
        Ok(()),
    ];
    assert_eq!(within(1000, async { outcomes }).await, Ok(expected));
}

/// TG-131
#[tokio::test(start_paused = true)]
async fn panicking_children_beyond_the_limit_do_not_hang_the_group() {
    let group = limited(2);
    for _ in 0..10 {
        group.spawn(panics(1, "one of many"));
    }
    assert_eq!(within(1000, panic_text(group.join())).await, "one of many");
    assert!(group.is_empty());
}

/// A daemon takes no place and is not counted.
#[tokio::test(start_paused = true)]
async fn daemons_take_no_place() {
    let group = limited(1);
    for _ in 0..5 {
        group.spawn_daemon(std::future::pending());
    }
    assert_eq!(group.len(), 0);
    assert_eq!(
        within(1000, group.run(async { group.spawn(value(5, 1)).await })).await,
        Ok(1)
    );
}

/// TG-120 with parallel children: the limit holds across worker threads.
#[test]
fn the_limit_holds_for_parallel_children() {
    on_workers(|| async {
        let gauge = Gauge::default();
        let group = limited(4);
        for n in 0..400 {
            let held = gauge.clone();
            group.spawn_parallel(async move {
                let _inside = held.enter();
                for _ in 0..n % 5 {
                    tokio::task::yield_now().await;
                }
                Ok(())
            });
        }
        group.join().await.unwrap();
        assert_eq!((gauge.entered(), gauge.live()), (400, 0));
        assert!(gauge.most() <= 4, "{}", gauge.most());
    });
}

/// TG-119: a limit of zero is refused in the builder, with a message that names the value and the caller's place.
#[test]
fn a_limit_of_zero_panics_in_the_builder() {
    let payload = std::thread::spawn(|| TaskGroup::builder().limit(0))
        .join()
        .unwrap_err();
    assert!(text_of(&*payload).contains('0'), "{}", text_of(&*payload));
}

/// Handing over under the limit: `cancel` in the middle drops running and waiting ones.
#[tokio::test(start_paused = true)]
async fn cancel_drops_the_running_and_the_waiting() {
    let gauge = Gauge::default();
    let group = limited(2);
    let outcome = group
        .run(async {
            for _ in 0..6 {
                group.spawn(gauge.hold(never::<()>()));
            }
            after(5).await;
            group.cancel();
            assert_eq!((gauge.live(), group.len()), (0, 0));
            Ok(1)
        })
        .await;
    assert_eq!(outcome, Ok(1));
}

/// With a grace, those that have not started get none.
#[tokio::test(start_paused = true)]
async fn those_that_have_not_started_get_no_grace() {
    let order = Order::default();
    let group = TaskGroup::builder().limit(1).grace(millis(100)).build();
    let running = order.clone();
    let token = group.token();
    group.spawn(async move {
        token.cancelled().await;
        after(10).await;
        running.push("cleaned up");
        Ok::<_, Failed>(())
    });
    let waiting = order.clone();
    let second = group.spawn(async move {
        waiting.push("started");
        Ok(())
    });
    let begun = Instant::now();
    let outcome = group
        .run(async {
            after(5).await;
            group.cancel();
            second.await.unwrap_err();
            Ok(())
        })
        .await;
    assert_eq!(outcome, Ok(()));
    assert_eq!(order.seen(), ["cleaned up"]);
    assert_eq!(begun.elapsed(), millis(15));
}

//! What a turn leaves behind: neither the notes of a poll nor a wake that it made itself.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

use nexios::TaskGroup;

use super::probes::{Failed, Gauge, counted, group, never, poll_once, value};

/// Where a child leaves its waker.
type Left = Arc<Mutex<Option<Waker>>>;

/// Leaves its waker at the first poll and ends at the second.
async fn sleeping(left: Left) -> Result<(), Failed> {
    let mut slept = false;
    poll_fn(|cx| {
        if slept {
            return Poll::Ready(Ok(()));
        }
        slept = true;
        *left.lock().unwrap() = Some(cx.waker().clone());
        Poll::Pending
    })
    .await
}

fn wake(left: &Left) {
    let waker = left.lock().unwrap().take();
    waker.expect("the child has been polled").wake();
}

/// A child that ends right after it looked at a sibling without a place leaves its own to nobody but that sibling.
#[tokio::test(start_paused = true)]
async fn a_child_that_has_looked_at_a_sibling_and_ends_frees_one_place_not_two() {
    let gauge = Gauge::default();
    let group: TaskGroup<'static, Failed> = TaskGroup::builder().limit(2).build();
    let waiting = Arc::new(Mutex::new(None));
    let sibling = waiting.clone();
    group.spawn(async move {
        let mut sibling = sibling.lock().unwrap().take().unwrap();
        assert!(poll_once(pin!(&mut sibling)).is_pending());
        Ok(())
    });
    let inside = || {
        let gauge = gauge.clone();
        async move {
            let _inside = gauge.enter();
            value(10, ()).await
        }
    };
    group.spawn(inside());
    *waiting.lock().unwrap() = Some(group.spawn(inside()));
    group.spawn(inside());
    group.join().await.unwrap();
    assert_eq!((gauge.most(), gauge.entered()), (2, 3));
}

/// A child wakes a sibling and then drives a group of its own in the same poll.
#[tokio::test(start_paused = true)]
async fn a_wake_before_a_nested_turn_is_not_lost() {
    let (left, polls) = (Left::default(), Arc::new(AtomicUsize::new(0)));
    let outer = group();
    outer.spawn(counted(&polls, sleeping(left.clone())));
    outer.spawn(async move {
        wake(&left);
        let inner = group();
        inner
            .run(async { inner.spawn(async { Ok(()) }).await })
            .await
    });
    assert_eq!(poll_once(pin!(outer.join())), Poll::Ready(Ok(())));
    assert_eq!(polls.load(Ordering::SeqCst), 2);
}

/// The waker of who drove the group wakes a child, when the turn is over but its frame is still on the stack.
#[tokio::test(start_paused = true)]
async fn a_wake_by_the_drivers_own_waker_is_not_lost() {
    struct Relay(Left);
    impl Wake for Relay {
        fn wake(self: Arc<Self>) {
            if self.0.lock().unwrap().is_some() {
                wake(&self.0);
            }
        }
    }
    let (left, polls) = (Left::default(), Arc::new(AtomicUsize::new(0)));
    let group = group();
    group.spawn(counted(&polls, sleeping(left.clone())));
    // Always ready, so that the turn ends with its waker being called.
    group.spawn(poll_fn(|cx| {
        cx.waker().wake_by_ref();
        Poll::<Result<(), Failed>>::Pending
    }));
    let mut driver = pin!(group.spawn(never::<()>()));
    let relay = Waker::from(Arc::new(Relay(left)));
    for _ in 0..2 {
        assert!(
            driver
                .as_mut()
                .poll(&mut Context::from_waker(&relay))
                .is_pending()
        );
    }
    assert_eq!(polls.load(Ordering::SeqCst), 2);
}

/// A child's wakes of itself come after those it made of others.
#[tokio::test(start_paused = true)]
async fn children_that_wake_one_another_are_polled_in_the_order_of_the_wakes() {
    let lefts: [Left; 3] = Default::default();
    let order = super::probes::Order::default();
    let group = group();
    for (n, left) in lefts.iter().enumerate() {
        let (left, order) = (left.clone(), order.clone());
        group.spawn(async move {
            sleeping(left).await?;
            order.push(n.to_string());
            Ok(())
        });
    }
    group.spawn(async {
        for n in [2, 0, 1] {
            wake(&lefts[n]);
        }
        tokio::task::yield_now().await;
        order.push("waker");
        value(1, ()).await
    });
    group.join().await.unwrap();
    assert_eq!(order.seen(), ["2", "0", "1", "waker"]);
}

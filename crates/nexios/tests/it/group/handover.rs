//! Drivers that are parked, go away or cannot go on: somebody else does.

use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::Poll,
};

use futures_util::FutureExt;
use nexios::{CancelReason, CancelToken, Task, TaskGroup};
use tokio::sync::{Notify, oneshot};

use super::probes::{
    Failed, after, cancelled, fails, group, millis, never, poll_once, value, within,
};

/// A driver that was polled once and is kept alive unpolled strands nobody.
#[tokio::test(start_paused = true)]
async fn a_parked_handle_strands_no_other() {
    let group = group();
    let mut parked = Box::pin(group.spawn(value(5, 1)));
    let other = group.spawn(value(10, 2));
    assert!(poll_once(parked.as_mut()).is_pending());
    assert_eq!(within(100, other).await, Ok(2));
    assert_eq!(
        parked.now_or_never(),
        Some(Ok(1)),
        "it was driven by the other"
    );
}

/// The same for `run`: a handle awaited elsewhere drives on, and `run` ends in order when it is polled again.
#[tokio::test(start_paused = true)]
async fn a_parked_run_strands_no_handle() {
    let group = group();
    let waited = group.spawn(value(10, 2));
    let notify = Notify::new();
    let mut run = Box::pin(group.run(async {
        notify.notified().await;
        Ok("body")
    }));
    assert!(poll_once(run.as_mut()).is_pending());
    assert_eq!(within(100, waited).await, Ok(2));
    notify.notify_one();
    assert_eq!(within(100, run).await, Ok("body"));
}

/// `map` kept unpolled does not stop the children either.
#[tokio::test(start_paused = true)]
async fn a_parked_map_strands_no_handle() {
    let group = group();
    let waited = group.spawn(value(10, 2));
    let mut map = Box::pin(group.map(0..3, |n| value(1, n)));
    assert!(poll_once(map.as_mut()).is_pending());
    assert_eq!(within(100, waited).await, Ok(2));
    assert_eq!(within(100, map).await, Ok(vec![0, 1, 2]));
}

/// A waiter that goes away in the middle hands the driving to another.
#[tokio::test(start_paused = true)]
async fn a_waiter_that_goes_away_hands_over() {
    let group = Arc::new(group());
    let task = group.spawn(value(50, 7));
    let quick = group.spawn(value(60, 8));
    let first = tokio::spawn(task);
    let second = tokio::spawn(quick);
    after(10).await;
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    assert_eq!(within(1000, second).await.unwrap(), Ok(8));
    assert!(group.is_empty());
}

/// The body is polled only by `run`, wherever it is woken from.
#[tokio::test(start_paused = true)]
async fn a_driving_handle_wakes_the_run_whose_body_it_cannot_poll() {
    let group = Arc::new(group());
    let (send, receive) = oneshot::channel();
    let running = group.clone();
    let run = tokio::spawn(async move {
        running
            .run(async {
                let number: u32 = receive.await.map_err(|_| Failed::With("lost"))?;
                Ok(number)
            })
            .await
    });
    tokio::task::yield_now().await;
    let sends = group.spawn(async move {
        after(5).await;
        send.send(9).map_err(|_| Failed::With("nobody"))
    });
    let also = group.spawn(value(20, 1));
    assert_eq!(within(100, sends).await, Ok(()));
    assert_eq!(within(100, also).await, Ok(1));
    assert_eq!(within(100, run).await.unwrap(), Ok(9));
}

/// A failure that a driving handle brings about reaches a `run` on another task.
#[tokio::test(start_paused = true)]
async fn a_failure_driven_by_a_handle_belongs_to_run() {
    let group = Arc::new(group());
    let running = group.clone();
    let run = tokio::spawn(async move { running.run(never::<()>()).await });
    tokio::task::yield_now().await;
    let failing = group.spawn(fails(5, "for run"));
    assert_eq!(
        within(100, failing).await,
        Err(cancelled(CancelReason::SiblingFailed))
    );
    assert_eq!(
        within(100, run).await.unwrap(),
        Err(Failed::With("for run"))
    );
}

/// Dropping a `run` that another awaiter is driving for ends the group, and the awaiter is told.
#[tokio::test(start_paused = true)]
async fn dropping_run_tells_the_awaiters() {
    let group = Arc::new(group());
    let running = group.clone();
    let run = tokio::spawn(async move { running.run(never::<()>()).await });
    let waiting = tokio::spawn(group.spawn(never::<()>()));
    after(5).await;
    run.abort();
    assert_eq!(
        within(100, waiting).await.unwrap(),
        Err(cancelled(CancelReason::OwnerDropped))
    );
}

/// A deadline is kept by whoever drives, after the first driver has gone as well.
#[tokio::test(start_paused = true)]
async fn the_deadline_outlives_the_driver_that_started_it() {
    let group = TaskGroup::builder().timeout(millis(50)).build();
    {
        let mut first = pin!(group.spawn(never::<()>()));
        assert!(poll_once(first.as_mut()).is_pending());
    }
    after(20).await;
    let begun = tokio::time::Instant::now();
    let second = group.spawn(never::<()>());
    assert_eq!(within(1000, second).await, Err(super::probes::too_late()));
    assert_eq!(begun.elapsed(), millis(30));
}

/// Awaits a handle in a task of its own, which panics if it is polled over and over while nothing happens.
fn awaited_elsewhere(
    mut handle: Task<'static, u32, Failed>,
) -> tokio::task::JoinHandle<Result<u32, Failed>> {
    let polls = AtomicUsize::new(0);
    tokio::spawn(std::future::poll_fn(move |cx| {
        assert!(polls.fetch_add(1, Ordering::Relaxed) < 50, "kept awake");
        handle.poll_unpin(cx)
    }))
}

/// Handles tell `run` of what only `run` can go on with; they do not keep one another awake with it.
#[tokio::test(start_paused = true)]
async fn driving_handles_rest_while_a_grace_lasts() {
    let group: Arc<TaskGroup<'static, Failed>> =
        Arc::new(TaskGroup::builder().grace(millis(1000)).build());
    let running = group.clone();
    let run = tokio::spawn(async move {
        let body = async {
            after(50).await;
            Ok("body")
        };
        running.run(body).await
    });
    let first = awaited_elsewhere(group.spawn(value(20, 1)));
    let second = awaited_elsewhere(group.spawn(value(30, 2)));
    after(10).await;
    group.cancel();
    assert_eq!(within(100, first).await.unwrap(), Ok(1));
    assert_eq!(within(100, second).await.unwrap(), Ok(2));
    assert_eq!(within(100, run).await.unwrap(), Ok("body"));
}

/// The same for a `run` that is parked for good while its body is woken.
#[tokio::test(start_paused = true)]
async fn driving_handles_rest_while_a_woken_body_is_not_polled() {
    let group: Arc<TaskGroup<'static, Failed>> = Arc::new(TaskGroup::new());
    let notify = Notify::new();
    let mut run = Box::pin(group.run(async {
        notify.notified().await;
        Ok("body")
    }));
    assert!(poll_once(run.as_mut()).is_pending());
    notify.notify_one();
    let first = awaited_elsewhere(group.spawn(value(20, 1)));
    let second = awaited_elsewhere(group.spawn(value(30, 2)));
    assert_eq!(within(100, first).await.unwrap(), Ok(1));
    assert_eq!(within(100, second).await.unwrap(), Ok(2));
    assert_eq!(poll_once(run.as_mut()), Poll::Ready(Ok("body")));
}

/// The scope's token is seen by a handle that drives and knows no body: `run` drops that at its next turn, and returns
/// when the grace of the children is over.
#[tokio::test(start_paused = true)]
async fn a_token_that_a_driving_handle_sees_cuts_the_body() {
    let parent = CancelToken::new();
    let group: Arc<TaskGroup<'static, Failed>> = Arc::new(
        TaskGroup::builder()
            .parent(&parent)
            .grace(millis(1000))
            .build(),
    );
    let token = parent.clone();
    let mut run = Box::pin(group.run(async {
        token.cancelled().await;
        after(100).await;
        Err::<(), _>(Failed::With("the body's answer"))
    }));
    assert!(poll_once(run.as_mut()).is_pending());
    let token = parent.clone();
    let child = group.spawn(async move {
        token.cancelled().await;
        after(20).await;
        Ok(1)
    });
    parent.cancel(CancelReason::Requested);
    assert_eq!(within(100, child).await, Ok(1));
    assert_eq!(
        poll_once(run.as_mut()),
        Poll::Ready(Err(cancelled(CancelReason::Requested)))
    );
}

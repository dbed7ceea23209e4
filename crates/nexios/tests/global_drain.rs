//! A binary of its own: a drain shuts the registry of the process for good.
#![allow(clippy::unwrap_used, reason = "clippy's exception for tests does not reach their helpers")]

use std::{
    pin::Pin,
    task::{Context, Waker},
    time::Duration,
};

use nexios::{
    Background, BackgroundFailure, Drain, Interrupted, TaskGroup, ThreadPool, create_background_task,
};
use tokio::time::{Instant, sleep};

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Polls what will not be ready.
fn begin(future: Pin<&mut impl Future>) {
    assert!(future.poll(&mut Context::from_waker(Waker::noop())).is_pending());
}

/// What dropped task groups left behind is waited for and named, running pool closures are counted.
#[tokio::test(start_paused = true)]
async fn the_drain_of_the_process_knows_what_else_goes_on() {
    let (release, held) = std::sync::mpsc::channel::<()>();
    let pool = ThreadPool::builder().threads(1).build();
    let (started, begun) = std::sync::mpsc::channel();
    let mut closure = Box::pin(pool.run(move || started.send(()).is_ok() && held.recv().is_ok()));
    begin(closure.as_mut());
    begun.recv().unwrap();
    let task = create_background_task("mail", sleep(seconds(3)));

    // The client is gone in the middle of it: the finalizer goes on as work of the process.
    let group = TaskGroup::<Interrupted>::new();
    group.defer(sleep(seconds(7)));
    let mut run = Box::pin(group.run(std::future::pending::<Result<(), _>>()));
    begin(run.as_mut());
    drop(run);
    drop(group);

    let began = Instant::now();
    let report = Background::global().drain(Drain { wait: seconds(20), cancel: seconds(3) }).await;
    assert_eq!(began.elapsed(), seconds(7), "until the finalizer has ended, and no longer");
    assert_eq!((report.completed.as_slice(), report.abandoned.len()), (&["mail".into()][..], 0));
    assert_eq!(report.running_pool_closures, 1);
    task.await.unwrap();

    release.send(()).unwrap();
    assert!(closure.await.unwrap());
    let refused = create_background_task("late", async {});
    assert!(matches!(refused.await, Err(BackgroundFailure::Refused)));

    // What comes later is for the next drain, and one that does not end is named.
    let group = TaskGroup::<Interrupted>::new();
    group.defer(std::future::pending());
    let mut run = Box::pin(group.run(std::future::pending::<Result<(), _>>()));
    begin(run.as_mut());
    drop(run);
    drop(group);
    let began = Instant::now();
    let report = Background::global().drain(Drain { wait: seconds(2), cancel: seconds(1) }).await;
    assert_eq!(began.elapsed(), seconds(3));
    assert_eq!(report.abandoned, ["finalizers of a dropped task group"]);
    assert_eq!(report.running_pool_closures, 0);
}

//! A binary of its own: a drain shuts the registry of the process for good.
#![allow(
    clippy::unwrap_used,
    reason = "clippy's exception for tests does not reach their helpers"
)]

use std::{
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Waker},
    time::Duration,
};

use nexios::{
    Background, BackgroundFailure, Drain, Interrupted, TaskGroup, ThreadPool,
    create_background_task,
};
use tokio::{
    runtime::{Builder, Runtime},
    time::{Instant, sleep},
};

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Polls what will not be ready.
fn begin(future: Pin<&mut impl Future>) {
    assert!(
        future
            .poll(&mut Context::from_waker(Waker::noop()))
            .is_pending()
    );
}

/// One after the other: a drain ends what all have left, and the first one shuts the registry.
#[test]
fn the_drain_of_the_process() {
    let paused = || {
        Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .unwrap()
    };
    paused().block_on(the_drain_of_the_process_knows_what_else_goes_on());
    paused().block_on(a_finalizer_that_overruns_the_drain_is_dropped_at_its_end());
    let workers: Runtime = Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    workers.block_on(the_drain_keeps_its_time_beside_busy_code());
}

/// What dropped task groups left behind is waited for and named, running pool closures are counted.
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
    let report = Background::global()
        .drain(Drain {
            wait: seconds(20),
            cancel: seconds(3),
        })
        .await;
    assert_eq!(
        began.elapsed(),
        seconds(7),
        "until the finalizer has ended, and no longer"
    );
    assert_eq!(
        (report.completed.as_slice(), report.abandoned.len()),
        (&["mail".into()][..], 0)
    );
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
    let report = Background::global()
        .drain(Drain {
            wait: seconds(2),
            cancel: seconds(1),
        })
        .await;
    assert_eq!(began.elapsed(), seconds(3));
    assert_eq!(report.abandoned, ["finalizers of a dropped task group"]);
    assert_eq!(report.running_pool_closures, 0);
}

/// Sets its flag when it is dropped.
struct Gone(Arc<AtomicBool>);

impl Drop for Gone {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Drops a group in the middle of its run, with a finalizer that does not end by itself.
fn leave(finalizer: impl Future<Output = ()> + Send + 'static) -> Arc<AtomicBool> {
    let gone = Arc::new(AtomicBool::new(false));
    let flag = Gone(gone.clone());
    let group = TaskGroup::<Interrupted>::new();
    group.defer(async move {
        let _flag = flag;
        finalizer.await;
    });
    let mut run = Box::pin(group.run(std::future::pending::<Result<(), _>>()));
    begin(run.as_mut());
    gone
}

const SHORT: Drain = Drain {
    wait: Duration::from_millis(50),
    cancel: Duration::from_millis(50),
};

/// It is reported by the drain that it overruns, and gone when that returns; one that comes later has its own time.
async fn a_finalizer_that_overruns_the_drain_is_dropped_at_its_end() {
    let first = leave(std::future::pending());
    let report = Background::global().drain(SHORT).await;
    assert_eq!(report.abandoned, ["finalizers of a dropped task group"]);
    assert!(first.load(Ordering::SeqCst), "reported, and lives on");

    let second = leave(sleep(seconds(1)));
    sleep(Duration::from_millis(500)).await;
    assert!(
        !second.load(Ordering::SeqCst),
        "cut off by a drain that was over"
    );
    let report = Background::global()
        .drain(Drain {
            wait: seconds(2),
            cancel: seconds(1),
        })
        .await;
    assert_eq!(report.abandoned.len(), 0);
    assert!(second.load(Ordering::SeqCst));

    // Two drains at once: both find it gone.
    let third = leave(std::future::pending());
    let background = Background::global();
    let looks = async |report: nexios::DrainReport| {
        assert_eq!(report.abandoned.len(), 1);
        assert!(third.load(Ordering::SeqCst));
    };
    let one = async { looks(background.drain(SHORT).await).await };
    let two = async { looks(background.drain(SHORT).await).await };
    tokio::join!(one, two);
}

/// In real time, on worker threads, with code beside it that uses up the budget in every poll.
async fn the_drain_keeps_its_time_beside_busy_code() {
    let gone = leave(std::future::pending());
    let began = std::time::Instant::now();
    let busy = async {
        while began.elapsed() < seconds(3) {
            tokio::task::consume_budget().await;
        }
    };
    let (busy, drain) = (pin!(busy), pin!(Background::global().drain(SHORT)));
    let ended = futures_util::future::select(busy, drain).await;
    assert!(matches!(ended, futures_util::future::Either::Right(..)));
    assert!(gone.load(Ordering::SeqCst));
    assert!(
        began.elapsed() < Duration::from_millis(1_500),
        "{:?}",
        began.elapsed()
    );
}

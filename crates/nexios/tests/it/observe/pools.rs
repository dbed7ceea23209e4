//! What is told of pool jobs.

use std::{future::Future, sync::mpsc, time::Duration};

use nexios::{
    Overload, PoolError, ThreadPool,
    observe::{self, CustomWork},
    run_in_threadpool,
};

use super::recorder::Recorder;

/// Runs the future as the test's own work.
async fn within<F: Future>(root: &CustomWork, future: F) -> F::Output {
    let mut future = std::pin::pin!(future);
    std::future::poll_fn(|cx| root.scope(|| future.as_mut().poll(cx))).await
}

/// What is told, without the places of the calls.
fn told(recorder: &Recorder) -> Vec<String> {
    let without_place = |line: String| match line.split_once(": ") {
        Some((place, rest)) if place.contains(".rs:") => rest.to_owned(),
        _ => line,
    };
    recorder.lines().into_iter().map(without_place).collect()
}

/// A pool of one thread that is busy until the sender is dropped.
fn busy(overload: Overload, queue: usize) -> (ThreadPool, mpsc::Sender<()>) {
    let pool = ThreadPool::builder()
        .name("small")
        .threads(1)
        .queue(queue)
        .overload(overload)
        .build();
    let (begun, begins) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    let job = pool.try_run(move || {
        begun.send(()).unwrap();
        released.recv().unwrap_err();
    });
    let Ok(job) = job else {
        panic!("the pool is new and has a thread")
    };
    begins.recv().unwrap();
    drop(job);
    (pool, release)
}

#[tokio::test]
async fn a_job_is_called_by_the_place_of_its_call() {
    let (recorder, _observing, root) = Recorder::begin();
    let line = line!() + 1;
    within(&root, run_in_threadpool(|| ())).await;
    let made = recorder.lines()[0].clone();
    assert!(made.contains(&format!("pools.rs:{line}:")), "{made}");
    assert_eq!(
        told(&recorder),
        ["made as pool_job", "started", "Completed"]
    );
}

#[tokio::test]
async fn what_a_closure_starts_is_its_part() {
    let (recorder, _observing, root) = Recorder::begin();
    let pool = ThreadPool::builder().threads(1).build();
    let current = within(
        &root,
        pool.run(|| {
            drop(observe::custom("inside"));
            observe::current()
        }),
    );
    assert!(current.await.unwrap().is_some());
    let lines = recorder.lines();
    assert!(
        lines
            .iter()
            .any(|line| line.starts_with("inside: made as custom in ")),
        "{lines:?}"
    );
}

#[tokio::test]
async fn a_closure_that_panics_says_with_what() {
    let (recorder, _observing, root) = Recorder::begin();
    let pool = ThreadPool::builder().threads(1).build();
    let job = tokio::spawn(async move { within(&root, pool.run(|| panic!("on purpose"))).await });
    assert!(job.await.is_err());
    assert_eq!(told(&recorder).last().unwrap(), "Panicked(\"on purpose\")");
}

/// The call of the second job is part of the first one's closure, and dropped from inside of its drop.
#[tokio::test]
async fn each_closure_of_a_chain_has_ended_when_it_is_gone() {
    let (recorder, _observing, root) = Recorder::begin();
    let (pool, release) = busy(Overload::Wait, 8);
    let owned = root.scope(|| observe::custom("owned"));
    let second_line = line!() + 1;
    let second = root.scope(|| pool.try_run(move || drop(owned)));
    let first = root.scope(|| pool.try_run(move || drop(second)));
    assert!(first.is_ok(), "there is room");
    drop(first);
    let lines = recorder.lines();
    let second = format!("pools.rs:{second_line}:");
    let end = lines
        .iter()
        .position(|line| line.contains(&second) && line.ends_with(": Cancelled(OwnerDropped)"));
    let owned = lines.iter().position(|line| line == "owned: Completed");
    assert!(owned.is_some() && end.is_some(), "{lines:#?}");
    assert!(owned < end, "{lines:#?}");
    drop(release);
}

#[tokio::test]
async fn a_job_that_is_shed_was_refused() {
    let (recorder, _observing, root) = Recorder::begin();
    let (pool, release) = busy(Overload::Shed, 0);
    assert_eq!(
        within(&root, pool.run(|| ())).await,
        Err(PoolError::Saturated)
    );
    assert!(root.scope(|| pool.try_run(|| ())).is_err());
    let refused = ["made as pool_job", "Refused"];
    assert_eq!(told(&recorder), [refused, refused].concat());
    drop(release);
}

#[tokio::test]
async fn a_job_that_waited_too_long_was_refused() {
    let (recorder, _observing, root) = Recorder::begin();
    let (pool, release) = busy(Overload::ShedAfter(Duration::from_millis(1)), 1);
    assert_eq!(
        within(&root, pool.run(|| ())).await,
        Err(PoolError::QueueTimeout)
    );
    assert_eq!(told(&recorder), ["made as pool_job", "Refused"]);
    drop(release);
}

#[tokio::test]
async fn a_queued_job_whose_caller_leaves_is_cancelled_at_once() {
    let (recorder, _observing, root) = Recorder::begin();
    let (pool, release) = busy(Overload::Wait, 1);
    let mut call = Box::pin(within(&root, pool.run(|| ())));
    assert!(poll_once(&mut call).await.is_none());
    drop(call);
    assert_eq!(
        told(&recorder),
        ["made as pool_job", "Cancelled(OwnerDropped)"]
    );
    drop(release);
}

#[tokio::test]
async fn a_running_job_whose_caller_leaves_is_adopted_and_ends_when_its_closure_does() {
    let (recorder, _observing, root) = Recorder::begin();
    let pool = ThreadPool::builder().threads(1).build();
    let (begun, begins) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    let mut call = Box::pin(within(
        &root,
        pool.run(move || {
            begun.send(()).unwrap();
            released.recv().unwrap_err();
        }),
    ));
    assert!(poll_once(&mut call).await.is_none());
    begins.recv().unwrap();
    drop(call);
    let until_now = [
        "made as pool_job",
        "started",
        "Cancelling(OwnerDropped)",
        "Adopted",
    ];
    assert_eq!(told(&recorder), until_now);
    drop(release);
    pool.close().await;
    assert_eq!(
        told(&recorder)[until_now.len()..],
        ["Cancelled(OwnerDropped)"]
    );
}

#[tokio::test]
async fn a_queued_job_of_a_pool_that_closes_is_cancelled_by_the_shutdown() {
    let (recorder, _observing, root) = Recorder::begin();
    let (pool, release) = busy(Overload::Wait, 1);
    let mut call = Box::pin(within(&root, pool.run(|| ())));
    assert!(poll_once(&mut call).await.is_none());
    drop(release);
    pool.close().await;
    let lines = told(&recorder);
    // The thread may have come to it before.
    let ends = ["Cancelled(Shutdown)", "Completed"];
    assert!(ends.contains(&lines.last().unwrap().as_str()), "{lines:?}");
    assert_eq!(within(&root, pool.run(|| ())).await, Err(PoolError::Closed));
    assert_eq!(told(&recorder).last().unwrap(), "Refused");
}

#[tokio::test]
async fn a_closure_that_asks_is_told_once_that_it_may_stop() {
    let (recorder, _observing, root) = Recorder::begin();
    let pool = ThreadPool::builder().threads(1).build();
    let (begun, begins) = mpsc::channel();
    let mut call = Box::pin(within(
        &root,
        pool.run_with(move |token| {
            begun.send(()).unwrap();
            while !token.is_cancelled() {
                std::thread::yield_now();
            }
        }),
    ));
    assert!(poll_once(&mut call).await.is_none());
    begins.recv().unwrap();
    pool.close().await;
    drop(call);
    assert_eq!(
        told(&recorder),
        [
            "made as pool_job",
            "started",
            "Cancelling(Shutdown)",
            "Completed"
        ]
    );
}

#[tokio::test]
async fn a_pool_is_alive_from_its_first_job_until_it_is_dropped() {
    fn alive() -> bool {
        observe::snapshot()
            .pools
            .iter()
            .any(|pool| pool.name == "alive for a while")
    }
    let pool = ThreadPool::builder().name("alive for a while").build();
    assert!(!alive());
    pool.run(|| ()).await.unwrap();
    assert!(alive());
    drop(pool);
    // Its threads have it until they have ended.
    while alive() {
        std::thread::yield_now();
    }
}

#[tokio::test]
async fn a_pool_without_a_name_is_called_by_its_place() {
    let line = line!() + 1;
    let pool = ThreadPool::builder().build();
    pool.run(|| ()).await.unwrap();
    assert_eq!(pool.name(), "pool");
    let place = format!("pools.rs:{line}:");
    assert!(
        observe::snapshot()
            .pools
            .iter()
            .any(|pool| pool.name.contains(&place))
    );
}

async fn poll_once<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
    std::future::poll_fn(|cx| match std::pin::Pin::new(&mut *future).poll(cx) {
        std::task::Poll::Ready(output) => std::task::Poll::Ready(Some(output)),
        std::task::Poll::Pending => std::task::Poll::Ready(None),
    })
    .await
}

//! Tasks that are tried again.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use nexios::{Background, BackgroundFailure, Retry, TaskState};
use tokio::time::Instant;

use super::{assert_idle, seconds, settle};

/// The moments at which a task that always fails is tried.
async fn moments(retry: Retry) -> Vec<Duration> {
    let background = Background::new();
    let began = Instant::now();
    let moments = Arc::new(Mutex::new(Vec::new()));
    let task = background
        .task("fails")
        .retry(retry)
        .spawn_fallible({
            let moments = moments.clone();
            move |_cx| {
                moments.lock().unwrap().push(began.elapsed());
                async { Err::<(), _>("no") }
            }
        })
        .unwrap();
    assert!(matches!(task.await, Ok(Err("no"))));
    assert_eq!(
        background.stats().failed,
        1,
        "a task fails once, however often it was tried"
    );
    let moments = moments.lock().unwrap();
    moments.clone()
}

#[tokio::test(start_paused = true)]
async fn a_failed_task_is_tried_again_until_it_succeeds() {
    let background = Background::new();
    let retry = Retry::exponential(seconds(1), seconds(8)).attempts(5);
    let task = background
        .task("flaky")
        .retry(retry)
        .spawn_fallible(|cx| async move {
            if cx.attempt() < 3 {
                Err("down")
            } else {
                Ok(cx.attempt())
            }
        })
        .unwrap();
    let id = task.id();
    settle().await;
    let info = background.get(id).unwrap();
    assert_eq!(
        (info.state, info.attempt, info.error.as_deref()),
        (TaskState::Retrying, 1, Some("down"))
    );
    assert_eq!(background.stats().running, 1, "it keeps its slot");
    assert_eq!(task.await.unwrap(), Ok(3));
    let info = background.get(id).unwrap();
    assert_eq!((info.state, info.attempt), (TaskState::Completed, 3));
    assert_idle(&background);
}

/// BG-030: the delays double from the first to the longest, and never exceed what was said.
#[tokio::test(start_paused = true)]
async fn delays_grow_exponentially_within_their_bounds() {
    let moments = moments(Retry::exponential(seconds(1), seconds(4)).attempts(6)).await;
    let delays: Vec<_> = moments
        .windows(2)
        .map(|pair| (pair[1] - pair[0]).as_secs_f64())
        .collect();
    assert_eq!(delays.len(), 5);
    for (delay, full) in delays.iter().zip([1.0, 2.0, 4.0, 4.0, 4.0]) {
        assert!((full / 2.0..=full + 0.002).contains(delay), "{delays:?}");
    }
}

/// Jitter is not the same for every task.
#[tokio::test(start_paused = true)]
async fn delays_differ_between_tasks() {
    let retry = Retry::exponential(seconds(1_000), seconds(1_000)).attempts(2);
    let mut delays = std::collections::HashSet::new();
    for _ in 0..8 {
        delays.insert(moments(retry.clone()).await[1].as_millis());
    }
    assert!(delays.len() > 4, "{delays:?}");
}

/// BG-030: nonsense does not overflow: a first delay above the longest, zero, and endless ones.
#[tokio::test(start_paused = true)]
async fn odd_delays_are_brought_into_bounds() {
    let tried = moments(Retry::exponential(seconds(10), seconds(2)).attempts(2)).await;
    assert!(tried[1] <= Duration::from_millis(2_002), "{tried:?}");
    assert_eq!(
        moments(Retry::exponential(Duration::ZERO, Duration::ZERO).attempts(4))
            .await
            .len(),
        4
    );
    assert_eq!(
        moments(Retry::exponential(seconds(1), seconds(1)).attempts(1))
            .await
            .len(),
        1
    );
    assert_eq!(
        moments(Retry::exponential(seconds(1), seconds(1)))
            .await
            .len(),
        3,
        "the default"
    );
    let background = Background::new();
    let retry = Retry::exponential(Duration::MAX, Duration::MAX).attempts(u32::MAX);
    let task = background
        .task("never")
        .retry(retry)
        .spawn_fallible(|_cx| async { Err::<(), _>(0) })
        .unwrap();
    settle().await;
    task.cancel();
    assert!(matches!(task.await, Err(BackgroundFailure::Cancelled)));
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_tried_again_like_an_error() {
    let background = Background::new();
    let retry = || Retry::exponential(seconds(1), seconds(1)).attempts(3);
    let calls = Arc::new(AtomicU32::new(0));
    let counted = calls.clone();
    let task = background
        .task("panics")
        .retry(retry())
        .spawn(move |cx| {
            counted.fetch_add(1, Ordering::SeqCst);
            assert!(cx.attempt() > 1, "before there is a future");
            async move {
                assert!(cx.attempt() > 2, "inside the future");
                cx.attempt()
            }
        })
        .unwrap();
    assert_eq!(task.await.unwrap(), 3);
    assert_eq!(calls.load(Ordering::SeqCst), 3);
    assert_eq!(background.stats().panicked, 0);
    let task = background
        .task("always")
        .retry(retry())
        .spawn(|_cx| async { panic!("again") })
        .unwrap();
    let id = task.id();
    assert!(matches!(
        task.await,
        Err::<(), _>(BackgroundFailure::Panicked)
    ));
    let info = background.get(id).unwrap();
    assert_eq!(
        (info.state, info.attempt, info.error.as_deref()),
        (TaskState::Panicked, 3, Some("again"))
    );
    assert_eq!(background.stats().panicked, 1);
}

#[tokio::test(start_paused = true)]
async fn a_timeout_covers_all_attempts_and_the_waits_between_them() {
    let background = Background::new();
    let began = Instant::now();
    let task = background
        .task("slow")
        .retry(Retry::exponential(seconds(4), seconds(4)).attempts(100))
        .timeout(seconds(10))
        .unique("slow")
        .spawn_fallible(|_cx| async { Err::<(), _>("no") })
        .unwrap();
    assert!(matches!(task.await, Err(BackgroundFailure::TimedOut)));
    assert_eq!(began.elapsed(), seconds(10));
    assert_idle(&background);
}

/// BG-027: a task that was cancelled is not tried again, even by its own error.
#[tokio::test(start_paused = true)]
async fn a_cancelled_task_is_not_tried_again() {
    let background = Background::new();
    let calls = Arc::new(AtomicU32::new(0));
    let task = background
        .task("gives up")
        .retry(Retry::exponential(seconds(1), seconds(1)).attempts(9))
        .spawn_fallible({
            let calls = calls.clone();
            move |cx| {
                calls.fetch_add(1, Ordering::SeqCst);
                async move {
                    cx.cancelled().await;
                    Err::<(), _>("stopped")
                }
            }
        })
        .unwrap();
    settle().await;
    task.cancel();
    assert!(matches!(task.await, Err(BackgroundFailure::Cancelled)));
    assert_eq!(calls.load(Ordering::SeqCst), 1);
}

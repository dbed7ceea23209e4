//! How long a task may go on after it was asked to end.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use nexios::{Background, BackgroundFailure, CancelReason, Drain, Retry, TaskBuilder, TaskState};
use tokio::time::{Instant, sleep};

use super::{Flag, assert_idle, names, seconds, settle};

/// A task that may go on for five seconds.
fn five_seconds(background: &Background) -> TaskBuilder {
    background.task("graceful").grace(seconds(5))
}

#[tokio::test(start_paused = true)]
async fn a_task_that_ignores_its_cancellation_is_dropped_after_its_grace_and_its_slot_is_free() {
    let background = Background::builder().limit(1).build();
    let (flag, dropped) = Flag::new();
    let task = five_seconds(&background)
        .unique("key")
        .spawn(move |_cx| async move {
            let _flag = flag;
            sleep(seconds(3_600)).await;
        })
        .unwrap();
    let next = background.spawn("next", |_cx| async { 7 }).unwrap();
    let id = task.id();
    sleep(seconds(60)).await;
    let asked = Instant::now();
    task.cancel();
    sleep(seconds(4)).await;
    let info = background.get(id).unwrap();
    assert_eq!(
        (info.state, info.cancelling),
        (TaskState::Running, Some(CancelReason::Requested))
    );
    assert!(matches!(task.await, Err(BackgroundFailure::Cancelled)));
    assert_eq!(asked.elapsed(), seconds(5));
    assert!(dropped.load(Ordering::SeqCst));
    let info = background.get(id).unwrap();
    assert_eq!((info.state, info.cancelling), (TaskState::Cancelled, None));
    assert_eq!(next.await.unwrap(), 7, "its slot is free");
    assert!(
        background
            .task("again")
            .unique("key")
            .spawn(|_cx| async {})
            .is_ok()
    );
    settle().await;
    assert_idle(&background);
}

#[tokio::test(start_paused = true)]
async fn a_task_that_cleans_up_within_its_grace_ends_as_it_likes() {
    let background = Background::new();
    let value = five_seconds(&background)
        .spawn(|cx| async move {
            let reason = cx.cancelled().await;
            sleep(seconds(4)).await;
            reason
        })
        .unwrap();
    let error = five_seconds(&background)
        .spawn_fallible(|cx| async move {
            cx.cancelled().await;
            Err::<(), _>("told to end")
        })
        .unwrap();
    let panic = five_seconds(&background)
        .spawn(|cx| async move {
            cx.cancelled().await;
            panic!("could not clean up");
        })
        .unwrap();
    settle().await;
    value.cancel();
    error.cancel();
    panic.cancel();
    assert_eq!(value.await.unwrap(), CancelReason::Requested);
    assert!(matches!(error.await, Err(BackgroundFailure::Cancelled)));
    let panic: Result<(), _> = panic.await;
    assert!(matches!(panic, Err(BackgroundFailure::Panicked)));
    assert_idle(&background);
}

/// Neither the grace nor the time it takes begins before somebody asks.
#[tokio::test(start_paused = true)]
async fn a_task_that_nobody_cancels_is_not_held_to_its_grace() {
    let background = Background::new();
    let began = Instant::now();
    let task = five_seconds(&background)
        .spawn(|_cx| async {
            sleep(seconds(60)).await;
            9
        })
        .unwrap();
    assert_eq!(task.await.unwrap(), 9);
    assert_eq!(began.elapsed(), seconds(60));
    assert_idle(&background);
}

/// There is nobody yet who could clean up.
#[tokio::test(start_paused = true)]
async fn a_task_that_waits_for_its_slot_or_its_next_attempt_needs_no_grace() {
    let background = Background::builder().limit(1).build();
    let failing = five_seconds(&background)
        .retry(Retry::exponential(seconds(3_600), seconds(3_600)))
        .grace(seconds(7))
        .spawn_fallible(|_cx| async { Err::<(), _>("down") })
        .unwrap();
    let waiting = five_seconds(&background).spawn(|_cx| async {}).unwrap();
    settle().await;
    assert_eq!(names(&background, TaskState::Retrying).len(), 1);
    let asked = Instant::now();
    waiting.cancel();
    failing.cancel();
    assert!(matches!(waiting.await, Err(BackgroundFailure::Cancelled)));
    assert!(matches!(failing.await, Err(BackgroundFailure::Cancelled)));
    assert_eq!(asked.elapsed(), seconds(0));
    assert_idle(&background);
}

#[tokio::test(start_paused = true)]
async fn an_attempt_is_dropped_after_the_grace_and_none_follows() {
    let background = Background::new();
    let task = background
        .task("again")
        .retry(Retry::exponential(seconds(1), seconds(1)).attempts(9))
        .grace(seconds(5))
        .spawn_fallible(|cx| async move {
            if cx.attempt() == 1 {
                return Err("down");
            }
            sleep(seconds(3_600)).await;
            Ok(())
        })
        .unwrap();
    let id = task.id();
    sleep(seconds(10)).await;
    let asked = Instant::now();
    task.cancel();
    assert!(matches!(task.await, Err(BackgroundFailure::Cancelled)));
    assert_eq!(asked.elapsed(), seconds(5));
    assert_eq!(background.get(id).unwrap().attempt, 2);
    assert_idle(&background);
}

/// A time limit goes on beside it, and the first of the two counts.
#[tokio::test(start_paused = true)]
async fn the_first_of_grace_and_time_limit_counts() {
    let background = Background::new();
    for (limit, cancelled_after, ended_after, failure) in [
        (60, 10, 15, BackgroundFailure::Cancelled),
        (12, 10, 12, BackgroundFailure::TimedOut),
    ] {
        let began = Instant::now();
        let task = five_seconds(&background)
            .timeout(seconds(limit))
            .spawn(|_cx| std::future::pending::<()>())
            .unwrap();
        sleep(seconds(cancelled_after)).await;
        task.cancel();
        assert_eq!(task.await.unwrap_err(), failure);
        assert_eq!(began.elapsed(), seconds(ended_after));
    }
    assert_idle(&background);
}

/// Whoever fires the token asks the task to end.
#[tokio::test(start_paused = true)]
async fn the_grace_begins_when_the_token_fires() {
    let background = Background::new();
    let began = Instant::now();
    let task = five_seconds(&background)
        .spawn(|cx| async move {
            sleep(seconds(10)).await;
            cx.token().cancel(CancelReason::Deadline);
            sleep(seconds(3_600)).await;
        })
        .unwrap();
    assert!(matches!(task.await, Err(BackgroundFailure::Cancelled)));
    assert_eq!(began.elapsed(), seconds(15));
    assert_idle(&background);
}

#[tokio::test(start_paused = true)]
async fn a_drain_that_gives_up_before_the_grace_is_over_does_not_wait_for_it() {
    for (cancel, ended_after, state) in
        [(20, 6, TaskState::Cancelled), (2, 3, TaskState::Abandoned)]
    {
        let background = Background::new();
        let _task = five_seconds(&background)
            .spawn(|_cx| std::future::pending::<()>())
            .unwrap();
        let began = Instant::now();
        let (wait, cancel) = (seconds(1), seconds(cancel));
        background.drain(Drain { wait, cancel }).await;
        assert_eq!(began.elapsed(), seconds(ended_after));
        assert_eq!(names(&background, state), ["graceful"]);
        assert_idle(&background);
    }
}

/// How often the thread of a runtime goes to sleep during two hours that come after a task with such a grace has ended. A
/// paused clock stops at every timer that is left.
fn sleeps_after(grace: Option<Duration>) -> usize {
    let sleeps = Arc::new(AtomicUsize::new(0));
    let counted = sleeps.clone();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .on_thread_park(move || {
            counted.fetch_add(1, Ordering::SeqCst);
        })
        .build()
        .unwrap();
    runtime.block_on(async {
        let background = Background::new();
        let mut builder = background.task("graceful");
        if let Some(grace) = grace {
            builder = builder.grace(grace);
        }
        let task = builder
            .spawn(|cx| async move {
                cx.cancelled().await;
                sleep(seconds(1)).await;
            })
            .unwrap();
        settle().await;
        task.cancel();
        task.await.unwrap();
        settle().await;
        assert_idle(&background);
        let before = sleeps.load(Ordering::SeqCst);
        sleep(seconds(7_200)).await;
        sleeps.load(Ordering::SeqCst) - before
    })
}

#[test]
fn no_timer_is_left_of_a_grace_that_was_not_used_up() {
    assert_eq!(sleeps_after(Some(seconds(3_600))), sleeps_after(None));
}

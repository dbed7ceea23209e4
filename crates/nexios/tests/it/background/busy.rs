//! Limits and cancellations beside code that is always ready, in real time. `consume_budget` stands for anything of
//! tokio's that is: a full channel, a fast socket.

use std::{
    future::Future,
    pin::pin,
    time::{Duration, Instant},
};

use futures_util::future::{Either, join, select};
use nexios::{Background, BackgroundFailure, CancelReason, CancelToken, Drain, Retry, TaskState};
use tokio::{
    runtime::{Builder, Runtime},
    task::consume_budget,
};

const LIMIT: Duration = Duration::from_millis(50);
/// How long code is busy that nobody ends.
const LONG: Duration = Duration::from_secs(5);
/// Far from either, as the machine may be busy too.
const SOON: Duration = Duration::from_millis(2_500);

async fn busy_for(long: Duration) {
    let began = Instant::now();
    while began.elapsed() < long {
        consume_budget().await;
    }
}

async fn busy() {
    busy_for(LONG).await;
}

/// Runs `test` in `block_on`, in a task, and in a task of a runtime with two threads; it must be over soon.
fn everywhere<T: Future<Output = ()> + Send + 'static>(test: impl Fn() -> T) {
    let (alone, two) = (
        Builder::new_current_thread().enable_all().build().unwrap(),
        Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap(),
    );
    let in_a_task = |runtime: &Runtime| runtime.block_on(runtime.spawn(test())).unwrap();
    for (place, run) in [
        ("in block_on", (&|| alone.block_on(test())) as &dyn Fn()),
        ("in a task", &|| in_a_task(&alone)),
        ("on two threads", &|| in_a_task(&two)),
    ] {
        let began = Instant::now();
        run();
        assert!(
            began.elapsed() < SOON,
            "{place}: it took {:?}",
            began.elapsed()
        );
    }
    two.shutdown_background();
}

#[test]
fn the_time_limit_of_a_busy_task_holds() {
    everywhere(|| async {
        let background = Background::new();
        let task = background
            .task("busy")
            .timeout(LIMIT)
            .spawn(|_cx| busy())
            .unwrap();
        assert_eq!(task.await, Err(BackgroundFailure::TimedOut));
    });
}

#[test]
fn the_time_limit_of_a_busy_attempt_holds() {
    everywhere(|| async {
        let retry = Retry::exponential(LIMIT, LIMIT);
        let task = Background::new()
            .task("busy")
            .retry(retry)
            .timeout(LIMIT)
            .spawn(|_cx| busy())
            .unwrap();
        assert_eq!(task.await, Err(BackgroundFailure::TimedOut));
    });
}

#[test]
fn a_cancellation_ends_a_busy_future() {
    everywhere(|| async {
        let task = Background::new().spawn_future("busy", busy());
        tokio::task::yield_now().await;
        task.cancel();
        assert_eq!(task.await, Err(BackgroundFailure::Cancelled));
    });
}

#[test]
fn a_task_hears_of_its_cancellation_beside_busy_code() {
    everywhere(|| async {
        let background = Background::new();
        let task = background
            .spawn("busy", |cx| async move {
                match select(pin!(busy()), pin!(cx.cancelled())).await {
                    Either::Left(_) => None,
                    Either::Right((reason, _)) => Some(reason),
                }
            })
            .unwrap();
        tokio::time::sleep(LIMIT).await;
        task.cancel();
        assert_eq!(task.await, Ok(Some(CancelReason::Requested)));
    });
}

#[test]
fn a_token_is_heard_beside_busy_code() {
    everywhere(|| async {
        let token = CancelToken::new();
        let (parent, child) = (token.clone(), token.child());
        std::thread::spawn(move || {
            std::thread::sleep(LIMIT);
            parent.cancel(CancelReason::Shutdown);
        });
        let Either::Right((reason, _)) = select(pin!(busy()), pin!(child.cancelled())).await else {
            panic!("the token was not heard")
        };
        assert_eq!(reason, CancelReason::Shutdown);
    });
}

#[test]
fn the_end_of_a_task_is_seen_beside_busy_code() {
    everywhere(|| async {
        let background = Background::new();
        let task = background.spawn_future("short", async { 7 });
        let Either::Right((value, _)) = select(pin!(busy()), task).await else {
            panic!("not seen")
        };
        assert_eq!(value, Ok(7));
        let scoped = background.spawn_future("short", async { 8 }).scoped();
        let Either::Right((value, _)) = select(pin!(busy()), scoped).await else {
            panic!("not seen")
        };
        assert_eq!(value, Ok(8));
    });
}

/// All three phases, beside a busy future in the same task and with a busy task.
#[test]
fn a_drain_keeps_its_limits_beside_busy_code() {
    everywhere(|| async {
        let background = Background::new();
        let deaf = background.spawn("deaf", |_cx| busy()).unwrap();
        let drain = background.drain(Drain {
            wait: LIMIT,
            cancel: LIMIT,
        });
        let Either::Right((report, _)) = select(pin!(busy()), pin!(drain)).await else {
            panic!("the drain was hidden")
        };
        assert_eq!(report.abandoned, ["deaf"]);
        assert_eq!(deaf.await, Err(BackgroundFailure::Abandoned));
    });
}

/// Two that wait for each other's turn.
#[test]
fn drains_and_handles_that_are_joined_with_busy_code_end() {
    everywhere(|| async {
        let background = Background::new();
        let task = background.spawn_future("short", tokio::time::sleep(LIMIT));
        let drain = background.drain(Drain {
            wait: LONG,
            cancel: LONG,
        });
        let ((), (value, report)) = join(busy_for(LIMIT * 4), join(task, drain)).await;
        assert_eq!((value, report.completed.len()), (Ok(()), 1));
    });
}

#[test]
fn attempts_that_fail_at_once_leave_others_their_turn() {
    everywhere(|| async {
        let background = Background::new();
        let retry = || Retry::exponential(Duration::ZERO, Duration::ZERO).attempts(u32::MAX);
        let limited = background.task("limited").timeout(LIMIT).retry(retry());
        let limited = limited
            .spawn_fallible(|_cx| async { Err::<(), _>("down") })
            .unwrap();
        let endless = background.task("endless").retry(retry());
        let endless = endless
            .spawn_fallible(|_cx| async { Err::<(), _>("down") })
            .unwrap();
        tokio::time::sleep(LIMIT).await;
        endless.cancel();
        assert_eq!(endless.await, Err(BackgroundFailure::Cancelled));
        assert_eq!(limited.await, Err(BackgroundFailure::TimedOut));
    });
}

/// On a clock that stands still no delay lets others go on.
#[tokio::test(start_paused = true)]
async fn attempts_without_a_delay_leave_others_their_turn() {
    let background = Background::new();
    let retry = Retry::exponential(Duration::ZERO, Duration::ZERO).attempts(u32::MAX);
    let endless = background.task("endless").retry(retry);
    let endless = endless
        .spawn_fallible(|_cx| async { Err::<(), _>("down") })
        .unwrap();
    tokio::task::yield_now().await;
    endless.cancel();
    assert_eq!(endless.await, Err(BackgroundFailure::Cancelled));
}

#[test]
fn a_schedule_with_a_period_too_short_leaves_others_their_turn() {
    everywhere(|| async {
        let background = Background::new();
        let ready = background
            .every("ready", Duration::from_nanos(1), |_cx| async {})
            .unwrap();
        let busy = background
            .every("busy", Duration::from_nanos(1), |_cx| busy_for(LIMIT / 10))
            .unwrap();
        tokio::time::sleep(LIMIT).await;
        assert_eq!(background.stats().running, 2);
        ready.cancel();
        assert_eq!(ready.await, Err(BackgroundFailure::Cancelled));
        let report = background
            .drain(Drain {
                wait: LONG,
                cancel: LONG,
            })
            .await;
        assert_eq!(report.completed, ["busy"], "it ends after the run it is in");
        assert_eq!(busy.await, Ok(()));
    });
}

/// Busy runs take their periods up, and the schedule goes on in step.
#[test]
fn a_busy_run_of_a_schedule_is_cut_off_by_the_third_phase() {
    everywhere(|| async {
        let background = Background::new();
        let task = background.every("busy", LIMIT / 5, |_cx| busy()).unwrap();
        let id = task.id();
        tokio::time::sleep(LIMIT).await;
        let report = background
            .drain(Drain {
                wait: LIMIT,
                cancel: LIMIT,
            })
            .await;
        assert_eq!(report.abandoned, ["busy"]);
        assert_eq!(background.get(id).unwrap().state, TaskState::Abandoned);
    });
}

/// tokio's clock is moved by hand here, as ten seconds of real time are long.
#[tokio::test(start_paused = true)]
async fn a_busy_task_that_ignores_its_cancellation_is_reported() {
    let (lines, _guard) = crate::lines::Lines::capture();
    let background = Background::new();
    let task = background.spawn("busy", |_cx| busy()).unwrap();
    tokio::task::yield_now().await;
    task.cancel();
    tokio::task::yield_now().await;
    tokio::time::advance(Duration::from_secs(11)).await;
    tokio::task::yield_now().await;
    assert_eq!(
        lines.take(),
        ["WARN busy: background task ignores its cancellation"]
    );
    background
        .drain(Drain {
            wait: Duration::ZERO,
            cancel: Duration::ZERO,
        })
        .await;
    assert_eq!(task.await, Err(BackgroundFailure::Abandoned));
}

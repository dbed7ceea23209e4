//! Tasks that run again and again.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use nexios::{Background, BackgroundFailure, Drain, TaskState};
use tokio::time::{Instant, sleep};

use super::{assert_idle, seconds};

type Moments = Arc<Mutex<Vec<u64>>>;

/// Notes the second, counted from `began`, at which each run begins.
fn note(moments: &Moments, began: Instant) {
    moments.lock().unwrap().push(began.elapsed().as_secs());
}

/// Runs a schedule of ten seconds whose runs take `run` for `total`.
async fn moments(run: Duration, total: Duration) -> Vec<u64> {
    let background = Background::new();
    let moments = Moments::default();
    let began = Instant::now();
    let task = background
        .every("tick", seconds(10), {
            let moments = moments.clone();
            move |_cx| {
                note(&moments, began);
                sleep(run)
            }
        })
        .unwrap();
    sleep(total).await;
    drop(task.scoped());
    super::settle().await;
    assert_eq!(background.stats().queued, 0);
    let moments = moments.lock().unwrap();
    moments.clone()
}

#[tokio::test(start_paused = true)]
async fn a_schedule_runs_at_whole_periods_without_drift() {
    assert_eq!(moments(seconds(3), seconds(45)).await, [10, 20, 30, 40]);
}

/// Whether somebody observes or not.
#[tokio::test(start_paused = true)]
async fn the_list_says_when_the_next_run_begins_until_the_schedule_ends() {
    let background = Background::new();
    let task = background
        .every("tick", seconds(10), |_cx| sleep(seconds(3)))
        .unwrap();
    super::settle().await;
    let next = || {
        let info = background.get(task.id()).unwrap();
        let next = info.next_run?.duration_since(info.started?).unwrap();
        // The time of day is read anew, in whole seconds.
        Some(next.as_secs_f64().round())
    };
    assert_eq!(next(), Some(10.0));
    sleep(seconds(12)).await;
    assert_eq!(next(), Some(10.0), "that of the run that goes on");
    sleep(seconds(2)).await;
    assert_eq!(next(), Some(20.0));
    task.cancel();
    super::settle().await;
    assert_eq!(next(), None);
    let other = background.spawn_future("other", async {});
    assert_eq!(background.get(other.id()).unwrap().next_run, None);
}

#[tokio::test(start_paused = true)]
async fn runs_do_not_overlap_and_missed_periods_are_skipped() {
    assert_eq!(moments(seconds(25), seconds(105)).await, [10, 40, 70, 100]);
}

#[tokio::test(start_paused = true)]
async fn a_period_that_begins_as_a_run_ends_is_not_lost() {
    assert_eq!(moments(seconds(10), seconds(45)).await, [10, 20, 30, 40]);
    assert_eq!(moments(seconds(20), seconds(75)).await, [10, 30, 50, 70]);
    assert_eq!(
        moments(seconds(10) + Duration::from_millis(1), seconds(55)).await,
        [10, 30, 50]
    );
}

/// The next period begins as the run ends, but there was an end before.
#[tokio::test(start_paused = true)]
async fn no_run_begins_as_one_ends_once_a_drain_has_begun() {
    let background = Background::new();
    let began = Instant::now();
    let task = background
        .every("tick", seconds(10), |_cx| sleep(seconds(10)))
        .unwrap();
    sleep(seconds(15)).await;
    let report = background
        .drain(Drain {
            wait: seconds(60),
            cancel: seconds(1),
        })
        .await;
    assert_eq!((began.elapsed(), report.completed.len()), (seconds(20), 1));
    task.await.unwrap();
}

/// A drain neither waits for the next run nor starts it.
#[tokio::test(start_paused = true)]
async fn a_schedule_stops_when_a_drain_begins() {
    let background = Background::new();
    let moments = Moments::default();
    let began = Instant::now();
    let task = background
        .every("tick", seconds(10), {
            let moments = moments.clone();
            move |_cx| {
                note(&moments, began);
                sleep(seconds(4))
            }
        })
        .unwrap();
    sleep(seconds(11)).await;
    let report = background
        .drain(Drain {
            wait: seconds(60),
            cancel: seconds(1),
        })
        .await;
    assert_eq!(began.elapsed(), seconds(14), "the run it is in may finish");
    assert_eq!(report.completed, ["tick"]);
    task.await.unwrap();
    assert_eq!(*moments.lock().unwrap(), [10]);
    assert_idle(&background);
}

#[tokio::test(start_paused = true)]
async fn a_schedule_shows_its_runs_and_can_be_cancelled() {
    let background = Background::new();
    let task = background.every("tick", seconds(10), |cx| async move {
        cx.message(format!("{}", cx.attempt()));
    });
    let task = task.unwrap();
    sleep(seconds(35)).await;
    let info = background.get(task.id()).unwrap();
    assert_eq!(
        (info.state, info.attempt, info.message.as_deref()),
        (TaskState::Running, 3, Some("3"))
    );
    assert!(background.cancel(task.id()));
    assert!(matches!(task.await, Err(BackgroundFailure::Cancelled)));
}

/// A run that panics is told like any failure and does not end the schedule.
#[tokio::test(start_paused = true)]
async fn a_panicking_run_does_not_stop_the_schedule() {
    let told = Arc::new(Mutex::new(Vec::new()));
    let background = Background::builder()
        .on_error({
            let told = told.clone();
            move |info| {
                told.lock()
                    .unwrap()
                    .push((info.state, info.attempt, info.error.clone()));
            }
        })
        .build();
    let task = background
        .every("tick", seconds(10), |cx| {
            assert!(cx.attempt() != 1, "before there is a future");
            async move { assert!(cx.attempt() != 2, "inside the future") }
        })
        .unwrap();
    sleep(seconds(35)).await;
    let expected = |attempt, text: &str| (TaskState::Panicked, attempt, Some(text.to_owned()));
    assert_eq!(
        *told.lock().unwrap(),
        [
            expected(1, "before there is a future"),
            expected(2, "inside the future")
        ]
    );
    let stats = background.stats();
    assert_eq!((stats.panicked, stats.running), (2, 1));
    task.cancel();
    assert!(task.await.is_err());
    assert_idle(&background);
}

/// An error is told like that of any task, and the value is nobody's.
#[tokio::test(start_paused = true)]
async fn a_run_that_fails_is_told_and_does_not_stop_the_schedule() {
    let told = Arc::new(Mutex::new(Vec::new()));
    let background = Background::builder()
        .on_error({
            let told = told.clone();
            move |info| {
                let told_now = (info.state, info.attempt, info.error.clone());
                told.lock().unwrap().push(told_now);
            }
        })
        .build();
    let task = background
        .every_fallible("tick", seconds(10), |cx| async move {
            match cx.attempt() {
                2 => Err("the source is away"),
                run => Ok(run),
            }
        })
        .unwrap();
    sleep(seconds(35)).await;
    let failure = (TaskState::Failed, 2, Some("the source is away".to_owned()));
    assert_eq!(*told.lock().unwrap(), [failure]);
    let info = background.get(task.id()).unwrap();
    assert_eq!(
        (info.state, info.attempt, info.error.as_deref()),
        (TaskState::Running, 3, Some("the source is away"))
    );
    let stats = background.stats();
    assert_eq!((stats.failed, stats.panicked, stats.running), (1, 0, 1));
    task.cancel();
    assert!(task.await.is_err());
    assert_idle(&background);
}

#[tokio::test(start_paused = true)]
async fn an_error_of_a_run_after_the_cancel_is_no_failure() {
    let background = Background::new();
    let task = background
        .every_fallible("tick", seconds(10), |cx| async move {
            cx.cancelled().await;
            Err::<(), _>("told to end")
        })
        .unwrap();
    sleep(seconds(15)).await;
    task.cancel();
    assert!(matches!(task.await, Err(BackgroundFailure::Cancelled)));
    assert_eq!(background.stats().failed, 0);
    assert_idle(&background);
}

#[cfg(feature = "cron")]
#[tokio::test(start_paused = true)]
async fn a_run_of_a_cron_can_fail_as_well() {
    let background = Background::new();
    let task = background
        .cron_fallible("tick", "* * * * *", |cx| async move {
            if cx.attempt() < 3 { Err("no") } else { Ok(()) }
        })
        .unwrap();
    // Four to five times, by when the minute began.
    sleep(seconds(270)).await;
    assert_eq!(background.stats().failed, 2);
    task.cancel();
    assert!(task.await.is_err());
    assert_idle(&background);
}

#[tokio::test(start_paused = true)]
async fn a_schedule_is_refused_like_any_task() {
    let background = Background::new();
    background
        .drain(Drain {
            wait: seconds(0),
            cancel: seconds(0),
        })
        .await;
    assert!(
        background
            .every("tick", seconds(1), |_cx| async {})
            .is_err()
    );
}

/// The system's clock tells the time of day, tokio's tells how it goes on.
#[cfg(feature = "cron")]
#[tokio::test(start_paused = true)]
async fn a_cron_runs_when_the_clock_shows_its_time() {
    let background = Background::new();
    let moments = Moments::default();
    let began = Instant::now();
    let task = background.cron("tick", "* * * * *", {
        let moments = moments.clone();
        move |cx| {
            note(&moments, began);
            async move { cx.message(cx.attempt().to_string()) }
        }
    });
    let task = task.unwrap();
    sleep(seconds(5 * 60)).await;
    let seen = moments.lock().unwrap().clone();
    assert!(seen.len() == 5 || seen.len() == 4, "{seen:?}");
    assert!(
        seen[0] <= 60
            && seen
                .windows(2)
                .all(|pair| (59..=61).contains(&(pair[1] - pair[0]))),
        "{seen:?}"
    );
    let info = background.get(task.id()).unwrap();
    assert_eq!(
        (info.state, info.attempt as usize),
        (TaskState::Running, seen.len())
    );
    assert_eq!(info.message, Some(seen.len().to_string()));
    task.cancel();
    assert!(matches!(task.await, Err(BackgroundFailure::Cancelled)));
    assert_idle(&background);
}

#[cfg(feature = "cron")]
#[tokio::test(start_paused = true)]
async fn a_cron_stops_when_a_drain_begins() {
    let background = Background::new();
    let task = background
        .cron("tick", "0 0 1 1 *", |_cx| async {})
        .unwrap();
    sleep(seconds(5)).await;
    let began = Instant::now();
    let report = background
        .drain(Drain {
            wait: seconds(60),
            cancel: seconds(1),
        })
        .await;
    assert_eq!((report.completed.len(), began.elapsed()), (1, seconds(0)));
    task.await.unwrap();
    assert!(
        background
            .cron("late", "* * * * *", |_cx| async {})
            .is_err()
    );
}

#[cfg(feature = "cron")]
#[tokio::test(start_paused = true)]
async fn a_bad_cron_text_is_a_typed_error_and_hands_the_closure_back() {
    use nexios::BackgroundError;

    let background = Background::new();
    let tick = |_cx| async {};
    let Err(error) = background.cron("tick", "0 25 * * *", tick) else {
        panic!("25 is no hour")
    };
    assert!(error.to_string().contains("25"), "{error}");
    assert!(format!("{error:?}").starts_with("BadSchedule"), "{error:?}");
    let BackgroundError::BadSchedule(closure, why) = error else {
        panic!("{error:?}")
    };
    let _: &dyn std::error::Error = &why;
    assert!(background.list().is_empty());
    assert_eq!(background.stats().refused, 0, "it was not too many");
    background
        .cron("tick", "0 23 * * *", closure)
        .unwrap()
        .cancel();
}

//! What the log says, and how often.

use nexios::{Background, Drain};
use tokio::time::sleep;

use super::{seconds, settle};
use crate::lines::Lines;

/// Errors and panics are logged once, with the name of the task.
#[tokio::test(start_paused = true)]
async fn a_failure_is_logged_once_with_the_name() {
    let (lines, _guard) = Lines::capture();
    let background = Background::new();
    let _ = background
        .spawn_fallible("import", |_cx| async { Err::<(), _>("no") })
        .unwrap()
        .await;
    assert_eq!(lines.take(), ["ERROR import: background task failed"]);
    let _ = background
        .spawn_future("thumbnails", async { panic!("on purpose") })
        .await;
    assert_eq!(lines.take(), ["ERROR thumbnails: background task panicked"]);
    let _ = background
        .task("report")
        .timeout(seconds(1))
        .spawn(|_cx| std::future::pending::<()>())
        .unwrap()
        .await;
    assert_eq!(
        lines.take(),
        ["ERROR report: background task reached its time limit"]
    );
    let retry = nexios::Retry::exponential(seconds(1), seconds(1)).attempts(3);
    let _ = background
        .task("retried")
        .retry(retry)
        .spawn_fallible(|_cx| async { Err::<(), _>("no") })
        .unwrap()
        .await;
    assert_eq!(lines.take(), ["ERROR retried: background task failed"]);
    background.on_error(|_| panic!("the hook panics"));
    let _ = background
        .spawn_fallible("hooked", |_cx| async { Err::<(), _>("no") })
        .unwrap()
        .await;
    assert_eq!(
        lines.take(),
        [
            "ERROR hooked: background task failed",
            "ERROR hooked: the error hook panicked"
        ]
    );
}

/// BG-032, BG-033: a task that ignores its cancellation is reported as stuck, once.
#[tokio::test(start_paused = true)]
async fn a_task_that_ignores_its_cancellation_is_logged_as_stuck_once() {
    let (lines, _guard) = Lines::capture();
    let background = Background::new();
    let task = background.spawn("deaf", |_cx| sleep(seconds(100))).unwrap();
    settle().await;
    task.cancel();
    sleep(seconds(9)).await;
    assert!(lines.take().is_empty());
    sleep(seconds(2)).await;
    assert_eq!(
        lines.take(),
        ["WARN deaf: background task ignores its cancellation"]
    );
    sleep(seconds(60)).await;
    background
        .drain(Drain {
            wait: seconds(0),
            cancel: seconds(0),
        })
        .await;
    assert!(
        lines.take().is_empty(),
        "a stuck task is not logged again when a drain gives up on it"
    );
    assert!(task.await.is_err());
}

/// A task is stuck by itself, whatever the one before it was.
#[tokio::test(start_paused = true)]
async fn every_stuck_task_is_logged() {
    let (lines, _guard) = Lines::capture();
    let background = Background::builder().history(0).build();
    for name in ["deaf", "deaf too"] {
        let task = background.spawn(name, |_cx| sleep(seconds(15))).unwrap();
        settle().await;
        task.cancel();
        task.await.unwrap();
        assert_eq!(
            lines.take(),
            [format!(
                "WARN {name}: background task ignores its cancellation"
            )]
        );
    }
}

/// BG-043: a drain names what it cut off, and says nothing otherwise.
#[tokio::test(start_paused = true)]
async fn a_drain_logs_what_it_abandons_and_nothing_else() {
    let (lines, _guard) = Lines::capture();
    let background = Background::new();
    let _task = background.spawn_future("plain", std::future::pending::<()>());
    let _task = background.spawn("polite", |cx| async move { cx.cancelled().await });
    background
        .drain(Drain {
            wait: seconds(1),
            cancel: seconds(1),
        })
        .await;
    assert!(lines.take().is_empty());
    let background = Background::new();
    let _task = background.spawn("deaf", |_cx| std::future::pending::<()>());
    background
        .drain(Drain {
            wait: seconds(1),
            cancel: seconds(1),
        })
        .await;
    assert_eq!(
        lines.take(),
        ["WARN deaf: background task abandoned, it ignores its cancellation"]
    );
}

/// A refused future leaves a trace besides its handle.
#[tokio::test(start_paused = true)]
async fn a_refused_future_is_logged() {
    let (lines, _guard) = Lines::capture();
    let background = Background::new();
    background
        .drain(Drain {
            wait: seconds(1),
            cancel: seconds(1),
        })
        .await;
    drop(background.spawn_future("late", async {}));
    assert_eq!(lines.take(), ["WARN late: background task refused"]);
}

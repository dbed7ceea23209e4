//! The three phases of a drain.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use nexios::{
    Background, BackgroundError, BackgroundFailure, CancelReason, Drain, DrainReport, TaskContext,
    TaskState,
};
use tokio::{sync::oneshot, time::Instant};

use super::{Flag, assert_idle, seconds, settle};

const fn limits(wait: u64, cancel: u64) -> Drain {
    Drain {
        wait: seconds(wait),
        cancel: seconds(cancel),
    }
}

/// The report as one line: completed | failed | cancelled | abandoned.
fn line(report: &DrainReport) -> String {
    [
        &report.completed,
        &report.failed,
        &report.cancelled,
        &report.abandoned,
    ]
    .map(|names| names.join(","))
    .join(" | ")
}

/// A second is left of the thirty that a process is given for its end.
#[test]
fn by_default_a_drain_waits_26_seconds_and_3_after_the_tokens_have_fired() {
    let Drain { wait, cancel } = Drain::default();
    assert_eq!((wait, cancel), (seconds(26), seconds(3)));
}

async fn ignores(_cx: TaskContext) {
    std::future::pending::<()>().await;
}

/// B3, B4, B7, BG-043: the report names every task and says how it ended.
#[tokio::test(start_paused = true)]
async fn the_report_says_how_each_task_ended() {
    let background = Background::new();
    let _task = background.spawn_future("quick", tokio::time::sleep(seconds(1)));
    let _task = background.spawn_future("plain", std::future::pending::<()>());
    let _task = background.spawn("ignores", ignores);
    let _task = background.spawn_fallible("fails", |_cx| async { Err::<(), _>("no") });
    let _task = background.spawn("panics", |_cx| async { panic!("on purpose") });
    let _task = background.task("slow").timeout(seconds(2)).spawn(ignores);
    let _task = background.spawn("cleans up", |cx| async move {
        cx.cancelled().await;
        tokio::time::sleep(seconds(1)).await;
    });
    let began = Instant::now();
    let report = background.drain(limits(10, 3)).await;
    assert_eq!(
        line(&report),
        "quick,cleans up | fails,panics,slow | plain | ignores"
    );
    assert_eq!(began.elapsed(), seconds(13));
    assert_idle(&background);
}

/// BG-017: a drain returns as soon as the last task has ended.
#[tokio::test(start_paused = true)]
async fn a_drain_does_not_wait_out_its_limits() {
    let background = Background::new();
    let _task = background.spawn_future("soon", tokio::time::sleep(seconds(1)));
    let began = Instant::now();
    let report = background.drain(limits(20, 3)).await;
    assert_eq!(
        (line(&report).as_str(), began.elapsed()),
        ("soon |  |  | ", seconds(1))
    );
}

/// BG-022, BG-044: nothing to end.
#[tokio::test(start_paused = true)]
async fn draining_nothing_and_draining_twice_is_immediate_and_silent() {
    let background = Background::new();
    let began = Instant::now();
    for _ in 0..2 {
        assert_eq!(line(&background.drain(limits(20, 3)).await), " |  |  | ");
    }
    assert_eq!(began.elapsed(), Duration::ZERO);
}

/// BG-012: phase one disturbs nobody; BG-040: the grace is for those who need it.
#[tokio::test(start_paused = true)]
async fn no_token_fires_before_the_wait_is_over() {
    let background = Background::new();
    let task = background
        .spawn("watches", |cx| async move {
            (cx.cancelled().await, Instant::now())
        })
        .unwrap();
    let began = Instant::now();
    background.drain(limits(7, 3)).await;
    assert_eq!(
        task.await.unwrap(),
        (CancelReason::Shutdown, began + seconds(7))
    );
}

#[tokio::test(start_paused = true)]
async fn nothing_is_admitted_once_a_drain_has_begun_and_never_again() {
    let background = Background::new();
    let task = background.spawn_future("long", tokio::time::sleep(seconds(5)));
    let draining = tokio::spawn({
        let background = background.clone();
        async move { background.drain(limits(10, 1)).await }
    });
    settle().await;
    let refused = background.spawn("late", |_cx| async { "never" });
    assert!(matches!(refused, Err(BackgroundError::ShuttingDown(_))));
    assert!(matches!(
        background.spawn_future("late", async {}).await,
        Err(BackgroundFailure::Refused)
    ));
    assert!(matches!(
        background.task("late").unique("k").spawn(|_cx| async {}),
        Err(BackgroundError::ShuttingDown(_))
    ));
    assert_eq!(line(&draining.await.unwrap()), "long |  |  | ");
    task.await.unwrap();
    assert!(background.spawn("later", |_cx| async {}).is_err());
}

/// BG-042, BG-054, BG-055: waiting tasks start in phase one, at the limit, and none later.
#[tokio::test(start_paused = true)]
async fn waiting_tasks_start_in_phase_one_and_are_cancelled_after_it() {
    let background = Background::builder().limit(1).build();
    let polled = Arc::new(AtomicUsize::new(0));
    let (flag, dropped) = Flag::new();
    let _task = background.spawn_future("first", tokio::time::sleep(seconds(2)));
    let _task = background.spawn_future("second", tokio::time::sleep(seconds(20)));
    let third = background.spawn_future("third", {
        let polled = polled.clone();
        async move {
            let _flag = flag;
            polled.fetch_add(1, Ordering::SeqCst);
        }
    });
    let fourth = background.spawn("fourth", ignores).unwrap();
    let began = Instant::now();
    let report = background.drain(limits(5, 3)).await;
    assert_eq!(line(&report), "first |  | second,third,fourth | ");
    assert_eq!(began.elapsed(), seconds(5), "nobody is left to wait for");
    assert_eq!(polled.load(Ordering::SeqCst), 0);
    assert!(
        dropped.load(std::sync::atomic::Ordering::SeqCst),
        "dropped before the report"
    );
    assert!(matches!(third.await, Err(BackgroundFailure::Cancelled)));
    assert!(matches!(fourth.await, Err(BackgroundFailure::Cancelled)));
    assert_idle(&background);
}

/// What ignores its token runs on until phase three, and is dropped before the report is there.
#[tokio::test(start_paused = true)]
async fn a_task_that_ignores_its_token_is_abandoned() {
    let background = Background::new();
    let (flag, dropped) = Flag::new();
    let task = background
        .spawn("deaf", |_cx| async move {
            let _flag = flag;
            std::future::pending::<()>().await;
        })
        .unwrap();
    let began = Instant::now();
    let report = background.drain(limits(2, 3)).await;
    assert_eq!(
        (line(&report).as_str(), began.elapsed()),
        (" |  |  | deaf", seconds(5))
    );
    assert!(dropped.load(Ordering::SeqCst));
    let id = task.id();
    assert!(matches!(task.await, Err(BackgroundFailure::Abandoned)));
    assert_eq!(background.get(id).unwrap().state, TaskState::Abandoned);
    assert_eq!(background.stats().abandoned, 1);
}

/// With no time at all a plain future is still cancelled, not abandoned.
#[tokio::test(start_paused = true)]
async fn a_plain_future_cannot_ignore_its_cancellation() {
    let background = Background::new();
    let _task = background.spawn_future("plain", std::future::pending::<()>());
    settle().await;
    assert_eq!(
        line(&background.drain(limits(0, 0)).await),
        " |  | plain | "
    );
}

/// BG-015: a hanging soft stop, then a hard one: the shorter limits hold and both calls return.
#[tokio::test(start_paused = true)]
async fn two_drains_share_the_report_and_the_shorter_limits() {
    let background = Background::new();
    let _task = background.spawn("deaf", ignores);
    let began = Instant::now();
    let patient = tokio::spawn({
        let background = background.clone();
        async move { background.drain(limits(100, 100)).await }
    });
    tokio::time::sleep(seconds(3)).await;
    let hurried = background.drain(limits(1, 2)).await;
    assert_eq!(began.elapsed(), seconds(6));
    assert_eq!(line(&hurried), " |  |  | deaf");
    assert_eq!(line(&patient.await.unwrap()), line(&hurried));
    assert_eq!(began.elapsed(), seconds(6));
}

#[tokio::test(start_paused = true)]
async fn a_second_drain_shortens_the_second_phase_too() {
    let background = Background::new();
    let _task = background.spawn("deaf", ignores);
    let began = Instant::now();
    let patient = tokio::spawn({
        let background = background.clone();
        async move { background.drain(limits(1, 100)).await }
    });
    tokio::time::sleep(seconds(10)).await;
    let hurried = background.drain(limits(50, 2)).await;
    assert_eq!(began.elapsed(), seconds(12));
    assert_eq!(line(&patient.await.unwrap()), line(&hurried));
}

/// A second drain with longer limits changes nothing.
#[tokio::test(start_paused = true)]
async fn a_second_drain_does_not_lengthen_the_first() {
    let background = Background::new();
    let _task = background.spawn("deaf", ignores);
    let began = Instant::now();
    let both = futures_util::future::join(
        background.drain(limits(1, 1)),
        background.drain(Drain {
            wait: Duration::MAX,
            cancel: Duration::MAX,
        }),
    );
    let (first, second) = both.await;
    assert_eq!(began.elapsed(), seconds(2));
    assert_eq!(line(&first), line(&second));
}

/// BG-020: a drain that was given up stays shut and can be finished by another call.
#[tokio::test(start_paused = true)]
async fn a_drain_that_was_dropped_is_taken_up_by_the_next() {
    let background = Background::new();
    let _task = background.spawn("deaf", ignores);
    assert!(
        tokio::time::timeout(seconds(1), background.drain(limits(2, 2)))
            .await
            .is_err()
    );
    assert!(background.spawn("late", |_cx| async {}).is_err());
    let report = background.drain(limits(1, 1)).await;
    assert_eq!(line(&report), " |  |  | deaf");
}

/// BG-020: the same when the first drain is dropped while another waits with it.
#[tokio::test(start_paused = true)]
async fn a_drain_goes_on_when_one_of_its_waiters_goes() {
    let background = Background::new();
    let _task = background.spawn("deaf", ignores);
    let began = Instant::now();
    let other = tokio::spawn({
        let background = background.clone();
        async move { background.drain(limits(5, 5)).await }
    });
    assert!(
        tokio::time::timeout(seconds(1), background.drain(limits(2, 2)))
            .await
            .is_err()
    );
    assert_eq!(line(&other.await.unwrap()), " |  |  | deaf");
    assert_eq!(began.elapsed(), seconds(4));
}

/// BG-023: everybody who waits is told, once.
#[tokio::test(start_paused = true)]
async fn every_waiter_of_a_drain_gets_the_report() {
    let background = Background::new();
    let _task = background.spawn_future("task", tokio::time::sleep(seconds(1)));
    let waiters: Vec<_> = (0..10)
        .map(|_| {
            let background = background.clone();
            tokio::spawn(async move { line(&background.drain(limits(5, 1)).await) })
        })
        .collect();
    for waiter in waiters {
        assert_eq!(waiter.await.unwrap(), "task |  |  | ");
    }
}

/// BG-048: a task that a cancellation ends makes no room for another one.
#[tokio::test(start_paused = true)]
async fn no_replacement_starts_in_phase_two() {
    let background = Background::builder().limit(1).build();
    let started = Arc::new(AtomicUsize::new(0));
    let _task = background.spawn("polite", |cx| async move { cx.cancelled().await });
    let waiting = background
        .spawn("waiting", {
            let started = started.clone();
            move |_cx| async move { started.fetch_add(1, Ordering::SeqCst) }
        })
        .unwrap();
    let report = background.drain(limits(1, 5)).await;
    assert_eq!(line(&report), "polite |  | waiting | ");
    assert!(waiting.await.is_err());
    assert_eq!(started.load(Ordering::SeqCst), 0);
}

/// A drain covers tasks, not the registry of another program part.
#[tokio::test(start_paused = true)]
async fn registries_are_drained_apart() {
    let (one, other) = (Background::new(), Background::new());
    let task = other.spawn_future("other", tokio::time::sleep(seconds(1)));
    one.drain(limits(0, 0)).await;
    task.await.unwrap();
    assert!(
        other
            .spawn("still open", |_cx| async {})
            .unwrap()
            .await
            .is_ok()
    );
}

/// A task that holds its thread cannot be dropped; the drain is bounded all the same.
#[test]
fn a_task_that_holds_its_thread_does_not_hold_the_drain() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let background = Background::new();
    let (release, held) = std::sync::mpsc::channel::<()>();
    let (entered, inside) = oneshot::channel();
    let (task, report) = runtime.block_on(async {
        let task = background.spawn_future("blocking", async move {
            entered.send(()).unwrap();
            held.recv().unwrap_or_default();
        });
        inside.await.unwrap();
        (task, background.drain(limits(0, 0)).await)
    });
    assert_eq!(line(&report), " |  |  | blocking");
    release.send(()).unwrap();
    assert!(matches!(
        runtime.block_on(task),
        Err(BackgroundFailure::Abandoned)
    ));
    assert_eq!(background.stats().abandoned, 1);
    assert_eq!(background.stats().completed, 0);
}

/// BG-019: a task that waits for its next attempt is cancelled at once, and no attempt begins.
#[tokio::test(start_paused = true)]
async fn a_shutdown_during_a_retry_burns_no_attempt() {
    let background = Background::new();
    let calls = Arc::new(AtomicUsize::new(0));
    let task = background
        .task("flaky")
        .retry(nexios::Retry::exponential(seconds(60), seconds(60)).attempts(5))
        .spawn_fallible({
            let calls = calls.clone();
            move |_cx| {
                calls.fetch_add(1, Ordering::SeqCst);
                async { Err::<(), _>("down") }
            }
        })
        .unwrap();
    settle().await;
    let id = task.id();
    assert_eq!(background.get(id).unwrap().state, TaskState::Retrying);
    let began = Instant::now();
    let report = background.drain(limits(1, 10)).await;
    assert_eq!(
        (line(&report).as_str(), began.elapsed()),
        (" |  | flaky | ", seconds(1))
    );
    assert!(matches!(task.await, Err(BackgroundFailure::Cancelled)));
    let info = background.get(id).unwrap();
    assert_eq!(
        (info.state, info.attempt, calls.load(Ordering::SeqCst)),
        (TaskState::Cancelled, 1, 1)
    );
}

/// BG-019: nor does an error that the shutdown itself brought about.
#[tokio::test(start_paused = true)]
async fn an_attempt_that_a_shutdown_ends_is_not_a_failure() {
    let background = Background::new();
    let task = background
        .task("interrupted")
        .retry(nexios::Retry::exponential(seconds(1), seconds(1)).attempts(5))
        .spawn_fallible(|cx| async move {
            Err::<(), _>(nexios::Interrupted::from(cx.cancelled().await))
        })
        .unwrap();
    let id = task.id();
    let report = background.drain(limits(1, 10)).await;
    assert_eq!(line(&report), " |  | interrupted | ");
    let info = background.get(id).unwrap();
    assert_eq!(
        (info.state, info.attempt, info.error),
        (TaskState::Cancelled, 1, None)
    );
    assert_eq!(background.stats().failed, 0);
}

/// The task as the one that ends its own program part.
fn restarts(background: &Background, limits: Drain) -> nexios::BackgroundTask<DrainReport> {
    let own = background.clone();
    background
        .spawn("restart", move |_cx| async move { own.drain(limits).await })
        .unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_drain_that_a_task_awaits_does_not_wait_for_that_task() {
    let background = Background::new();
    let task = restarts(&background, limits(60, 5));
    let began = Instant::now();
    let id = task.id();
    assert_eq!(
        (line(&task.await.unwrap()).as_str(), began.elapsed()),
        (" |  |  | ", Duration::ZERO)
    );
    assert_eq!(background.get(id).unwrap().state, TaskState::Completed);
    assert_idle(&background);
}

/// Nor does it cancel the task, which could not read the report then, be it a plain future or not.
#[tokio::test(start_paused = true)]
async fn a_task_that_drains_ends_all_others_and_reads_the_report() {
    for plain in [false, true] {
        let background = Background::builder().limit(3).build();
        let own = background.clone();
        let restart = async move {
            let report = own.drain(limits(2, 3)).await;
            // It is a task like any other afterwards, with all the time it wants.
            tokio::time::sleep(seconds(100)).await;
            report
        };
        let task = match plain {
            true => background.spawn_future("restart", restart),
            false => background.spawn("restart", |_cx| restart).unwrap(),
        };
        let _task = background.spawn_future("short", tokio::time::sleep(seconds(1)));
        let _task = background.spawn("deaf", ignores);
        let _task = background.spawn_future("long", tokio::time::sleep(seconds(20)));
        let _task = background.spawn_future("waiting", tokio::time::sleep(seconds(20)));
        let began = Instant::now();
        let report = task.await.unwrap();
        assert_eq!(line(&report), "short |  | long,waiting | deaf");
        assert_eq!(began.elapsed(), seconds(105));
        assert_idle(&background);
    }
}

/// However deep in the task: in a future beside others, in a group, in an attempt, in a scope of its own.
#[tokio::test(start_paused = true)]
async fn a_drain_knows_its_task_wherever_in_it_it_is_awaited() {
    let nested = |background: Background| async move {
        let scope = nexios::CancelScope::new(nexios::CancelToken::new(), None);
        let group = nexios::TaskGroup::<nexios::Interrupted>::new();
        let drain = scope.run(Box::pin(
            async move { background.drain(limits(60, 5)).await },
        ));
        let run = group.run(async {
            let child = group.spawn(async {
                Ok(futures_util::future::join(drain, tokio::task::yield_now())
                    .await
                    .0)
            });
            child.await
        });
        line(
            &tokio::time::timeout(seconds(30), run)
                .await
                .unwrap()
                .unwrap(),
        )
    };
    let began = Instant::now();
    let background = Background::new();
    let own = background.clone();
    let task = background.spawn_future("plain", nested(own));
    assert_eq!(task.await.unwrap(), " |  |  | ");

    let background = Background::new();
    let own = background.clone();
    let retry = nexios::Retry::exponential(Duration::ZERO, Duration::ZERO);
    let task = background
        .task("retried")
        .timeout(seconds(30))
        .retry(retry)
        .spawn_fallible(move |cx| {
            let report = (cx.attempt() == 2).then(|| nested(own.clone()));
            async move {
                if let Some(report) = report {
                    Ok(report.await)
                } else {
                    Err("not yet")
                }
            }
        });
    assert_eq!(task.unwrap().await.unwrap().unwrap(), " |  |  | ");

    let background = Background::new();
    let own = background.clone();
    let (sender, mut receiver) = tokio::sync::mpsc::channel(1);
    let task = background.every("scheduled", seconds(1), move |_cx| {
        let (report, sender) = (nested(own.clone()), sender.clone());
        async move { sender.send(report.await).await.unwrap() }
    });
    assert_eq!(receiver.recv().await.unwrap(), " |  |  | ");
    task.unwrap().await.unwrap();
    assert_eq!(began.elapsed(), seconds(1));
}

/// Each of them twice at once, and one that gives up and is waited for again.
#[tokio::test(start_paused = true)]
async fn tasks_that_drain_at_once_do_not_wait_for_each_other() {
    let background = Background::new();
    let tasks: Vec<_> = (0..2)
        .map(|_| {
            let own = background.clone();
            background.spawn_future("restart", async move {
                let (one, other) =
                    futures_util::future::join(own.drain(limits(60, 5)), own.drain(limits(60, 5)))
                        .await;
                assert_eq!(line(&one), line(&other));
                line(&one)
            })
        })
        .collect();
    let own = background.clone();
    let gives_up = background.spawn_future("gives up", async move {
        assert!(
            tokio::time::timeout(seconds(1), own.drain(limits(60, 5)))
                .await
                .is_err()
        );
        tokio::time::sleep(seconds(3)).await;
    });
    let _task = background.spawn_future("short", tokio::time::sleep(seconds(2)));
    let began = Instant::now();
    for task in tasks {
        assert_eq!(task.await.unwrap(), "gives up,short |  |  | ");
        assert_eq!(began.elapsed(), seconds(4));
    }
    gives_up.await.unwrap();
}

/// The one outside waits for the task as for any other.
#[tokio::test(start_paused = true)]
async fn a_drain_from_outside_waits_for_a_task_that_drains_too() {
    let background = Background::new();
    let own = background.clone();
    let task = background.spawn("restart", move |_cx| async move {
        let report = own.drain(limits(60, 5)).await;
        tokio::time::sleep(seconds(3)).await;
        line(&report)
    });
    let _task = background.spawn_future("short", tokio::time::sleep(seconds(1)));
    settle().await;
    let began = Instant::now();
    let report = background.drain(limits(60, 5)).await;
    assert_eq!(
        (line(&report).as_str(), began.elapsed()),
        ("restart,short |  |  | ", seconds(4))
    );
    assert_eq!(task.unwrap().await.unwrap(), "short |  |  | ");

    // It comes while the task waits, with shorter limits; the task gets what is left of the time.
    let background = Background::new();
    let own = background.clone();
    let task = background.spawn("restart", move |cx| async move {
        let report = own.drain(limits(60, 60)).await;
        (line(&report), cx.cancelled().await)
    });
    let _task = background.spawn("polite", |cx| async move { cx.cancelled().await });
    settle().await;
    let began = Instant::now();
    let report = background.drain(limits(1, 5)).await;
    assert_eq!(
        (line(&report).as_str(), began.elapsed()),
        ("restart,polite |  |  | ", seconds(1))
    );
    assert_eq!(
        task.unwrap().await.unwrap(),
        ("polite |  |  | ".to_owned(), CancelReason::Shutdown)
    );
}

#[tokio::test(start_paused = true)]
async fn a_task_may_drain_another_registry() {
    let (one, other) = (Background::new(), Background::new());
    let _task = other.spawn_future("other", tokio::time::sleep(seconds(1)));
    let drained = other.clone();
    let task = one.spawn_future(
        "drains",
        async move { line(&drained.drain(limits(5, 5)).await) },
    );
    assert_eq!(task.await.unwrap(), "other |  |  | ");
    assert!(one.spawn("still open", |_cx| async {}).is_ok());
}

/// The one who began it is gone, and the phases advance all the same.
#[tokio::test(start_paused = true)]
async fn a_drain_that_nobody_awaits_any_more_goes_on() {
    let background = Background::new();
    let deaf = background.spawn("deaf", ignores).unwrap();
    let began = Instant::now();
    assert!(
        tokio::time::timeout(seconds(1), background.drain(limits(2, 2)))
            .await
            .is_err()
    );
    assert_eq!(deaf.await, Err(BackgroundFailure::Abandoned));
    assert_eq!(began.elapsed(), seconds(4));
}

/// The first one's runtime ends in the middle of it; another goes on with it on its own.
#[test]
fn a_drain_goes_on_when_its_runtime_ends() {
    let background = Background::new();
    let [first, second] = [(); 2].map(|()| {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap()
    });
    let deaf = {
        let _entered = second.enter();
        background.spawn("deaf", ignores).unwrap()
    };
    let quick = Drain {
        wait: Duration::from_millis(50),
        cancel: Duration::from_millis(300),
    };
    let begun = background.clone();
    let (sender, receiver) = std::sync::mpsc::channel();
    first.spawn(async move {
        let drain = std::pin::pin!(begun.drain(quick));
        assert!(futures_util::future::poll_immediate(drain).await.is_none());
        sender.send(()).unwrap();
    });
    receiver.recv().unwrap();
    std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(100));
        drop(first);
    });
    let report = second.block_on(background.drain(limits(60, 60)));
    assert_eq!(line(&report), " |  |  | deaf");
    assert!(second.block_on(deaf).is_err());
}

//! Background tasks: admission, the list, handles, cancellation.
#![allow(
    clippy::unwrap_used,
    reason = "clippy's exception for tests does not reach their helpers"
)]

mod busy;
mod cost;
mod disconnect;
mod drain;
mod failures;
mod grace;
mod log;
mod records;
mod retry;
mod schedule;
mod stress;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use nexios::{
    Background, BackgroundError, BackgroundFailure, CancelReason, CancelScope, Interrupted,
    TaskInfo, TaskState, create_background_task,
};
use tokio::{sync::oneshot, task::yield_now, time::Instant};

/// Sets a flag when it is dropped.
pub(crate) struct Flag(Arc<AtomicBool>);

impl Flag {
    pub(crate) fn new() -> (Self, Arc<AtomicBool>) {
        let dropped = Arc::new(AtomicBool::new(false));
        (Self(dropped.clone()), dropped)
    }
}

impl Drop for Flag {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// A duration from now that no test waits for in real time.
pub(crate) const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Lets every task that is ready run.
pub(crate) async fn settle() {
    for _ in 0..10 {
        yield_now().await;
    }
}

pub(crate) fn names(background: &Background, state: TaskState) -> Vec<String> {
    background
        .list()
        .into_iter()
        .filter(|info| info.state == state)
        .map(|info| info.name.into())
        .collect()
}

fn info(background: &Background, name: &str) -> TaskInfo {
    background
        .list()
        .into_iter()
        .find(|info| info.name == name)
        .unwrap()
}

/// Nothing is left alive.
pub(crate) fn assert_idle(background: &Background) {
    let stats = background.stats();
    assert_eq!((stats.queued, stats.running), (0, 0));
}

/// BG-001, B1: a spawned task runs by itself.
#[tokio::test(start_paused = true)]
async fn a_task_runs_and_its_handle_yields_its_value() {
    let background = Background::new();
    let task = background.spawn("answer", |_cx| async { 42 }).unwrap();
    assert_eq!(task.await.unwrap(), 42);
    assert_idle(&background);
}

#[tokio::test(start_paused = true)]
async fn the_global_registry_runs_plain_futures() {
    let task = create_background_task("warm cache", async { 7 });
    let id = task.id();
    assert_eq!(task.await.unwrap(), 7);
    let info = Background::global().get(id).unwrap();
    assert_eq!(
        (info.name.as_ref(), info.state),
        ("warm cache", TaskState::Completed)
    );
}

/// Whoever holds its slot ends in the same moment, and is polled first.
#[tokio::test(start_paused = true)]
async fn a_task_that_was_cancelled_while_it_waited_is_never_polled_though_a_slot_comes_first() {
    let background = Background::builder().limit(1).build();
    let first = background.spawn_future("first", std::future::pending::<()>());
    let polled = Arc::new(AtomicBool::new(false));
    let begun = polled.clone();
    let waiting = background
        .spawn("waiting", move |_cx| async move {
            begun.store(true, Ordering::SeqCst);
        })
        .unwrap();
    let last = background.spawn("last", |_cx| async { 3 }).unwrap();
    settle().await;
    first.cancel();
    waiting.cancel();
    assert!(matches!(first.await, Err(BackgroundFailure::Cancelled)));
    let id = waiting.id();
    assert!(matches!(waiting.await, Err(BackgroundFailure::Cancelled)));
    assert!(!polled.load(Ordering::SeqCst));
    let info = background.get(id).unwrap();
    assert_eq!((info.state, info.started), (TaskState::Cancelled, None));
    assert_eq!(last.await.unwrap(), 3, "its slot goes to the next one");
    assert_idle(&background);
}

/// BG-059, B5: the registry owns the task, not its handle.
#[tokio::test(start_paused = true)]
async fn a_dropped_handle_lets_the_task_go_on() {
    let background = Background::new();
    let (sender, receiver) = oneshot::channel();
    drop(background.spawn_future("detached", async move {
        tokio::time::sleep(seconds(5)).await;
        sender.send("done").unwrap();
    }));
    assert_eq!(receiver.await.unwrap(), "done");
    settle().await;
    assert_idle(&background);
}

/// B2: a task belongs to the registry, not to the future that started it.
#[tokio::test(start_paused = true)]
async fn a_task_survives_the_request_that_started_it() {
    let background = Background::new();
    let (sender, receiver) = oneshot::channel();
    let request = CancelScope::new(nexios::CancelToken::new(), None);
    {
        let background = background.clone();
        let handler = request.run(async move {
            let task = background.spawn("mail", |cx| async move {
                tokio::time::sleep(seconds(1)).await;
                sender.send(cx.is_cancelled()).unwrap();
            });
            assert!(task.is_ok());
            std::future::pending::<()>().await;
        });
        assert!(
            tokio::time::timeout(Duration::from_millis(10), handler)
                .await
                .is_err()
        );
    }
    request.token().cancel(CancelReason::ClientDisconnected);
    assert!(
        !receiver.await.unwrap(),
        "the request's cancellation does not reach the task"
    );
}

/// BG-002, BG-056: a scoped task is cancelled and gone.
#[tokio::test(start_paused = true)]
async fn a_dropped_scope_cancels_its_task() {
    let background = Background::new();
    let (flag, dropped) = Flag::new();
    let task = background
        .spawn_future("endless", async move {
            let _flag = flag;
            std::future::pending::<()>().await;
        })
        .scoped();
    let id = task.id();
    settle().await;
    drop(task);
    settle().await;
    assert!(dropped.load(Ordering::SeqCst));
    assert_eq!(background.get(id).unwrap().state, TaskState::Cancelled);
    assert_idle(&background);
}

#[tokio::test(start_paused = true)]
async fn a_scoped_task_that_asks_hears_that_its_owner_is_gone() {
    let background = Background::new();
    let (sender, receiver) = oneshot::channel();
    let task = background
        .spawn(
            "asks",
            |cx| async move { sender.send(cx.cancelled().await) },
        )
        .unwrap()
        .scoped();
    settle().await;
    drop(task);
    assert_eq!(receiver.await.unwrap(), CancelReason::OwnerDropped);
}

#[tokio::test(start_paused = true)]
async fn a_scope_yields_the_value_of_its_task() {
    let background = Background::new();
    let task = background.spawn_future("value", async { 3 }).scoped();
    assert_eq!(task.await.unwrap(), 3);
}

#[tokio::test(start_paused = true)]
async fn cancelling_drops_a_plain_future_at_once() {
    let background = Background::new();
    let (flag, dropped) = Flag::new();
    let task = background.spawn_future("plain", async move {
        let _flag = flag;
        tokio::time::sleep(seconds(60)).await;
    });
    settle().await;
    let began = Instant::now();
    task.cancel();
    assert!(matches!(task.await, Err(BackgroundFailure::Cancelled)));
    assert!(dropped.load(Ordering::SeqCst));
    assert_eq!(began.elapsed(), Duration::ZERO);
    assert_eq!(names(&background, TaskState::Cancelled), ["plain"]);
}

#[tokio::test(start_paused = true)]
async fn a_plain_future_cancelled_before_its_first_poll_is_never_polled() {
    let background = Background::new();
    let polled = Arc::new(AtomicBool::new(false));
    let task = background.spawn_future("early", {
        let polled = polled.clone();
        async move { polled.store(true, Ordering::SeqCst) }
    });
    task.cancel();
    assert!(matches!(task.await, Err(BackgroundFailure::Cancelled)));
    assert!(!polled.load(Ordering::SeqCst));
}

/// A cancellation that comes during a poll finds no waker to wake; it must be seen after that poll.
#[tokio::test(start_paused = true)]
async fn a_cancellation_from_inside_the_tasks_own_poll_is_not_lost() {
    let background = Background::new();
    let inside = background.clone();
    let task = background.spawn_future("ends itself", async move {
        inside.cancel(inside.list()[0].id);
        std::future::pending::<()>().await;
    });
    let ended = tokio::time::timeout(seconds(1), task).await;
    assert!(
        matches!(ended, Ok(Err(BackgroundFailure::Cancelled))),
        "{ended:?}"
    );
}

/// BG-050: a long loop stops between two items and keeps its cursor.
#[tokio::test(start_paused = true)]
async fn a_task_with_a_context_may_clean_up_after_its_cancellation() {
    let background = Background::new();
    let task = background
        .spawn("loop", |cx| async move {
            let mut done = 0;
            while !cx.is_cancelled() {
                tokio::time::sleep(seconds(1)).await;
                done += 1;
                cx.progress(done, 100);
            }
            tokio::time::sleep(seconds(2)).await;
            done
        })
        .unwrap();
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    assert!(background.cancel(task.id()));
    assert!(
        !background.cancel(task.id()),
        "the second request changes nothing"
    );
    assert_eq!(task.await.unwrap(), 3);
    let info = info(&background, "loop");
    assert_eq!(
        (info.done, info.total, info.state),
        (3, 100, TaskState::Completed)
    );
}

/// BG-035: a value after a cancellation is a value.
#[tokio::test(start_paused = true)]
async fn a_task_that_returns_a_value_after_its_token_fired_is_completed() {
    let background = Background::new();
    let task = background
        .spawn("late", |cx| async move { cx.cancelled().await })
        .unwrap();
    task.cancel();
    let id = task.id();
    assert_eq!(task.await.unwrap(), CancelReason::Requested);
    assert_eq!(background.get(id).unwrap().state, TaskState::Completed);
    assert_eq!(background.stats().completed, 1);
}

/// BG-035, BG-049: an error that the cancellation brought about is no failure, however it is wrapped.
#[tokio::test(start_paused = true)]
async fn an_error_after_a_cancellation_is_cancelled_not_failed() {
    let background = Background::new();
    let task = background
        .spawn_fallible("interrupted", |cx| async move {
            let reason = cx.cancelled().await;
            Err::<(), _>(format!("import stopped: {}", Interrupted::from(reason)))
        })
        .unwrap();
    task.cancel();
    let id = task.id();
    assert!(matches!(task.await, Err(BackgroundFailure::Cancelled)));
    let info = background.get(id).unwrap();
    assert_eq!((info.state, info.error), (TaskState::Cancelled, None));
    assert_eq!(background.stats().failed, 0);
}

#[tokio::test(start_paused = true)]
async fn the_tasks_scope_is_current_inside_it() {
    let background = Background::new();
    let task = background
        .task("scope")
        .timeout(seconds(60))
        .spawn(|cx| async move {
            let scope = CancelScope::current().unwrap();
            cx.cancelled().await;
            (scope.token().reason(), scope.deadline())
        })
        .unwrap();
    let deadline = Instant::now() + seconds(60);
    settle().await;
    task.cancel();
    assert_eq!(
        task.await.unwrap(),
        (Some(CancelReason::Requested), Some(deadline))
    );
    let plain = background.spawn_future("plain", async {
        CancelScope::current().map(|scope| scope.deadline())
    });
    assert_eq!(plain.await.unwrap(), Some(None));
}

/// The token a task handed to others fires when the task ends, however it ends.
#[tokio::test(start_paused = true)]
async fn the_token_of_a_task_fires_at_its_end() {
    let background = Background::new();
    let done = background
        .spawn("done", |cx| async move { cx.token() })
        .unwrap()
        .await
        .unwrap();
    assert_eq!(done.reason(), Some(CancelReason::Finished));
    let (sender, receiver) = oneshot::channel();
    let task = background.spawn_future("plain", async move {
        sender
            .send(CancelScope::current().unwrap().token())
            .unwrap();
        std::future::pending::<()>().await;
    });
    let token = receiver.await.unwrap();
    task.cancel();
    assert_eq!(token.reason(), Some(CancelReason::Requested));
}

#[tokio::test(start_paused = true)]
async fn the_list_shows_a_task_through_its_life() {
    let background = Background::builder().limit(1).build();
    let (go, wait) = oneshot::channel::<()>();
    let task = background
        .spawn("import", |cx| async move {
            cx.progress(1, 3);
            cx.message("reading");
            wait.await.unwrap();
        })
        .unwrap();
    let next = background.spawn("next", |_cx| async {}).unwrap();
    tokio::time::sleep(seconds(2)).await;
    let shown = background.get(task.id()).unwrap();
    assert_eq!(
        (shown.done, shown.total, shown.message.as_deref()),
        (1, 3, Some("reading"))
    );
    assert_eq!(
        (shown.state, shown.attempt, shown.error),
        (TaskState::Running, 1, None)
    );
    assert_eq!(shown.elapsed, seconds(2));
    assert!(shown.started.is_some());
    let queued = background.get(next.id()).unwrap();
    assert_eq!(
        (queued.state, queued.started, queued.elapsed),
        (TaskState::Queued, None, Duration::ZERO)
    );
    go.send(()).unwrap();
    let (id, next_id) = (task.id(), next.id());
    task.await.unwrap();
    next.await.unwrap();
    tokio::time::sleep(seconds(5)).await;
    let shown = background.get(id).unwrap();
    assert_eq!(
        (shown.state, shown.elapsed),
        (TaskState::Completed, seconds(2))
    );
    assert!(background.get(next_id).unwrap().started.is_some());
    assert!(id < next_id);
}

#[tokio::test(start_paused = true)]
async fn when_a_handle_resolves_the_slot_is_free_and_the_state_final() {
    let background = Background::builder().live(1).build();
    for round in 0..100_u32 {
        let task = background
            .spawn("only", move |_cx| async move { round })
            .unwrap();
        let id = task.id();
        assert_eq!(task.await.unwrap(), round);
        assert_eq!(background.get(id).unwrap().state, TaskState::Completed);
        assert_idle(&background);
    }
}

#[tokio::test(start_paused = true)]
async fn over_the_bound_the_closure_is_handed_back() {
    let background = Background::builder().limit(1).queue(1).build();
    let running = background
        .spawn("running", |_cx| std::future::pending::<()>())
        .unwrap();
    let queued = background
        .spawn("queued", |_cx| std::future::pending::<()>())
        .unwrap();
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = calls.clone();
    let refused = background.spawn("refused", move |_cx| {
        counted.fetch_add(1, Ordering::SeqCst);
        async { "called" }
    });
    let Err(BackgroundError::Full(closure)) = refused else {
        panic!("not full")
    };
    assert_eq!(calls.load(Ordering::SeqCst), 0);
    assert_eq!(background.stats().refused, 1);
    queued.cancel();
    settle().await;
    let again = background.spawn("again", closure).unwrap();
    let report = background
        .drain(nexios::Drain {
            wait: Duration::ZERO,
            cancel: Duration::ZERO,
        })
        .await;
    assert_eq!(
        (report.cancelled, report.abandoned),
        (vec!["again".into()], vec!["running".into()])
    );
    assert!(running.await.is_err() && queued.await.is_err() && again.await.is_err());
    assert_eq!(calls.load(Ordering::SeqCst), 0);
}

#[tokio::test(start_paused = true)]
async fn live_bounds_running_and_waiting_together() {
    let background = Background::builder().limit(1).live(2).build();
    let tasks: Vec<_> = (0..2)
        .map(|_| background.spawn_future("task", std::future::pending::<()>()))
        .collect();
    assert!(matches!(
        background.spawn("third", |_cx| async {}),
        Err(BackgroundError::Full(_))
    ));
    let stats = background.stats();
    assert_eq!((stats.running, stats.queued), (1, 1));
    tasks.iter().for_each(|task| task.cancel());
    settle().await;
    assert_idle(&background);
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_tasks_are_live_by_default_and_no_more() {
    let background = Background::new();
    let tasks: Vec<_> = (0..10_000)
        .map(|_| {
            background
                .spawn_future("task", std::future::pending::<()>())
                .scoped()
        })
        .collect();
    assert!(matches!(
        background.spawn("one more", |_cx| async {}),
        Err(BackgroundError::Full(_))
    ));
    assert_eq!(background.stats().running, 10_000);
    drop(tasks);
    background
        .drain(nexios::Drain {
            wait: seconds(1),
            cancel: seconds(1),
        })
        .await;
    assert_idle(&background);
    assert_eq!(background.list().len(), 1_000, "the default history");
}

/// A refused future is dropped before the call returns, and its handle says so.
#[tokio::test(start_paused = true)]
async fn a_refused_future_is_never_polled() {
    let background = Background::builder().live(1).build();
    let busy = background
        .spawn_future("busy", std::future::pending::<()>())
        .scoped();
    let (flag, dropped) = Flag::new();
    let polled = Arc::new(AtomicBool::new(false));
    let task = background.spawn_future("refused", {
        let polled = polled.clone();
        async move {
            polled.store(true, Ordering::SeqCst);
            drop(flag);
        }
    });
    assert!(dropped.load(Ordering::SeqCst));
    assert!(task.is_finished());
    task.cancel();
    assert_ne!(task.id(), busy.id());
    assert!(matches!(task.await, Err(BackgroundFailure::Refused)));
    assert!(!polled.load(Ordering::SeqCst));
    assert_eq!(background.stats().refused, 1);
}

#[tokio::test(start_paused = true)]
async fn waiting_tasks_start_in_order_as_slots_get_free() {
    let background = Background::builder().limit(2).build();
    let order = Arc::new(std::sync::Mutex::new(Vec::new()));
    let tasks: Vec<_> = (0..6)
        .map(|number| {
            let order = order.clone();
            background.spawn_future("task", async move {
                order.lock().unwrap().push(number);
                tokio::time::sleep(seconds(1)).await;
            })
        })
        .collect();
    let began = Instant::now();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(began.elapsed(), seconds(3));
    assert_eq!(*order.lock().unwrap(), [0, 1, 2, 3, 4, 5]);
}

/// BG-038: a slot that gets free by a cancellation or a panic is not lost either.
#[tokio::test(start_paused = true)]
async fn every_kind_of_end_hands_the_slot_on() {
    let background = Background::builder().limit(1).build();
    let cancelled = background.spawn_future("cancelled", std::future::pending::<()>());
    let panics = background.spawn_future("panics", async { panic!("on purpose") });
    let fails = background
        .spawn_fallible("fails", |_cx| async { Err::<(), _>("no") })
        .unwrap();
    let slow = background
        .task("slow")
        .timeout(seconds(1))
        .spawn(|_cx| std::future::pending::<()>())
        .unwrap();
    let last = background.spawn_future("last", async { 1 });
    settle().await;
    cancelled.cancel();
    assert_eq!(last.await.unwrap(), 1);
    assert!(matches!(panics.await, Err(BackgroundFailure::Panicked)));
    assert!(matches!(fails.await, Ok(Err("no"))));
    assert!(matches!(slow.await, Err(BackgroundFailure::TimedOut)));
    assert_idle(&background);
}

/// A waiting task that is cancelled gives its place up and leaves nothing behind.
#[tokio::test(start_paused = true)]
async fn a_cancelled_waiting_task_is_never_polled_and_frees_its_place() {
    let background = Background::builder().limit(1).queue(1).history(10).build();
    let busy = background
        .spawn_future("busy", std::future::pending::<()>())
        .scoped();
    for _ in 0..100 {
        let (flag, dropped) = Flag::new();
        let task = background
            .spawn("waiting", move |_cx| async move {
                let _flag = flag;
                unreachable!("it was cancelled before it began")
            })
            .unwrap();
        assert!(background.cancel(task.id()));
        assert!(matches!(
            task.await,
            Err::<(), _>(BackgroundFailure::Cancelled)
        ));
        assert!(dropped.load(Ordering::SeqCst));
        assert_eq!(background.stats().queued, 0);
    }
    drop(busy);
    settle().await;
    assert_idle(&background);
}

#[tokio::test(start_paused = true)]
async fn a_unique_key_is_refused_while_a_task_with_it_lives() {
    let background = Background::builder().limit(1).build();
    let (go, wait) = oneshot::channel::<()>();
    let first = background
        .task("sync")
        .unique("account 1")
        .spawn(|_cx| async { wait.await.unwrap() })
        .unwrap();
    let again = background
        .task("sync")
        .unique("account 1")
        .spawn(|_cx| async {});
    assert!(matches!(again, Err(BackgroundError::Duplicate(_))));
    let other = background
        .task("sync")
        .unique("account 2")
        .spawn(|_cx| async {})
        .unwrap();
    let waiting = background
        .task("sync")
        .unique("account 2")
        .spawn(|_cx| async {});
    assert!(
        matches!(waiting, Err(BackgroundError::Duplicate(_))),
        "a waiting task holds its key too"
    );
    go.send(()).unwrap();
    first.await.unwrap();
    let third = background
        .task("sync")
        .unique("account 1")
        .spawn(|_cx| async {});
    third.unwrap().await.unwrap();
    other.await.unwrap();
    assert_eq!(background.stats().refused, 2);
}

#[tokio::test(start_paused = true)]
async fn finished_tasks_are_kept_newest_first_and_no_more_than_the_history() {
    let background = Background::builder().history(3).build();
    let mut ids = Vec::new();
    for number in 0..6 {
        let task = background.spawn_future(format!("task {number}"), async {});
        ids.push(task.id());
        task.await.unwrap();
    }
    let live = background
        .spawn_future("live", std::future::pending::<()>())
        .scoped();
    let listed: Vec<_> = background
        .list()
        .into_iter()
        .map(|info| info.name)
        .collect();
    assert_eq!(listed, ["live", "task 5", "task 4", "task 3"]);
    assert!(background.get(ids[0]).is_none(), "forgotten");
    assert!(!background.cancel(ids[0]));
    drop(live);
    settle().await;
    let none = Background::builder().history(0).build();
    none.spawn_future("unseen", async {}).await.unwrap();
    assert!(none.list().is_empty());
    assert_eq!(none.stats().completed, 1, "the counts remember");
}

#[tokio::test(start_paused = true)]
async fn a_timeout_drops_the_future_at_its_limit() {
    let background = Background::new();
    let (flag, dropped) = Flag::new();
    let task = background
        .task("slow")
        .timeout(seconds(3))
        .spawn(|_cx| async move {
            let _flag = flag;
            std::future::pending::<()>().await;
        })
        .unwrap();
    let began = Instant::now();
    let id = task.id();
    assert!(matches!(task.await, Err(BackgroundFailure::TimedOut)));
    assert_eq!(began.elapsed(), seconds(3));
    assert!(dropped.load(Ordering::SeqCst));
    assert_eq!(background.get(id).unwrap().state, TaskState::TimedOut);
    assert_eq!(background.stats().timed_out, 1);
}

#[tokio::test(start_paused = true)]
async fn a_timeout_counts_from_the_slot_not_from_the_queue() {
    let background = Background::builder().limit(1).build();
    let busy = background.spawn_future("busy", tokio::time::sleep(seconds(10)));
    let task = background
        .task("waited")
        .timeout(seconds(3))
        .spawn(|_cx| async { tokio::time::sleep(seconds(2)).await })
        .unwrap();
    task.await.unwrap();
    busy.await.unwrap();
    let endless = background
        .task("endless")
        .timeout(Duration::MAX)
        .spawn(|_cx| async { 1 })
        .unwrap();
    assert_eq!(endless.await.unwrap(), 1);
}

#[tokio::test(start_paused = true)]
async fn dropping_the_last_clone_lets_tasks_go_on() {
    let (sender, receiver) = oneshot::channel();
    let background = Background::builder().limit(1).build();
    drop(background.spawn_future("first", tokio::time::sleep(seconds(1))));
    drop(background.spawn_future("second", async { sender.send("done").unwrap() }));
    drop(background);
    assert_eq!(receiver.await.unwrap(), "done");
}

/// A long text is cut at a character, not in the middle of one.
#[tokio::test(start_paused = true)]
async fn messages_are_bounded() {
    let background = Background::new();
    let long = || "é".repeat(100_000);
    let task = background.spawn_fallible("chatty", move |cx| async move {
        cx.message(long());
        Err::<(), _>(long())
    });
    let task = task.unwrap();
    let id = task.id();
    assert!(task.await.unwrap().is_err());
    let info = background.get(id).unwrap();
    for text in [info.message.unwrap(), info.error.unwrap()] {
        assert!(
            (4_000..=4_096).contains(&text.len()) && text.ends_with("é…"),
            "{} bytes",
            text.len()
        );
    }
    let whole = "é".repeat(2_048);
    let said = whole.clone();
    let task = background
        .spawn("exact", |cx| async move { cx.message(said) })
        .unwrap();
    let id = task.id();
    task.await.unwrap();
    assert_eq!(background.get(id).unwrap().message, Some(whole));
}

#[tokio::test(start_paused = true)]
async fn numbers_are_unique_in_the_process() {
    let (one, other) = (Background::new(), Background::new());
    let mut ids = Vec::new();
    for background in [&one, &other, &one, &other] {
        ids.push(background.spawn_future("task", async {}).id());
    }
    other
        .drain(nexios::Drain {
            wait: seconds(1),
            cancel: seconds(1),
        })
        .await;
    ids.push(other.spawn_future("refused", async {}).id());
    assert!(
        ids[0].0 > 0 && ids.windows(2).all(|pair| pair[0] < pair[1]),
        "{ids:?}"
    );
    assert!(
        one.get(ids[1]).is_none() && !one.cancel(ids[1]),
        "another registry's"
    );
}

/// Its destructor runs where nobody expects a panic.
#[tokio::test(start_paused = true)]
async fn a_refused_future_whose_destructor_panics_harms_nobody() {
    struct Panics;
    impl Drop for Panics {
        fn drop(&mut self) {
            panic!("on purpose");
        }
    }
    let background = Background::new();
    background
        .drain(nexios::Drain {
            wait: seconds(0),
            cancel: seconds(0),
        })
        .await;
    let panics = Panics;
    let refused = background.spawn_future("refused", async move { drop(panics) });
    assert_eq!(refused.await, Err(BackgroundFailure::Refused));
}

#[test]
fn without_a_runtime_nothing_is_admitted() {
    let background = Background::new();
    let spawned = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        drop(background.spawn_future("homeless", async {}));
    }));
    assert!(spawned.is_err());
    assert!(background.list().is_empty());
    assert_idle(&background);
}

#[test]
fn nonsense_limits_are_refused_by_name() {
    fn panic_of(f: impl FnOnce() + std::panic::UnwindSafe) -> String {
        *std::panic::catch_unwind(f)
            .unwrap_err()
            .downcast::<String>()
            .unwrap()
    }
    assert!(panic_of(|| drop(Background::builder().limit(0))).contains("limit(0)"));
    assert!(panic_of(|| drop(Background::builder().live(0))).contains("live(0)"));
    assert!(
        panic_of(|| drop(Background::new().every("x", Duration::ZERO, |_cx| async {})))
            .contains("every(0ns)")
    );
    assert!(
        panic_of(|| drop(nexios::Retry::exponential(seconds(1), seconds(1)).attempts(0)))
            .contains("attempts(0)")
    );
}

/// RS-007: handles and contexts cross threads when their values do.
#[test]
fn handles_and_contexts_are_send_and_sync() {
    fn shared<T: Send + Sync + Unpin>() {}
    shared::<nexios::BackgroundTask<u8>>();
    shared::<nexios::Scoped<u8>>();
    shared::<nexios::TaskContext>();
    shared::<Background>();
    let text = format!("{:?} {:?}", Background::new(), Background::builder());
    assert!(text.contains("running: 0"), "{text}");
}

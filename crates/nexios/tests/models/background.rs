//! Tasks on a registry: admission, ends, cancellations and drains. A limit of zero has passed in a model, any
//! other never does.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use nexios::{
    Background, BackgroundError, BackgroundFailure, BackgroundTask, CancelReason, Drain,
    DrainReport, TaskState,
    observe::{self, WorkId},
};
use shuttle::{future::block_on, thread};

use crate::{
    channel::channel,
    check::{check, check_observed},
    told::Told,
};

const PATIENT: Drain = Drain {
    wait: Duration::MAX,
    cancel: Duration::MAX,
};
const CANCELS: Drain = Drain {
    wait: Duration::ZERO,
    cancel: Duration::MAX,
};
const HURRIED: Drain = Drain {
    wait: Duration::ZERO,
    cancel: Duration::ZERO,
};

fn registry(limit: usize) -> Background {
    Background::builder().limit(limit).build()
}

/// A future that gives others a chance before it is ready.
async fn step() {
    shuttle::future::yield_now().await;
}

fn drain(background: &Background, drain: Drain) -> thread::JoinHandle<DrainReport> {
    let background = background.clone();
    thread::spawn(move || block_on(background.drain(drain)))
}

fn ended(report: &DrainReport) -> usize {
    report.completed.len() + report.failed.len() + report.cancelled.len() + report.abandoned.len()
}

/// Every task has ended, once, and what is counted is what is shown.
#[track_caller]
fn nothing_is_left(background: &Background, tasks: usize) {
    let stats = background.stats();
    assert_eq!((stats.queued, stats.running), (0, 0));
    let list = background.list();
    assert!(list.iter().all(|task| task.state.is_final()), "{list:?}");
    let counted =
        stats.completed + stats.failed + stats.panicked + stats.cancelled + stats.abandoned;
    assert_eq!((list.len(), counted), (tasks, tasks as u64));
}

/// The handle says what the list says.
fn state_of(background: &Background, task: BackgroundTask<()>) -> TaskState {
    let id = task.id();
    let state = match block_on(task) {
        Ok(()) => TaskState::Completed,
        Err(BackgroundFailure::Cancelled) => TaskState::Cancelled,
        Err(BackgroundFailure::Abandoned) => TaskState::Abandoned,
        Err(other) => panic!("{other:?}"),
    };
    assert_eq!(background.get(id).expect("it is shown").state, state);
    state
}

#[test]
fn a_task_started_as_a_drain_begins_is_refused_or_in_its_report() {
    check(|| {
        let background = registry(1);
        let drain = drain(&background, PATIENT);
        let tasks: Vec<_> = (0..2)
            .map_while(|_| background.spawn("task", |_cx| step()).ok())
            .collect();
        let admitted = tasks.len();
        let report = drain.join().expect("no panic");
        // What the drain did not see, it refused; what it saw had ended when it reported.
        assert_eq!(report.completed.len(), ended(&report));
        assert!(report.completed.len() <= admitted);
        assert!(matches!(
            background.spawn("late", |_cx| step()),
            Err(BackgroundError::ShuttingDown(_))
        ));
        nothing_is_left(&background, admitted);
        for task in tasks {
            assert_eq!(state_of(&background, task), TaskState::Completed);
        }
    });
}

#[test]
fn a_cancellation_that_meets_the_end_leaves_one_of_the_two() {
    check(|| {
        let background = registry(1);
        let (go, started) = channel();
        let task = background.spawn_future("task", started);
        let id = task.id();
        let canceller = {
            let background = background.clone();
            thread::spawn(move || background.cancel(id))
        };
        go.send(());
        let state = state_of(&background, task);
        let said = canceller.join().expect("no panic");
        assert!(
            said || state == TaskState::Completed,
            "who was told that it is too late was"
        );
        nothing_is_left(&background, 1);
    });
}

/// The token is made by one thread while another one fires it.
#[test]
fn a_task_that_asks_hears_of_its_cancellation() {
    check(|| {
        let background = registry(1);
        let task = background
            .spawn("asks", |cx| async move { cx.cancelled().await })
            .ok()
            .expect("room");
        let id = task.id();
        let canceller = {
            let background = background.clone();
            thread::spawn(move || background.cancel(id))
        };
        assert_eq!(block_on(task), Ok(CancelReason::Requested));
        assert!(canceller.join().expect("no panic"));
        nothing_is_left(&background, 1);
    });
}

#[test]
fn two_drains_at_once_are_one() {
    check(|| {
        let background = registry(2);
        let deaf = background
            .spawn("deaf", |_cx| std::future::pending::<()>())
            .ok()
            .expect("room");
        let quick = background.spawn("quick", |_cx| step()).ok().expect("room");
        let (patient, hurried) = (drain(&background, PATIENT), drain(&background, HURRIED));
        let (one, other) = (
            patient.join().expect("no panic"),
            hurried.join().expect("no panic"),
        );
        // Whoever comes after the end finds nothing; nobody finds a part.
        if ended(&one) > 0 && ended(&other) > 0 {
            assert_eq!(format!("{one:?}"), format!("{other:?}"));
        }
        let report = if ended(&one) > 0 { one } else { other };
        assert_eq!(state_of(&background, deaf), TaskState::Abandoned);
        let state = state_of(&background, quick);
        let reported = (report.completed.len(), report.abandoned.len());
        match state {
            TaskState::Completed => assert!(reported == (1, 1) || reported == (0, 1), "{report:?}"),
            _ => assert_eq!(reported, (0, 2), "{report:?}"),
        }
        nothing_is_left(&background, 2);
    });
}

#[test]
fn a_key_is_free_when_its_task_has_ended_and_not_before() {
    check(|| {
        let background = registry(2);
        let live = Arc::new(AtomicUsize::new(0));
        let spawn = {
            let (background, live) = (background.clone(), live.clone());
            move || {
                let live = live.clone();
                background
                    .task("sync")
                    .unique("key")
                    .spawn(move |_cx| async move {
                        assert_eq!(live.fetch_add(1, SeqCst), 0, "one at a time");
                        step().await;
                        live.fetch_sub(1, SeqCst);
                    })
            }
        };
        let first = spawn().ok().expect("the key is free");
        let second = thread::spawn({
            let spawn = spawn.clone();
            move || match spawn() {
                Ok(task) => block_on(task).map(|()| 1),
                Err(BackgroundError::Duplicate(_)) => Ok(0),
                Err(other) => panic!("{other:?}"),
            }
        });
        assert_eq!(block_on(first), Ok(()));
        let more = second.join().expect("no panic").expect("it completes");
        assert_eq!(block_on(spawn().ok().expect("both have ended")), Ok(()));
        nothing_is_left(&background, 2 + more);
    });
}

#[test]
fn a_waiting_task_starts_or_is_cancelled_when_a_drain_cancels() {
    check(|| {
        let background = registry(1);
        let (go, started) = channel();
        let first = background.spawn("first", |_cx| started).ok().expect("room");
        let polled = Arc::new(AtomicUsize::new(0));
        let waiting = background.spawn_future("waiting", {
            let polled = polled.clone();
            async move {
                polled.fetch_add(1, SeqCst);
                step().await;
            }
        });
        let drain = drain(&background, CANCELS);
        go.send(());
        let report = drain.join().expect("no panic");
        // What had ended before it began is none of its business.
        assert_eq!(
            report.completed.len() + report.cancelled.len(),
            ended(&report),
            "{report:?}"
        );
        assert_eq!(state_of(&background, first), TaskState::Completed);
        let state = state_of(&background, waiting);
        assert!(polled.load(SeqCst) == 1 || state == TaskState::Cancelled);
        assert_eq!(
            report.cancelled.len(),
            usize::from(state == TaskState::Cancelled)
        );
        nothing_is_left(&background, 2);
    });
}

#[test]
fn a_slot_that_a_drain_frees_is_nobodys() {
    check(|| {
        let background = registry(1);
        let polite = background.spawn("polite", |cx| async move {
            cx.cancelled().await;
        });
        let polite = polite.ok().expect("room");
        let started = Arc::new(AtomicUsize::new(0));
        let waiting = background.spawn("waiting", {
            let started = started.clone();
            move |_cx| async move {
                started.fetch_add(1, SeqCst);
            }
        });
        let report = drain(&background, CANCELS).join().expect("no panic");
        assert_eq!(
            (report.completed.len(), report.cancelled.len()),
            (1, 1),
            "{report:?}"
        );
        assert_eq!(state_of(&background, polite), TaskState::Completed);
        assert_eq!(
            state_of(&background, waiting.ok().expect("room")),
            TaskState::Cancelled
        );
        assert_eq!(started.load(SeqCst), 0);
        nothing_is_left(&background, 2);
    });
}

/// A freed slot, a cancelled waiting task and the next in the queue meet.
#[test]
fn a_slot_that_gets_free_is_not_lost() {
    check(|| {
        let background = registry(1);
        let tasks: Vec<_> = (0..3)
            .map(|_| background.spawn_future("task", step()))
            .collect();
        let id = tasks[1].id();
        let canceller = {
            let background = background.clone();
            thread::spawn(move || background.cancel(id))
        };
        let states: Vec<_> = tasks
            .into_iter()
            .map(|task| state_of(&background, task))
            .collect();
        assert_eq!(
            (states[0], states[2]),
            (TaskState::Completed, TaskState::Completed)
        );
        canceller.join().expect("no panic");
        nothing_is_left(&background, 3);
    });
}

/// Alone, or while somebody outside drains too, who then waits for it.
#[test]
fn a_task_that_drains_its_own_registry_does_not_wait_for_itself() {
    fn model(outside: bool) {
        let background = registry(2);
        let own = background.clone();
        let (told, report) = channel();
        let restart = background.spawn("restart", move |_cx| async move {
            told.send(own.drain(PATIENT).await);
            step().await;
        });
        let (restart, quick) = (
            restart.ok().expect("room"),
            background.spawn("quick", |_cx| step()),
        );
        if outside {
            let report = drain(&background, PATIENT).join().expect("no panic");
            assert_eq!(report.completed.len(), ended(&report), "{report:?}");
            assert_eq!(background.stats().running, 0, "it has waited for the task");
        }
        let report = block_on(report);
        assert_eq!(report.completed.len(), ended(&report));
        assert!(
            report.completed.iter().all(|name| name == "quick"),
            "{report:?}"
        );
        assert_eq!(state_of(&background, restart), TaskState::Completed);
        let quick = quick.ok().map(|task| state_of(&background, task));
        assert!(quick.is_none_or(|state| state == TaskState::Completed));
        nothing_is_left(&background, 1 + usize::from(quick.is_some()));
    }
    check(|| model(false));
    check(|| model(true));
}

/// Both are members, and both wait for the third.
#[test]
fn two_tasks_that_drain_their_registry_at_once_get_the_same_report() {
    check(|| {
        let background = registry(3);
        let (go, started) = channel();
        let third = background.spawn("third", |_cx| started).ok().expect("room");
        let tasks: Vec<_> = (0..2)
            .map_while(|_| {
                let own = background.clone();
                background
                    .spawn(
                        "restart",
                        move |_cx| async move { own.drain(PATIENT).await },
                    )
                    .ok()
            })
            .collect();
        go.send(());
        let reports: Vec<_> = tasks
            .into_iter()
            .map(|task| block_on(task).expect("it is not cut off"))
            .collect();
        assert!(
            reports
                .iter()
                .all(|report| report.cancelled.is_empty() && report.abandoned.is_empty())
        );
        assert_eq!(state_of(&background, third), TaskState::Completed);
        nothing_is_left(&background, 1 + reports.len());
    });
}

/// A listing looks at the tasks while they end and are forgotten.
#[test]
fn a_listing_shows_every_task_once() {
    check(|| {
        let background = Background::builder().history(1).build();
        let kept = background.spawn_future("kept", std::future::pending::<()>());
        let other = thread::spawn({
            let background = background.clone();
            move || {
                for _ in 0..3 {
                    assert_eq!(block_on(background.spawn_future("short", step())), Ok(()));
                }
            }
        });
        let list = background.list();
        let mut ids: Vec<_> = list.iter().map(|task| task.id).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), list.len(), "{list:?}");
        assert_eq!(
            list.iter()
                .filter(|task| task.id == kept.id() && task.name == "kept")
                .count(),
            1
        );
        assert!(
            list.iter()
                .all(|task| task.name == "short" || task.id == kept.id()),
            "{list:?}"
        );
        other.join().expect("no panic");
        kept.cancel();
        assert!(block_on(kept).is_err());
    });
}

/// It is made first, its end is told once and last, and before a drain that waits for it has returned.
#[test]
fn a_cancellation_a_drain_and_the_end_are_told_in_one_order() {
    check_observed(|| {
        let (told, observing) = Told::begin();
        let background = registry(1);
        let drained = drain(&background, CANCELS);
        let tasks: Vec<_> = (0..2)
            .filter_map(|_| {
                let spawned = background.spawn("task", |cx| async move {
                    cx.progress(1, 2);
                    step().await;
                });
                spawned.ok()
            })
            .collect();
        let ids: Vec<_> = tasks.iter().map(|task| WorkId(task.id().0)).collect();
        let canceller = {
            let ids = ids.clone();
            thread::spawn(move || ids.into_iter().map(observe::cancel).count())
        };
        drained.join().expect("no panic");
        let lines: Vec<_> = ids.iter().map(|id| told.of(*id)).collect();
        for lines in lines {
            assert_eq!(lines[0], "made", "{lines:?}");
            let ends = |what: &&&str| matches!(**what, "completed" | "cancelled");
            assert_eq!(lines.iter().filter(ends).count(), 1, "{lines:?}");
            assert!(lines.last().is_some_and(|last| ends(&last)), "{lines:?}");
            for once in ["started", "cancelling"] {
                let times = lines.iter().filter(|what| **what == once).count();
                assert!(times <= 1, "{lines:?}");
            }
        }
        canceller.join().expect("no panic");
        drop(tasks);
        drop(observing);
    });
}

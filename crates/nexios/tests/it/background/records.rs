//! What is kept of a task, and how all of it is listed.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, SystemTime},
};

use nexios::{Background, BackgroundFailure, CancelReason, CancelToken, Drain, Retry, TaskState};

use super::{assert_idle, names, seconds, settle};

/// Nothing of an old task shows in a new one.
#[tokio::test(start_paused = true)]
async fn a_task_begins_as_if_there_had_been_none_before() {
    let background = Background::builder().history(0).limit(1).build();
    let retry = Retry::exponential(seconds(1), seconds(1)).attempts(3);
    let old = background
        .task("old")
        .retry(retry)
        .unique("key")
        .spawn_fallible(|cx| async move {
            cx.progress(3, 4);
            cx.message("old message");
            if cx.attempt() < 2 {
                Err("old error")
            } else {
                Ok(cx.cancelled().await)
            }
        })
        .unwrap();
    tokio::time::sleep(seconds(5)).await;
    old.cancel();
    assert_eq!(old.await.unwrap(), Ok(CancelReason::Requested));
    let two = [(); 2].map(|()| background.spawn_future("short", async {}));
    for task in two {
        task.await.unwrap();
    }
    for _ in 0..3 {
        let deaf = background.spawn_future("plain", std::future::pending::<()>());
        deaf.cancel();
        assert!(matches!(deaf.await, Err(BackgroundFailure::Cancelled)));
    }

    let new = background.spawn("new", |cx| async move {
        assert!(!cx.is_cancelled());
        assert_eq!(cx.token().reason(), None);
        tokio::time::sleep(seconds(7)).await;
        cx.attempt()
    });
    let new = new.unwrap();
    settle().await;
    let info = background.get(new.id()).unwrap();
    assert_eq!(
        (info.name.as_ref(), info.state, info.attempt),
        ("new", TaskState::Running, 1)
    );
    assert_eq!(
        (info.done, info.total, info.message, info.error),
        (0, 0, None, None)
    );
    assert_eq!(info.elapsed, Duration::ZERO);
    // It waits, so it is not yet running.
    let waiting = background.spawn("waiting", |_cx| async {}).unwrap();
    let info = background.get(waiting.id()).unwrap();
    assert_eq!(
        (info.state, info.started, info.elapsed),
        (TaskState::Queued, None, Duration::ZERO)
    );
    assert_eq!(new.await.unwrap(), 1);
    waiting.await.unwrap();
    assert_idle(&background);
}

/// A handle, a context and a token keep meaning the task they were made for.
#[tokio::test(start_paused = true)]
async fn what_is_held_of_a_forgotten_task_is_not_of_another_one() {
    let background = Background::builder().history(1).build();
    let (handle, token) = {
        let (sender, receiver) = tokio::sync::oneshot::channel::<CancelToken>();
        let task = background
            .spawn("first", |cx| async move { sender.send(cx.token()).is_ok() })
            .unwrap();
        (task, receiver.await.unwrap())
    };
    settle().await;
    for _ in 0..5 {
        background.spawn_future("short", async {}).await.unwrap();
    }
    assert!(background.get(handle.id()).is_none(), "forgotten");
    let others: Vec<_> = (0..5)
        .map(|_| {
            background
                .spawn("other", |cx| async move { cx.cancelled().await })
                .unwrap()
        })
        .collect();
    settle().await;
    handle.cancel();
    assert_eq!(token.reason(), Some(CancelReason::Finished));
    assert!(format!("{handle:?}").contains("first"), "{handle:?}");
    settle().await;
    assert_eq!(
        names(&background, TaskState::Running).len(),
        5,
        "nobody else was cancelled"
    );
    assert!(handle.await.unwrap());
    for other in others {
        other.cancel();
        assert_eq!(other.await.unwrap(), CancelReason::Requested);
    }
}

/// More tasks than are looked at under one lock.
#[tokio::test(start_paused = true)]
async fn a_long_list_is_whole_and_in_order() {
    let background = Background::new();
    for number in 0..600 {
        background
            .spawn_future(format!("finished {number}"), async {})
            .await
            .unwrap();
    }
    let mut live: Vec<_> = (0..700)
        .map(|number| {
            background
                .spawn_future(format!("live {number}"), std::future::pending::<()>())
                .scoped()
        })
        .collect();
    // Gaps.
    for place in [0, 255, 255, 400, 650] {
        drop(live.remove(place));
    }
    tokio::time::sleep(seconds(1)).await;
    let listed = background.list();
    assert_eq!(listed.len(), 1_300);
    assert_eq!(
        listed.iter().filter(|task| !task.state.is_final()).count(),
        695
    );
    assert!(
        listed[..695].windows(2).all(|pair| pair[0].id < pair[1].id),
        "in the order of their start"
    );
    assert_eq!(listed[700].name, "finished 599");
    assert_eq!(listed[1_299].name, "finished 0");
    assert!(
        listed[700..].windows(2).all(|pair| pair[0].id > pair[1].id),
        "newest first"
    );
    let next = background
        .spawn_future("next", std::future::pending::<()>())
        .scoped();
    assert_eq!(
        background.list()[695].id,
        next.id(),
        "in a gap, but the last to start"
    );
    drop(live);
    drop(next);
    background
        .drain(Drain {
            wait: seconds(1),
            cancel: seconds(1),
        })
        .await;
    assert_idle(&background);
}

/// By the wall clock, though only one clock is read when a task begins.
#[tokio::test(start_paused = true)]
async fn the_time_of_the_start_is_that_of_the_slot() {
    let background = Background::builder().limit(1).build();
    let before = SystemTime::now();
    let first = background.spawn_future("first", tokio::time::sleep(seconds(60)));
    let second = background.spawn_future("second", async { tokio::time::sleep(seconds(5)).await });
    tokio::time::sleep(seconds(62)).await;
    let [first, second] = [first.id(), second.id()].map(|id| background.get(id).unwrap());
    let after = SystemTime::now();
    let began = first.started.unwrap();
    // The two clocks of the system are not read at the same moment.
    let blur = Duration::from_millis(100);
    assert!(before - blur <= began && began <= after + blur);
    let waited = second.started.unwrap().duration_since(began).unwrap();
    assert!(waited.abs_diff(seconds(60)) < blur, "{waited:?}");
    assert!(
        second.elapsed.abs_diff(seconds(2)) < blur,
        "{:?}",
        second.elapsed
    );
    assert_eq!(first.elapsed.as_secs(), 60);
    let again = background.get(first.id).unwrap();
    assert_eq!(
        (again.started, again.elapsed),
        (first.started, first.elapsed),
        "it does not tremble"
    );
}

/// Listing neither waits for a task nor makes one wait: it runs none of their code.
#[tokio::test]
async fn a_list_can_be_made_while_a_task_holds_its_thread() {
    let background = Background::new();
    let free = std::sync::Arc::new(AtomicBool::new(false));
    let (entered, inside) = tokio::sync::oneshot::channel();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .build()
        .unwrap();
    let task = {
        let (free, background) = (free.clone(), background.clone());
        let _entered = runtime.enter();
        background.spawn_future("holds its thread", async move {
            entered.send(()).unwrap();
            while !free.load(Ordering::Acquire) {
                std::thread::yield_now();
            }
        })
    };
    inside.await.unwrap();
    assert_eq!(names(&background, TaskState::Running), ["holds its thread"]);
    assert_eq!(background.stats().running, 1);
    free.store(true, Ordering::Release);
    task.await.unwrap();
    runtime.shutdown_background();
}

#[tokio::test(start_paused = true)]
async fn a_watched_task_shows_its_end_after_the_history_has_forgotten_it() {
    let background = Background::builder().history(0).build();
    let task = background
        .spawn("watched", |task| async move { task.progress(3, 3) })
        .unwrap();
    let id = task.id();
    let watch = background.watch(id).unwrap();
    assert_eq!(watch.info().state, TaskState::Running);
    task.await.unwrap();
    for _ in 0..300 {
        background
            .spawn("later", |_| async {})
            .unwrap()
            .await
            .unwrap();
    }
    let info = watch.info();
    assert_eq!(
        (info.id, &*info.name, info.state, info.done),
        (id, "watched", TaskState::Completed, 3)
    );
    assert!(background.get(id).is_none() && background.watch(id).is_none());
}

/// What a clone of its context says after the end is not shown, neither in the history nor to who watches.
#[tokio::test(start_paused = true)]
async fn a_task_that_has_ended_can_be_watched_and_says_nothing_more() {
    let background = Background::builder().history(1).build();
    let task = background.spawn("watched", |cx| async move {
        cx.progress(1, 2);
        cx.message("half of it");
        cx
    });
    let task = task.unwrap();
    let id = task.id();
    let before = background.watch(id).unwrap();
    let context = task.await.unwrap();
    let after = background.watch(id).unwrap();
    context.progress(2, 2);
    context.message("all of it");
    for info in [before.info(), after.info(), background.get(id).unwrap()] {
        assert_eq!(
            (info.state, info.done, info.message.as_deref()),
            (TaskState::Completed, 1, Some("half of it"))
        );
    }
    background
        .spawn("next", |_| async {})
        .unwrap()
        .await
        .unwrap();
    assert!(background.watch(id).is_none(), "forgotten");
    assert_eq!(after.info().message.as_deref(), Some("half of it"));
}

/// Its state does not tell, as it is running until it has cleaned up.
#[tokio::test(start_paused = true)]
async fn a_task_shows_why_it_was_asked_to_end_until_it_has_ended() {
    let background = Background::new();
    let cancelling = |id| background.get(id).unwrap().cancelling;
    let task = background
        .spawn("cleans up", |cx| async move {
            cx.cancelled().await;
            tokio::time::sleep(seconds(3)).await;
        })
        .unwrap();
    let (id, watch) = (task.id(), background.watch(task.id()).unwrap());
    settle().await;
    assert_eq!(cancelling(id), None);
    task.cancel();
    settle().await;
    assert!(!background.cancel(id), "it was asked before");
    let info = background.get(id).unwrap();
    assert_eq!(
        (info.state, info.cancelling),
        (TaskState::Running, Some(CancelReason::Requested))
    );
    assert_eq!(
        watch.info().cancelling,
        background.list()[0].cancelling,
        "a watch and a list see the same"
    );
    task.await.unwrap();
    assert_eq!((cancelling(id), watch.info().cancelling), (None, None));

    // Whoever has the token may fire it for another reason.
    let task = background
        .spawn("fired", |cx| async move {
            cx.token().cancel(CancelReason::Deadline);
            tokio::time::sleep(seconds(3)).await;
        })
        .unwrap();
    let id = task.id();
    settle().await;
    assert_eq!(cancelling(id), Some(CancelReason::Deadline));
    task.await.unwrap();
    assert_eq!(cancelling(id), None);
    assert_idle(&background);
}

#[tokio::test(start_paused = true)]
async fn a_task_that_waits_or_cannot_hear_shows_that_it_was_asked_to_end_as_well() {
    let background = Background::builder().limit(1).build();
    let plain = background.spawn_future("plain", std::future::pending::<()>());
    let waiting = background.spawn("waiting", |_cx| async {}).unwrap();
    settle().await;
    for task in [plain.id(), waiting.id()] {
        assert!(background.cancel(task));
        let info = background.get(task).unwrap();
        assert_eq!(info.cancelling, Some(CancelReason::Requested));
    }
    settle().await;
    for info in background.list() {
        assert_eq!((info.state, info.cancelling), (TaskState::Cancelled, None));
    }
    assert_idle(&background);
}

#[tokio::test(start_paused = true)]
async fn a_task_in_a_drain_shows_that_the_service_shuts_down() {
    let background = Background::new();
    let task = background
        .spawn("cleans up", |cx| async move {
            cx.cancelled().await;
            tokio::time::sleep(seconds(3)).await;
        })
        .unwrap();
    let drain = tokio::spawn({
        let background = background.clone();
        async move {
            let (wait, cancel) = (seconds(1), seconds(5));
            background.drain(Drain { wait, cancel }).await
        }
    });
    settle().await;
    let cancelling = || background.get(task.id()).unwrap().cancelling;
    assert_eq!(cancelling(), None, "nobody has asked it to end yet");
    tokio::time::sleep(seconds(2)).await;
    assert_eq!(cancelling(), Some(CancelReason::Shutdown));
    drain.await.unwrap();
    assert_eq!(cancelling(), None);
    assert_idle(&background);
}

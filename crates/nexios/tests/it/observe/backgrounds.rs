//! What is told of background tasks and their registries.

use std::{
    future::{Future, pending},
    panic::Location,
    sync::{Arc, Mutex, mpsc},
    time::{Duration, SystemTime},
};

use nexios::{
    Background, BackgroundFailure, Drain, Retry, TaskContext, create_background_task,
    observe::{self, CustomWork, Observer, Outcome, Work, WorkId},
};
use tokio::{task::yield_now, time::sleep};

use super::recorder::Recorder;

const SECOND: Duration = Duration::from_secs(1);

/// Runs the future as the test's own work.
async fn within<F: Future>(root: &CustomWork, future: F) -> F::Output {
    let mut future = std::pin::pin!(future);
    std::future::poll_fn(|cx| root.scope(|| future.as_mut().poll(cx))).await
}

/// Lets everything that can go on do so.
async fn settle() {
    for _ in 0..20 {
        yield_now().await;
    }
}

/// What is told of one task.
fn told(recorder: &Recorder, name: &str) -> Vec<String> {
    let of_it = format!("{name}: ");
    let lines = recorder.lines().into_iter();
    lines
        .filter_map(|line| line.strip_prefix(&of_it).map(str::to_owned))
        .collect()
}

/// What was said of work when it was made.
#[derive(Debug, Clone, PartialEq)]
struct Made {
    id: WorkId,
    parent: Option<WorkId>,
    link: Option<WorkId>,
    name: String,
    owner: Option<String>,
    made_at: Option<&'static Location<'static>>,
}

#[derive(Default)]
struct AllMade(Mutex<Vec<Made>>);

impl AllMade {
    fn named(&self, name: &str) -> Made {
        let all = self.0.lock().unwrap();
        all.iter().find(|made| made.name == name).unwrap().clone()
    }
}

impl Observer for AllMade {
    fn made(&self, work: &Work<'_>) {
        self.0.lock().unwrap().push(Made {
            id: work.id,
            parent: work.parent,
            link: work.link,
            name: work.name.to_owned(),
            owner: work.owner.map(str::to_owned),
            made_at: work.made_at,
        });
    }
}

fn alive(name: &str) -> Vec<observe::Living<nexios::BackgroundStats>> {
    let backgrounds = observe::snapshot().backgrounds.into_iter();
    backgrounds.filter(|living| living.name == name).collect()
}

#[tokio::test]
async fn a_task_is_a_root_with_a_link_to_who_started_it_and_its_registry_as_owner() {
    let all = Arc::new(AllMade::default());
    let _observing = observe::observe(all.clone());
    let background = Background::builder().name("letters").build();
    let request = observe::request("POST /letters");
    let (task, line) = request.scope(|| (background.spawn("send letter", async |_| {}), line!()));
    let id = WorkId(task.as_ref().unwrap().id().0);
    task.unwrap().await.unwrap();
    let made = all.named("send letter");
    assert_eq!((made.id, made.parent, made.link), (id, None, request.id()));
    assert_eq!(made.owner.as_deref(), Some("letters"));
    let made_at = made.made_at.unwrap();
    assert!(made_at.file().ends_with("backgrounds.rs"), "{made_at}");
    assert_eq!(made_at.line(), line);

    create_background_task("of the process", async {})
        .await
        .unwrap();
    let owner = all.named("of the process").owner;
    assert_eq!(owner.as_deref(), Some("background"));
}

#[tokio::test]
async fn what_runs_in_a_task_is_its_part_in_its_destructors_too() {
    struct Late;
    impl Drop for Late {
        fn drop(&mut self) {
            drop(observe::custom("destructor"));
        }
    }

    let (recorder, _observing, root) = Recorder::begin();
    let background = Background::new();
    let task = root.scope(|| {
        background.spawn_future("outer", async {
            let _late = Late;
            drop(observe::custom("before"));
            yield_now().await;
            drop(observe::custom("after"));
            pending::<()>().await;
        })
    });
    settle().await;
    task.cancel();
    assert_eq!(task.await, Err(BackgroundFailure::Cancelled));
    let lines = recorder.lines();
    for part in ["before", "after", "destructor"] {
        let made = format!("{part}: made as custom in outer");
        assert!(lines.contains(&made), "{lines:?}");
    }
    // The task ends after its parts.
    assert_eq!(lines.last().unwrap(), "outer: Cancelled(Requested)");
}

#[tokio::test]
async fn a_task_is_made_when_it_is_taken_in_and_starts_when_it_is_first_polled() {
    let (recorder, _observing, root) = Recorder::begin();
    let background = Background::builder().limit(1).build();
    let (first, second) = root.scope(|| {
        let first = background.spawn_future("first", pending::<()>());
        (first, background.spawn_future("second", async {}))
    });
    settle().await;
    assert_eq!(told(&recorder, "first"), ["made as background", "started"]);
    assert_eq!(told(&recorder, "second"), ["made as background"]);
    first.cancel();
    second.await.unwrap();
    assert_eq!(
        told(&recorder, "second"),
        ["made as background", "started", "Completed"]
    );
}

#[tokio::test(start_paused = true)]
async fn a_task_says_its_progress_its_messages_its_last_error_and_its_later_attempts() {
    let (recorder, _observing, root) = Recorder::begin();
    let background = Background::new();
    let retry = Retry::exponential(SECOND, SECOND).attempts(2);
    let task = root.scope(|| {
        background
            .task("import")
            .retry(retry)
            .spawn_fallible(|cx| async move {
                cx.progress(u64::from(cx.attempt()), 2);
                cx.message("a row");
                if cx.attempt() == 1 { Err("no") } else { Ok(()) }
            })
    });
    task.unwrap().await.unwrap().unwrap();
    assert_eq!(
        told(&recorder, "import"),
        [
            "made as background",
            "started",
            "Progress { done: 1, total: 2 }",
            "Message(\"a row\")",
            "Attribute { name: \"last_error\", value: \"no\" }",
            "Attempt(2)",
            "Progress { done: 2, total: 2 }",
            "Message(\"a row\")",
            "Completed",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_task_whose_token_has_fired_says_so_once_while_it_cleans_up() {
    async fn cleans_up(cx: TaskContext) {
        cx.cancelled().await;
        sleep(SECOND).await;
    }

    let (recorder, _observing, root) = Recorder::begin();
    let background = Background::new();
    let (handle, token) = root.scope(|| {
        let handle = background.spawn("by its handle", cleans_up).unwrap();
        let token = background.spawn("by its token", |cx| async move {
            cx.token().cancel(nexios::CancelReason::SiblingFailed);
            cleans_up(cx).await;
        });
        (handle, token.unwrap())
    });
    settle().await;
    handle.cancel();
    let lines = ["made as background", "started", "Cancelling(Requested)"];
    assert_eq!(told(&recorder, "by its handle"), lines);
    handle.cancel();
    handle.await.unwrap();
    token.await.unwrap();
    assert_eq!(
        told(&recorder, "by its handle"),
        [&lines[..], &["Completed"]].concat()
    );
    assert_eq!(
        told(&recorder, "by its token"),
        [
            "made as background",
            "started",
            "Cancelling(SiblingFailed)",
            "Completed"
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_task_ends_as_it_went() {
    let (recorder, _observing, root) = Recorder::begin();
    let background = Background::builder().limit(10).build();
    let cancelled_in_error = |cx: TaskContext| async move {
        cx.cancelled().await;
        Err::<(), _>("interrupted")
    };
    within(&root, async {
        let _task = background.spawn_fallible("fine", async |_| Ok::<_, &str>(1));
        let _task = background.spawn_fallible("failed", async |_| Err::<(), _>("no room"));
        let _task = background.spawn("panicked", async |_| panic!("on purpose"));
        let _task = background
            .task("too slow")
            .timeout(SECOND)
            .spawn(|_| pending::<()>());
        let requested = background.spawn_future("requested", pending::<()>());
        let scoped = background.spawn_future("scoped", pending::<()>()).scoped();
        let interrupted = background
            .spawn_fallible("interrupted", cancelled_in_error)
            .unwrap();
        settle().await;
        requested.cancel();
        interrupted.cancel();
        drop(scoped);
        sleep(2 * SECOND).await;
    })
    .await;
    for (task, end) in [
        ("fine", "Completed"),
        ("failed", "Failed(Some(\"no room\"))"),
        ("panicked", "Panicked(\"on purpose\")"),
        ("too slow", "TimedOut"),
        ("requested", "Cancelled(Requested)"),
        ("scoped", "Cancelled(OwnerDropped)"),
        ("interrupted", "Cancelled(Requested)"),
    ] {
        let lines = told(&recorder, task);
        assert_eq!(lines.last().unwrap(), end, "{task}: {lines:?}");
        assert_eq!(lines[..2], ["made as background", "started"]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_task_at_its_limit_says_so_before_its_future_is_gone() {
    struct Late(CustomWork);

    let (recorder, _observing, root) = Recorder::begin();
    let background = Background::new();
    let task = root.scope(|| {
        background.task("export").timeout(SECOND).spawn(async |_| {
            let late = Late(observe::custom("late"));
            pending::<()>().await;
            drop(late.0);
        })
    });
    assert_eq!(task.unwrap().await, Err(BackgroundFailure::TimedOut));
    let lines = recorder.lines();
    assert_eq!(
        lines[lines.len() - 3..],
        [
            "export: Cancelling(Deadline)",
            "late: Completed",
            "export: TimedOut"
        ]
    );
}

#[tokio::test]
async fn a_task_that_waits_for_its_slot_is_cancelled_without_a_word_between() {
    let (recorder, _observing, root) = Recorder::begin();
    let background = Background::builder().limit(1).build();
    let (_first, second) = root.scope(|| {
        let first = background.spawn_future("first", pending::<()>());
        (first, background.spawn("second", |_| pending::<()>()))
    });
    let second = second.unwrap();
    second.cancel();
    assert_eq!(second.await, Err(BackgroundFailure::Cancelled));
    assert_eq!(
        told(&recorder, "second"),
        ["made as background", "Cancelled(Requested)"]
    );
}

#[tokio::test(start_paused = true)]
async fn a_task_that_a_drain_ends_is_cancelled_by_the_shutdown_abandoned_or_not() {
    let (recorder, _observing, root) = Recorder::begin();
    let background = Background::builder().limit(2).build();
    root.scope(|| {
        let _task = background.spawn_future("plain", pending::<()>());
        let _task = background.spawn("ignores", |_| pending::<()>());
        let _task = background.spawn("waits", |_| pending::<()>());
    });
    settle().await;
    let (wait, cancel) = (SECOND, SECOND);
    let report = background.drain(Drain { wait, cancel }).await;
    assert_eq!(report.abandoned, ["ignores"]);
    let begun = ["made as background", "started", "Cancelling(Shutdown)"];
    let end = "Cancelled(Shutdown)";
    assert_eq!(told(&recorder, "plain"), [&begun[..], &[end]].concat());
    assert_eq!(told(&recorder, "ignores"), [&begun[..], &[end]].concat());
    assert_eq!(told(&recorder, "waits"), ["made as background", end]);
}

#[test]
fn a_task_whose_runtime_ends_is_cancelled_polled_or_not() {
    let (recorder, _observing, root) = Recorder::begin();
    let background = Background::new();
    for polled in [true, false] {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let name = if polled { "polled" } else { "not polled" };
        runtime.block_on(async {
            let _task = root.scope(|| background.spawn(name, |_| pending::<()>()));
            if polled {
                settle().await;
            }
        });
        drop(runtime);
        let lines = told(&recorder, name);
        assert_eq!(lines.last().unwrap(), "Cancelled(Shutdown)", "{lines:?}");
        assert_eq!(lines.len(), if polled { 3 } else { 2 });
    }
}

#[tokio::test]
async fn a_task_whose_destructors_panic_ends_once() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("in a destructor");
        }
    }

    let (recorder, _observing, root) = Recorder::begin();
    let background = Background::new();
    let task = root.scope(|| {
        background.spawn_future("bomb", async {
            let _bomb = Bomb;
            pending::<()>().await;
        })
    });
    settle().await;
    task.cancel();
    assert_eq!(task.await, Err(BackgroundFailure::Panicked));
    let mut lines = told(&recorder, "bomb");
    // A panic whose stack is printed takes its time.
    lines.retain(|line| !line.starts_with("SlowPoll"));
    assert_eq!(
        lines[2..],
        ["Cancelling(Requested)", "Panicked(\"in a destructor\")"]
    );
}

#[tokio::test]
async fn a_refused_task_is_a_part_of_who_has_tried_and_never_starts() {
    let (recorder, _observing, root) = Recorder::begin();
    let all = Arc::new(AllMade::default());
    let _observing = observe::observe(all.clone());
    let background = Background::builder().name("refuses").live(1).build();
    let busy = background
        .task("busy")
        .unique("key")
        .spawn(|_| pending::<()>());
    let refused = root.scope(|| {
        let again = background.task("duplicate").unique("key");
        assert!(again.spawn(async |_| {}).is_err());
        assert!(background.spawn("full", async |_| {}).is_err());
        let future = background.spawn_future("full future", async {});
        busy.unwrap().cancel();
        future
    });
    let (wait, cancel) = (Duration::ZERO, Duration::ZERO);
    background.drain(Drain { wait, cancel }).await;
    root.scope(|| assert!(background.every("late", SECOND, async |_| {}).is_err()));
    for task in ["duplicate", "full", "full future", "late"] {
        assert_eq!(
            told(&recorder, task),
            ["made as background", "Refused"],
            "{task}"
        );
        let made = all.named(task);
        assert_eq!((made.parent, made.link), (root.id(), None));
        assert_eq!(made.owner.as_deref(), Some("refuses"));
    }
    assert_eq!(all.named("full future").id.0, refused.id().0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_that_has_returned_leaves_no_end_untold() {
    struct Slow(Mutex<Vec<Outcome<'static>>>, Mutex<Option<WorkId>>);
    impl Observer for Slow {
        fn made(&self, work: &Work<'_>) {
            if work.name == "told slowly" {
                *self.1.lock().unwrap() = Some(work.id);
            }
        }
        fn ended(&self, id: WorkId, _: &Outcome<'_>) {
            if *self.1.lock().unwrap() == Some(id) {
                std::thread::sleep(Duration::from_millis(100));
                self.0.lock().unwrap().push(Outcome::Completed);
            }
        }
    }

    let slow = Arc::new(Slow(Mutex::default(), Mutex::default()));
    let _observing = observe::observe(slow.clone());
    let background = Background::new();
    let _task = background.spawn_future("told slowly", async {});
    let (wait, cancel) = (60 * SECOND, SECOND);
    background.drain(Drain { wait, cancel }).await;
    assert_eq!(slow.0.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn an_observer_may_cancel_a_task_as_it_hears_of_it() {
    struct Cancels;
    impl Observer for Cancels {
        fn made(&self, work: &Work<'_>) {
            if work.name == "unwanted" {
                assert!(observe::cancel(work.id));
            }
        }
    }

    let (recorder, _recording, root) = Recorder::begin();
    let _observing = observe::observe(Arc::new(Cancels));
    let background = Background::new();
    let task = root.scope(|| background.spawn_future("unwanted", pending::<()>()));
    assert_eq!(task.await, Err(BackgroundFailure::Cancelled));
    assert_eq!(
        told(&recorder, "unwanted"),
        [
            "made as background",
            "Cancelling(Requested)",
            "Cancelled(Requested)"
        ]
    );
}

#[tokio::test]
async fn a_task_is_cancelled_by_its_number_in_whatever_registry_it_lives() {
    let (first, second) = (Background::new(), Background::new());
    let one = first.spawn_future("one", pending::<()>());
    let two = second.spawn("two", |cx| async move { cx.cancelled().await });
    let two = two.unwrap();
    settle().await;
    let (one_id, two_id) = (WorkId(one.id().0), WorkId(two.id().0));
    assert_ne!(one_id, two_id);
    assert!(observe::cancel(two_id));
    assert!(!observe::cancel(two_id), "it was cancelled before");
    assert_eq!(two.await, Ok(nexios::CancelReason::Requested));
    assert!(!observe::cancel(two_id), "it has ended");
    assert!(!one.is_finished());
    assert!(observe::cancel(one_id));
    assert_eq!(one.await, Err(BackgroundFailure::Cancelled));
}

#[tokio::test]
async fn a_registry_is_alive_from_its_first_task_until_it_and_its_tasks_are_gone() {
    let background = Background::builder().name("alive for a while").build();
    assert!(alive("alive for a while").is_empty());
    let (release, released) = tokio::sync::oneshot::channel::<()>();
    let task = background.spawn_future("task", released);
    let living = alive("alive for a while");
    assert_eq!(living.len(), 1);
    assert_eq!(living[0].stats.running, 1);
    drop(background);
    assert_eq!(alive("alive for a while").len(), 1, "its task lives");
    release.send(()).unwrap();
    task.await.unwrap().unwrap();
    settle().await;
    assert!(alive("alive for a while").is_empty());
}

#[tokio::test]
async fn a_registry_that_has_only_refused_is_not_alive() {
    let background = Background::builder().name("refuses").build();
    let at_once = nexios::Drain {
        wait: Duration::ZERO,
        cancel: Duration::ZERO,
    };
    background.drain(at_once).await;
    background.spawn("late", async |_| ()).unwrap_err();
    assert!(alive("refuses").is_empty());
}

#[tokio::test]
async fn a_registry_without_a_name_is_called_by_the_place_that_made_it() {
    let line = line!();
    let all = [
        Background::builder().build(),
        Background::new(),
        Background::default(),
    ];
    for (index, background) in all.iter().enumerate() {
        background.spawn_future("task", async {}).await.unwrap();
        let place = format!("backgrounds.rs:{}:", line as usize + 2 + index);
        let backgrounds = observe::snapshot().backgrounds;
        assert!(
            backgrounds
                .iter()
                .any(|living| living.name.contains(&place)),
            "{backgrounds:?}"
        );
    }
}

#[tokio::test]
async fn numbers_of_tasks_and_of_other_work_are_all_different() {
    let (_recorder, _observing, root) = Recorder::begin();
    let background = Background::builder().live(1).build();
    let one = background.spawn_future("one", pending::<()>()).id();
    let work = observe::custom("work").id().unwrap();
    let refused = background.spawn_future("refused", async {}).id();
    let mut numbers = vec![root.id().unwrap().0, one.0, work.0, refused.0];
    assert!(numbers.is_sorted(), "{numbers:?}");
    numbers.dedup();
    assert_eq!(numbers.len(), 4);
}

/// The times that a schedule has told, in milliseconds since 1970.
fn next_runs(recorder: &Recorder, name: &str) -> Vec<u64> {
    let number = |line: String| {
        let value = line.strip_prefix("Attribute { name: \"next_unix_ms\", value: \"")?;
        value.strip_suffix("\" }")?.parse().ok()
    };
    told(recorder, name)
        .into_iter()
        .filter_map(number)
        .collect()
}

fn unix_ms(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap();
    since.as_millis().try_into().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_schedule_says_before_each_wait_when_its_next_run_begins() {
    let (recorder, _observing, root) = Recorder::begin();
    let background = Background::new();
    let now = unix_ms(SystemTime::now());
    let task = root.scope(|| background.every("clean up", 60 * SECOND, async |_| {}));
    settle().await;
    let first = next_runs(&recorder, "clean up");
    assert_eq!(first.len(), 1);
    assert!(
        (now + 59_000..now + 70_000).contains(&first[0]),
        "{first:?}"
    );
    sleep(121 * SECOND).await;
    let all = next_runs(&recorder, "clean up");
    let expected = [first[0], first[0] + 60_000, first[0] + 120_000];
    assert_eq!(all.len(), 3);
    for (told, expected) in all.iter().zip(expected) {
        // The time of day is read anew, in whole seconds.
        assert!(told.abs_diff(expected) <= 1_000, "{all:?}");
    }
    let lines = told(&recorder, "clean up");
    assert!(lines[2].starts_with("Message(\"next run at "), "{lines:?}");
    assert!(lines.contains(&"Attempt(2)".into()), "{lines:?}");
    task.unwrap().cancel();
}

#[cfg(feature = "cron")]
#[tokio::test(start_paused = true)]
async fn a_cron_schedule_says_the_time_of_its_next_run_once() {
    let (recorder, _observing, root) = Recorder::begin();
    let background = Background::new();
    let task = root.scope(|| background.cron("yearly", "0 0 1 1 *", async |_| {}));
    // It looks at the clock each minute.
    sleep(600 * SECOND).await;
    let lines = told(&recorder, "yearly");
    assert_eq!(lines.len(), 4, "{lines:?}");
    assert!(lines[2].ends_with("-01-01T00:00:00Z\")"), "{lines:?}");
    assert_eq!(next_runs(&recorder, "yearly")[0] % 86_400_000, 0);
    task.unwrap().cancel();
}

#[tokio::test]
async fn nothing_is_told_after_the_end() {
    let (recorder, _observing, root) = Recorder::begin();
    let background = Background::new();
    let (send, receive) = mpsc::channel();
    let task = root.scope(|| {
        background.spawn("talks on", |cx| async move {
            send.send(cx).unwrap();
        })
    });
    task.unwrap().await.unwrap();
    let cx = receive.recv().unwrap();
    cx.progress(1, 2);
    cx.message("still there");
    cx.token().cancel(nexios::CancelReason::Requested);
    assert_eq!(
        told(&recorder, "talks on"),
        ["made as background", "started", "Completed"]
    );
}

/// For who begins to observe when there are tasks already.
#[tokio::test(start_paused = true)]
async fn tasks_before_a_number_are_found_in_their_registries() {
    let mails = Background::builder().name("mails before").build();
    let others = Background::builder().name("others before").build();
    let ended = mails.spawn_future("ended", async {});
    let id = ended.id();
    ended.await.unwrap();
    let other = others.spawn_future("other", pending::<()>());
    let lives = mails.spawn_future("lives", pending::<()>());
    let (_recorder, observing, _root) = Recorder::begin();
    let later = mails.spawn_future("later", pending::<()>());
    let tasks = observe::tasks_before(observing.since());
    let found: Vec<_> = tasks
        .iter()
        .filter(|found| found.registry.ends_with(" before"))
        .map(|found| (found.task.id, &*found.registry))
        .collect();
    let expected = [
        (id, "mails before"),
        (other.id(), "others before"),
        (lives.id(), "mails before"),
    ];
    assert_eq!(found, expected);
    assert!(WorkId::from(later.id()) > observing.since());
}

//! What is told of task groups, of their children, items and finalizers.

use std::{
    future::{pending, ready},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use futures_util::FutureExt;
use nexios::{
    CancelReason, CancelScope, CancelToken, Interrupted, OnError, TaskGroup,
    observe::{self, CustomWork, WorkId},
};
use tokio::{sync::oneshot, task::yield_now, time::sleep};

use super::recorder::Recorder;

type Group<'env> = TaskGroup<'env, Interrupted>;

fn group<'env>() -> Group<'env> {
    TaskGroup::builder().name("group").build()
}

async fn stops() -> Result<(), Interrupted> {
    pending().await
}

const FAILURE: Interrupted = Interrupted::Cancelled(CancelReason::Requested);

/// Notes whose part its destructor is.
struct Place(Arc<Mutex<Option<WorkId>>>);

impl Drop for Place {
    fn drop(&mut self) {
        *self.0.lock().unwrap() = observe::current();
    }
}

/// The work of the test runs until its future waits for good.
fn stuck<F: Future>(root: CustomWork, future: F) -> impl Future {
    let mut running = Box::pin(root.run(future));
    assert!(running.as_mut().now_or_never().is_none());
    running
}

fn ends_with(told: &Recorder, ends: &[&str]) {
    let lines = told.lines();
    let from = lines.len().saturating_sub(ends.len());
    assert_eq!(lines[from..], *ends, "{lines:#?}");
}

fn holds(told: &Recorder, wanted: &[&str]) {
    let lines = told.lines();
    for line in wanted {
        assert!(lines.contains(&(*line).to_owned()), "{line}: {lines:#?}");
    }
}

/// The numbers in the order of these lines.
fn in_order(told: &Recorder, wanted: &[&str]) {
    let lines = told.lines();
    let places: Vec<_> = wanted
        .iter()
        .map(|line| lines.iter().position(|other| other == line))
        .collect();
    assert!(
        places.iter().all(Option::is_some) && places.is_sorted(),
        "{wanted:?}: {lines:#?}"
    );
}

#[tokio::test]
async fn a_group_is_made_at_its_first_use_and_its_children_end_before_it() {
    let (told, _observing, root) = Recorder::begin();
    root.run(async {
        let unused = group();
        drop(unused);
        let group = group();
        assert!(told.lines().is_empty());
        let one = group.spawn_named("one", async { Ok(1) });
        let run = group.run(async {
            drop(observe::custom("in the body"));
            one.await
        });
        assert_eq!(run.await, Ok(1));
    })
    .await;
    assert_eq!(
        told.lines(),
        [
            "group: made as group",
            "group: started",
            "one: made as child in group",
            "in the body: made as custom in group",
            "in the body: started",
            "in the body: Completed",
            "one: started",
            "one: Completed",
            "group: Completed",
        ]
    );
}

#[tokio::test]
async fn a_group_without_a_child_is_made_when_it_is_run() {
    let (told, _observing, root) = Recorder::begin();
    root.run(group().run(async { Ok(()) })).await.unwrap();
    assert_eq!(
        told.lines(),
        ["group: made as group", "group: started", "group: Completed"]
    );
}

#[tokio::test]
async fn without_a_name_a_group_and_its_children_are_called_by_their_places() {
    let (told, _observing, root) = Recorder::begin();
    let line = line!() + 2;
    root.run(async {
        let group = Group::new();
        let spawner = group.spawner();
        group.spawn(async move { spawner.spawn(ready(Ok(()))).await });
        group.spawn_daemon(ready(()));
        group.spawn_parallel(ready(Ok(())));
        group.defer(ready(()));
        group.map([1], |_| ready(Ok(()))).await?;
        group.join().await
    })
    .await
    .unwrap();
    let made: Vec<_> = told
        .lines()
        .into_iter()
        .filter(|line| line.contains("made as"))
        .collect();
    for (line, kind) in [
        (line, "group"),
        (line + 2, "child in"),
        (line + 3, "daemon in"),
        (line + 4, "parallel_child in"),
        (line + 5, "finalizer in"),
        (line + 6, "item in"),
    ] {
        let place = format!("groups.rs:{line}:");
        let is_it = |made: &&String| {
            made.contains(&format!("made as {kind}"))
                && made.split(": made").next().unwrap().contains(&place)
        };
        assert!(made.iter().any(|made| is_it(&made)), "{kind}: {made:#?}");
    }
    assert_eq!(made.len(), 7, "{made:#?}");
}

#[tokio::test]
async fn what_a_child_starts_is_its_part_wherever_it_is_polled() {
    let (told, _observing, root) = Recorder::begin();
    root.run(async {
        let group = group();
        let inside = async || {
            yield_now().await;
            drop(observe::custom("inside"));
            Ok(())
        };
        group.spawn_named("child", inside());
        let line = line!() + 1;
        group.spawn_parallel(async {
            yield_now().await;
            drop(observe::custom("in the task"));
            let inner = TaskGroup::builder().name("inner").build::<Interrupted>();
            inner.join().await
        });
        group.join().await.unwrap();
        holds(&told, &["inside: made as custom in child"]);
        let lines = told.lines();
        for inside in [
            "in the task: made as custom in ",
            "inner: made as group in ",
        ] {
            let place = lines.iter().find(|line| line.starts_with(inside)).unwrap();
            assert!(place.contains(&format!("groups.rs:{line}:")), "{place}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_destructor_in_a_child_is_the_childs_part_and_one_in_the_body_the_groups() {
    let (_told, _observing, root) = Recorder::begin();
    root.run(async {
        let group = group();
        let (in_child, in_body) = (Arc::default(), Arc::default());
        let (place, body_place) = (Place(Arc::clone(&in_child)), Place(Arc::clone(&in_body)));
        let child = group.spawn(async move {
            let _place = place;
            stops().await
        });
        let the_group = Arc::new(Mutex::new(None));
        let noted = the_group.clone();
        let failing = group.spawn_named("failing", async {
            yield_now().await;
            Err::<(), _>(FAILURE)
        });
        let run = group.run(async move {
            let _place = body_place;
            *noted.lock().unwrap() = observe::current();
            stops().await
        });
        assert_eq!(run.await, Err(FAILURE));
        assert_eq!(*in_child.lock().unwrap(), Some(WorkId(child.id())));
        assert!(the_group.lock().unwrap().is_some());
        assert_eq!(*in_body.lock().unwrap(), *the_group.lock().unwrap());
        drop(failing);
    })
    .await;
}

#[tokio::test]
async fn the_number_of_a_handle_is_that_of_the_work() {
    let (_told, _observing, root) = Recorder::begin();
    root.run(async {
        let group = group();
        let child = group.spawn(async { Ok(observe::current()) });
        let parallel = group.spawn_parallel(async { Ok(observe::current()) });
        let ids = [child.id(), parallel.id()];
        let found = group
            .run(async { Ok([child.await?, parallel.await?]) })
            .await
            .unwrap();
        assert_eq!(found, ids.map(|id| Some(WorkId(id))));
        // Numbers are never given twice, of whatever sort the work is.
        let custom = observe::custom("later").id().unwrap();
        assert!(!ids.contains(&custom.0));
    })
    .await;
}

#[tokio::test]
async fn a_child_that_fails_fails_its_group_and_cancels_the_others() {
    let (told, _observing, root) = Recorder::begin();
    root.run(async {
        let group = group();
        group.spawn_named("other", stops());
        group.spawn_named("failing", async { Err::<(), _>(FAILURE) });
        group.join().await.unwrap_err();
    })
    .await;
    let ends = [
        "failing: Failed(None)",
        "other: Cancelled(SiblingFailed)",
        "group: Failed(None)",
    ];
    ends_with(&told, &ends);
}

#[tokio::test]
async fn a_body_that_fails_fails_its_group() {
    let (told, _observing, root) = Recorder::begin();
    root.run(async {
        let group = group();
        group.spawn_named("other", stops());
        group
            .run(async { Err::<(), _>(FAILURE) })
            .await
            .unwrap_err();
    })
    .await;
    ends_with(
        &told,
        &["other: Cancelled(SiblingFailed)", "group: Failed(None)"],
    );
}

#[tokio::test]
async fn where_errors_do_not_cancel_the_group_completes() {
    let (told, _observing, root) = Recorder::begin();
    root.run(async {
        let group = TaskGroup::builder()
            .name("group")
            .on_error(OnError::Continue)
            .build::<Interrupted>();
        group.spawn_named("failing", async { Err::<(), _>(FAILURE) });
        group.join().await.unwrap();
    })
    .await;
    ends_with(&told, &["failing: Failed(None)", "group: Completed"]);
}

#[tokio::test]
async fn a_panic_is_told_with_its_text_of_the_child_and_of_the_group() {
    for parallel in [false, true] {
        let (told, _observing, root) = Recorder::begin();
        let run = root.run(async move {
            let group = group();
            group.spawn_named("other", stops());
            if parallel {
                group.spawn_parallel::<(), _>(async { panic!("on purpose") });
            } else {
                group.spawn_named::<(), _>("panics", async { panic!("on purpose") });
            }
            group.join().await
        });
        assert!(tokio::spawn(run).await.is_err());
        let ends = [
            "other: Cancelled(SiblingFailed)",
            "group: Panicked(\"on purpose\")",
        ];
        ends_with(&told, &ends);
        let lines = told.lines();
        let child = &lines[lines.len() - 3];
        assert!(child.ends_with(": Panicked(\"on purpose\")"), "{lines:#?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_group_at_its_own_limit_has_timed_out_and_what_is_inside_is_cancelled() {
    let (told, _observing, root) = Recorder::begin();
    root.run(async {
        let group = TaskGroup::builder()
            .name("group")
            .timeout(Duration::from_secs(1))
            .build::<Interrupted>();
        group.spawn_named("child", stops());
        group.join().await.unwrap_err();
    })
    .await;
    ends_with(&told, &["child: Cancelled(Deadline)", "group: TimedOut"]);
}

#[tokio::test(start_paused = true)]
async fn at_the_limit_of_its_scope_a_group_is_inside_it() {
    let (told, _observing, root) = Recorder::begin();
    let due = tokio::time::Instant::now() + Duration::from_secs(1);
    let scope = CancelScope::new(CancelToken::new(), Some(due));
    root.run(scope.run(async {
        let group = TaskGroup::builder()
            .name("group")
            .timeout(Duration::from_secs(2))
            .build::<Interrupted>();
        group.spawn_named("child", stops());
        group.join().await.unwrap_err();
    }))
    .await;
    ends_with(
        &told,
        &["child: Cancelled(Deadline)", "group: Cancelled(Deadline)"],
    );
}

#[tokio::test]
async fn a_group_that_is_cancelled_is_so_with_its_children_and_its_body_goes_on() {
    let (told, _observing, root) = Recorder::begin();
    root.run(async {
        let group = group();
        group.spawn_named("child", stops());
        let run = group.run(async {
            yield_now().await;
            group.cancel();
            drop(observe::custom("the body goes on"));
            Ok(())
        });
        run.await.unwrap();
    })
    .await;
    in_order(
        &told,
        &[
            "group: Cancelling(Requested)",
            "child: Cancelled(Requested)",
            "the body goes on: Completed",
            "group: Cancelled(Requested)",
        ],
    );
}

#[tokio::test]
async fn a_child_that_is_cancelled_alone_leaves_its_group_alone() {
    let (told, _observing, root) = Recorder::begin();
    root.run(async {
        let group = group();
        let child = group.spawn_named("child", stops());
        child.cancel();
        group.join().await.unwrap();
    })
    .await;
    ends_with(&told, &["child: Cancelled(Requested)", "group: Completed"]);
    assert!(!told.lines().contains(&"child: started".to_owned()));
}

#[tokio::test]
async fn the_token_of_the_scope_says_why_everything_is_cancelled() {
    let (told, _observing, root) = Recorder::begin();
    let token = CancelToken::new();
    let scope = CancelScope::new(token.clone(), None);
    let running = tokio::spawn(root.run(scope.run(async {
        let group = group();
        group.spawn_named("child", stops());
        group.join().await
    })));
    yield_now().await;
    token.cancel(CancelReason::ClientDisconnected);
    assert!(running.await.unwrap().is_err());
    let ends = [
        "child: Cancelled(ClientDisconnected)",
        "group: Cancelled(ClientDisconnected)",
    ];
    ends_with(&told, &ends);
}

#[tokio::test]
async fn what_is_dropped_is_cancelled_with_all_in_it_and_the_token_says_why_if_it_has_fired() {
    for fired in [false, true] {
        let (told, _observing, root) = Recorder::begin();
        let token = CancelToken::new();
        let scope = CancelScope::new(token.clone(), None);
        let running = stuck(
            root,
            scope.run(async {
                let group = group();
                group.spawn_named("child", stops());
                group.join().await
            }),
        );
        let why = if fired {
            token.cancel(CancelReason::Shutdown);
            "Shutdown"
        } else {
            "OwnerDropped"
        };
        drop(running);
        let ends = [
            format!("child: Cancelled({why})"),
            format!("group: Cancelled({why})"),
        ];
        ends_with(&told, &ends.each_ref().map(String::as_str));
    }
}

#[tokio::test]
async fn a_group_that_is_dropped_without_a_live_child_has_completed() {
    let (told, _observing, root) = Recorder::begin();
    root.run(async {
        let group = group();
        let child = group.spawn_named("child", async { Ok(()) });
        child.await.unwrap();
        drop(group);
    })
    .await;
    ends_with(&told, &["child: Completed", "group: Completed"]);
}

#[tokio::test]
async fn a_group_that_failed_without_a_run_says_so_when_it_is_dropped() {
    let (told, _observing, root) = Recorder::begin();
    root.run(async {
        let group = group();
        let child = group.spawn_named("child", async { Err::<(), _>(FAILURE) });
        child.await.unwrap_err();
        drop(group);
    })
    .await;
    ends_with(&told, &["child: Failed(None)", "group: Failed(None)"]);
}

#[tokio::test]
async fn a_daemon_is_cancelled_when_all_the_others_have_ended() {
    let (told, _observing, root) = Recorder::begin();
    root.run(async {
        let group = group();
        group.spawn_named("child", async { Ok(()) });
        group.spawn_daemon(pending());
        group.join().await.unwrap();
    })
    .await;
    let lines = told.lines();
    assert!(
        lines[lines.len() - 2].ends_with(": Cancelled(Finished)"),
        "{lines:#?}"
    );
    ends_with(&told, &["group: Completed"]);
}

#[tokio::test]
async fn what_a_group_refuses_was_never_started_and_is_a_part_of_who_tried() {
    let (told, _observing, root) = Recorder::begin();
    root.run(async {
        let group = group();
        let spawner = group.spawner();
        group.join().await.unwrap();
        let closed = group.spawn_named("closed", async { Ok(()) });
        group.spawn_parallel(async { Ok(()) }).await.unwrap_err();
        group.spawn_daemon(ready(()));
        drop(closed);
        drop(group);
        let gone = spawner.spawn_named("gone", async { Ok(()) });
        assert!(gone.await.is_err());
    })
    .await;
    let lines = told.lines();
    let after = lines
        .iter()
        .position(|line| line == "group: Completed")
        .unwrap();
    let refused = &lines[after + 1..];
    assert_eq!(refused.len(), 8, "{lines:#?}");
    for (said, kind) in refused
        .chunks(2)
        .zip(["child", "parallel_child", "daemon", "child"])
    {
        assert!(said[0].ends_with(&format!(": made as {kind}")), "{said:?}");
        assert!(said[1].ends_with(": Refused"), "{said:?}");
    }
    holds(&told, &["closed: Refused", "gone: Refused"]);
}

#[tokio::test(start_paused = true)]
async fn a_child_with_a_grace_says_that_it_is_cancelling() {
    let (told, _observing, root) = Recorder::begin();
    root.run(async {
        let group = TaskGroup::builder()
            .name("group")
            .timeout(Duration::from_secs(1))
            .grace(Duration::from_secs(1))
            .limit(2)
            .build::<Interrupted>();
        let token = group.token();
        group.spawn_named("cleans up", async move {
            token.cancelled().await;
            Ok(())
        });
        group.spawn_named("stays", stops());
        group.spawn_named("never started", stops());
        group.join().await.unwrap_err();
    })
    .await;
    in_order(
        &told,
        &[
            "group: Cancelling(Deadline)",
            "cleans up: Cancelling(Deadline)",
            "never started: Cancelled(Deadline)",
            "cleans up: Completed",
            "stays: Cancelled(Deadline)",
            "group: TimedOut",
        ],
    );
    assert!(!told.lines().contains(&"never started: started".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn an_error_in_the_grace_that_only_repeats_the_cancellation_is_no_failure() {
    let (told, _observing, root) = Recorder::begin();
    root.run(async {
        let group = Arc::new(
            TaskGroup::builder()
                .name("group")
                .grace(Duration::from_secs(1))
                .limit(2)
                .build::<Interrupted>(),
        );
        let (to_waits, waited_for) = oneshot::channel();
        group.spawn_named("waits", async move {
            let sibling: nexios::Task<'_, (), Interrupted> = waited_for.await.unwrap();
            sibling.await
        });
        group.spawn_named("failing", async {
            sleep(Duration::from_millis(1)).await;
            Err::<(), _>(FAILURE)
        });
        assert!(to_waits.send(group.spawn_named("sibling", stops())).is_ok());
        group.join().await.unwrap_err();
    })
    .await;
    let lines = told.lines();
    assert!(
        !lines.contains(&"waits: Failed(None)".to_owned()),
        "{lines:#?}"
    );
    holds(&told, &["waits: Cancelled(SiblingFailed)"]);
}

#[tokio::test]
async fn finalizers_run_as_parts_of_their_group_before_its_end() {
    let (told, _observing, root) = Recorder::begin();
    root.run(async {
        let group = group();
        group.defer(async { drop(observe::custom("cleanup")) });
        group.join().await.unwrap();
    })
    .await;
    let lines = told.lines();
    assert!(
        lines[2].ends_with(": made as finalizer in group"),
        "{lines:#?}"
    );
    assert!(lines[3].ends_with(": started"), "{lines:#?}");
    assert!(
        lines[4].starts_with("cleanup: made as custom in "),
        "{lines:#?}"
    );
    assert!(lines[7].ends_with(": Completed"), "{lines:#?}");
    ends_with(&told, &["group: Completed"]);
}

#[tokio::test]
async fn a_finalizer_that_panics_makes_the_group_a_panicked_one() {
    let (told, _observing, root) = Recorder::begin();
    let run = root.run(async {
        let group = group();
        group.defer(async { panic!("on purpose") });
        group.join().await
    });
    assert!(tokio::spawn(run).await.is_err());
    let lines = told.lines();
    assert!(lines[lines.len() - 2].ends_with(": Panicked(\"on purpose\")"));
    ends_with(&told, &["group: Panicked(\"on purpose\")"]);
}

#[tokio::test]
async fn a_finalizer_of_a_dropped_group_is_adopted_and_goes_on_to_its_own_end() {
    let (told, _observing, root) = Recorder::begin();
    let (done, is_done) = oneshot::channel();
    let running = stuck(root, async {
        let group = group();
        group.defer(async move {
            yield_now().await;
            done.send(()).unwrap();
        });
        group.spawn_named("child", stops());
        group.join().await
    });
    drop(running);
    let lines = told.lines();
    let adopted = &lines[lines.len() - 2];
    assert!(adopted.ends_with(": Adopted"), "{lines:#?}");
    ends_with(&told, &["group: Cancelled(OwnerDropped)"]);
    is_done.await.unwrap();
    yield_now().await;
    let lines = told.lines();
    assert!(lines.last().unwrap().ends_with(": Completed"), "{lines:#?}");
}

#[tokio::test]
async fn a_finalizer_that_comes_after_its_group_is_nobodys_part() {
    let (told, _observing, root) = Recorder::begin();
    root.run(async {
        let group = group();
        group.join().await.unwrap();
        group.defer(ready(()));
    })
    .await;
    yield_now().await;
    yield_now().await;
    let lines = told.lines();
    let late: Vec<_> = lines
        .iter()
        .skip_while(|line| *line != "group: Completed")
        .collect();
    assert!(late[1].ends_with(": made as finalizer"), "{lines:#?}");
    assert!(late[3].ends_with(": Completed"), "{lines:#?}");
}

#[test]
fn a_finalizer_without_a_runtime_is_cancelled_for_the_shutdown() {
    let (told, _observing, root) = Recorder::begin();
    root.scope(|| {
        let group = group();
        group.defer(pending());
        drop(group);
    });
    let lines = told.lines();
    assert!(
        lines.last().unwrap().ends_with(": Cancelled(Shutdown)"),
        "{lines:#?}"
    );
}

/// In real time: a task that holds its thread cannot be told to go.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_parallel_child_that_unwinds_is_adopted_by_the_process_and_ends_when_it_is_gone() {
    let (told, _observing, root) = Recorder::begin();
    let (running, is_running) = oneshot::channel();
    let (go, may_go) = std::sync::mpsc::channel::<()>();
    let inside = stuck(root, async {
        let group = group();
        group.spawn_parallel(async move {
            running.send(()).unwrap();
            let _ = may_go.recv();
            stops().await
        });
        group.join().await
    });
    is_running.await.unwrap();
    drop(inside);
    let lines = told.lines();
    let [.., cancelling, adopted, group] = &*lines else {
        panic!("{lines:?}")
    };
    assert!(
        cancelling.ends_with(": Cancelling(OwnerDropped)"),
        "{lines:#?}"
    );
    assert!(adopted.ends_with(": Adopted"), "{lines:#?}");
    assert_eq!(group, "group: Cancelled(OwnerDropped)");
    go.send(()).unwrap();
    let until = std::time::Instant::now() + Duration::from_secs(20);
    while !told
        .lines()
        .last()
        .unwrap()
        .ends_with(": Cancelled(OwnerDropped)")
        || told.lines().len() == lines.len()
    {
        assert!(std::time::Instant::now() < until, "{:#?}", told.lines());
        thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_parallel_child_whose_runtime_is_shut_down_is_cancelled_for_that() {
    let (told, _observing, root) = Recorder::begin();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let group = group();
    let child = root.scope(|| {
        let _inside = runtime.enter();
        group.spawn_parallel(stops())
    });
    drop(runtime);
    let lines = told.lines();
    assert!(
        lines.last().unwrap().ends_with(": Cancelled(Shutdown)"),
        "{lines:#?}"
    );
    drop((child, group));
}

#[tokio::test]
async fn each_item_of_a_map_is_a_part_of_the_group() {
    let (told, _observing, root) = Recorder::begin();
    root.run(async {
        let group = TaskGroup::builder()
            .name("group")
            .limit(2)
            .build::<Interrupted>();
        let doubled = group.map([1, 2, 3], |item| async move {
            yield_now().await;
            Ok(2 * item)
        });
        assert_eq!(doubled.await, Ok(vec![2, 4, 6]));
    })
    .await;
    let lines = told.lines();
    let count = |end: &str| lines.iter().filter(|line| line.ends_with(end)).count();
    assert_eq!(count(": made as item in group"), 3, "{lines:#?}");
    assert_eq!(count(": Completed"), 4, "{lines:#?}");
    ends_with(&told, &["group: Completed"]);
}

#[tokio::test]
async fn an_item_that_fails_cancels_the_others() {
    let (told, _observing, root) = Recorder::begin();
    root.run(async {
        let group = group();
        let mapped = group.map([true, false], async |waits| {
            if waits { stops().await } else { Err(FAILURE) }
        });
        mapped.await.unwrap_err();
    })
    .await;
    let lines = told.lines();
    let [.., failed, cancelled, group] = &*lines else {
        panic!("{lines:?}")
    };
    assert!(failed.ends_with(": Failed(None)"), "{lines:#?}");
    assert!(
        cancelled.ends_with(": Cancelled(SiblingFailed)"),
        "{lines:#?}"
    );
    assert_eq!(group, "group: Failed(None)");
}

#[tokio::test]
async fn a_group_that_has_run_ends_after_the_items_of_a_map_that_is_still_there() {
    use futures_util::StreamExt;
    let (told, _observing, root) = Recorder::begin();
    root.run(async {
        let group = group();
        let mut mapped = Box::pin(group.map_unordered([true, false], async |waits| {
            if waits { stops().await } else { Ok(()) }
        }));
        mapped.next().await.unwrap().unwrap();
        group.join().await.unwrap();
        let lines = told.lines();
        assert!(lines.last().unwrap().ends_with(": Completed"), "{lines:#?}");
        assert!(!lines.contains(&"group: Completed".to_owned()));
    })
    .await;
    let lines = told.lines();
    let item = &lines[lines.len() - 2];
    assert!(item.ends_with(": Cancelled(OwnerDropped)"), "{lines:#?}");
    ends_with(&told, &["group: Completed"]);
}

#[tokio::test]
async fn a_destructor_that_panics_as_its_child_is_cancelled_is_the_childs_panic() {
    struct PanicsInDrop;
    impl Drop for PanicsInDrop {
        fn drop(&mut self) {
            panic!("on purpose");
        }
    }
    let (told, _observing, root) = Recorder::begin();
    let run = root.run(async {
        let group = group();
        let child = group.spawn_named("child", async {
            let _panics = PanicsInDrop;
            stops().await
        });
        yield_now().await;
        group
            .run(async {
                yield_now().await;
                child.cancel();
                Ok(())
            })
            .await
    });
    assert!(tokio::spawn(run).await.is_err());
    let ends = [
        "child: Panicked(\"on purpose\")",
        "group: Panicked(\"on purpose\")",
    ];
    ends_with(&told, &ends);
}

/// In a process of its own: in this one other tests observe as well.
#[tokio::test]
async fn a_group_that_nobody_observed_is_made_at_its_next_use() {
    const ALONE: &str = "NEXIOS_TEST_ALONE";
    if std::env::var_os(ALONE).is_none() {
        let test = "observe::groups::a_group_that_nobody_observed_is_made_at_its_next_use";
        let alone = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", test])
            .env(ALONE, "1")
            .output()
            .unwrap();
        assert!(alone.status.success(), "{alone:?}");
        return;
    }
    let group = group();
    group.spawn_named("unseen", async { Ok(()) });
    let (told, _observing, root) = Recorder::begin();
    root.run(async {
        group.spawn_named("seen", async { Ok(()) });
        group.join().await
    })
    .await
    .unwrap();
    assert_eq!(
        told.lines(),
        [
            "group: made as group",
            "group: started",
            "seen: made as child in group",
            "seen: started",
            "seen: Completed",
            "group: Completed",
        ]
    );
}

#[tokio::test]
async fn the_body_of_a_run_that_is_dropped_is_the_groups_part() {
    let (_told, _observing, root) = Recorder::begin();
    let in_body = Arc::default();
    let place = Place(Arc::clone(&in_body));
    let the_group = Arc::new(Mutex::new(None));
    let noted = the_group.clone();
    let running = stuck(root, async {
        let group = group();
        let run = group.run(async move {
            let _place = place;
            *noted.lock().unwrap() = observe::current();
            stops().await
        });
        run.await
    });
    drop(running);
    assert!(the_group.lock().unwrap().is_some());
    assert_eq!(*in_body.lock().unwrap(), *the_group.lock().unwrap());
}

#[tokio::test]
async fn a_child_that_is_polled_when_its_group_ends_says_that_it_is_cancelled() {
    let (told, _observing, root) = Recorder::begin();
    root.run(async {
        let group = group();
        let spawner = group.spawner();
        group.spawn_named("child", async move {
            spawner.cancel();
            drop(observe::custom("goes on"));
            stops().await
        });
        group.join().await.unwrap();
    })
    .await;
    ends_with(
        &told,
        &[
            "child: Cancelling(Requested)",
            "goes on: made as custom in child",
            "goes on: started",
            "goes on: Completed",
            "child: Cancelled(Requested)",
            "group: Cancelled(Requested)",
        ],
    );
}

/// Lets another thread drop a group while it is told that the group is made.
struct DropsMeanwhile {
    made: std::sync::mpsc::SyncSender<()>,
    dropped: Mutex<std::sync::mpsc::Receiver<()>>,
}

impl observe::Observer for DropsMeanwhile {
    fn made(&self, work: &observe::Work<'_>) {
        if work.name == "dropped as it is made" {
            self.made.send(()).unwrap();
            // The drop may have to wait for this call, so this does not wait for long.
            let dropped = self.dropped.lock().unwrap();
            let _ = dropped.recv_timeout(Duration::from_millis(200));
        }
    }
}

/// In real time: the threads block.
#[test]
fn a_group_that_is_dropped_as_a_spawner_makes_it_known_has_an_end_of_its_own() {
    let (told, _observing, root) = Recorder::begin();
    let (made, is_made) = std::sync::mpsc::sync_channel(1);
    let (dropped, is_dropped) = std::sync::mpsc::sync_channel(1);
    let _meanwhile = observe::observe(Arc::new(DropsMeanwhile {
        made,
        dropped: Mutex::new(is_dropped),
    }));
    let group: Group<'_> = TaskGroup::builder().name("dropped as it is made").build();
    let spawner = group.spawner();
    thread::scope(|threads| {
        threads.spawn(move || {
            is_made.recv().unwrap();
            drop(group);
            dropped.send(()).unwrap();
        });
        root.scope(|| spawner.spawn_named("child", async { Ok(()) }));
    });
    in_order(
        &told,
        &[
            "dropped as it is made: made as group",
            "dropped as it is made: started",
            "dropped as it is made: Completed",
        ],
    );
    holds(&told, &["child: Refused"]);
}

/// In real time: a paused clock stands while code blocks.
#[tokio::test]
async fn a_slow_poll_is_told_by_the_child_and_not_by_what_is_around_it() {
    let (told, _observing, root) = Recorder::begin();
    root.run(async {
        let group = group();
        group.spawn_named("slow", async {
            thread::sleep(Duration::from_millis(150));
            Ok(())
        });
        group.join().await
    })
    .await
    .unwrap();
    let slow = told.slow_polls();
    assert_eq!(slow.len(), 1, "{slow:#?}");
    assert!(slow[0].starts_with("slow: "), "{slow:#?}");
}

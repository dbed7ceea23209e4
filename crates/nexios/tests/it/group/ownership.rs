//! After the end nothing of a group is left in memory but what the caller holds.

use std::{
    future::{Future, pending},
    pin::pin,
    sync::{Arc, Weak},
};

use nexios::{Interrupted, OnError, TaskGroup};
use tracing::Level;

use super::logs::Logs;
use super::probes::{Diary, after, bounded, millis};

#[derive(Debug)]
enum Heavy {
    Failed(Arc<String>),
    Interrupted,
}

impl From<Interrupted> for Heavy {
    fn from(_: Interrupted) -> Self {
        Heavy::Interrupted
    }
}

fn tracked(text: &str) -> (Arc<String>, Weak<String>) {
    let held = Arc::new(text.to_owned());
    let seen = Arc::downgrade(&held);
    (held, seen)
}

/// TG-033
#[tokio::test(start_paused = true)]
async fn the_error_is_held_by_the_caller_alone() {
    let (error, error_seen) = tracked("error");
    let (state, state_seen) = tracked("state of a sibling");
    let (body, body_seen) = tracked("state of the body");
    let group = TaskGroup::<Heavy>::new();
    let sibling = group.spawn(async move {
        let _state = state;
        pending::<Result<(), _>>().await
    });
    let failing = group.spawn(async move {
        after(1).await;
        Err::<(), _>(Heavy::Failed(error))
    });
    let outcome = bounded(group.run(async move {
        let _body = body;
        pending::<Result<(), _>>().await
    }))
    .await;
    let Err(Heavy::Failed(error)) = outcome else {
        panic!("{outcome:?}")
    };
    assert_eq!(Arc::strong_count(&error), 1);
    assert_eq!(state_seen.strong_count(), 0);
    assert_eq!(body_seen.strong_count(), 0);
    drop(error);
    assert_eq!(
        error_seen.strong_count(),
        0,
        "neither the group nor the handles keep it"
    );
    assert!(matches!(bounded(failing).await, Err(Heavy::Interrupted)));
    drop((sibling, group));
}

/// TG-033: handles, spawners and tokens that live on keep nothing of a child.
#[tokio::test(start_paused = true)]
async fn what_outlives_the_group_keeps_no_child_alive() {
    let (state, seen) = tracked("state");
    let group = TaskGroup::<Heavy>::new();
    let (spawner, token) = (group.spawner(), group.token());
    let task = group.spawn(async move {
        let _state = state;
        pending::<Result<(), _>>().await
    });
    assert!(tokio::time::timeout(millis(1), group.join()).await.is_err());
    assert_eq!(seen.strong_count(), 0);
    drop(group);
    assert!(token.is_cancelled());
    drop((spawner, token, task));
}

/// TG-033: suppressed errors and untaken values go with the group and its handles.
#[tokio::test(start_paused = true)]
async fn suppressed_errors_and_untaken_values_are_freed() {
    let (suppressed, suppressed_seen) = tracked("suppressed");
    let (value, value_seen) = tracked("value");
    let group = TaskGroup::<Heavy>::builder_with_grace();
    let token = group.token();
    let rich = group.spawn(async move { Ok(value) });
    group.spawn(async move {
        token.cancelled().await;
        Err::<(), _>(Heavy::Failed(suppressed))
    });
    let outcome: Result<(), _> = bounded(group.run(async {
        after(1).await;
        Err(Heavy::Interrupted)
    }))
    .await;
    assert!(outcome.is_err());
    assert_eq!(
        value_seen.strong_count(),
        1,
        "still to be had from its handle"
    );
    drop(rich);
    assert_eq!(value_seen.strong_count(), 0);
    let taken = group.suppressed();
    assert_eq!(taken.len(), 1);
    drop(taken);
    assert_eq!(suppressed_seen.strong_count(), 0);
}

/// TG-033: a child that holds its own group is a cycle only until the group ends.
#[tokio::test(start_paused = true)]
async fn a_child_that_holds_its_own_group_is_freed_when_the_group_ends() {
    let (state, seen) = tracked("state");
    let group = Arc::new(TaskGroup::<'static, Heavy>::new());
    let own = group.clone();
    group.spawn(async move {
        let _state = state;
        own.token().cancelled().await;
        pending::<Result<(), _>>().await
    });
    let group_seen = Arc::downgrade(&group);
    let outcome = bounded(group.run(async {
        after(1).await;
        group.cancel();
        Ok(())
    }))
    .await;
    assert!(outcome.is_ok());
    assert_eq!(seen.strong_count(), 0);
    drop(group);
    assert_eq!(group_seen.strong_count(), 0);
}

/// TG-033: the last owner of a group may be one of its own children.
#[tokio::test(start_paused = true)]
async fn a_group_whose_last_owner_is_its_own_child_can_be_dropped_in_it() {
    let (state, seen) = tracked("state");
    let group = Arc::new(TaskGroup::<'static, Heavy>::new());
    let own = group.clone();
    let bystander = group.spawn(async move {
        let _state = state;
        pending::<Result<(), _>>().await
    });
    let task = group.spawn(async move {
        after(1).await;
        drop(own);
        pending::<Result<(), _>>().await
    });
    drop(group);
    assert!(matches!(bounded(task).await, Err(Heavy::Interrupted)));
    assert_eq!(seen.strong_count(), 0);
    assert!(matches!(bounded(bystander).await, Err(Heavy::Interrupted)));
}

/// TG-051: an inner group made by a child ends before the outer one, whoever is dropped first.
#[tokio::test(start_paused = true)]
async fn an_inner_group_never_outlives_the_child_that_made_it() {
    let diary = Diary::default();
    let outer = TaskGroup::<Heavy>::new();
    outer.spawn(async {
        let _mark = diary.at_drop("outer child");
        let inner = TaskGroup::<Heavy>::new();
        inner.spawn(async {
            let _mark = diary.at_drop("inner child");
            pending::<Result<(), _>>().await
        });
        inner.join().await
    });
    assert!(tokio::time::timeout(millis(1), outer.join()).await.is_err());
    diary.note("outer dropped");
    assert_eq!(
        diary.pages(),
        ["inner child", "outer child", "outer dropped"]
    );
}

/// TG-051: two runs dropped in the wrong order end each their own children.
#[tokio::test(start_paused = true)]
async fn runs_may_be_dropped_in_any_order() {
    let diary = Diary::default();
    let (first, second) = (TaskGroup::<Heavy>::new(), TaskGroup::<Heavy>::new());
    first.spawn(async {
        let _mark = diary.at_drop("first");
        pending::<Result<(), _>>().await
    });
    second.spawn(async {
        let _mark = diary.at_drop("second");
        pending::<Result<(), _>>().await
    });
    let mut runs = (Box::pin(first.join()), Some(Box::pin(second.join())));
    let both = async {
        let _ = futures_util::future::poll_immediate(&mut runs.0).await;
        let _ = futures_util::future::poll_immediate(runs.1.as_mut().unwrap()).await;
    };
    bounded(both).await;
    runs.1 = None;
    assert_eq!(diary.pages(), ["second"]);
    drop(runs);
    assert_eq!(diary.pages(), ["second", "first"]);
}

/// TG-099
#[tokio::test(start_paused = true)]
async fn a_group_dropped_without_a_join_drops_its_children_and_says_so() {
    let (logs, _guard) = Logs::capture();
    let (state, seen) = tracked("state");
    {
        let group = TaskGroup::<Heavy>::new();
        group.spawn(async move {
            let _state = state;
            Ok(())
        });
        group.spawn(async { Ok(()) });
    }
    assert_eq!(seen.strong_count(), 0);
    let warnings = logs.at(Level::WARN);
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(
        warnings[0].text.contains('2'),
        "it says how many: {warnings:?}"
    );
    assert!(
        warnings[0].text.contains("ownership.rs"),
        "it says which group: {warnings:?}"
    );
}

/// TG-099: what was used as meant is not warned about.
#[tokio::test(start_paused = true)]
async fn a_group_that_was_used_is_dropped_in_silence() {
    let (logs, _guard) = Logs::capture();
    drop(TaskGroup::<Heavy>::new());
    let group = TaskGroup::<Heavy>::new();
    group.spawn(async { Ok(()) });
    bounded(group.join()).await.unwrap();
    drop(group);
    let group = TaskGroup::<Heavy>::new();
    let task = group.spawn(async { Ok(1) });
    assert!(bounded(task).await.is_ok());
    drop(group);
    let group = TaskGroup::<Heavy>::new();
    group.spawn(pending::<Result<(), _>>());
    group.cancel();
    drop(group);
    {
        let group = TaskGroup::<Heavy>::new();
        group.spawn(pending::<Result<(), _>>());
        let mut run = pin!(group.join());
        let _ = futures_util::future::poll_immediate(run.as_mut()).await;
    }
    assert!(
        logs.at(Level::WARN).is_empty(),
        "{:?}",
        logs.at(Level::WARN)
    );
    assert!(
        logs.at(Level::ERROR).is_empty(),
        "{:?}",
        logs.at(Level::ERROR)
    );
}

/// TG-099: a `run` that was never polled is not a join, and changes nothing.
#[tokio::test(start_paused = true)]
async fn a_run_that_was_never_polled_changes_nothing() {
    let (body, body_seen) = tracked("body");
    let group = TaskGroup::<Heavy>::new();
    let task = group.spawn(async { Ok(1) });
    drop(group.run(async move {
        let _body = body;
        pending::<Result<(), _>>().await
    }));
    assert_eq!(body_seen.strong_count(), 0);
    assert!(!task.is_finished());
    assert!(!group.token().is_cancelled());
    assert!(matches!(bounded(group.run(task)).await, Ok(1)));
}

/// TG-033: errors that only a handle has, under `Continue`, are freed with the handle.
#[tokio::test(start_paused = true)]
async fn an_error_in_a_dropped_handle_is_freed_with_it() {
    let (error, seen) = tracked("error");
    let group = TaskGroup::builder().on_error(OnError::Continue).build();
    let task = group.spawn(async move { Err::<(), _>(Heavy::Failed(error)) });
    assert!(bounded(group.join()).await.is_ok());
    assert_eq!(seen.strong_count(), 1);
    drop(task);
    assert_eq!(seen.strong_count(), 0);
}

trait WithGrace {
    fn builder_with_grace() -> Self;
}

impl WithGrace for TaskGroup<'_, Heavy> {
    fn builder_with_grace() -> Self {
        TaskGroup::builder().grace(millis(50)).build()
    }
}

/// TG-033: a parallel child lets go of everything before `run` returns.
#[tokio::test(start_paused = true)]
async fn an_aborted_parallel_child_has_let_go_when_run_returns() {
    let (state, seen) = tracked("state");
    let group = TaskGroup::<Heavy>::new();
    group.spawn_parallel(async move {
        let _state = state;
        pending::<Result<(), Heavy>>().await
    });
    let run = group.run(async {
        after(1).await;
        Err::<(), _>(Heavy::Interrupted)
    });
    fn assert_send<F: Future + Send>(future: F) -> F {
        future
    }
    assert!(bounded(assert_send(run)).await.is_err());
    assert_eq!(seen.strong_count(), 0);
}

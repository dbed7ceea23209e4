//! The handle of a child: its name, its states, the context of what it stands for.

use std::future::pending;

use nexios::{CancelReason, CancelScope, CancelToken, OnError, TaskGroup};
use tracing::Level;

use super::logs::Logs;
use super::probes::{Failed, after, bounded, cancelled, millis};

/// TG-023
#[tokio::test(start_paused = true)]
async fn a_name_is_visible_in_the_handle_and_in_debug() {
    let group = TaskGroup::<Failed>::builder_named("page");
    let task = group.spawn_named("load user", pending::<Result<(), _>>());
    let owned = group
        .spawner()
        .spawn_named(format!("load post {}", 7), pending::<Result<(), _>>());
    assert_eq!(task.name(), "load user");
    assert_eq!(owned.name(), "load post 7");
    assert!(format!("{task:?}").contains("load user"), "{task:?}");
    let text = format!("{group:?}");
    for name in ["page", "load user", "load post 7"] {
        assert!(text.contains(name), "{name} is not in {text}");
    }
    task.cancel();
    let text = format!("{group:?}");
    assert!(
        !text.contains("load user"),
        "only live children are shown: {text}"
    );
    assert!(text.contains("load post 7"), "{text}");
    assert_eq!(task.name(), "load user", "the handle keeps the name");
}

/// TG-023: the default name is the place of the spawn.
#[tokio::test(start_paused = true)]
async fn without_a_name_the_caller_location_is_the_name() {
    let group = TaskGroup::<Failed>::new();
    let spawner = group.spawner();
    let first = line!() + 1;
    let task = group.spawn(async { Ok(()) });
    let parallel = group.spawn_parallel(async { Ok(()) });
    let by_spawner = spawner.spawn(async { Ok(()) });
    let parallel_by_spawner = spawner.spawn_parallel(async { Ok(()) });
    for (line, task) in (first..).zip([&task, &parallel, &by_spawner, &parallel_by_spawner]) {
        assert!(task.name().contains("handle.rs"), "{}", task.name());
        assert!(
            task.name().contains(&format!(":{line}")),
            "{} is not at line {line}",
            task.name()
        );
    }
    let ids = [
        task.id(),
        parallel.id(),
        by_spawner.id(),
        parallel_by_spawner.id(),
    ];
    assert!(ids.is_sorted_by(|one, other| one < other), "{ids:?}");
    bounded(group.join()).await.unwrap();
}

/// TG-023: inside the child the name is that of the current span.
#[tokio::test(start_paused = true)]
async fn a_childs_events_carry_its_name() {
    let (logs, _guard) = Logs::capture();
    let group = TaskGroup::<Failed>::new();
    group.spawn_named("load user", async {
        after(1).await;
        tracing::info!("in the named child");
        Ok(())
    });
    bounded(group.join()).await.unwrap();
    tracing::info!("outside");
    let events = logs.at(Level::INFO);
    let spans_at = |text: &str| {
        let event = events
            .iter()
            .find(|event| event.text.contains(text))
            .unwrap();
        event.spans.join(" > ")
    };
    assert!(
        spans_at("in the named child").contains("load user"),
        "{}",
        spans_at("in the named child")
    );
    assert_eq!(spans_at("outside"), "");
}

/// TG-023: errors that are only logged are logged with the name.
#[tokio::test(start_paused = true)]
async fn an_error_nobody_looked_at_is_logged_once_with_the_name() {
    let (logs, _guard) = Logs::capture();
    {
        let group = TaskGroup::builder().on_error(OnError::Continue).build();
        group.spawn_named("send mail", async { Err::<(), _>(Failed::With("bounced")) });
        let seen = group.spawn_named("looked at", async { Err::<(), _>(Failed::With("seen")) });
        assert_eq!(bounded(group.join()).await, Ok(()));
        assert_eq!(bounded(seen).await, Err(Failed::With("seen")));
    }
    let warnings = logs.at(Level::WARN);
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].text.contains("send mail"), "{warnings:?}");
}

/// TG-023: a panic is logged with the child's name.
#[tokio::test(start_paused = true)]
async fn a_panic_is_logged_with_the_name() {
    use std::panic::AssertUnwindSafe;

    use futures_util::FutureExt;

    let (logs, _guard) = Logs::capture();
    let group = TaskGroup::<Failed>::new();
    group.spawn_named("resize picture", async {
        if true {
            panic!("no such codec")
        } else {
            Ok(())
        }
    });
    let payload = AssertUnwindSafe(bounded(group.join()))
        .catch_unwind()
        .await
        .unwrap_err();
    assert_eq!(payload.downcast_ref(), Some(&"no such codec"));
    let errors = logs.at(Level::ERROR);
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert!(
        errors[0].text.contains("resize picture") && errors[0].text.contains("no such codec"),
        "{errors:?}"
    );
}

tokio::task_local! {
    static TENANT: &'static str;
}

fn tenant() -> Option<&'static str> {
    TENANT.try_with(|tenant| *tenant).ok()
}

/// TG-024
#[tokio::test(start_paused = true)]
async fn a_context_given_to_one_child_is_seen_by_it_alone() {
    let group = TaskGroup::<Failed>::new();
    let outcome = bounded(group.run(async {
        let with = group.spawn(TENANT.scope("acme", async {
            after(2).await;
            Ok(tenant())
        }));
        let without = group.spawn(async {
            after(1).await;
            let early = tenant();
            after(2).await;
            Ok((early, tenant()))
        });
        assert_eq!(tenant(), None);
        let seen = (with.await?, without.await?);
        assert_eq!(tenant(), None);
        Ok(seen)
    }))
    .await;
    assert_eq!(outcome, Ok((Some("acme"), (None, None))));
}

/// TG-024: the same for a cancellation scope.
#[tokio::test(start_paused = true)]
async fn a_scope_opened_by_one_child_is_not_its_siblings() {
    let group = TaskGroup::<Failed>::new();
    let outcome = bounded(group.run(async {
        let scoped = group.spawn(async {
            let scope = CancelScope::new(CancelToken::new(), None);
            scope
                .run(async {
                    after(2).await;
                    Ok(CancelScope::current().is_some())
                })
                .await
        });
        let plain = group.spawn(async {
            after(1).await;
            let early = CancelScope::current().is_some();
            after(2).await;
            Ok(early || CancelScope::current().is_some())
        });
        Ok((
            scoped.await?,
            plain.await?,
            CancelScope::current().is_some(),
        ))
    }))
    .await;
    assert_eq!(outcome, Ok((true, false, false)));
}

/// TG-024: an in-task child sees the task-locals of whoever drives it.
#[tokio::test(start_paused = true)]
async fn a_child_sees_the_context_of_its_driver() {
    let group = TaskGroup::<Failed>::new();
    let first = group.spawn(async { Ok(tenant()) });
    assert_eq!(
        bounded(TENANT.scope("driver", first)).await,
        Ok(Some("driver"))
    );
    let second = group.spawn(async { Ok(tenant()) });
    let outcome = bounded(TENANT.scope("run", group.join())).await;
    assert_eq!(outcome, Ok(()));
    assert_eq!(bounded(second).await, Ok(Some("run")));
}

/// TG-074
#[tokio::test(start_paused = true)]
async fn a_handle_says_unfinished_and_then_how_its_child_ended() {
    let group = TaskGroup::builder().on_error(OnError::Continue).build();
    bounded(group.run(async {
        let value = group.spawn(async {
            after(10).await;
            Ok(1)
        });
        let failed = group.spawn(async {
            after(10).await;
            Err::<i32, _>(Failed::With("own"))
        });
        let stopped = group.spawn(pending::<Result<i32, _>>());
        let tasks = [value, failed, stopped];
        assert!(tasks.iter().all(|task| !task.is_finished()));
        assert!(
            format!("{:?}", tasks[0]).contains("finished: false"),
            "{:?}",
            tasks[0]
        );
        assert_eq!(group.len(), 3);
        after(5).await;
        tasks[2].cancel();
        assert_eq!(
            tasks
                .iter()
                .map(|task| task.is_finished())
                .collect::<Vec<_>>(),
            [false, false, true]
        );
        after(10).await;
        assert!(tasks.iter().all(|task| task.is_finished()));
        assert!(
            format!("{:?}", tasks[0]).contains("finished: true"),
            "{:?}",
            tasks[0]
        );
        let mut outcomes = Vec::new();
        for task in tasks {
            outcomes.push(task.await);
        }
        assert_eq!(
            outcomes,
            [
                Ok(1),
                Err(Failed::With("own")),
                Err(cancelled(CancelReason::Requested))
            ]
        );
        Ok(())
    }))
    .await
    .unwrap();
}

/// TG-074: a wait that is given up loses nothing.
#[tokio::test(start_paused = true)]
async fn a_result_is_still_there_after_a_wait_was_given_up() {
    let group = TaskGroup::<Failed>::new();
    let mut task = group.spawn(async {
        after(10).await;
        Ok(String::from("value"))
    });
    for _ in 0..3 {
        assert!(tokio::time::timeout(millis(1), &mut task).await.is_err());
    }
    after(20).await;
    assert_eq!(bounded(&mut task).await, Ok(String::from("value")));
    assert!(task.is_finished());
}

trait Named {
    fn builder_named(name: &'static str) -> Self;
}

impl Named for TaskGroup<'_, Failed> {
    fn builder_named(name: &'static str) -> Self {
        TaskGroup::builder().name(name).build()
    }
}

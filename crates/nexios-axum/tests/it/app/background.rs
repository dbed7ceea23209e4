//! Background tasks and requests end side by side.

use std::time::Duration;

use axum::{Router, routing::get};
use nexios::{Background, TaskState};
use nexios_axum::{BackgroundTasks, NexiosApp};

use super::{app, ms, soon, start};

fn with(router: Router, background: &Background) -> NexiosApp {
    NexiosApp::new(router)
        .background(background.clone())
        .without_signals()
        .accepting(Duration::ZERO)
        .shutdown_limit(ms(2_000))
        .cancelling(ms(300))
        .hooks_limit(ms(200))
}

#[tokio::test]
async fn tasks_finish_side_by_side_with_requests_and_are_reported_by_name() {
    let background = Background::builder().limit(4).build();
    let slow = get(async || {
        tokio::time::sleep(ms(400)).await;
        "slow"
    });
    let running = start(with(Router::new().route("/", slow), &background)).await;
    let mut client = running.client().await;
    client.begin("/").await;
    tokio::time::sleep(ms(30)).await;
    let mails = background
        .spawn("mails", |_| tokio::time::sleep(ms(400)))
        .unwrap();
    let import = background.spawn_fallible("import", |_| async {
        tokio::time::sleep(ms(100)).await;
        Err::<(), _>("bad file")
    });
    let report = running.stop().await;
    assert!(report.is_clean(), "{report:?}");
    assert_eq!(
        (report.completed, report.failed),
        (vec!["mails".into()], vec!["import".into()])
    );
    // One after the other would take 800 ms.
    assert!(
        (ms(350)..ms(700)).contains(&report.elapsed),
        "{:?}",
        report.elapsed
    );
    assert_eq!(client.reply().await.status, 200);
    assert!(mails.await.is_ok() && import.unwrap().await.unwrap().is_err());
}

/// Whoever watches a deploy sees at once what it is about.
#[tokio::test]
async fn the_log_names_what_a_shutdown_waits_for_long_before_it_is_cancelled() {
    crate::log::start();
    let background = Background::new();
    let running = start(with(Router::new(), &background)).await;
    let _schedule = background
        .every(
            "an hourly report",
            Duration::from_secs(3_600),
            async |_cx| {},
        )
        .unwrap();
    let report = background
        .spawn("a report that takes a second", |_| {
            tokio::time::sleep(ms(1_000))
        })
        .unwrap();
    assert!(running.stop().await.is_clean() && report.await.is_ok());
    let lines = crate::log::lines_with("background task a report that takes a second");
    let messages: Vec<_> = lines.iter().map(|line| &line["message"]).collect();
    assert_eq!(messages, ["waiting"], "{lines:?}");
    let names = lines[0]["unfinished"].as_str().unwrap();
    assert!(!names.contains("hourly"), "it ends by itself: {names}");
}

#[tokio::test]
async fn the_log_names_the_task_that_a_shutdown_has_to_cancel() {
    crate::log::start();
    let background = Background::new();
    let running = start(with(Router::new(), &background)).await;
    let _task = background
        .spawn("a very slow report", |task| async move {
            task.cancelled().await
        })
        .unwrap();
    running.stop().await;
    let lines = crate::log::lines_with("background task a very slow report");
    assert!(
        lines.iter().any(|line| line["message"] == "cancelling"),
        "{lines:?}"
    );
}

#[tokio::test]
async fn a_task_is_cancelled_then_given_up_by_name_and_a_stuck_one_too() {
    let background = Background::new();
    let running = start(with(Router::new(), &background)).await;
    let polite = background
        .spawn("polite", |task| async move { task.cancelled().await })
        .unwrap();
    let stubborn = background
        .spawn("stubborn", |_| std::future::pending::<()>())
        .unwrap();
    let id = stubborn.id();
    tokio::task::yield_now().await;
    let report = running.stop().await;
    assert_eq!(report.abandoned, ["task stubborn"]);
    assert!(
        (ms(1_800)..ms(2_200)).contains(&report.elapsed),
        "{report:?}"
    );
    assert_eq!(background.get(id).unwrap().state, TaskState::Abandoned);
    // It ended by itself in the time for that, with a value.
    assert_eq!(report.completed, ["polite"]);
    assert_eq!(polite.await.unwrap(), nexios::CancelReason::Shutdown);
}

#[tokio::test]
async fn every_registry_that_was_given_is_drained() {
    let (first, second) = (Background::new(), Background::new());
    let running = start(with(Router::new(), &first).background(second.clone())).await;
    let one = first.spawn("one", |_| tokio::time::sleep(ms(50))).unwrap();
    let two = second.spawn("two", |_| tokio::time::sleep(ms(50))).unwrap();
    let report = running.stop().await;
    assert_eq!(report.completed, ["one", "two"]);
    assert!(one.await.is_ok() && two.await.is_ok());
}

#[tokio::test]
async fn handlers_start_tasks_on_the_first_registry_until_the_service_closes() {
    let background = Background::new();
    let router = Router::new().route(
        "/",
        get(async |BackgroundTasks(tasks): BackgroundTasks| {
            match tasks.spawn("from a handler", |_| async {}) {
                Ok(_) => "started",
                Err(_) => "refused",
            }
        }),
    );
    let running = start(with(router, &background).accepting(ms(300))).await;
    let mut client = running.client().await;
    assert_eq!(client.get("/").await.body, "started");
    running.handle.stop();
    soon(running.handle.reached(nexios_axum::Phase::Draining)).await;
    assert_eq!(running.client().await.get("/").await.body, "started");
    assert!(running.ended().await.is_clean());
    assert_eq!(background.stats().completed, 2);
}

/// `app` has a registry of its own as well, which nothing here needs.
#[tokio::test]
async fn a_service_without_work_ends_at_once() {
    let report = start(app(Router::new())).await.stop().await;
    assert!(report.is_clean());
    assert!(report.elapsed < ms(200), "{report:?}");
}

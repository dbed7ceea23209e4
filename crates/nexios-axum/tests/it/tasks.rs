use std::net::SocketAddr;

use axum::{
    Router,
    extract::{ConnectInfo, State},
    routing::get as get_route,
};
use nexios::{Background, BackgroundFailure};
use nexios_axum::{RequestLayer, TaskRoutes, task_routes};
use serde_json::json;

use crate::{
    answer::{Answer, get, post},
    log,
};

async fn status(app: &Router) -> serde_json::Value {
    let answer = Answer::from(app, get("/tasks/status")).await;
    assert_eq!(answer.status, 200);
    answer.json()
}

#[tokio::test]
async fn the_routes_join_a_router_that_has_a_state_of_its_own() {
    let app = Router::new()
        .route("/name", get_route(async |State(name): State<String>| name))
        .merge(task_routes(Background::new()))
        .with_state("news".to_owned());
    assert_eq!(status(&app).await["active_tasks"], 0);
    assert_eq!(Answer::from(&app, get("/name")).await.body, "news");
}

#[tokio::test(start_paused = true)]
async fn the_status_lists_active_and_finished_tasks() {
    let background = Background::new();
    let app = task_routes(background.clone());
    assert_eq!(
        status(&app).await,
        json!({ "active_tasks": 0, "tasks": [] })
    );

    let done = background.spawn("quick", |_| async { 42 }).unwrap();
    assert_eq!(done.await.unwrap(), 42);
    let failed = background
        .spawn_fallible("broken", |_| async { Err::<(), _>("out of paper") })
        .unwrap();
    assert!(failed.await.unwrap().is_err());
    let slow = background
        .spawn("slow", |task| async move {
            task.progress(3, 10);
            task.cancelled().await
        })
        .unwrap();
    tokio::task::yield_now().await;

    let status = status(&app).await;
    assert_eq!(status["active_tasks"], 1);
    let tasks = status["tasks"].as_array().unwrap();
    assert_eq!(tasks.len(), 3, "{status}");
    let task = |name: &str| tasks.iter().find(|task| task["name"] == name).unwrap();
    assert_eq!(task("quick")["state"], "completed");
    assert_eq!(task("broken")["state"], "failed");
    assert_eq!(task("broken")["error"], "out of paper");
    let slow_task = task("slow");
    assert_eq!(slow_task["id"], slow.id().0);
    assert_eq!(slow_task["state"], "running");
    assert_eq!(slow_task["cancelling"], json!(null));
    assert_eq!(
        (&slow_task["done"], &slow_task["total"]),
        (&json!(3), &json!(10))
    );
    assert!(slow_task["elapsed_ms"].is_u64());
    assert_eq!(slow_task["error"], json!(null));
    assert!(slow_task.get("next_run_unix_ms").is_none());
    slow.cancel();
    assert!(slow.await.is_ok());
}

#[tokio::test]
async fn fields_of_your_own_are_read_for_every_answer_and_replace_nothing() {
    let count = std::sync::atomic::AtomicU64::new(0);
    let next = move || count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let app = TaskRoutes::new(Background::new())
        .field("answers", next)
        .field("active_tasks", || 99)
        .into_router();
    assert_eq!(
        status(&app).await,
        json!({ "active_tasks": 0, "tasks": [], "answers": 0 })
    );
    assert_eq!(status(&app).await["answers"], 1);
}

#[tokio::test(start_paused = true)]
async fn one_task_is_shown_by_its_id() {
    let background = Background::new();
    let task = background.spawn("one", |_| async {}).unwrap();
    let id = task.id().0;
    task.await.unwrap();
    let answer = Answer::from(&task_routes(background), get(&format!("/tasks/{id}"))).await;
    assert_eq!(answer.json()["name"], "one");
}

#[tokio::test]
async fn an_unknown_task_is_404_and_a_bad_id_400() {
    let app = task_routes(Background::new());
    Answer::from(&app, get("/tasks/77777777"))
        .await
        .problem(404);
    Answer::from(&app, post("/tasks/77777777/cancel"))
        .await
        .problem(404);
    Answer::from(&app, get("/tasks/seven")).await.problem(400);
    Answer::from(&app, post("/tasks/seven/cancel"))
        .await
        .problem(400);
}

/// While it cleans up, for as long as that takes, whoever asks is told the same.
#[tokio::test(start_paused = true)]
async fn a_task_is_being_cancelled_as_often_as_asked_and_409_once_it_has_ended() {
    let background = Background::new();
    let app = task_routes(background.clone());
    let task = background
        .spawn("cleans up", |task| async move {
            task.cancelled().await;
            tokio::time::sleep(std::time::Duration::from_secs(3)).await;
        })
        .unwrap();
    tokio::task::yield_now().await;
    let cancel = format!("/tasks/{}/cancel", task.id().0);
    for _ in 0..3 {
        let answer = Answer::from(&app, post(&cancel)).await;
        assert_eq!(
            (answer.status.as_u16(), &answer.json()["name"]),
            (202, &"cleans up".into()),
            "{}",
            answer.body
        );
        let cancelling = &answer.json()["cancelling"];
        assert_eq!(cancelling, "requested", "{}", answer.body);
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    }
    let end = task.await;
    assert!(
        matches!(end, Ok(_) | Err(BackgroundFailure::Cancelled)),
        "{end:?}"
    );
    Answer::from(&app, post(&cancel)).await.problem(409);
}

/// One that waits for a place ends where it is.
#[tokio::test(start_paused = true)]
async fn a_task_that_waits_is_cancelled_at_once() {
    let background = Background::builder().limit(1).build();
    let app = task_routes(background.clone());
    let _first = background
        .spawn("first", |_| std::future::pending::<()>())
        .unwrap();
    let second = background.spawn("second", |_| async {}).unwrap();
    let cancel = format!("/tasks/{}/cancel", second.id().0);
    assert_eq!(Answer::from(&app, post(&cancel)).await.status, 202);
    assert_eq!(second.await, Err(BackgroundFailure::Cancelled));
    Answer::from(&app, post(&cancel)).await.problem(409);
}

/// As clients read it: names and their order.
#[tokio::test(start_paused = true)]
async fn a_task_looks_the_same_in_every_answer() {
    let background = Background::new();
    let app = task_routes(background.clone());
    let task = background
        .spawn("import", |task| async move {
            task.progress(3, 10);
            task.message("reads");
            task.cancelled().await;
            tokio::time::sleep(std::time::Duration::from_millis(1500)).await;
        })
        .unwrap();
    let id = task.id();
    tokio::task::yield_now().await;
    let text = |cancelling: &str, elapsed: u64, state: &str| {
        format!(
            r#"{{"id":{id},"name":"import","state":"{state}","cancelling":{cancelling},"done":3,"total":10,"#
        ) + &format!(r#""message":"reads","attempt":1,"elapsed_ms":{elapsed},"error":null}}"#)
    };
    let (one, all) = (format!("/tasks/{id}"), get("/tasks/status"));
    let running = text("null", 0, "running");
    assert_eq!(Answer::from(&app, get(&one)).await.body, running);
    assert_eq!(
        Answer::from(&app, all).await.body,
        format!(r#"{{"active_tasks":1,"tasks":[{running}]}}"#)
    );
    let cancelling = text(r#""requested""#, 0, "running");
    let cancel = post(&format!("{one}/cancel"));
    assert_eq!(Answer::from(&app, cancel).await.body, cancelling);
    assert_eq!(Answer::from(&app, get(&one)).await.body, cancelling);
    task.await.unwrap();
    let ended = text("null", 1500, "completed");
    assert_eq!(Answer::from(&app, get(&one)).await.body, ended);
}

#[tokio::test]
async fn the_routes_may_be_nested_under_a_path_with_parameters_of_its_own() {
    let background = Background::new();
    let task = background
        .spawn("import", |task| async move { task.cancelled().await })
        .unwrap();
    let app = Router::new().nest("/{tenant}", task_routes(background.clone()));
    let path = format!("/ours/tasks/{}", task.id().0);
    assert_eq!(
        Answer::from(&app, get(&path)).await.json()["name"],
        "import"
    );
    assert_eq!(
        Answer::from(&app, post(&format!("{path}/cancel")))
            .await
            .status,
        202
    );
    Answer::from(&app, get("/ours/tasks/seven"))
        .await
        .problem(400);
}

#[tokio::test(start_paused = true)]
async fn a_schedule_is_known_by_the_time_of_its_next_run() {
    let background = Background::new();
    let app = task_routes(background.clone());
    let hour = std::time::Duration::from_secs(3_600);
    let schedule = background.every("hourly", hour, async |_cx| {}).unwrap();
    tokio::task::yield_now().await;
    let status = status(&app).await;
    let shown = &status["tasks"][0];
    assert_eq!(
        (&shown["name"], &shown["state"]),
        (&json!("hourly"), &json!("running"))
    );
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap();
    let next = shown["next_run_unix_ms"].as_u64().unwrap();
    let expected = u64::try_from((now + hour).as_millis()).unwrap();
    assert!(next.abs_diff(expected) < 60_000, "{next}, not {expected}");
    schedule.cancel();
}

#[tokio::test]
async fn a_cancel_is_a_line_of_the_log_that_says_what_and_who_and_a_refused_one_is_none() {
    log::start();
    let background = Background::new();
    let name = "a task for the log \u{1b}[31m";
    let task = background
        .spawn(name, async |task| task.cancelled().await)
        .unwrap();
    let app: Router = task_routes::<()>(background).layer(RequestLayer::new());
    let uri = format!("/tasks/{}/cancel", task.id());
    let mut request = post(&uri);
    let peer: SocketAddr = "192.0.2.9:4711".parse().unwrap();
    request.extensions_mut().insert(ConnectInfo(peer));
    assert_eq!(Answer::from(&app, request).await.status, 202);
    assert!(task.await.is_ok());
    assert_eq!(Answer::from(&app, post(&uri)).await.status, 409);
    let lines = log::lines_with("a task for the log");
    let mut lines = lines
        .iter()
        .filter(|line| line["target"] == "nexios_axum::acts");
    let line = lines.next().unwrap();
    assert_eq!(lines.next(), None);
    for (field, value) in [
        ("level", "INFO"),
        ("message", "task cancelled over the routes"),
        ("name", name),
        ("client", "192.0.2.9"),
    ] {
        assert_eq!(line[field], value, "{line}");
    }
    assert!(line["id"].is_string(), "{line}");
}

use axum::{Router, routing::post as on_post};
use nexios::{Background, TaskState};
use nexios_axum::{BackgroundTasks, Problem, RequestLayer};

use crate::{
    answer::{Answer, post},
    log,
};

async fn start(tasks: BackgroundTasks) -> Result<String, Problem> {
    let task = tasks.spawn("started by a request", |_task| async {})?;
    Ok(task.id().to_string())
}

#[tokio::test(start_paused = true)]
async fn the_registry_of_the_layer_runs_what_a_handler_starts() {
    let background = Background::new();
    let layer = RequestLayer::new().background(background.clone());
    let app = Router::new().route("/tasks", on_post(start)).layer(layer);
    assert_eq!(Answer::from(&app, post("/tasks")).await.status, 200);
    tokio::task::yield_now().await;
    assert_eq!(background.list()[0].state, TaskState::Completed);
}

#[tokio::test(start_paused = true)]
async fn without_a_registry_of_its_own_it_is_the_global_one() {
    let app = Router::new()
        .route("/tasks", on_post(start))
        .layer(RequestLayer::new());
    let id = Answer::from(&app, post("/tasks"))
        .await
        .body
        .parse()
        .unwrap();
    let task = Background::global().get(nexios::TaskId(id)).unwrap();
    assert_eq!(task.name, "started by a request");
}

#[tokio::test(start_paused = true)]
async fn a_full_registry_is_503() {
    let background = Background::builder().live(1).build();
    let _first = background
        .spawn("first", |_task| std::future::pending::<()>())
        .unwrap();
    let app = Router::new()
        .route("/tasks", on_post(start))
        .layer(RequestLayer::new().background(background));
    let answer = Answer::from(&app, post("/tasks")).await;
    answer.problem(503);
    assert_eq!(answer.header("retry-after"), Some("1"));
}

#[tokio::test(start_paused = true)]
async fn without_the_layer_it_is_500_and_the_log_says_why() {
    log::start();
    let app = Router::new().route("/tasks", on_post(start));
    let answer = Answer::from(&app, post("/tasks")).await;
    let id = answer.problem(500)["id"].as_str().unwrap().to_owned();
    let lines = log::lines_with(&id);
    assert!(
        lines[0]["cause"].as_str().unwrap().contains("RequestLayer"),
        "{lines:?}"
    );
}

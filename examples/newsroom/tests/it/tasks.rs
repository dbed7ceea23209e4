use serde_json::json;

use crate::service::Service;

#[tokio::test]
async fn the_status_has_the_tasks_and_the_counters_of_the_protected_operation() {
    let service = Service::new();
    let status = service.get("/tasks/status").await.ok(200);
    assert!(
        status["active_tasks"].is_u64() && status["tasks"].is_array(),
        "{status}"
    );
    assert_eq!(
        status["protected_operation"],
        json!({ "started": 0, "cleanups": 0, "disconnects": 0 })
    );
}

#[tokio::test]
async fn the_status_has_the_numbers_of_the_thumbnails_pool() {
    let thumbnails = Service::new().get("/tasks/status").await.ok(200)["thumbnails"].clone();
    for field in ["running", "queued", "completed", "shed", "cancelled"] {
        assert_eq!(thumbnails[field], 0, "{field}: {thumbnails}");
    }
    assert!(thumbnails["threads"].as_u64().unwrap() >= 1, "{thumbnails}");
    for field in ["wait_p50_ms", "wait_p95_ms", "run_p50_ms", "run_p95_ms"] {
        assert!(thumbnails[field].is_f64(), "{field}: {thumbnails}");
    }
}

#[tokio::test]
async fn a_task_has_every_field() {
    let service = Service::new();
    let letter = json!({ "subject": "fields", "body": "x" }).to_string();
    let started = service
        .post("/send-newsletter", "application/json", letter)
        .await
        .ok(202);
    let task = service
        .ended(started["task_id"].as_str().unwrap().to_owned())
        .await;
    for field in [
        "id",
        "name",
        "state",
        "done",
        "total",
        "message",
        "attempt",
        "elapsed_ms",
        "error",
    ] {
        assert!(task.get(field).is_some(), "{field} is missing: {task}");
    }
    let status = service.get("/tasks/status").await.ok(200);
    let tasks = status["tasks"].as_array().unwrap();
    assert!(
        tasks.iter().any(|listed| listed["id"] == task["id"]),
        "{status}"
    );
}

#[tokio::test]
async fn an_ended_task_cannot_be_cancelled() {
    let service = Service::new();
    let letter = json!({ "subject": "ended", "body": "x" }).to_string();
    let started = service
        .post("/send-newsletter", "application/json", letter)
        .await
        .ok(202);
    let id = started["task_id"].as_str().unwrap().to_owned();
    service.ended(&id).await;
    service
        .post(&format!("/tasks/{id}/cancel"), "text/plain", "")
        .await
        .problem(409);
}

#[tokio::test]
async fn an_unknown_task_is_404_and_a_bad_id_400() {
    let service = Service::new();
    service.get("/tasks/9999999999").await.problem(404);
    service
        .post("/tasks/9999999999/cancel", "text/plain", "")
        .await
        .problem(404);
    service.get("/tasks/first").await.problem(400);
    service
        .post("/tasks/first/cancel", "text/plain", "")
        .await
        .problem(400);
}

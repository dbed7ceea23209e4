use std::time::Duration;

use axum::http::{Method, header::CONTENT_TYPE};
use reqwest::{Client, Response, StatusCode};
use serde_json::{Value, json};

use crate::{
    running::{PATIENCE, Running, problem, rest, soon},
    services::todos::{LONGEST, Todos, app},
};

async fn start(most: usize) -> Running {
    Running::start(app(Todos::new(most), PATIENCE)).await
}

/// Sends JSON and waits for the answer.
async fn send(client: &Client, method: Method, url: String, body: &Value) -> Response {
    let request = client.request(method, url).body(body.to_string());
    let request = request.header(CONTENT_TYPE, "application/json");
    soon(request.send()).await.unwrap()
}

async fn json_of(answer: Response) -> Value {
    serde_json::from_str(&answer.text().await.unwrap()).unwrap()
}

async fn create(client: &Client, running: &Running, text: &str) -> Value {
    let body = json!({ "text": text });
    let answer = send(client, Method::POST, running.url("/todos"), &body).await;
    assert_eq!(answer.status(), StatusCode::CREATED);
    json_of(answer).await
}

fn one(running: &Running, todo: &Value) -> String {
    running.url(&format!("/todos/{}", todo["id"].as_str().unwrap()))
}

#[tokio::test]
async fn todos_are_made_listed_changed_and_deleted() {
    let (client, running) = (Client::new(), start(10).await);
    assert_eq!(json_of(running.get("/todos").await).await, json!([]));
    let made = create(&client, &running, "write").await;
    assert_eq!(
        (&made["text"], &made["completed"]),
        (&json!("write"), &json!(false))
    );
    assert_eq!(json_of(running.get("/todos").await).await, json!([made]));
    let url = one(&running, &made);
    let answer = send(
        &client,
        Method::PATCH,
        url.clone(),
        &json!({ "completed": true }),
    )
    .await;
    assert_eq!(answer.status(), StatusCode::OK);
    let changed = json!({ "id": made["id"], "text": "write", "completed": true });
    assert_eq!(json_of(answer).await, changed);
    let answer = send(
        &client,
        Method::PATCH,
        url.clone(),
        &json!({ "text": "read" }),
    )
    .await;
    assert_eq!(json_of(answer).await["text"], "read");
    let gone = client.delete(&url).send().await.unwrap();
    assert_eq!(gone.status(), StatusCode::NO_CONTENT);
    assert_eq!(json_of(running.get("/todos").await).await, json!([]));
    assert!(running.stop().await.is_clean());
}

#[tokio::test]
async fn what_cannot_be_done_is_a_problem_with_the_status_that_it_had() {
    let (client, running) = (Client::new(), start(10).await);
    let unknown = running.url("/todos/0193e4a1-0000-7000-8000-000000000000");
    let (todos, malformed) = (running.url("/todos"), running.url("/todos/seven"));
    let text = json!({ "text": "x" });
    let requests = [
        (Method::PATCH, &unknown, &text, StatusCode::NOT_FOUND),
        (Method::DELETE, &unknown, &text, StatusCode::NOT_FOUND),
        (Method::PATCH, &malformed, &text, StatusCode::BAD_REQUEST),
        (
            Method::POST,
            &todos,
            &json!({}),
            StatusCode::UNPROCESSABLE_ENTITY,
        ),
        (Method::PUT, &todos, &text, StatusCode::METHOD_NOT_ALLOWED),
    ];
    for (method, url, body, status) in requests {
        problem(send(&client, method, url.clone(), body).await, status).await;
    }
    let untyped = client.post(&todos).body("{}").send().await.unwrap();
    problem(untyped, StatusCode::UNSUPPORTED_MEDIA_TYPE).await;
    let page = running.get("/todos?limit=all").await;
    problem(page, StatusCode::BAD_REQUEST).await;
    problem(running.get("/nothing").await, StatusCode::NOT_FOUND).await;
}

#[tokio::test]
async fn neither_the_list_nor_a_todo_grows_without_a_limit() {
    let (client, running) = (Client::new(), start(2).await);
    let long = json!({ "text": "x".repeat(LONGEST) });
    let answer = send(&client, Method::POST, running.url("/todos"), &long).await;
    problem(answer, StatusCode::PAYLOAD_TOO_LARGE).await;
    let first = create(&client, &running, "first").await;
    create(&client, &running, "second").await;
    let third = json!({ "text": "third" });
    let answer = send(&client, Method::POST, running.url("/todos"), &third).await;
    problem(answer, StatusCode::INSUFFICIENT_STORAGE).await;
    client.delete(one(&running, &first)).send().await.unwrap();
    create(&client, &running, "third").await;
}

#[tokio::test]
async fn pages_follow_the_order_in_which_todos_were_made() {
    let (client, running) = (Client::new(), start(100).await);
    let mut made = Vec::new();
    for number in 0..30 {
        made.push(create(&client, &running, &number.to_string()).await);
    }
    let mut listed = Vec::new();
    for offset in (0..30).step_by(10) {
        let page = running
            .get(&format!("/todos?offset={offset}&limit=10"))
            .await;
        listed.extend(json_of(page).await.as_array().unwrap().clone());
    }
    assert_eq!(listed, made);
    let beyond = running.get("/todos?offset=30").await;
    assert_eq!(json_of(beyond).await, json!([]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_changes_at_the_same_time_none_is_lost() {
    let (client, running) = (Client::new(), start(100).await);
    for round in 0..40 {
        let url = one(&running, &create(&client, &running, "before").await);
        let (text, completed) = (json!({ "text": "after" }), json!({ "completed": true }));
        tokio::join!(
            send(&client, Method::PATCH, url.clone(), &text),
            send(&client, Method::PATCH, url.clone(), &completed),
        );
        let todo = json_of(send(&client, Method::PATCH, url, &json!({})).await).await;
        let both = (&todo["text"], &todo["completed"]);
        assert_eq!(both, (&json!("after"), &json!(true)), "in round {round}");
    }
}

/// Whichever of the two comes first.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_todo_that_is_deleted_while_a_change_is_under_way_is_gone() {
    let (client, running) = (Client::new(), start(100).await);
    for round in 0..40 {
        let url = one(&running, &create(&client, &running, "before").await);
        let text = json!({ "text": "after" });
        let (_, deleted) = tokio::join!(
            send(&client, Method::PATCH, url.clone(), &text),
            send(&client, Method::DELETE, url.clone(), &text),
        );
        assert_eq!(deleted.status(), StatusCode::NO_CONTENT);
        let listed = json_of(running.get("/todos").await).await;
        assert_eq!(listed, json!([]), "in round {round}");
    }
}

#[tokio::test]
async fn a_body_that_never_comes_is_a_504() {
    let patience = Duration::from_millis(300);
    let running = Running::start(app(Todos::new(1), patience)).await;
    let mut client = running
        .send(
            "POST /todos HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\
             content-type: application/json\r\ncontent-length: 100\r\n\r\n{",
        )
        .await;
    let answer = rest(&mut client).await;
    assert!(answer.starts_with("HTTP/1.1 504"), "{answer}");
    assert!(answer.contains("application/problem+json"), "{answer}");
    assert!(running.stop().await.is_clean());
}

use axum::{
    body::Body,
    http::{Method, Request},
};

use crate::{log, service::Service};

#[tokio::test]
async fn the_page_tries_every_route_and_needs_nothing_from_elsewhere() {
    let page = Service::new().get("/").await;
    assert_eq!(page.status, 200);
    assert_eq!(
        page.header("content-type"),
        Some("text/html; charset=utf-8")
    );
    let html = page.text();
    for route in [
        "/dashboard",
        "/upload",
        "/search",
        "/send-newsletter",
        "/newsletters",
        "/tasks/status",
        "/tasks/{id}",
        "/tasks/{id}/cancel",
        "/analytics/daily",
        "/analytics/reset",
        "/protected-operation",
    ] {
        assert!(
            html.contains(&format!("action=\"{route}\"")),
            "{route} is not on the page"
        );
    }
    // A phone of 320 points has less room than a column would like.
    assert!(html.contains("minmax(min(20rem, 100%), 1fr)"));
    assert!(
        html.contains("data-live=\"/tasks/events\""),
        "no live progress"
    );
    // Whoever comes here has no task to cancel yet.
    assert!(
        !html.contains("data-path value"),
        "a task is chosen beforehand"
    );
    // A button with a name, such as that of a refresh, is part of what its form says.
    assert!(html.contains("new FormData(form, button)"));
    assert!(
        !html.contains("http://") && !html.contains("https://"),
        "the page loads something"
    );
}

#[tokio::test]
async fn an_unknown_path_is_a_404_problem() {
    Service::new().get("/no/such/page").await.problem(404);
}

#[tokio::test]
async fn a_wrong_method_is_a_405_problem_that_tells_the_right_one() {
    let service = Service::new();
    for (method, uri, allowed) in [
        (Method::POST, "/", "GET,HEAD"),
        (Method::DELETE, "/dashboard?user_id=7", "GET,HEAD"),
        (Method::GET, "/upload", "POST"),
        (Method::POST, "/search?q=x", "GET,HEAD"),
        (Method::GET, "/send-newsletter", "POST"),
        (Method::POST, "/tasks/status", "GET,HEAD"),
        (Method::POST, "/tasks/1", "GET,HEAD"),
        (Method::GET, "/tasks/1/cancel", "POST"),
        (Method::PUT, "/analytics/daily", "GET,HEAD"),
        (Method::GET, "/analytics/reset", "POST"),
        (Method::POST, "/protected-operation", "GET,HEAD"),
    ] {
        let request = Request::builder()
            .method(method.clone())
            .uri(uri)
            .body(Body::empty())
            .unwrap();
        let answer = service.send(request).await;
        answer.problem(405);
        assert_eq!(answer.header("allow"), Some(allowed), "{method} {uri}");
    }
}

#[tokio::test]
async fn every_answer_has_a_request_id_good_or_bad() {
    let service = Service::new();
    let first = service.get("/").await;
    let second = service.get("/nowhere").await;
    let id = first.header("x-request-id").unwrap();
    assert_eq!(id.len(), 36);
    assert_ne!(Some(id), second.header("x-request-id"));
}

#[tokio::test]
async fn the_id_is_in_each_log_line_of_the_request() {
    let service = Service::new();
    let request = Request::get("/protected-operation?mode=fail")
        .header("x-request-id", "lines-of-one-request");
    let answer = service.send(request.body(Body::empty()).unwrap()).await;
    assert_eq!(answer.header("x-request-id"), Some("lines-of-one-request"));
    let lines = log::lines_with("lines-of-one-request");
    assert!(
        lines
            .iter()
            .all(|line| line["span"]["id"] == "lines-of-one-request"),
        "{lines:?}"
    );
    // The fault, the cleanup, and the end of the request.
    assert!(
        lines.iter().any(|line| line["message"] == "request failed"),
        "{lines:?}"
    );
    assert!(
        lines
            .iter()
            .any(|line| line["message"] == "protected operation cleaned up"),
        "{lines:?}"
    );
    let end = lines.last().unwrap();
    assert_eq!(
        (&end["message"], &end["status"]),
        (&"answered".into(), &500.into()),
        "{lines:?}"
    );
    assert_eq!(end["span"]["path"], "/protected-operation");
}

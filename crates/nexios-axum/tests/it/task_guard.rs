//! Who may use the task routes: programs and pages of the service itself, no pages of other sites.

use std::net::SocketAddr;

use axum::{
    Router,
    body::Body,
    extract::ConnectInfo,
    http::{Method, Request},
};
use nexios::Background;
use nexios_axum::{TaskRoutes, task_routes};

use crate::answer::{Answer, get};

fn with(method: Method, path: &str, headers: &[(&str, &str)]) -> Request<Body> {
    let request = Request::builder().method(method).uri(path);
    let request = headers.iter().fold(request, |request, (name, value)| {
        request.header(*name, *value)
    });
    request.body(Body::empty()).unwrap()
}

/// A registry with one task, and the path that cancels it.
fn one_task() -> (Background, String) {
    let background = Background::new();
    let task = background
        .spawn("import", |task| async move { task.cancelled().await })
        .unwrap();
    let path = format!("/tasks/{}/cancel", task.id().0);
    (background, path)
}

#[tokio::test]
async fn a_page_of_another_site_cannot_cancel_a_task() {
    for (headers, refused) in [
        (
            &[("host", "ours.example"), ("sec-fetch-site", "cross-site")][..],
            true,
        ),
        (
            &[("host", "ours.example"), ("sec-fetch-site", "same-site")],
            true,
        ),
        (
            &[
                ("host", "ours.example"),
                ("origin", "https://theirs.example"),
            ],
            true,
        ),
        (&[("host", "ours.example"), ("origin", "null")], true),
        (
            &[("host", "ours.example"), ("sec-fetch-site", "same-origin")],
            false,
        ),
        (
            &[("host", "ours.example"), ("sec-fetch-site", "none")],
            false,
        ),
        (
            &[("host", "ours.example"), ("origin", "https://ours.example")],
            false,
        ),
        (&[("host", "ours.example")], false),
        (&[], false),
    ] {
        let (background, path) = one_task();
        let answer = Answer::from(
            &task_routes(background.clone()),
            with(Method::POST, &path, headers),
        )
        .await;
        match refused {
            true => drop(answer.problem(403)),
            false => assert_eq!(answer.status, 202, "{headers:?}"),
        }
        tokio::task::yield_now().await;
        assert_eq!(
            background.list()[0].state.is_final(),
            !refused,
            "{headers:?}"
        );
    }
}

#[tokio::test]
async fn a_page_of_a_trusted_origin_may() {
    let (background, path) = one_task();
    let app = TaskRoutes::new(background)
        .trusted_origin("https://console.example")
        .into_router();
    let headers = [
        ("sec-fetch-site", "cross-site"),
        ("origin", "https://console.example"),
    ];
    assert_eq!(
        Answer::from(&app, with(Method::POST, &path, &headers))
            .await
            .status,
        202
    );
}

#[test]
#[should_panic(expected = "console.example/tasks")]
fn an_origin_that_no_browser_sends_is_refused_with_its_name() {
    let _ = TaskRoutes::new(Background::new()).trusted_origin("https://console.example/tasks");
}

async fn status_for(app: &Router, peer: Option<&str>, host: &str) -> u16 {
    let mut request = with(Method::GET, "/tasks/status", &[("host", host)]);
    if let Some(peer) = peer {
        request
            .extensions_mut()
            .insert(ConnectInfo::<SocketAddr>(peer.parse().unwrap()));
    }
    Answer::from(app, request).await.status.as_u16()
}

/// DNS rebinding: a page whose name has been made to point here asks, and might read, in its own name.
#[tokio::test]
async fn a_client_on_this_machine_must_ask_for_a_name_of_this_machine() {
    let app = TaskRoutes::new(Background::new())
        .host("tasks.example")
        .host("Proxy.Example.:8443")
        .into_router();
    for local in ["127.0.0.1:4711", "[::1]:4711", "[::ffff:127.0.0.1]:4711"] {
        for host in [
            "localhost",
            "LOCALHOST:8080",
            "localhost.",
            "app.localhost:1",
            "app",
            "127.0.0.1:8080",
            "[::1]:8080",
            "192.0.2.1",
            "tasks.example",
            "Tasks.Example:8080",
            "proxy.example",
        ] {
            assert_eq!(
                status_for(&app, Some(local), host).await,
                200,
                "{local} {host}"
            );
        }
        for host in [
            "evil.example",
            "evil.example:8080",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "a b",
        ] {
            assert_eq!(
                status_for(&app, Some(local), host).await,
                403,
                "{local} {host}"
            );
        }
    }
    assert_eq!(
        status_for(&app, Some("192.0.2.7:4711"), "ours.example").await,
        200
    );
    assert_eq!(status_for(&app, None, "ours.example").await, 200);
}

#[tokio::test]
async fn no_answer_can_be_framed() {
    let app = task_routes(Background::new());
    let refused = with(
        Method::POST,
        "/tasks/7/cancel",
        &[("sec-fetch-site", "cross-site")],
    );
    for request in [
        get("/tasks/status"),
        get("/tasks/7"),
        get("/tasks/events"),
        refused,
    ] {
        let path = request.uri().clone();
        let response = tower::ServiceExt::oneshot(app.clone(), request)
            .await
            .unwrap();
        assert_eq!(response.headers()["x-frame-options"], "DENY", "{path}");
        assert_eq!(
            response.headers()["content-security-policy"],
            "frame-ancestors 'none'",
            "{path}"
        );
    }
}

#[tokio::test]
async fn what_the_routes_are_merged_into_is_not_guarded() {
    let app = Router::new()
        .route("/", axum::routing::post(async || "ours"))
        .merge(task_routes(Background::new()));
    for (path, status) in [("/", 200), ("/nothing", 404)] {
        let headers = [("host", "public.example"), ("sec-fetch-site", "cross-site")];
        let mut request = with(Method::POST, path, &headers);
        request
            .extensions_mut()
            .insert(ConnectInfo(SocketAddr::from(([127, 0, 0, 1], 4711))));
        let answer = Answer::from(&app, request).await;
        assert_eq!(
            (answer.status.as_u16(), answer.header("x-frame-options")),
            (status, None),
            "{path}"
        );
    }
}

//! Pages of other sites, and what a browser does for them.

use axum::{
    body::Body,
    http::{Method, Request, request::Builder},
};
use serde_json::json;

use crate::{
    answer::Answer,
    binary::start,
    service::{Service, serve},
};

/// The routes that change something, or that cost something though they are a GET.
const DEAR: [(Method, &str); 6] = [
    (Method::POST, "/analytics/reset"),
    (Method::GET, "/analytics/daily?refresh=1"),
    (Method::POST, "/upload"),
    (Method::POST, "/send-newsletter"),
    (Method::POST, "/tasks/1/cancel"),
    (Method::GET, "/protected-operation"),
];

async fn send(service: &Service, request: Builder) -> Answer {
    service.send(request.body(Body::empty()).unwrap()).await
}

#[tokio::test]
async fn a_page_of_another_site_changes_nothing_and_costs_nothing() {
    let service = Service::new();
    for (method, uri) in DEAR {
        let request = || {
            Request::builder()
                .method(method.clone())
                .uri(uri)
                .header("host", "localhost:8080")
        };
        for site in ["cross-site", "same-site"] {
            let answer = send(&service, request().header("sec-fetch-site", site)).await;
            let problem = answer.problem(403);
            assert!(
                problem["detail"].as_str().unwrap().contains("other sites"),
                "{problem}"
            );
        }
        for origin in ["https://elsewhere.example", "null", "http://localhost:8081"] {
            send(&service, request().header("origin", origin))
                .await
                .problem(403);
        }
    }
    let status = service.get("/tasks/status").await.ok(200);
    assert_eq!(status["analytics"]["site"]["computations"], 0);
    assert_eq!(status["protected_operation"]["started"], 0);
}

#[tokio::test]
async fn our_own_page_and_programs_are_served() {
    let service = Service::new();
    for (method, uri) in DEAR {
        let request = || {
            Request::builder()
                .method(method.clone())
                .uri(uri)
                .header("host", "localhost:8080")
        };
        for request in [
            request(),
            request()
                .header("sec-fetch-site", "same-origin")
                .header("origin", "http://localhost:8080"),
            request().header("origin", "http://localhost:8080"),
        ] {
            let answer = send(&service, request).await;
            assert_ne!(answer.status, 403, "{method} {uri}: {}", answer.text());
        }
    }
    // A person who typed the address.
    let typed = Request::get("/protected-operation").header("sec-fetch-site", "none");
    send(&service, typed).await.ok(200);
}

/// Reading what is known is free for all; whether a page elsewhere may see it is the browser's business.
#[tokio::test]
async fn reading_is_for_all() {
    let service = Service::new();
    for uri in ["/", "/analytics/daily", "/search?q=rust", "/tasks/status"] {
        let request = Request::get(uri).header("sec-fetch-site", "cross-site");
        assert_eq!(send(&service, request).await.status, 200, "{uri}");
    }
}

/// Over HTTP, as a page would do whose own name leads to this machine.
#[tokio::test]
async fn on_a_loopback_address_only_local_names_are_served() {
    let service = Service::new();
    let address = serve(service.app.clone()).await;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let ask = async |host: &str| {
        let request = client
            .get(format!("http://{address}/tasks/status"))
            .header("host", host);
        request.send().await.unwrap().status()
    };
    for host in [
        "localhost",
        "LOCALHOST:8080",
        "127.0.0.1:8080",
        "[::1]:8080",
        "news.localhost",
        "newsroom",
    ] {
        assert_eq!(ask(host).await, 200, "{host}");
    }
    for host in [
        "rebound.example",
        "rebound.example:8080",
        "127.0.0.1.rebound.example",
        "localhost.rebound.example.",
    ] {
        assert_eq!(ask(host).await, 421, "{host}");
    }
}

/// On a port, where the service knows who asks: what is on this machine is a browser that was misled, or a proxy.
#[tokio::test]
async fn names_that_are_set_are_served_everywhere_and_others_not_by_the_task_routes_to_this_machine()
 {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    for (listen, elsewhere, tasks) in [("0.0.0.0:0", 200, 403), ("127.0.0.1:0", 421, 421)] {
        let running = start(&["--listen", listen, "--host", "News.Example,proxy.example"]);
        let port = running.url.port().unwrap();
        let ask = async |path: &str, host: &str| {
            let request = client.get(format!("http://127.0.0.1:{port}{path}"));
            let request = request.header("host", host);
            request.send().await.unwrap().status().as_u16()
        };
        for host in [
            "news.example",
            "NEWS.example.:8080",
            "proxy.example",
            "localhost",
        ] {
            for path in ["/search?q=rust", "/tasks/status"] {
                assert_eq!(ask(path, host).await, 200, "{listen} {host} {path}");
            }
        }
        let other = "evil.example";
        assert_eq!(ask("/search?q=rust", other).await, elsewhere, "{listen}");
        assert_eq!(ask("/tasks/status", other).await, tasks, "{listen}");
        running.stop("TERM").await;
    }
}

#[tokio::test]
async fn no_answer_may_be_framed() {
    let service = Service::new();
    for uri in ["/", "/tasks/status", "/nowhere", "/search?q="] {
        let answer = service.get(uri).await;
        assert_eq!(answer.header("x-frame-options"), Some("DENY"), "{uri}");
        let policy = answer.header("content-security-policy").unwrap();
        assert!(policy.contains("frame-ancestors 'none'"), "{uri}: {policy}");
    }
}

#[tokio::test]
async fn the_id_the_method_and_the_path_of_a_request_do_not_flood_the_log() {
    let service = Service::new();
    let (id, path) = (
        "i".repeat(5_000),
        format!("/{}", "flooding-path".repeat(500)),
    );
    for request in [
        Request::get(&path),
        Request::get("/flooding-method").method(&*"M".repeat(5_000)),
    ] {
        let answer = send(&service, request.header("x-request-id", &id)).await;
        let ours = answer.header("x-request-id").unwrap();
        assert_eq!(ours.len(), 36, "one of ours: {ours}");
        let lines = crate::log::lines_with(ours);
        assert!(!lines.is_empty());
        for line in lines {
            assert!(line.to_string().len() < 1_500, "{line}");
        }
    }
    let kept = send(
        &service,
        Request::get("/nowhere").header("x-request-id", "short-enough"),
    )
    .await;
    assert_eq!(kept.header("x-request-id"), Some("short-enough"));
    assert_eq!(kept.problem(404)["status"], json!(404));
}

/// What counts is where the service listens, and not how that was written.
#[tokio::test]
async fn a_loopback_address_is_one_however_it_is_written() {
    for listen in ["[::ffff:127.0.0.1]:0", "127.1:0"] {
        let running = start(&["--listen", listen]);
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let search = client.get(running.url.join("/search?q=rust").unwrap());
        let foreign = search
            .try_clone()
            .unwrap()
            .header("host", "evil.example")
            .send()
            .await
            .unwrap();
        assert_eq!(
            (
                foreign.status().as_u16(),
                search.send().await.unwrap().status().as_u16()
            ),
            (421, 200),
            "{listen}"
        );
        running.stop("TERM").await;
    }
}

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::Body,
    http::{HeaderMap, Request},
    routing::get,
};
use tokio::net::TcpListener;

use crate::service::{Service, serve, url};

#[tokio::test]
async fn three_calls_become_one_answer() {
    let service = Service::with_upstream().await;
    let page = service.get("/dashboard?user_id=7").await.ok(200);
    assert_eq!(page["user"]["id"], 7);
    assert!(page["user"]["email"].as_str().unwrap().ends_with(".7@example.org"), "{page}");
    assert_eq!(page["recent_posts"].as_array().unwrap().len(), 3);
    assert!(page["recent_posts"][0]["title"].is_string());
    assert_eq!(page["statistics"]["posts"], 5);
    assert_eq!(page.as_object().unwrap().len(), 3);
}

#[tokio::test]
async fn no_id_or_a_bad_one_is_400() {
    let service = Service::with_upstream().await;
    for uri in ["/dashboard", "/dashboard?user_id=", "/dashboard?user_id=seven", "/dashboard?user_id=-1"] {
        service.get(uri).await.problem(400);
    }
}

#[tokio::test]
async fn a_bad_trial_is_400() {
    let service = Service::with_upstream().await;
    service.get("/dashboard?user_id=7&delay_ms=soon").await.problem(400);
    service.get("/dashboard?user_id=7&status=teapot").await.problem(400);
}

#[tokio::test]
async fn an_unknown_user_is_404() {
    let service = Service::with_upstream().await;
    for id in ["0", "11", "18446744073709551615"] {
        service.get(&format!("/dashboard?user_id={id}")).await.problem(404);
    }
}

#[tokio::test]
async fn an_upstream_that_fails_is_502() {
    let service = Service::with_upstream().await;
    for status in [500, 503, 429] {
        service.get(&format!("/dashboard?user_id=7&status={status}")).await.problem(502);
    }
}

#[tokio::test]
async fn an_upstream_that_is_down_is_502() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let nobody = listener.local_addr().unwrap();
    drop(listener);
    let service = Service::with(|config| config.upstream = Some(url(nobody)));
    service.get("/dashboard?user_id=7").await.problem(502);
}

#[tokio::test]
async fn an_upstream_that_nobody_named_is_502() {
    Service::new().get("/dashboard?user_id=7").await.problem(502);
}

#[tokio::test]
async fn an_upstream_that_talks_nonsense_is_502() {
    let nonsense = Router::new().fallback(get(async || "<html>welcome to the router</html>"));
    let address = serve(nonsense).await;
    let service = Service::with(|config| config.upstream = Some(url(address)));
    service.get("/dashboard?user_id=7").await.problem(502);
}

/// On the real clock: a paused one would run ahead while sockets and threads work.
#[tokio::test]
async fn an_upstream_that_is_too_slow_is_504_after_two_seconds() {
    let service = Service::with_upstream().await;
    let begun = Instant::now();
    service.get("/dashboard?user_id=7&delay_ms=30000").await.problem(504);
    let took = begun.elapsed();
    assert!(took >= Duration::from_secs(2) && took < Duration::from_secs(10), "{took:?}");
}

#[tokio::test]
async fn a_client_with_less_patience_gets_its_504_earlier_and_the_upstream_is_told() {
    let told = Arc::new(Mutex::new(Vec::new()));
    let telling = told.clone();
    let upstream = Router::new().fallback(get(async move |headers: HeaderMap| {
        let milliseconds =
            headers["x-envoy-expected-rq-timeout-ms"].to_str().unwrap().parse::<u64>().unwrap();
        telling.lock().unwrap().push(milliseconds);
        tokio::time::sleep(Duration::from_secs(60)).await;
    }));
    let address = serve(upstream).await;
    let service = Service::with(|config| config.upstream = Some(url(address)));
    let request = Request::get("/dashboard?user_id=7").header("connect-timeout-ms", "500");
    let begun = Instant::now();
    service.send(request.body(Body::empty()).unwrap()).await.problem(504);
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    let told = told.lock().unwrap();
    assert!(told.len() == 3 && told.iter().all(|milliseconds| *milliseconds < 500), "{told:?}");
}

#[tokio::test]
async fn the_first_failure_does_not_wait_for_the_slow_calls() {
    let slow = get(async || tokio::time::sleep(Duration::from_secs(60)).await);
    let broken = get(async || axum::http::StatusCode::INTERNAL_SERVER_ERROR);
    let upstream =
        Router::new().route("/users/7", slow.clone()).route("/posts/7", slow).route("/stats/7", broken);
    let address = serve(upstream).await;
    let service = Service::with(|config| config.upstream = Some(url(address)));
    let begun = Instant::now();
    service.get("/dashboard?user_id=7").await.problem(502);
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
}

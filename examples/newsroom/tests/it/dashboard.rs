use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::Body,
    http::{HeaderMap, Request},
    response::Redirect,
    routing::get,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use crate::{
    log,
    service::{Service, serve, url},
};

#[tokio::test]
async fn three_calls_become_one_answer() {
    let service = Service::with_upstream().await;
    let page = service.get("/dashboard?user_id=7").await.ok(200);
    assert_eq!(page["user"]["id"], 7);
    assert!(
        page["user"]["email"]
            .as_str()
            .unwrap()
            .ends_with(".7@example.org"),
        "{page}"
    );
    assert_eq!(page["recent_posts"].as_array().unwrap().len(), 3);
    assert!(page["recent_posts"][0]["title"].is_string());
    assert_eq!(page["statistics"]["posts"], 5);
    assert_eq!(page.as_object().unwrap().len(), 3);
}

#[tokio::test]
async fn no_id_or_a_bad_one_is_400() {
    let service = Service::with_upstream().await;
    for uri in [
        "/dashboard",
        "/dashboard?user_id=",
        "/dashboard?user_id=seven",
        "/dashboard?user_id=-1",
    ] {
        service.get(uri).await.problem(400);
    }
}

#[tokio::test]
async fn a_bad_trial_is_400() {
    let service = Service::with_upstream().await;
    service
        .get("/dashboard?user_id=7&delay_ms=soon")
        .await
        .problem(400);
    for status in ["teapot", "0", "200", "399", "600", "65535"] {
        service
            .get(&format!("/dashboard?user_id=7&status={status}"))
            .await
            .problem(400);
    }
}

#[tokio::test]
async fn an_unknown_user_is_404() {
    let service = Service::with_upstream().await;
    for id in ["0", "11", "18446744073709551615"] {
        service
            .get(&format!("/dashboard?user_id={id}"))
            .await
            .problem(404);
    }
}

#[tokio::test]
async fn an_upstream_that_fails_is_502() {
    let service = Service::with_upstream().await;
    for status in [500, 503, 429] {
        let answer = service
            .get(&format!("/dashboard?user_id=7&status={status}"))
            .await;
        answer.problem(502);
        // Anybody can ask for it, as often as they like.
        let lines = log::lines_with(answer.header("x-request-id").unwrap());
        assert!(
            lines
                .iter()
                .any(|line| line["message"] == "upstream failed"),
            "{lines:?}"
        );
        assert!(
            lines.iter().all(|line| line["level"] == "INFO"),
            "{lines:?}"
        );
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
    Service::new()
        .get("/dashboard?user_id=7")
        .await
        .problem(502);
}

#[tokio::test]
async fn an_upstream_that_talks_nonsense_is_502() {
    let nonsense = Router::new().fallback(get(async || "<html>welcome to the router</html>"));
    let address = serve(nonsense).await;
    let service = Service::with(|config| config.upstream = Some(url(address)));
    service.get("/dashboard?user_id=7").await.problem(502);
}

#[tokio::test]
async fn an_upstream_that_talks_nonsense_at_length_is_logged_in_short() {
    let nonsense = Router::new().fallback(get(async || {
        format!("\"nonsense-at-length {}\"", "A".repeat(60_000))
    }));
    let address = serve(nonsense).await;
    let service = Service::with(|config| config.upstream = Some(url(address)));
    service.get("/dashboard?user_id=7").await.problem(502);
    let lines = log::lines_with("nonsense-at-length");
    assert!(!lines.is_empty());
    assert!(
        lines
            .iter()
            .all(|line| line["error"].as_str().unwrap().len() < 1_000),
        "{lines:?}"
    );
}

/// Less what a call keeps back of its group's time, for the way of the answer.
const TWO_SECONDS: Duration = Duration::from_millis(2_000 - 5 - 1);

/// On the real clock: a paused one would run ahead while sockets and threads work.
#[tokio::test]
async fn an_upstream_that_is_too_slow_is_504_after_two_seconds() {
    let service = Service::with_upstream().await;
    let begun = Instant::now();
    service
        .get("/dashboard?user_id=7&delay_ms=30000")
        .await
        .problem(504);
    let took = begun.elapsed();
    assert!(
        took >= TWO_SECONDS && took < Duration::from_secs(10),
        "{took:?}"
    );
}

#[tokio::test]
async fn a_client_with_less_patience_gets_its_504_earlier_and_the_upstream_is_told() {
    let told = Arc::new(Mutex::new(Vec::new()));
    let telling = told.clone();
    let upstream = Router::new().fallback(get(async move |headers: HeaderMap| {
        let milliseconds = headers["x-envoy-expected-rq-timeout-ms"]
            .to_str()
            .unwrap()
            .parse::<u64>()
            .unwrap();
        telling.lock().unwrap().push(milliseconds);
        tokio::time::sleep(Duration::from_secs(60)).await;
    }));
    let address = serve(upstream).await;
    let service = Service::with(|config| config.upstream = Some(url(address)));
    let request = Request::get("/dashboard?user_id=7").header("connect-timeout-ms", "500");
    let begun = Instant::now();
    service
        .send(request.body(Body::empty()).unwrap())
        .await
        .problem(504);
    assert!(
        begun.elapsed() < Duration::from_secs(2),
        "{:?}",
        begun.elapsed()
    );
    let told = told.lock().unwrap();
    assert!(
        told.len() == 3 && told.iter().all(|milliseconds| *milliseconds < 500),
        "{told:?}"
    );
}

#[tokio::test]
async fn the_first_failure_does_not_wait_for_the_slow_calls() {
    let slow = get(async || tokio::time::sleep(Duration::from_secs(60)).await);
    let broken = get(async || axum::http::StatusCode::INTERNAL_SERVER_ERROR);
    let upstream = Router::new()
        .route("/users/7", slow.clone())
        .route("/posts/7", slow)
        .route("/stats/7", broken);
    let address = serve(upstream).await;
    let service = Service::with(|config| config.upstream = Some(url(address)));
    let begun = Instant::now();
    service.get("/dashboard?user_id=7").await.problem(502);
    assert!(
        begun.elapsed() < Duration::from_secs(2),
        "{:?}",
        begun.elapsed()
    );
}

/// A server that answers each request with `head`, and then with `piece` again and again for as long as somebody
/// reads; it counts how many bytes were taken.
async fn endless(
    head: &'static str,
    piece: Vec<u8>,
    pause: Duration,
) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let taken = Arc::new(AtomicUsize::new(0));
    let counter = taken.clone();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let (piece, taken) = (piece.clone(), counter.clone());
            tokio::spawn(async move {
                let mut request = [0; 4_096];
                let _ = socket.read(&mut request).await;
                let _ = socket.write_all(head.as_bytes()).await;
                while socket.write_all(&piece).await.is_ok() {
                    taken.fetch_add(piece.len(), Ordering::Relaxed);
                    tokio::time::sleep(pause).await;
                }
            });
        }
    });
    (address, taken)
}

const JSON: &str = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n[";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upstream_whose_answer_has_no_end_is_502_and_read_no_further() {
    let (address, taken) = endless(JSON, vec![b' '; 64 * 1024], Duration::ZERO).await;
    let service = Service::with(|config| config.upstream = Some(url(address)));
    for _ in 0..4 {
        service.get("/dashboard?user_id=7").await.problem(502);
    }
    // Twelve calls, and what sockets hold by themselves.
    let taken = taken.load(Ordering::Relaxed);
    assert!(taken < 12 * 8 * 1024 * 1024, "{taken} bytes");
}

#[tokio::test]
async fn an_upstream_that_says_how_much_too_much_it_sends_is_502() {
    let head =
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 99999999999\r\n\r\n";
    let (address, _) = endless(head, vec![b' '; 1_024], Duration::ZERO).await;
    let service = Service::with(|config| config.upstream = Some(url(address)));
    service.get("/dashboard?user_id=7").await.problem(502);
}

#[tokio::test]
async fn an_upstream_that_drips_is_504_after_two_seconds() {
    let (address, _) = endless(JSON, vec![b' '], Duration::from_millis(100)).await;
    let service = Service::with(|config| config.upstream = Some(url(address)));
    let begun = Instant::now();
    service.get("/dashboard?user_id=7").await.problem(504);
    let took = begun.elapsed();
    assert!(
        took >= TWO_SECONDS && took < Duration::from_secs(10),
        "{took:?}"
    );
}

#[tokio::test]
async fn an_upstream_whose_headers_have_no_end_is_502() {
    let header = format!("x-more: {}\r\n", "m".repeat(16 * 1024));
    let (address, taken) =
        endless("HTTP/1.1 200 OK\r\n", header.into_bytes(), Duration::ZERO).await;
    let service = Service::with(|config| config.upstream = Some(url(address)));
    service.get("/dashboard?user_id=7").await.problem(502);
    let taken = taken.load(Ordering::Relaxed);
    assert!(taken < 3 * 8 * 1024 * 1024, "{taken} bytes");
}

/// Whoever can answer for the upstream must not make us ask others.
#[tokio::test]
async fn an_upstream_that_sends_us_elsewhere_is_502_and_not_followed() {
    let (elsewhere, taken) = endless(JSON, vec![b' '; 1_024], Duration::ZERO).await;
    let upstream = Router::new().fallback(get(async move || {
        Redirect::temporary(&format!("http://{elsewhere}/"))
    }));
    let address = serve(upstream).await;
    let service = Service::with(|config| config.upstream = Some(url(address)));
    service.get("/dashboard?user_id=7").await.problem(502);
    assert_eq!(taken.load(Ordering::Relaxed), 0);
}

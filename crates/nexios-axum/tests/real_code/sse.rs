use std::{sync::Arc, time::Duration};

use axum::http::header::{CONTENT_TYPE, USER_AGENT};
use futures_util::StreamExt;
use reqwest::{Client, Response, StatusCode};

use crate::{
    observed::Observed,
    running::{Running, eventually, problem, soon},
    services::sse::{Pulse, app},
};

fn pulse(every: u64, keep_alive: u64) -> Pulse {
    Pulse {
        every: Duration::from_millis(every),
        keep_alive: Duration::from_millis(keep_alive),
        listeners: Arc::default(),
    }
}

async fn listen(running: &Running) -> Response {
    let request = Client::new().get(running.url("/sse"));
    let answer = request.header(USER_AGENT, "a test").send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(answer.headers()[CONTENT_TYPE], "text/event-stream");
    answer
}

#[tokio::test]
async fn who_listens_hears_an_event_at_once_and_then_another_and_the_page_is_there() {
    let running = Running::start(app(pulse(300, 60_000))).await;
    let mut events = listen(&running).await.bytes_stream();
    for _ in 0..2 {
        let event = soon(events.next()).await.unwrap().unwrap();
        assert_eq!(event, "data: hi!\n\n");
    }
    let page = running.get("/").await;
    assert_eq!(page.headers()[CONTENT_TYPE], "text/html");
    assert!(page.text().await.unwrap().contains("Hello from a file."));
    running.stop().await;
}

#[tokio::test]
async fn between_events_the_connection_is_kept_alive() {
    let running = Running::start(app(pulse(60_000, 50))).await;
    let mut events = listen(&running).await.bytes_stream();
    assert_eq!(soon(events.next()).await.unwrap().unwrap(), "data: hi!\n\n");
    let kept = soon(events.next()).await.unwrap().unwrap();
    assert_eq!(kept, ": keep-alive-text\n\n");
    running.stop().await;
}

#[tokio::test]
async fn who_does_not_say_what_it_is_gets_a_problem() {
    let running = Running::start(app(pulse(20, 20))).await;
    problem(running.get("/sse").await, StatusCode::BAD_REQUEST).await;
    running.stop().await;
}

#[tokio::test]
async fn streams_say_goodbye_and_end_in_order_when_the_service_does() {
    let running = Running::start(app(pulse(20, 60_000))).await;
    let mut events = listen(&running).await.bytes_stream();
    assert_eq!(soon(events.next()).await.unwrap().unwrap(), "data: hi!\n\n");
    running.handle.stop();
    let mut last = String::new();
    // To its end, and not to an error.
    while let Some(event) = soon(events.next()).await {
        last.push_str(std::str::from_utf8(&event.unwrap()).unwrap());
    }
    assert!(last.ends_with("event: end\ndata: come again\n\n"), "{last}");
    let report = running.ended().await;
    assert!(report.is_clean() && report.cut_off.is_empty(), "{report:?}");
    assert!(report.elapsed < Duration::from_secs(3), "{report:?}");
}

#[tokio::test]
async fn the_source_stops_when_its_listener_leaves_and_whoever_looks_is_told() {
    let (observed, _observing) = Observed::begin();
    let pulse = pulse(20, 60_000);
    let nobody = Arc::strong_count(&pulse.listeners) + 1;
    let running = Running::start(app(pulse.clone())).await;
    eventually(|| Arc::strong_count(&pulse.listeners) == nobody).await;
    let mut events = listen(&running).await.bytes_stream();
    soon(events.next()).await.unwrap().unwrap();
    assert!(Arc::strong_count(&pulse.listeners) > nobody);
    drop(events);
    eventually(|| Arc::strong_count(&pulse.listeners) == nobody).await;
    observed
        .end("GET /sse: Cancelled(ClientDisconnected)")
        .await;
    running.stop().await;
}

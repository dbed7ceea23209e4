//! With a signal, as a process: `tests/process`.

use std::time::{Duration, Instant};

use reqwest::{StatusCode, header::RETRY_AFTER};

use crate::{
    running::{Running, problem, rest, soon},
    services::graceful_shutdown::{Times, app},
};

const TIMES: Times = Times {
    slow: Duration::from_millis(500),
    request: Duration::from_secs(60),
    end: Duration::from_secs(4),
};

#[tokio::test]
async fn what_is_under_way_is_finished_and_what_has_no_end_is_cut_at_the_limit_and_named() {
    let running = Running::start(app(&TIMES)).await;
    let (slow, forever) = (running.url("/slow"), running.url("/forever"));
    let slow = tokio::spawn(reqwest::get(slow));
    let forever = tokio::spawn(reqwest::get(forever));
    tokio::time::sleep(Duration::from_millis(200)).await;
    let begun = Instant::now();
    running.handle.stop();
    assert_eq!(soon(slow).await.unwrap().unwrap().status(), StatusCode::OK);
    let forever = soon(forever).await.unwrap().unwrap();
    assert!(forever.headers().contains_key(RETRY_AFTER));
    problem(forever, StatusCode::SERVICE_UNAVAILABLE).await;
    // It was given what time there was.
    assert!(
        begun.elapsed() > Duration::from_secs(2),
        "{:?}",
        begun.elapsed()
    );
    let report = running.ended().await;
    assert_eq!(report.abandoned, ["request GET /forever"]);
    assert!(
        report.elapsed < TIMES.end + Duration::from_secs(1),
        "{report:?}"
    );
}

#[tokio::test]
async fn a_request_that_takes_too_long_is_a_504() {
    let request = Duration::from_millis(200);
    let running = Running::start(app(&Times { request, ..TIMES })).await;
    let answer = soon(running.get("/forever")).await;
    problem(answer, StatusCode::GATEWAY_TIMEOUT).await;
    running.stop().await;
}

#[tokio::test]
async fn half_a_head_and_an_idle_connection_hold_up_no_end() {
    let running = Running::start(app(&TIMES)).await;
    let mut half = running.send("GET /slow HTTP/1.1\r\nhos").await;
    let mut idle = running.send("").await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    let report = running.stop().await;
    assert!(report.is_clean(), "{report:?}");
    assert!(report.elapsed < Duration::from_secs(2), "{report:?}");
    assert_eq!(
        (rest(&mut half).await, rest(&mut idle).await),
        Default::default()
    );
}

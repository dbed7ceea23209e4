use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{Router, routing::get};
use nexios::Background;
use nexios_axum::{NexiosApp, Phase};
use tokio::{net::TcpStream, time::Instant};

use super::{Client, app, eventually, ms, soon, start};

/// `/slow` takes 300 ms, `/stuck` for ever.
fn router() -> Router {
    Router::new()
        .route("/", get(async || "hello"))
        .route("/stuck", get(std::future::pending::<&str>))
        .route(
            "/slow",
            get(async || {
                tokio::time::sleep(ms(300)).await;
                "slow"
            }),
        )
}

#[tokio::test]
async fn while_draining_clients_are_let_in_readiness_fails_and_connections_close() {
    let running = start(app(router()).accepting(ms(600))).await;
    let mut kept = running.client().await;
    let before = kept.get("/").await;
    assert!(!before.says_close(), "{}", before.head);
    running.handle.stop();
    soon(running.handle.reached(Phase::Draining)).await;
    let last = kept.get("/").await;
    assert_eq!(last.status, 200);
    assert!(last.says_close(), "{}", last.head);
    assert!(kept.rest().await.is_empty());

    let ready = running.client().await.get("/readyz").await;
    assert_eq!(ready.status, 503);
    assert!(
        ready.body.contains("\"phase\":\"draining\""),
        "{}",
        ready.body
    );
    assert!(
        ready.head.to_lowercase().contains("retry-after: 1"),
        "{}",
        ready.head
    );
    assert_eq!(running.client().await.get("/livez").await.status, 200);
    assert_eq!(running.handle.phase(), Phase::Draining);

    let (handle, address) = (running.handle.clone(), running.address);
    soon(handle.reached(Phase::Closing)).await;
    eventually(async || TcpStream::connect(address).await.is_err().then_some(())).await;
    let report = running.ended().await;
    assert!(report.is_clean(), "{report:?}");
    assert!(report.elapsed >= ms(600));
    assert_eq!(report.cause, "stopped by the program");
    assert_eq!(handle.phase(), Phase::Stopped);
}

#[tokio::test]
async fn a_request_under_way_is_answered_and_idle_connections_hold_up_nothing() {
    let running = start(app(router())).await;
    let mut idle = running.client().await;
    assert_eq!(idle.get("/").await.status, 200);
    let mut busy = running.client().await;
    busy.begin("/slow").await;
    let handle = running.handle.clone();
    tokio::time::sleep(ms(50)).await;
    let begun = Instant::now();
    let stopping = tokio::spawn(running.stop());
    assert!(idle.rest().await.is_empty());
    assert!(
        begun.elapsed() < ms(200),
        "an idle connection closes at once"
    );
    let reply = busy.reply().await;
    assert_eq!((reply.status, reply.body.as_str()), (200, "slow"));
    assert!(
        busy.rest().await.is_empty(),
        "and the connection is closed after it"
    );
    let report = soon(stopping).await.unwrap();
    assert!(report.is_clean(), "{report:?}");
    assert!(report.elapsed < ms(1_000), "{report:?}");
    assert_eq!(handle.connections(), 0);
}

/// Whoever was let in before the close is answered, even if the first byte was not read yet.
#[tokio::test]
async fn a_client_that_connected_just_before_the_close_is_answered() {
    for _ in 0..20 {
        let running = start(app(router())).await;
        let mut clients = Vec::new();
        for _ in 0..5 {
            clients.push(Client::connect(running.address).await);
        }
        running.handle.stop();
        soon(running.handle.reached(Phase::Closing)).await;
        for client in &mut clients {
            let reply = client.get("/").await;
            assert_eq!(reply.status, 200);
            assert!(reply.says_close());
        }
        assert!(running.ended().await.is_clean());
    }
}

/// The system has taken the client's call, and we have not: nothing here gives way between that and the stop.
#[tokio::test]
async fn a_client_in_the_systems_queue_is_let_in_at_the_close() {
    use std::io::{Read, Write};
    for _ in 0..20 {
        let running = start(app(router())).await;
        let mut client = std::net::TcpStream::connect(running.address).unwrap();
        client
            .write_all(b"GET / HTTP/1.1\r\nhost: test\r\n\r\n")
            .unwrap();
        assert!(running.stop().await.is_clean());
        let mut reply = String::new();
        client.read_to_string(&mut reply).unwrap();
        assert!(reply.starts_with("HTTP/1.1 200"), "{reply:?}");
    }
}

#[tokio::test]
async fn a_further_stop_skips_to_cancelling_and_one_more_to_the_end() {
    // Limits that no test waits for.
    let patient = |router| {
        app(router)
            .accepting(ms(60_000))
            .shutdown_limit(ms(300_000))
            .cancelling(ms(60_000))
    };
    let running = start(patient(router())).await;
    let begun = Instant::now();
    running.handle.stop();
    soon(running.handle.reached(Phase::Draining)).await;
    running.handle.stop();
    assert!(running.ended().await.is_clean());
    assert!(begun.elapsed() < ms(5_000));

    // Two at once are two.
    let running = start(patient(router())).await;
    running.handle.stop();
    assert!(running.stop().await.is_clean());
    assert!(begun.elapsed() < ms(5_000));

    // Cancelled work has its time; the third stop takes it away.
    let stubborn = Router::new().route("/", get(std::future::pending::<&str>));
    let layer = nexios_axum::RequestLayer::new().grace(ms(600_000));
    let running = start(patient(stubborn).requests(layer)).await;
    let mut client = running.client().await;
    client.begin("/").await;
    tokio::time::sleep(ms(50)).await;
    running.handle.stop();
    soon(running.handle.reached(Phase::Draining)).await;
    running.handle.stop();
    soon(running.handle.reached(Phase::Cancelling)).await;
    assert_eq!(client.reply().await.status, 503);
    tokio::time::sleep(ms(50)).await;
    assert_eq!(running.handle.phase(), Phase::Cancelling);
    running.handle.stop();
    let report = running.ended().await;
    assert_eq!(report.abandoned, ["request GET /"]);
    assert!(begun.elapsed() < ms(5_000));
}

#[tokio::test]
async fn shutdown_hooks_run_in_order_after_the_last_request() {
    let log = Arc::new(Mutex::new(Vec::new()));
    let note = |what: &'static str| {
        let log = log.clone();
        async move || log.lock().unwrap().push(what)
    };
    let request = log.clone();
    let slow = get(async move || {
        tokio::time::sleep(ms(200)).await;
        request.lock().unwrap().push("request");
        "slow"
    });
    let app = app(Router::new().route("/", slow))
        .on_shutdown("first", note("first"))
        .on_shutdown("second", note("second"));
    let running = start(app).await;
    let mut client = running.client().await;
    client.begin("/").await;
    tokio::time::sleep(ms(50)).await;
    assert!(running.stop().await.is_clean());
    assert_eq!(client.reply().await.status, 200);
    assert_eq!(*log.lock().unwrap(), ["request", "first", "second"]);
}

#[tokio::test]
async fn a_shutdown_hook_that_fails_panics_or_hangs_is_named_and_the_next_one_runs() {
    let done = Arc::new(Mutex::new(false));
    let last = done.clone();
    let app = app(router())
        .shutdown_limit(ms(900))
        .on_shutdown("flush", async || Err::<(), _>("disk full"))
        .on_shutdown("explode", async || -> () { panic!("boom") })
        .on_shutdown("hang", std::future::pending::<()>)
        .on_shutdown("last", async move || {
            tokio::time::sleep(ms(50)).await;
            *last.lock().unwrap() = true;
        });
    let report = start(app).await.stop().await;
    assert_eq!(
        report.abandoned,
        [
            "shutdown hook flush",
            "shutdown hook explode",
            "shutdown hook hang"
        ]
    );
    assert!(*done.lock().unwrap());
    // Half of what was left when it began: the last one had the other half.
    assert!((ms(300)..ms(900)).contains(&report.elapsed), "{report:?}");
}

/// With the usual three seconds for cleaning up, and one for hooks, nothing would be left of it.
#[tokio::test]
async fn of_a_short_limit_requests_have_a_part_undisturbed() {
    let slow = async || {
        tokio::time::sleep(ms(100)).await;
        "slow"
    };
    let app = NexiosApp::new(Router::new().route("/", get(slow)))
        .background(Background::new())
        .without_signals()
        .accepting(Duration::ZERO)
        .shutdown_limit(ms(3_000));
    let running = start(app).await;
    let mut client = running.client().await;
    client.begin("/").await;
    tokio::time::sleep(ms(50)).await;
    assert!(running.stop().await.is_clean());
    assert_eq!(client.reply().await.status, 200);
}

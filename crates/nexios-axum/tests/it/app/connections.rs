//! How many, and for how long.

use axum::{Router, routing::get};
use tokio::time::Instant;

use super::{app, eventually, ms, start};

fn hello() -> Router {
    Router::new().route("/", get(async || "hello"))
}

#[tokio::test]
async fn beyond_the_limit_clients_wait_until_a_connection_ends() {
    let running = start(app(hello()).connections(2)).await;
    let mut first = running.client().await;
    let mut second = running.client().await;
    assert_eq!(
        (first.get("/").await.status, second.get("/").await.status),
        (200, 200)
    );
    let mut third = running.client().await;
    third.begin("/").await;
    tokio::time::sleep(ms(50)).await;
    assert_eq!(running.handle.connections(), 2);
    drop(first);
    assert_eq!(third.reply().await.status, 200);
    assert_eq!(running.handle.connections(), 2);
    drop((second, third));
    eventually(async || (running.handle.connections() == 0).then_some(())).await;
    assert!(running.stop().await.is_clean());
}

#[test]
#[should_panic(expected = "connections(0): at least one client must be able to come")]
fn no_connection_at_all_is_refused() {
    drop(app(hello()).connections(0));
}

#[tokio::test]
async fn half_a_head_silence_and_idleness_are_cut_off_at_the_head_limit() {
    let running = start(app(hello()).head_limit(ms(150))).await;
    let mut half = running.client().await;
    half.send("GET / HTTP/1.1\r\nhost: te").await;
    let mut silent = running.client().await;
    // Looks like HTTP/2 for as long as it goes.
    let mut preface = running.client().await;
    preface.send("PRI * HTTP/2.0\r\n").await;
    let mut idle = running.client().await;
    assert_eq!(idle.get("/").await.status, 200);
    let begun = Instant::now();
    for client in [&mut half, &mut silent, &mut preface, &mut idle] {
        assert!(client.rest().await.is_empty());
    }
    assert!(begun.elapsed() < ms(2_000));
    eventually(async || (running.handle.connections() == 0).then_some(())).await;
    running.stop().await;
}

#[tokio::test]
async fn a_client_that_asks_in_time_and_an_answer_that_takes_longer_are_not_cut_off() {
    let slow = get(async || {
        tokio::time::sleep(ms(1_000)).await;
        "slow"
    });
    let large = get(async || vec![b'x'; 20_000_000]);
    let router = hello().route("/slow", slow).route("/large", large);
    let running = start(app(router).head_limit(ms(400))).await;
    let mut client = running.client().await;
    for _ in 0..4 {
        assert_eq!(client.get("/").await.status, 200);
        tokio::time::sleep(ms(200)).await;
    }
    assert_eq!(client.get("/slow").await.body, "slow");
    // Written at once, and read by a client that takes its time: that is no idleness either.
    client.begin("/large").await;
    tokio::time::sleep(ms(1_000)).await;
    assert_eq!(client.reply().await.body.len(), 20_000_000);
    assert_eq!(client.get("/").await.status, 200);
    assert!(client.rest().await.is_empty(), "then it is cut off");
    running.stop().await;
}

#[tokio::test]
async fn dropping_the_future_of_a_service_ends_its_connections() {
    let router = Router::new().route("/", get(std::future::pending::<&str>));
    let running = start(app(router)).await;
    let (mut busy, mut idle) = (running.client().await, running.client().await);
    busy.begin("/").await;
    eventually(async || (running.handle.connections() == 2).then_some(())).await;
    let (handle, address) = (running.handle.clone(), running.address);
    running.abort().await;
    assert!(busy.rest().await.is_empty());
    assert!(idle.rest().await.is_empty());
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
    eventually(async || (handle.connections() == 0).then_some(())).await;
}

/// The system's table of sockets says which timer runs: 02 is that of keep-alive.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn tcp_keeps_an_eye_on_silent_peers() {
    let running = start(app(hello())).await;
    let mut client = running.client().await;
    assert_eq!(client.get("/").await.status, 200);
    let (server, peer) = (
        running.address.port(),
        client.stream.local_addr().unwrap().port(),
    );
    let timer = async || {
        let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
        let line = table.lines().find(|line| {
            let mut fields = line.split_whitespace().skip(1);
            let ends = (fields.next().unwrap(), fields.next().unwrap());
            ends.0.ends_with(&format!(":{server:04X}")) && ends.1.ends_with(&format!(":{peer:04X}"))
        });
        line.is_some_and(|line| line.split_whitespace().nth(5).unwrap().starts_with("02:"))
            .then_some(())
    };
    eventually(timer).await;
    running.stop().await;
}

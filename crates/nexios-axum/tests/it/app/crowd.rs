//! More clients than there are places, and those that take one for nothing.

use std::{net::SocketAddr, time::Duration};

use axum::{Router, routing::get};
use nexios_axum::{NexiosApp, RequestLayer};
use tokio::{
    net::{TcpSocket, TcpStream},
    time::Instant,
};

use super::{Client, Running, app, eventually, ms, soon, start};

/// `/stuck` never answers.
fn router() -> Router {
    Router::new()
        .route("/", get(async || "hello"))
        .route("/stuck", get(std::future::pending::<&str>))
}

/// Handlers that lose their client are dropped at once.
fn hasty(router: Router) -> NexiosApp {
    app(router).requests(RequestLayer::new().grace(Duration::ZERO))
}

impl Client {
    /// From another address of this machine.
    async fn from(own: [u8; 4], address: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((own, 0).into()).unwrap();
        Client {
            stream: soon(socket.connect(address)).await.unwrap(),
            read: Vec::new(),
        }
    }

    /// Goes without a goodbye.
    fn reset(self) {
        self.stream.set_zero_linger().unwrap();
    }
}

async fn until_open(running: &Running, count: usize) {
    eventually(async || (running.handle.connections() == count).then_some(())).await;
}

#[tokio::test]
async fn a_client_that_leaves_is_noticed_though_its_next_request_waits() {
    let running = start(hasty(router())).await;
    for leave in [Client::reset, drop::<Client>] {
        let mut clients = Vec::new();
        for _ in 0..20 {
            let mut client = running.client().await;
            client.begin("/stuck").await;
            client.begin("/stuck").await;
            clients.push(client);
        }
        until_open(&running, 20).await;
        // Until the server has both requests, the first of them at work.
        tokio::time::sleep(ms(100)).await;
        clients.into_iter().for_each(leave);
        until_open(&running, 0).await;
    }
    assert!(running.stop().await.is_clean());
}

#[tokio::test]
async fn idle_connections_make_room_for_new_clients_oldest_first() {
    let running = start(app(router()).connections(4)).await;
    let mut clients = Vec::new();
    for _ in 0..4 {
        let mut client = running.client().await;
        assert_eq!(client.get("/").await.status, 200);
        clients.push(client);
    }
    // The first one has asked again since, so the second one is the oldest.
    assert_eq!(clients[0].get("/").await.status, 200);
    let begun = Instant::now();
    let mut new = running.client().await;
    assert_eq!(new.get("/").await.status, 200);
    assert!(begun.elapsed() < ms(2_000), "it waits for nobody");
    assert!(clients.remove(1).rest().await.is_empty());
    for client in &mut clients {
        assert_eq!(client.get("/").await.status, 200);
    }
    until_open(&running, 4).await;
    // Whoever comes and says nothing goes as well.
    let mut silent = Vec::new();
    for _ in 0..50 {
        silent.push(running.client().await);
    }
    assert_eq!(running.client().await.get("/").await.status, 200);
    until_open(&running, 4).await;
    assert!(running.stop().await.is_clean());
}

#[tokio::test]
async fn when_all_places_are_busy_health_is_answered_and_everything_else_is_told_503() {
    let running = start(hasty(router()).connections(2)).await;
    let (mut first, mut second) = (running.client().await, running.client().await);
    first.begin("/stuck").await;
    second.begin("/stuck").await;
    until_open(&running, 2).await;
    tokio::time::sleep(ms(50)).await;
    // Far more than are let in at a time, and none of them says a word.
    let mut silent = Vec::new();
    for _ in 0..200 {
        silent.push(TcpStream::connect(running.address).await.unwrap());
    }
    for path in ["/livez", "/readyz"] {
        let mut probe = running.client().await;
        let answer = probe.get(path).await;
        assert_eq!(
            (answer.status, answer.says_close()),
            (200, true),
            "{}",
            answer.head
        );
        assert!(probe.rest().await.is_empty());
    }
    let refused = running.client().await.get("/").await;
    assert_eq!((refused.status, refused.says_close()), (503, true));
    assert!(
        refused.head.to_lowercase().contains("retry-after: 1"),
        "{}",
        refused.head
    );
    assert!(running.handle.connections() <= 2 + 64);
    drop((silent, first));
    assert_eq!(
        eventually(async || {
            let answer = running.client().await.get("/").await;
            (answer.status == 200).then_some(answer.body)
        })
        .await,
        "hello"
    );
    drop(second);
    assert!(running.stop().await.is_clean());
}

#[tokio::test]
async fn one_peer_has_its_share_and_others_have_theirs() {
    let running = start(hasty(router()).connections_per_peer(2)).await;
    let mut busy = Client::from([127, 0, 0, 1], running.address).await;
    busy.begin("/stuck").await;
    let mut idle = Client::from([127, 0, 0, 1], running.address).await;
    assert_eq!(idle.get("/").await.status, 200);
    // Its own idle connection goes for it, and nobody else's.
    let mut other = Client::from([127, 0, 0, 2], running.address).await;
    assert_eq!(other.get("/").await.status, 200);
    let mut next = Client::from([127, 0, 0, 1], running.address).await;
    next.begin("/stuck").await;
    assert!(idle.rest().await.is_empty());
    assert_eq!(other.get("/").await.status, 200);
    tokio::time::sleep(ms(50)).await;
    let mut beyond = Client::from([127, 0, 0, 1], running.address).await;
    assert_eq!(beyond.get("/").await.status, 503);
    assert_eq!(
        Client::from([127, 0, 0, 1], running.address)
            .await
            .get("/livez")
            .await
            .status,
        200
    );
    assert_eq!(
        Client::from([127, 0, 0, 3], running.address)
            .await
            .get("/")
            .await
            .status,
        200
    );
    drop((busy, next));
    assert!(running.stop().await.is_clean());
}

#[tokio::test]
async fn who_has_its_share_takes_no_idle_connection_of_others() {
    let running = start(hasty(router()).connections(2).connections_per_peer(1)).await;
    let mut busy = Client::from([127, 0, 0, 1], running.address).await;
    busy.begin("/stuck").await;
    let mut idle = Client::from([127, 0, 0, 2], running.address).await;
    assert_eq!(idle.get("/").await.status, 200);
    for _ in 0..3 {
        let mut more = Client::from([127, 0, 0, 1], running.address).await;
        assert_eq!(more.get("/").await.status, 503);
    }
    assert_eq!(idle.get("/").await.status, 200);
    // That nothing of the one is idle is no reason not to look for the other.
    assert_eq!(
        Client::from([127, 0, 0, 3], running.address)
            .await
            .get("/")
            .await
            .status,
        200
    );
    drop(busy);
    assert!(running.stop().await.is_clean());
}

#[test]
#[should_panic(expected = "connections_per_peer(0): at least one client must be able to come")]
fn no_connection_of_a_peer_at_all_is_refused() {
    drop(app(router()).connections_per_peer(0));
}

#[tokio::test]
async fn clients_that_come_and_go_fill_no_log_with_the_want_of_places() {
    crate::log::start();
    // No other test has so many places.
    let layer = RequestLayer::new().grace(Duration::ZERO);
    let requests = layer.requests();
    let running = start(app(router()).requests(layer).connections(3)).await;
    for _ in 0..5 {
        let mut busy = Vec::new();
        for _ in 0..3 {
            let mut client = running.client().await;
            client.begin("/stuck").await;
            busy.push(client);
        }
        eventually(async || (requests.live() == 3).then_some(())).await;
        assert_eq!(running.client().await.get("/").await.status, 503);
        drop(busy);
        until_open(&running, 0).await;
    }
    let lines = crate::log::lines_with("all places of all are busy");
    let ours = lines.iter().filter(|line| line["places"] == 3);
    assert_eq!(ours.count(), 1);
    assert!(running.stop().await.is_clean());
}

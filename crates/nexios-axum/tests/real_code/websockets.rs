use std::time::Duration;

use axum::http::header::CONTENT_TYPE;
use futures_util::{SinkExt, StreamExt};
use tokio::{io::AsyncReadExt, net::TcpStream};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{
        Message,
        protocol::{CloseFrame, frame::coding::CloseCode},
    },
};

use crate::{
    observed::Observed,
    running::{Running, eventually, soon},
    services::websockets::{LONGEST, Pace, app},
};

const QUICK: Pace = Pace {
    greeting: Duration::from_millis(5),
    message: Duration::from_millis(5),
    patience: Duration::from_secs(10),
};

/// Talks for minutes.
const SLOW: Pace = Pace {
    message: Duration::from_secs(60),
    ..QUICK
};

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

async fn connect(running: &Running) -> Socket {
    let url = format!("ws://{}/ws", running.address);
    connect_async(url).await.unwrap().0
}

/// What comes next; a ping is answered by the client itself.
async fn next(socket: &mut Socket) -> Message {
    soon(socket.next()).await.unwrap().unwrap()
}

/// Takes the ping, the greetings and the first message.
async fn greeted(running: &Running) -> Socket {
    let mut socket = connect(running).await;
    assert_eq!(next(&mut socket).await, Message::Ping(vec![1, 2, 3].into()));
    for number in 1..5 {
        assert_eq!(
            next(&mut socket).await,
            Message::text(format!("Hi {number} times!"))
        );
    }
    assert_eq!(
        next(&mut socket).await,
        Message::text("Server message 0 ...")
    );
    socket
}

async fn is_told(socket: &mut Socket, code: CloseCode) {
    let Message::Close(Some(frame)) = next(socket).await else {
        panic!("no goodbye");
    };
    assert_eq!(frame.code, code, "{frame:?}");
    // The server waits for the answer to it, and leaves.
    assert!(soon(socket.next()).await.is_none_or(|end| end.is_err()));
}

#[tokio::test]
async fn each_client_is_pinged_greeted_told_everything_and_told_goodbye() {
    let running = Running::start(app(QUICK)).await;
    let mut clients = [greeted(&running).await, greeted(&running).await];
    assert_eq!(running.handle.sockets(), 2);
    for client in &mut clients {
        client.send(Message::text("hello yourself")).await.unwrap();
        for number in 1..20 {
            let message = Message::text(format!("Server message {number} ..."));
            assert_eq!(next(client).await, message);
        }
        is_told(client, CloseCode::Normal).await;
    }
    eventually(|| running.handle.sockets() == 0).await;
    let page = running.get("/").await;
    assert_eq!(page.headers()[CONTENT_TYPE], "text/html");
    assert!(running.stop().await.is_clean());
}

#[tokio::test]
async fn a_client_that_says_goodbye_ends_both_directions() {
    let (observed, _observing) = Observed::begin();
    let running = Running::start(app(SLOW)).await;
    let mut client = greeted(&running).await;
    let goodbye = CloseFrame {
        code: CloseCode::Normal,
        reason: "Goodbye".into(),
    };
    client.send(Message::Close(Some(goodbye))).await.unwrap();
    eventually(|| running.handle.sockets() == 0).await;
    // What spoke was dropped where it waited.
    observed.end("sending: Lost").await;
    observed.end("chat: Completed").await;
    assert!(running.stop().await.is_clean());
}

#[tokio::test]
async fn a_client_that_vanishes_leaves_nothing_running() {
    let running = Running::start(app(SLOW)).await;
    let client = greeted(&running).await;
    assert_eq!(running.handle.sockets(), 1);
    drop(client);
    eventually(|| running.handle.sockets() == 0).await;
    assert!(running.stop().await.is_clean());
}

#[tokio::test]
async fn clients_are_told_that_the_service_ends() {
    let running = Running::start(app(SLOW)).await;
    let mut client = greeted(&running).await;
    running.handle.stop();
    is_told(&mut client, CloseCode::Away).await;
    let report = running.ended().await;
    assert!(report.is_clean(), "{report:?}");
    assert!(report.elapsed < Duration::from_secs(3), "{report:?}");
}

/// Asks for a WebSocket and says nothing more, not even to a ping.
async fn silent(running: &Running) -> TcpStream {
    let head = "GET /ws HTTP/1.1\r\nhost: test\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
                sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    running.send(head).await
}

#[tokio::test]
async fn a_client_that_never_says_a_word_is_let_go() {
    let patience = Duration::from_millis(200);
    let running = Running::start(app(Pace { patience, ..SLOW })).await;
    let mut client = silent(&running).await;
    let mut heard = Vec::new();
    soon(client.read_to_end(&mut heard)).await.unwrap();
    let [high, low] = u16::from(CloseCode::Policy).to_be_bytes();
    let said = heard.windows(2).any(|pair| pair == [high, low]);
    assert!(said, "{heard:?}");
    assert_eq!(running.handle.sockets(), 0);
    assert!(running.stop().await.is_clean());
}

#[tokio::test]
async fn a_client_that_answers_no_goodbye_holds_up_the_end_no_longer_than_it_may() {
    let patience = Duration::from_millis(500);
    let running = Running::start(app(Pace { patience, ..SLOW })).await;
    let client = silent(&running).await;
    eventually(|| running.handle.sockets() == 1).await;
    let report = running.stop().await;
    assert!(report.is_clean(), "{report:?}");
    assert!(report.elapsed < Duration::from_secs(5), "{report:?}");
    drop(client);
}

#[tokio::test]
async fn a_message_over_the_limit_ends_the_conversation() {
    let running = Running::start(app(SLOW)).await;
    let mut client = greeted(&running).await;
    client
        .send(Message::binary(vec![0; LONGEST]))
        .await
        .unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(running.handle.sockets(), 1);
    // Its end may come before the message is out.
    let _ = client.send(Message::binary(vec![0; LONGEST + 1])).await;
    eventually(|| running.handle.sockets() == 0).await;
    assert!(running.stop().await.is_clean());
}

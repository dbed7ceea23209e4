//! Sockets that have left their request.

use axum::{
    Router,
    extract::ws::{Message, WebSocketUpgrade},
    routing::get,
};
use nexios::observe;
use nexios_axum::ServiceLife;

use super::recorder::Recorder;
use crate::app::{Client, app, start};

/// Asks for a WebSocket.
async fn upgrade(client: &mut Client, path: &str) {
    client
        .send(&format!(
            "GET {path} HTTP/1.1\r\nhost: test\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
             sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        ))
        .await;
    client.until(b"\r\n\r\n").await;
}

#[tokio::test]
async fn a_websocket_ends_its_request_and_is_work_of_its_own() {
    let (recorder, _observing) = Recorder::begin("GET /socket-request");
    let (socket, _observing_too) = Recorder::begin("observed chat");
    let chat = async |upgrade: WebSocketUpgrade, life: ServiceLife| {
        let tracked = life.track("observed chat");
        upgrade.on_upgrade(|mut socket| {
            tracked.run(|closing| async move {
                observe::custom("greeting")
                    .run(async { drop(socket.send(Message::Text("hello".into())).await) })
                    .await;
                closing.cancelled().await;
            })
        })
    };
    let running = start(app(Router::new().route("/socket-request", get(chat)))).await;
    let mut client = running.client().await;
    upgrade(&mut client, "/socket-request").await;
    client.until(b"hello").await;
    assert_eq!(
        recorder.story().await,
        ["made as request", "started", "Completed"]
    );
    assert_eq!(recorder.attribute("status"), ["101"]);
    running.stop().await;
    assert_eq!(
        socket.story().await,
        [
            "made as custom",
            "started",
            "greeting: made as custom in observed chat",
            "greeting: started",
            "greeting: Completed",
            "Completed"
        ]
    );
}

//! Streams that end with the service: events by one line, and WebSockets that the shutdown tells and waits for.

use std::{convert::Infallible, process::ExitCode, time::Duration};

use axum::{
    Router,
    extract::ws::{Message, WebSocket, WebSocketUpgrade},
    response::{IntoResponse, Response, Sse, sse::Event},
    routing::get,
};
use futures_util::{Stream, StreamExt, stream};
use nexios::CancelToken;
use nexios_axum::{NexiosApp, OrProblem, ServiceLife, run};
use tokio::time::sleep;

async fn events(life: ServiceLife) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let ticks = stream::iter(1_u64..).then(|tick| async move {
        sleep(Duration::from_millis(20)).await;
        Ok(Event::default().data(tick.to_string()))
    });
    Sse::new(life.until_closing(ticks)) // without this it holds up every deploy until it is cut off
}

async fn echo(mut socket: WebSocket, closing: CancelToken) {
    loop {
        tokio::select! {
            _ = closing.cancelled() => break,
            message = socket.recv() => {
                let Some(Ok(message)) = message else { return };
                if socket.send(message).await.is_err() {
                    return;
                }
            }
        }
    }
    let _ = socket
        .send(Message::Text("the service ends, come again".into()))
        .await;
}

async fn chat(OrProblem(upgrade): OrProblem<WebSocketUpgrade>, life: ServiceLife) -> Response {
    let tracked = life.track("chat");
    upgrade
        .on_upgrade(|socket| tracked.run(|closing| echo(socket, closing)))
        .into_response()
}

pub(crate) fn app() -> NexiosApp {
    NexiosApp::new(
        Router::new()
            .route("/events", get(events))
            .route("/chat", get(chat)),
    )
}

fn main() -> ExitCode {
    run(async { app().serve("127.0.0.1:8080").await })
}

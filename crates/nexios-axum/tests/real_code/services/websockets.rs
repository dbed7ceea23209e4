//! A socket that greets, then talks and listens at the same time, and says goodbye, whoever it is that ends it.

use std::{net::SocketAddr, ops::ControlFlow, process::ExitCode, time::Duration};

use axum::{
    Router,
    extract::{
        ConnectInfo, State,
        ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code},
    },
    http::{HeaderMap, header::USER_AGENT},
    response::Response,
    routing::any,
};
use futures_util::{SinkExt, StreamExt};
use nexios::{CancelToken, Candidate, run_until_first_complete};
use nexios_axum::{NexiosApp, OrInternal, Problem, ServiceLife, run};
use tokio::time::{sleep, timeout};
use tower_http::services::ServeDir;

#[derive(Clone, Copy)]
pub(crate) struct Pace {
    /// Between two greetings.
    pub(crate) greeting: Duration,
    /// Between two messages.
    pub(crate) message: Duration,
    /// What a client may take to say its first word, and to answer a goodbye.
    pub(crate) patience: Duration,
}

/// The longest message of a client, in bytes.
pub(crate) const LONGEST: usize = 64 * 1024;

/// Why a conversation is over.
enum End {
    AllSaid,
    Left,
    Silent,
    ServiceCloses,
}

async fn chat(
    upgrade: WebSocketUpgrade,
    life: ServiceLife,
    State(pace): State<Pace>,
    headers: HeaderMap,
    ConnectInfo(client): ConnectInfo<SocketAddr>,
) -> Response {
    let browser = headers.get(USER_AGENT);
    tracing::info!(?browser, %client, "connected");
    let tracked = life.track("chat");
    upgrade
        .max_message_size(LONGEST)
        .on_upgrade(move |socket| tracked.run(move |closing| talk(socket, client, pace, closing)))
}

async fn talk(mut socket: WebSocket, client: SocketAddr, pace: Pace, closing: CancelToken) {
    let conversation = run_until_first_complete([
        Candidate::new("conversation", converse(&mut socket, client, pace)),
        Candidate::new("closing", async {
            closing.cancelled().await;
            Ok(End::ServiceCloses)
        }),
    ]);
    let (code, reason) = match conversation.first_completed().await {
        Ok(End::AllSaid) => (close_code::NORMAL, "Goodbye"),
        Ok(End::Silent) => (close_code::POLICY, "You do not say a word"),
        Ok(End::ServiceCloses) => (close_code::AWAY, "The service ends, come again"),
        Ok(End::Left) => return,
        Err(error) => return tracing::info!(%client, %error, "the conversation broke off"),
    };
    let frame = CloseFrame {
        code,
        reason: reason.into(),
    };
    let goodbye = timeout(pace.patience, async {
        socket.send(Message::Close(Some(frame))).await?;
        // The client answers with a close of its own.
        while socket.recv().await.transpose()?.is_some() {}
        Ok::<_, axum::Error>(())
    });
    let said = goodbye.await;
    tracing::info!(%client, ?said, "the conversation is over");
}

async fn converse(socket: &mut WebSocket, client: SocketAddr, pace: Pace) -> Result<End, Problem> {
    let ping = Message::Ping(vec![1, 2, 3].into());
    socket.send(ping).await.or_internal()?;
    let first = match timeout(pace.patience, socket.recv()).await {
        Ok(Some(message)) => message.or_internal()?,
        Ok(None) => return Ok(End::Left),
        Err(_) => return Ok(End::Silent),
    };
    if hear(client, &first).is_break() {
        return Ok(End::Left);
    }
    for number in 1..5 {
        let greeting = Message::text(format!("Hi {number} times!"));
        socket.send(greeting).await.or_internal()?;
        sleep(pace.greeting).await;
    }
    let (mut sender, mut receiver) = socket.split();
    run_until_first_complete([
        Candidate::new("sending", async {
            for number in 0..20 {
                let message = Message::text(format!("Server message {number} ..."));
                sender.send(message).await?;
                sleep(pace.message).await;
            }
            Ok(End::AllSaid)
        }),
        Candidate::new("receiving", async {
            while let Some(message) = receiver.next().await {
                if hear(client, &message?).is_break() {
                    break;
                }
            }
            Ok(End::Left)
        }),
    ])
    .first_completed()
    .await
    .map_err(|error: nexios::RaceError<axum::Error>| Problem::internal(&error))
}

/// Looks at a message, and says whether another one may follow.
fn hear(client: SocketAddr, message: &Message) -> ControlFlow<()> {
    tracing::info!(%client, ?message, "heard");
    match message {
        Message::Close(_) => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    }
}

pub(crate) fn app(pace: Pace) -> NexiosApp {
    let assets = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/real_code/assets");
    let router = Router::new()
        .route("/ws", any(chat))
        .with_state(pace)
        .fallback_service(ServeDir::new(assets));
    NexiosApp::new(router)
}

pub(crate) fn main() -> ExitCode {
    let pace = Pace {
        greeting: Duration::from_millis(100),
        message: Duration::from_millis(300),
        patience: Duration::from_secs(5),
    };
    run(app(pace).serve("127.0.0.1:3000"))
}

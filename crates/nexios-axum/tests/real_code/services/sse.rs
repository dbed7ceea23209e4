//! A page, and an event a second for everybody who looks at it.

use std::{convert::Infallible, process::ExitCode, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::State,
    http::{HeaderMap, header::USER_AGENT},
    response::{
        Sse,
        sse::{Event, KeepAlive},
    },
    routing::get,
};
use futures_util::{Stream, StreamExt, future::ready, stream};
use nexios_axum::{NexiosApp, Problem, ServiceLife, run};
use tokio::time::interval;
use tower_http::services::ServeDir;

#[derive(Clone)]
pub(crate) struct Pulse {
    pub(crate) every: Duration,
    pub(crate) keep_alive: Duration,
    /// There is one more for each client that listens.
    pub(crate) listeners: Arc<()>,
}

async fn events(
    State(pulse): State<Pulse>,
    life: ServiceLife,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Problem> {
    let Some(browser) = headers.get(USER_AGENT) else {
        return Err(Problem::bad_request("The header user-agent is missing."));
    };
    tracing::info!(?browser, "connected");
    let source = (interval(pulse.every), pulse.listeners);
    let greetings = stream::unfold(source, async |(mut interval, listener)| {
        interval.tick().await;
        Some((Event::default().data("hi!"), (interval, listener)))
    });
    let goodbye = Event::default().event("end").data("come again");
    let events = life.until_closing(greetings).chain(stream::iter([goodbye]));
    let keep_alive = KeepAlive::new()
        .interval(pulse.keep_alive)
        .text("keep-alive-text");
    Ok(Sse::new(events.then(|event| ready(Ok(event)))).keep_alive(keep_alive))
}

pub(crate) fn app(pulse: Pulse) -> NexiosApp {
    let assets = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/real_code/assets");
    let router = Router::new()
        .route("/sse", get(events))
        .with_state(pulse)
        .fallback_service(ServeDir::new(assets));
    NexiosApp::new(router)
}

pub(crate) fn main() -> ExitCode {
    let pulse = Pulse {
        every: Duration::from_secs(1),
        keep_alive: Duration::from_secs(1),
        listeners: Arc::default(),
    };
    run(app(pulse).serve("127.0.0.1:3000"))
}

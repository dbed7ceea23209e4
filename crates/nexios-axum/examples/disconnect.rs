//! What becomes of a handler whose client leaves: by default it is told and has a grace, and with one line a route finishes.

use std::{
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{Router, extract::State, routing::post};
use nexios_axum::{NexiosApp, OnDisconnect, RequestLayer, RequestToken, run};
use tokio::time::sleep;

#[derive(Clone, Default)]
pub(crate) struct Ledger {
    pub(crate) undone: Arc<AtomicUsize>,
    pub(crate) paid: Arc<AtomicUsize>,
}

/// Hears that its client is gone, and puts things in order.
async fn reserve(State(ledger): State<Ledger>, RequestToken(token): RequestToken) -> String {
    tokio::select! {
        () = sleep(Duration::from_secs(60)) => String::from("reserved"),
        reason = token.cancelled() => {
            sleep(Duration::from_millis(10)).await; // give the place back; there is the grace for it
            ledger.undone.fetch_add(1, Ordering::Relaxed);
            format!("undone: {reason}") // nobody reads this: at a deadline the client has its 504 already
        }
    }
}

/// Must not be stopped half way, so it goes on to its end.
async fn pay(State(ledger): State<Ledger>) -> &'static str {
    sleep(Duration::from_millis(200)).await;
    ledger.paid.fetch_add(1, Ordering::Relaxed);
    "paid"
}

pub(crate) fn app(ledger: Ledger) -> NexiosApp {
    let router = Router::new()
        .route("/reserve", post(reserve))
        .route("/pay", post(pay).layer(OnDisconnect::Detached))
        .with_state(ledger);
    NexiosApp::new(router).requests(RequestLayer::new().grace(Duration::from_secs(2)))
}

fn main() -> ExitCode {
    run(async { app(Ledger::default()).serve("127.0.0.1:8080").await })
}

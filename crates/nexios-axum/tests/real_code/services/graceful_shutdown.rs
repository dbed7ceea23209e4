//! A slow route, one that never ends, and an end that waits for the first and not for the second.

use std::{future::pending, process::ExitCode, time::Duration};

use axum::{Router, routing::get};
use nexios_axum::{NexiosApp, RequestLayer, run};
use tokio::time::sleep;

pub(crate) struct Times {
    pub(crate) slow: Duration,
    /// What a request may take.
    pub(crate) request: Duration,
    /// What the end of the service may take.
    pub(crate) end: Duration,
}

pub(crate) fn app(times: &Times) -> NexiosApp {
    let slow = times.slow;
    let router = Router::new()
        .route("/slow", get(move || sleep(slow)))
        .route("/forever", get(pending::<()>));
    NexiosApp::new(router)
        .requests(RequestLayer::new().deadline(times.request))
        .shutdown_limit(times.end)
        // Of it: what a request gets that has to be told that it is over.
        .cancelling(times.end / 10)
}

pub(crate) fn main() -> ExitCode {
    let times = Times {
        slow: Duration::from_secs(5),
        request: Duration::from_secs(10),
        end: Duration::from_secs(30),
    };
    run(app(&times).serve("0.0.0.0:3000"))
}

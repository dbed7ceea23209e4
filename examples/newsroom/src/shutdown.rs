//! The clean end of the service.

use std::time::Duration;

use nexios::{Background, Drain};
use tokio::signal::unix::{SignalKind, signal as listen_for};

/// How long background tasks may go on, and how long they may then take to stop.
const DRAIN: Drain = Drain { wait: Duration::from_secs(5), cancel: Duration::from_secs(3) };

/// Waits for Ctrl-C or SIGTERM, and returns which it was.
///
/// # Errors
///
/// The system does not let the process listen for signals.
///
/// # Cancel safety
///
/// Dropping the future stops listening; the signals keep doing nothing else.
pub async fn signal() -> std::io::Result<&'static str> {
    let mut interrupt = listen_for(SignalKind::interrupt())?;
    let mut terminate = listen_for(SignalKind::terminate())?;
    tokio::select! {
        _ = interrupt.recv() => Ok("Ctrl-C"),
        _ = terminate.recv() => Ok("SIGTERM"),
    }
}

/// Waits for background tasks, then cancels them, then gives them up; says what became of them.
///
/// # Cancel safety
///
/// Dropping the future leaves the tasks to the end of the runtime.
pub async fn drain_background() {
    let report = Background::global().drain(DRAIN).await;
    tracing::info!(
        completed = report.completed.len(),
        failed = report.failed.len(),
        cancelled = report.cancelled.len(),
        "background tasks ended"
    );
    if !report.abandoned.is_empty() {
        tracing::warn!(abandoned = ?report.abandoned, "background tasks given up");
    }
}

//! The clean end of the service.

use std::{io, time::Duration};

use nexios::{Background, Drain};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// How long background tasks may go on, and how long they may then take to stop.
const DRAIN: Drain = Drain { wait: Duration::from_secs(5), cancel: Duration::from_secs(3) };

/// Ctrl-C and SIGTERM, as long as somebody wants to hear of them.
///
/// Before there is one, both end the process at once; from then on they only do what is done about them.
#[derive(Debug)]
pub struct StopSignals {
    interrupt: Signal,
    terminate: Signal,
}

impl StopSignals {
    /// Begins to listen; a signal that comes before [`next`](Self::next) is called is not lost.
    ///
    /// # Errors
    ///
    /// The system does not let the process listen for signals.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub fn listen() -> io::Result<Self> {
        Ok(StopSignals {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// Waits for the next signal, and returns which it was.
    ///
    /// # Cancel safety
    ///
    /// Safe: no signal is lost.
    pub async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "Ctrl-C",
            _ = self.terminate.recv() => "SIGTERM",
        }
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

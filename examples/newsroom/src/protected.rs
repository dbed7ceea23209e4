//! Two risky operations, and the cleanup that happens whatever becomes of them.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use nexios::Interrupted;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// What the operations shall do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Mode {
    #[default]
    Ok,
    Fail,
    Hang,
}

/// What the operations made together.
#[derive(Debug, Serialize)]
pub(crate) struct Edition {
    pub(crate) front_page: &'static str,
    pub(crate) copies: u32,
}

pub(crate) async fn reserve_front_page(mode: Mode) -> Result<&'static str, RiskyError> {
    match mode {
        Mode::Ok => tokio::time::sleep(Duration::from_millis(20)).await,
        Mode::Fail | Mode::Hang => std::future::pending().await,
    }
    Ok("reserved")
}

pub(crate) async fn start_press(mode: Mode) -> Result<u32, RiskyError> {
    tokio::time::sleep(Duration::from_millis(20)).await;
    match mode {
        Mode::Ok => Ok(10_000),
        Mode::Fail => Err(RiskyError::PaperJam),
        Mode::Hang => std::future::pending().await,
    }
}

/// Why there is no edition.
#[derive(Debug)]
pub(crate) enum RiskyError {
    PaperJam,
    Interrupted(Interrupted),
}

impl From<Interrupted> for RiskyError {
    fn from(interrupted: Interrupted) -> Self {
        RiskyError::Interrupted(interrupted)
    }
}

impl fmt::Display for RiskyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RiskyError::PaperJam => f.write_str("the press in hall 3 has a paper jam"),
            RiskyError::Interrupted(interrupted) => interrupted.fmt(f),
        }
    }
}

/// What happened so far, for the status page.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    /// Requests that began.
    started: AtomicU64,
    /// Cleanups that ran to their end.
    cleanups: AtomicU64,
    /// Requests whose client went away before the answer.
    disconnects: AtomicU64,
}

impl Counters {
    /// Returns the numbers as JSON.
    pub(crate) fn snapshot(&self) -> Value {
        // Relaxed, here and below: numbers to look at; nobody synchronises through them.
        json!({
            "started": self.started.load(Ordering::Relaxed),
            "cleanups": self.cleanups.load(Ordering::Relaxed),
            "disconnects": self.disconnects.load(Ordering::Relaxed),
        })
    }

    pub(crate) fn started(&self) {
        self.started.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn client_went_away(&self) {
        self.disconnects.fetch_add(1, Ordering::Relaxed);
    }

    /// Gives back what the operations took.
    pub(crate) async fn clean_up(self: Arc<Self>) {
        // Something that takes a moment, as real cleanups do: the client is long gone by its end.
        tokio::time::sleep(Duration::from_millis(10)).await;
        let cleanups = self.cleanups.fetch_add(1, Ordering::Relaxed) + 1;
        tracing::info!(cleanups, "protected operation cleaned up");
    }
}

//! Newsletters and their way to every subscriber.
//!
//! # Invariants
//!
//! 1. A delivery is claimed in the database before its mail is sent. A claim is given back only when the mail
//!    certainly did not go out; nobody gets a newsletter twice, whatever is cancelled, killed or started again.
//! 2. What the task, the log and the database say is what went out. A mail whose end nobody knows is in doubt: it
//!    is neither sent nor failed, and not tried again.
//! 3. A newsletter that reached nobody has failed.
//! 4. Few newsletters are under way at a time, and none waits for its turn.
//! 5. A newsletter that was cut off, by the end of the service or a kill, stays `sending` in the database, and the
//!    next service on the same data finds it.

mod deliveries;
mod letter;
mod register;
mod sending;
mod subscriber;
mod tally;

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use nexios::{CancelReason, TaskContext};
use serde_json::{Value, json};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{
    foreign_text::one_line,
    mail::Mailer,
    sqlite::{Sqlite, SqliteError},
};
use deliveries::Deliveries;
pub(crate) use letter::Letter;
pub(crate) use register::Newsletter;
use register::{Ended, Register};
use sending::{SendError, Sending};
use tally::Tally;

/// The most newsletters at a time: each has a whole letter in memory, a connection to the mail server, and writes to
/// the one database.
const MOST_UNDER_WAY: usize = 8;

/// Sends newsletters, and knows what became of them.
#[derive(Clone)]
pub(crate) struct Newsletters {
    register: Register,
    deliveries: Deliveries,
    mailer: Arc<Mailer>,
    /// How long after a failure that may pass the next attempt comes, doubled each time.
    retry_after: Duration,
    /// A place for each newsletter that may be under way.
    places: Arc<Semaphore>,
    /// What earlier services left behind, as it was at the start of this one.
    interrupted: Arc<OnceLock<Vec<Newsletter>>>,
}

/// The right to send one newsletter, until it is dropped.
pub(crate) struct Turn(#[expect(dead_code, reason = "held, not read")] OwnedSemaphorePermit);

impl Newsletters {
    pub(crate) fn new(db: Sqlite, mailer: Mailer, retry_after: Duration) -> Self {
        Newsletters {
            register: Register::new(db.clone()),
            deliveries: Deliveries::new(db),
            mailer: Arc::new(mailer),
            retry_after,
            places: Arc::new(Semaphore::new(MOST_UNDER_WAY)),
            interrupted: Arc::default(),
        }
    }

    /// Takes a turn to send a newsletter; `None` while as many as may be are under way.
    pub(crate) fn turn(&self) -> Option<Turn> {
        self.places.clone().try_acquire_owned().ok().map(Turn)
    }

    /// Mails every subscriber; a failed address is logged and the next one tried.
    pub(crate) async fn send(
        self,
        letter: Letter,
        _turn: Turn,
        task: TaskContext,
    ) -> Result<(), SendError> {
        let (newsletter, total) = match self.register.enter(letter.clone()).await {
            Ok(entered) => entered,
            Err(cause) => {
                tracing::error!(?cause, "newsletter failed");
                return Err(cause.into());
            }
        };
        let mut tally = Tally::new(task.clone(), newsletter, total);
        let sending = Sending {
            letter: &letter,
            deliveries: &self.deliveries,
            postman: self.mailer.postman(),
            retry_after: self.retry_after,
            task: &task,
            tally: &mut tally,
            last_reason: String::new(),
        };
        let end = match sending.run().await {
            // A query that is stopped in its middle fails too, but not of itself.
            Err(_) if task.is_cancelled() => Err(SendError::Stopped),
            end => end,
        };
        let ended = match end {
            Ok(()) => Some(Ended::Completed),
            // It shall be found at the next start.
            Err(SendError::Stopped) if task.token().reason() == Some(CancelReason::Shutdown) => {
                None
            }
            Err(SendError::Stopped) => Some(Ended::Stopped),
            Err(_) => Some(Ended::Failed),
        };
        tally.close();
        if let Some(ended) = ended
            && let Err(error) = self.register.close(newsletter, ended, tally.counts()).await
        {
            tracing::error!(
                newsletter,
                ?error,
                "the end of a newsletter is not in the database"
            );
        }
        say(&end, &tally, &task);
        end
    }

    /// Names the newsletters that earlier services did not come to end, in the log and from then on in the lists.
    pub(crate) async fn find_interrupted(&self) -> Result<(), SqliteError> {
        for found in self.register.interrupt().await? {
            let Newsletter {
                id,
                subject,
                sent,
                failed,
                in_doubt,
                ..
            } = &found;
            let (left, summary) = (found.left(), found.summary());
            tracing::warn!(
                newsletter = id,
                subject,
                sent,
                failed,
                in_doubt,
                left,
                "newsletter {id} was cut off by the end of an earlier service; {summary}"
            );
        }
        let interrupted = self.register.newest_interrupted().await?;
        // Set before: the service was started twice, and the first start has found them.
        let _ = self.interrupted.set(interrupted);
        Ok(())
    }

    /// The newest newsletters, newest first.
    pub(crate) async fn list(&self) -> Result<Vec<Newsletter>, SqliteError> {
        self.register.newest().await
    }

    /// What earlier services left behind, for the status page.
    pub(crate) fn snapshot(&self) -> Value {
        json!({ "interrupted": self.interrupted.get().map_or(&[][..], Vec::as_slice) })
    }
}

/// Says how a newsletter ended, to the task and to the log.
fn say(end: &Result<(), SendError>, tally: &Tally, task: &TaskContext) {
    let Tally {
        newsletter,
        sent,
        failed,
        in_doubt,
        ..
    } = *tally;
    let left = tally.left();
    match end {
        Ok(()) => {
            task.message(tally.to_string());
            tracing::info!(%tally, newsletter, sent, failed, in_doubt, left, "newsletter sent");
        }
        Err(SendError::Stopped) => {
            task.message(format!("stopped: {tally}, {left} left"));
            tracing::warn!(%tally, newsletter, sent, failed, in_doubt, left, "newsletter stopped");
        }
        Err(cause) => {
            task.message(format!("failed: {tally}, {left} left"));
            let cause = one_line(&format!("{cause:?}"));
            tracing::error!(%tally, newsletter, sent, failed, in_doubt, left, %cause, "newsletter failed");
        }
    }
}

//! Newsletters and their way to every subscriber.
//!
//! # Invariants
//!
//! 1. A delivery is claimed in the database before its mail is sent, and never claimed twice: nobody gets a
//!    newsletter twice, whatever is cancelled, killed or started again.
//! 2. Between two subscribers the task looks at its token; what was claimed is finished.

mod deliveries;
mod letter;

use std::{fmt, sync::Arc};

use nexios::TaskContext;

use crate::{
    mail::{MailError, Mailer},
    sqlite::{Sqlite, SqliteError},
};
use deliveries::{Deliveries, Subscriber};
pub(crate) use letter::Letter;

/// So many subscribers are in memory at a time.
const PAGE: usize = 500;
/// After so many mails in a row that found no mail server, the rest are not tried.
const HOPELESS: u32 = 10;

/// Sends newsletters.
#[derive(Clone)]
pub(crate) struct Newsletters {
    deliveries: Deliveries,
    mailer: Arc<Mailer>,
}

impl Newsletters {
    pub(crate) fn new(db: Sqlite, mailer: Mailer) -> Self {
        Newsletters { deliveries: Deliveries::new(db), mailer: Arc::new(mailer) }
    }

    /// Mails every subscriber; a failed address is logged and the next one tried.
    pub(crate) async fn send(self, letter: Letter, task: TaskContext) -> Result<Sent, SendError> {
        let mut sent = Sent::default();
        match self.send_to_all(letter, &task, &mut sent).await {
            Ok(()) => {
                task.message(sent.to_string());
                tracing::info!(%sent, "newsletter sent");
                Ok(sent)
            }
            // A query that is stopped in its middle fails too, but not of itself.
            Err(cause) if task.is_cancelled() => {
                task.message(format!("stopped: {sent}"));
                tracing::warn!(%sent, ?cause, "newsletter stopped");
                Err(SendError::Stopped)
            }
            Err(cause) => {
                tracing::error!(%sent, ?cause, "newsletter failed");
                Err(cause)
            }
        }
    }

    async fn send_to_all(
        &self,
        letter: Letter,
        task: &TaskContext,
        sent: &mut Sent,
    ) -> Result<(), SendError> {
        let total = self.deliveries.subscribers().await?;
        let newsletter = self.deliveries.record(letter.clone()).await?;
        task.progress(0, total);

        let mut last = 0;
        let mut unreachable = 0;
        loop {
            let page = self.deliveries.subscribers_after(last, PAGE).await?;
            let Some(end) = page.last() else { return Ok(()) };
            last = end.id;
            for subscriber in page {
                if task.is_cancelled() {
                    return Err(SendError::Stopped);
                }
                match self.deliver(newsletter, &letter, subscriber).await? {
                    Delivery::Sent => (sent.sent, unreachable) = (sent.sent + 1, 0),
                    Delivery::Failed => (sent.failed, unreachable) = (sent.failed + 1, 0),
                    Delivery::Unreachable => (sent.failed, unreachable) = (sent.failed + 1, unreachable + 1),
                }
                task.progress(sent.sent + sent.failed, total);
                if unreachable == HOPELESS {
                    return Err(SendError::NoMailServer);
                }
            }
        }
    }

    async fn deliver(
        &self,
        newsletter: u64,
        letter: &Letter,
        subscriber: Subscriber,
    ) -> Result<Delivery, SendError> {
        let id = subscriber.id;
        self.deliveries.claim(newsletter, id).await?;
        let failure = match letter.to(&subscriber) {
            Err(error) => Some((Delivery::Failed, error.to_string())),
            Ok(mail) => match self.mailer.send(format!("newsletter-{newsletter}/{id}"), mail).await {
                Ok(()) => None,
                Err(error @ MailError::Unreachable(_)) => Some((Delivery::Unreachable, error.to_string())),
                Err(error) => Some((Delivery::Failed, error.to_string())),
            },
        };
        let Some((delivery, error)) = failure else {
            self.deliveries.sent(newsletter, id).await?;
            return Ok(Delivery::Sent);
        };
        tracing::warn!(newsletter, subscriber = id, address = %subscriber.email, %error, "not mailed");
        self.deliveries.failed(newsletter, id, error).await?;
        Ok(delivery)
    }
}

/// How one delivery ended.
enum Delivery {
    Sent,
    Failed,
    Unreachable,
}

/// How many got the newsletter.
#[derive(Debug, Default)]
pub(crate) struct Sent {
    sent: u64,
    failed: u64,
}

impl fmt::Display for Sent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} sent, {} failed", self.sent, self.failed)
    }
}

/// Why a newsletter did not reach the end of the list.
#[derive(Debug)]
pub(crate) enum SendError {
    Stopped,
    NoMailServer,
    Sqlite(#[expect(dead_code, reason = "read in the log, by Debug")] SqliteError),
}

impl From<SqliteError> for SendError {
    fn from(error: SqliteError) -> Self {
        SendError::Sqlite(error)
    }
}

impl fmt::Display for SendError {
    /// Shown on the status page, so it names no address and no path.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SendError::Stopped => f.write_str("the newsletter was stopped"),
            SendError::NoMailServer => f.write_str("the mail server cannot be reached"),
            SendError::Sqlite(_) => f.write_str("the database failed"),
        }
    }
}

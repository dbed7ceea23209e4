//! Newsletters and their way to every subscriber.
//!
//! # Invariants
//!
//! 1. A delivery is claimed in the database before its mail is sent, and never claimed twice: nobody gets a
//!    newsletter twice, whatever is cancelled, killed or started again.
//! 2. Between two subscribers the task looks at its token; what was claimed is finished.
//! 3. What the task and the log say is what went out. One mail at most is in doubt, and only when the task is cut
//!    off or the database fails in its middle; it is said, and its delivery stays `sending`.

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
    pub(crate) async fn send(self, letter: Letter, task: TaskContext) -> Result<(), SendError> {
        let mut tally = Tally::new(task.clone());
        match self.send_to_all(letter, &task, &mut tally).await {
            Ok(()) => {
                tally.ended(tally.to_string());
                tracing::info!(%tally, "newsletter sent");
                Ok(())
            }
            // A query that is stopped in its middle fails too, but not of itself.
            Err(cause) if task.is_cancelled() => {
                tally.ended(format!("stopped: {tally}"));
                tracing::warn!(%tally, ?cause, "newsletter stopped");
                Err(SendError::Stopped)
            }
            Err(cause) => {
                tally.ended(format!("failed: {tally}"));
                tracing::error!(%tally, ?cause, "newsletter failed");
                Err(cause)
            }
        }
    }

    async fn send_to_all(
        &self,
        letter: Letter,
        task: &TaskContext,
        tally: &mut Tally,
    ) -> Result<(), SendError> {
        tally.total = self.deliveries.subscribers().await?;
        let newsletter = self.deliveries.record(letter.clone()).await?;
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
                tally.begins();
                let delivery = self.deliver(newsletter, &letter, subscriber).await?;
                tally.ends(&delivery);
                unreachable = if matches!(delivery, Delivery::Unreachable) { unreachable + 1 } else { 0 };
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

/// How many got the newsletter, told to the task after every mail, so that it is known whatever becomes of it.
struct Tally {
    task: TaskContext,
    total: u64,
    sent: u64,
    failed: u64,
    /// Whether a mail was begun whose end is not known.
    on_its_way: bool,
    ended: bool,
}

impl Tally {
    fn new(task: TaskContext) -> Self {
        Tally { task, total: 0, sent: 0, failed: 0, on_its_way: false, ended: false }
    }

    fn begins(&mut self) {
        self.on_its_way = true;
        self.tell();
    }

    fn ends(&mut self, delivery: &Delivery) {
        match delivery {
            Delivery::Sent => self.sent += 1,
            Delivery::Failed | Delivery::Unreachable => self.failed += 1,
        }
        self.on_its_way = false;
        self.tell();
    }

    fn tell(&self) {
        self.task.progress(self.sent + self.failed, self.total);
        self.task.message(self.to_string());
    }

    fn ended(&mut self, message: String) {
        self.ended = true;
        self.task.message(message);
    }
}

impl Drop for Tally {
    /// A newsletter that is cut off has no other moment to say how far it came.
    fn drop(&mut self) {
        if !self.ended {
            tracing::error!(tally = %self, "newsletter cut off");
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} sent, {} failed", self.sent, self.failed)?;
        if self.on_its_way { f.write_str(", 1 on its way") } else { Ok(()) }
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

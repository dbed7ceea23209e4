//! The way of one newsletter to every subscriber.

use std::{fmt, time::Duration};

use nexios::TaskContext;

use super::{
    deliveries::{Deliveries, Fate},
    letter::Letter,
    subscriber::Subscriber,
    tally::Tally,
};
use crate::{
    foreign_text::one_line,
    mail::{MailError, NoServer, Postman},
    sqlite::SqliteError,
};

/// So many subscribers are in memory at a time.
const PAGE: usize = 500;
/// So often a mail is attempted that the server refuses for now, and a server tried that takes no part.
const ATTEMPTS: u32 = 3;

/// A newsletter under way.
pub(crate) struct Sending<'a> {
    pub(crate) letter: &'a Letter,
    pub(crate) deliveries: &'a Deliveries,
    pub(crate) postman: Postman<'a>,
    pub(crate) retry_after: Duration,
    pub(crate) task: &'a TaskContext,
    pub(crate) tally: &'a mut Tally,
    /// Why the last mail that was not sent was not.
    pub(crate) last_reason: String,
}

impl Sending<'_> {
    /// Mails everybody, then again those who were refused for now.
    pub(crate) async fn run(mut self) -> Result<(), SendError> {
        for attempt in 1..=ATTEMPTS {
            if attempt > 1 {
                if self.tally.deferred == 0 {
                    break;
                }
                self.pause(attempt - 1).await?;
            }
            self.pass(attempt).await?;
        }
        self.postman.leave().await;
        let Tally {
            total,
            sent,
            failed,
            in_doubt,
            ..
        } = *self.tally;
        if sent == 0 && total > 0 {
            return Err(SendError::ReachedNobody {
                failed,
                in_doubt,
                last_reason: self.last_reason,
            });
        }
        Ok(())
    }

    /// Goes once through those who have no mail yet.
    async fn pass(&mut self, attempt: u32) -> Result<(), SendError> {
        let mut last = i64::MIN;
        loop {
            let page = match attempt {
                1 => self.deliveries.subscribers_after(last, PAGE).await?,
                _ => {
                    self.deliveries
                        .deferred_after(self.tally.newsletter, last, PAGE)
                        .await?
                }
            };
            let Some(end) = page.last() else {
                return Ok(());
            };
            last = end.id;
            for subscriber in page {
                if attempt > 1 {
                    self.tally.deferred -= 1;
                }
                self.reach(&subscriber, attempt).await?;
            }
        }
    }

    /// Mails one subscriber. A server that takes no part says nothing about the subscriber, so the same one is tried
    /// again when the server may be back.
    async fn reach(&mut self, subscriber: &Subscriber, attempt: u32) -> Result<(), SendError> {
        for contact in 1.. {
            if self.task.is_cancelled() {
                return Err(SendError::Stopped);
            }
            let Some(server) = self.deliver(subscriber, attempt).await? else {
                break;
            };
            let error = one_line(&server.to_string());
            tracing::warn!(newsletter = self.tally.newsletter, contact, %error, "no mail server");
            if contact == ATTEMPTS {
                return Err(SendError::NoMailServer(server));
            }
            self.pause(contact).await?;
        }
        Ok(())
    }

    /// Sends one mail and writes down what became of it, unless there is no server to send it with.
    async fn deliver(
        &mut self,
        subscriber: &Subscriber,
        attempt: u32,
    ) -> Result<Option<NoServer>, SendError> {
        let (newsletter, id) = (self.tally.newsletter, subscriber.id);
        if !self.deliveries.claim(newsletter, id).await? {
            self.tally.one_less();
            return Ok(None);
        }
        self.tally.begins();
        let sent = match self.letter.to(subscriber) {
            Ok(mail) => {
                let name = format!("newsletter-{newsletter}/{id}");
                self.postman.send(name, mail, &self.task.token()).await
            }
            Err(error) => Err(MailError::Address(error)),
        };
        let fate = match sent {
            Ok(()) => Fate::Sent,
            Err(MailError::InDoubt(_)) => Fate::InDoubt,
            Err(MailError::Deferred(_)) if attempt < ATTEMPTS => Fate::Deferred,
            Err(MailError::NoServer(_) | MailError::Stopped) => {
                self.deliveries.release(newsletter, id).await?;
                self.tally.ends(None);
                return match sent {
                    Err(MailError::NoServer(server)) => Ok(Some(server)),
                    _ => Err(SendError::Stopped),
                };
            }
            Err(_) => Fate::Failed,
        };
        let mut error = None;
        if let Err(reason) = sent {
            // Neither the address nor what the server said is ours.
            let (address, said) = (one_line(&subscriber.email), one_line(&reason.to_string()));
            let state = fate.state();
            tracing::warn!(newsletter, subscriber = id, %address, attempt, fate = state, error = %said, "not mailed");
            self.last_reason = reason.in_short();
            error = Some(said);
        }
        self.deliveries.settle(newsletter, id, fate, error).await?;
        self.tally.ends(Some(fate));
        Ok(None)
    }

    /// Waits before the next attempt, unless the task is stopped.
    async fn pause(&self, attempts: u32) -> Result<(), SendError> {
        let pause = self.retry_after.saturating_mul(1 << (attempts - 1));
        tokio::select! {
            biased;
            _ = self.task.cancelled() => Err(SendError::Stopped),
            () = tokio::time::sleep(pause) => Ok(()),
        }
    }
}

/// Why a newsletter did not reach the end of the list, or nobody on it.
#[derive(Debug)]
pub(crate) enum SendError {
    Stopped,
    NoMailServer(NoServer),
    ReachedNobody {
        failed: u64,
        in_doubt: u64,
        last_reason: String,
    },
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
            SendError::NoMailServer(server) => f.write_str(&server.in_short()),
            SendError::ReachedNobody {
                failed,
                in_doubt,
                last_reason,
            } => {
                write!(f, "nobody is known to have got it: {failed} failed")?;
                if *in_doubt > 0 {
                    write!(f, ", {in_doubt} in doubt")?;
                }
                write!(f, ", the last {last_reason}")
            }
            SendError::Sqlite(_) => f.write_str("the database failed"),
        }
    }
}

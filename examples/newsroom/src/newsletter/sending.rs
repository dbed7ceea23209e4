//! The way of one part of a newsletter to its subscribers.

use std::{fmt, time::Duration};

use nexios_jobs::{JobContext, JobError};

use super::{
    cut_off::OnItsWay,
    deliveries::{Deliveries, Fate},
    letter::Letter,
    part::Part,
    store::StoreError,
    subscriber::{Subscriber, Subscribers},
};
use crate::{
    foreign_text::one_line,
    mail::{MailError, NoServer, Postman},
};

/// So often a mail is attempted that the server refuses for now, and a server tried that takes no part.
const ATTEMPTS: u32 = 3;

/// A part under way.
pub(super) struct Sending<'a> {
    pub(super) letter: &'a Letter,
    pub(super) part: &'a Part,
    pub(super) deliveries: &'a Deliveries,
    pub(super) subscribers: &'a Subscribers,
    pub(super) postman: Postman<'a>,
    pub(super) retry_after: Duration,
    pub(super) job: &'a JobContext,
}

impl Sending<'_> {
    /// Mails everybody who has no mail yet, then again those who were refused for now.
    pub(super) async fn run(mut self) -> Result<(), SendError> {
        for attempt in 1..=ATTEMPTS {
            let left = self.left().await?;
            if left.is_empty() {
                break;
            }
            if attempt > 1 {
                self.pause(attempt - 1).await?;
            }
            for subscriber in left {
                self.reach(subscriber, attempt).await?;
            }
        }
        self.postman.leave().await;
        Ok(())
    }

    /// Those who have no mail yet and may get one.
    async fn left(&self) -> Result<Vec<i64>, SendError> {
        let states = self.deliveries.states(self.part).await?;
        let mut left = self.subscribers.of(self.part).await?;
        left.retain(|id| states.get(id).is_none_or(|state| state == "deferred"));
        Ok(left)
    }

    /// Mails one subscriber. A server that takes no part says nothing about the subscriber, so the same one is tried
    /// again when the server may be back.
    async fn reach(&mut self, id: i64, attempt: u32) -> Result<(), SendError> {
        for contact in 1.. {
            if self.job.is_cancelled() {
                return Err(SendError::Stopped);
            }
            let Some(subscriber) = self.subscribers.get(id).await? else {
                break;
            };
            let Some(server) = self.deliver(&subscriber, attempt).await? else {
                break;
            };
            let error = one_line(&server.to_string());
            tracing::warn!(newsletter = self.part.newsletter, contact, %error, "no mail server");
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
        let mut on_its_way = None;
        let delivered = self.deliver_as(subscriber, attempt, &mut on_its_way).await;
        if let Some(mail) = &mut on_its_way {
            mail.is_known = true;
        }
        delivered
    }

    async fn deliver_as(
        &mut self,
        subscriber: &Subscriber,
        attempt: u32,
        on_its_way: &mut Option<OnItsWay>,
    ) -> Result<Option<NoServer>, SendError> {
        let (newsletter, id) = (self.part.newsletter, subscriber.id);
        let mut claimed = None;
        let sent = match self.letter.to(subscriber) {
            Ok(mail) => {
                let name = format!("newsletter-{newsletter}/{id}");
                // Looked at when the text would go out next.
                let claim = async {
                    let claim = self.deliveries.claim(newsletter, id).await;
                    let is_ours = matches!(claimed.insert(claim), Ok(true));
                    *on_its_way = is_ours.then(|| OnItsWay {
                        newsletter,
                        subscriber: id,
                        is_known: false,
                    });
                    is_ours
                };
                self.postman
                    .send(name, mail, &self.job.token(), claim)
                    .await
            }
            Err(error) => Err(MailError::Address(error)),
        };
        let is_ours = claimed.transpose()?;
        let fate = match sent {
            Ok(()) => Fate::Sent,
            // Somebody else's meanwhile.
            Err(MailError::Unclaimed) => return Ok(None),
            Err(MailError::InDoubt(_)) => Fate::InDoubt,
            Err(MailError::Deferred(_)) if attempt < ATTEMPTS => Fate::Deferred,
            Err(MailError::NoServer(_) | MailError::Stopped) => {
                if is_ours.is_some() {
                    self.deliveries.release(newsletter, id).await?;
                }
                return match sent {
                    Err(MailError::NoServer(server)) => Ok(Some(server)),
                    _ => Err(SendError::Stopped),
                };
            }
            Err(_) => Fate::Failed,
        };
        let (mut error, mut reason) = (String::new(), String::new());
        if let Err(cause) = sent {
            // Neither the address nor what the server said is ours.
            let (address, said) = (one_line(&subscriber.email), one_line(&cause.to_string()));
            let state = fate.state();
            tracing::warn!(newsletter, subscriber = id, %address, attempt, fate = state, error = %said, "not mailed");
            reason = cause.in_short();
            error = said;
        }
        self.deliveries
            .settle(newsletter, id, fate, &error, &reason)
            .await?;
        Ok(None)
    }

    /// Waits before the next attempt, unless the job is stopped.
    async fn pause(&self, attempts: u32) -> Result<(), SendError> {
        let pause = self.retry_after.saturating_mul(1 << (attempts - 1));
        tokio::select! {
            biased;
            _ = self.job.cancelled() => Err(SendError::Stopped),
            () = tokio::time::sleep(pause) => Ok(()),
        }
    }
}

/// Why a newsletter or a part of it did not reach the end of its list, or nobody on it.
#[derive(Debug)]
pub(super) enum SendError {
    Stopped,
    /// The service ends, and another goes on.
    HandedBack,
    NoMailServer(NoServer),
    /// A part did not reach its end, for this reason.
    Part(String),
    ReachedNobody {
        failed: u64,
        in_doubt: u64,
        last_reason: String,
    },
    Store(#[expect(dead_code, reason = "read in the log, by Debug")] StoreError),
}

impl<E: Into<StoreError>> From<E> for SendError {
    fn from(error: E) -> Self {
        SendError::Store(error.into())
    }
}

impl SendError {
    /// A database that is away comes back, and who was stopped is told by the reason; the rest has been tried often enough.
    pub(super) fn for_the_job(self) -> JobError {
        match self {
            SendError::HandedBack => JobError::snooze(Duration::ZERO),
            SendError::Stopped | SendError::Store(_) => JobError::from(self),
            error => JobError::discard(error),
        }
    }
}

impl fmt::Display for SendError {
    /// Shown on the status page, so it names no address and no path.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SendError::Stopped => f.write_str("the newsletter was stopped"),
            SendError::HandedBack => f.write_str("the newsletter was handed back"),
            SendError::NoMailServer(server) => f.write_str(&server.in_short()),
            SendError::Part(reason) => f.write_str(reason),
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
            SendError::Store(_) => f.write_str("the database failed"),
        }
    }
}

//! What runs as jobs: a newsletter, and the parts of it that any service on the same jobs may take.

use std::{sync::Arc, time::Duration};

use nexios::CancelReason;
use nexios_jobs::{JobContext, JobError, JobFailure, JobHandle, JobId, JobState, Kind};
use tokio::time::sleep;

use super::{
    cut_off::Watched,
    deliveries::Deliveries,
    here::Here,
    letter::Letter,
    part::Part,
    register::{Ended, Entered, Register},
    sending::{SendError, Sending},
    store::{Store, StoreError},
    subscriber::Subscribers,
    tally::Tally,
};
use crate::{foreign_text::one_line, mail::Mailer};

pub(super) const SEND_NEWSLETTER: Kind<Letter> = Kind::new("send newsletter");
pub(super) const SEND_PART: Kind<Part> = Kind::new("send part of newsletter");

/// How often it is looked how far the parts are.
const LOOK: Duration = Duration::from_millis(200);

#[derive(Clone)]
pub(super) struct Sender {
    pub(super) store: Store,
    pub(super) register: Register,
    pub(super) deliveries: Deliveries,
    pub(super) subscribers: Subscribers,
    pub(super) mailer: Arc<Mailer>,
    /// How long after a failure that may pass the next attempt comes, doubled each time.
    pub(super) retry_after: Duration,
    pub(super) here: Arc<Here>,
}

/// Why the parts are not waited for any longer.
enum Parted {
    Ended(Result<(), SendError>),
    Told(CancelReason),
}

impl Sender {
    /// Sees to it that every part is sent, here or elsewhere, and says how far all of it is.
    pub(super) async fn send(self, letter: Letter, job: JobContext) -> Result<(), JobError> {
        let end = self.send_all(&letter, &job).await;
        let end = end.inspect_err(|cause| {
            if let SendError::Store(_) = cause {
                let cause = one_line(&format!("{cause:?}"));
                tracing::error!(job = %job.id(), %cause, "newsletter failed for now");
            }
        });
        end.map_err(SendError::for_the_job)
    }

    async fn send_all(&self, letter: &Letter, job: &JobContext) -> Result<(), SendError> {
        let newsletter = self.entered(letter, job).await?;
        let mut watched = Watched {
            newsletter: newsletter.id,
            tally: None,
            is_over: false,
        };
        let end = self.send_parts(&newsletter, &mut watched, job).await;
        watched.is_over = true;
        end
    }

    async fn send_parts(
        &self,
        newsletter: &Entered,
        watched: &mut Watched,
        job: &JobContext,
    ) -> Result<(), SendError> {
        let mut parts = Vec::with_capacity(newsletter.ends.len());
        for part in Part::all(job.id(), newsletter.id, &newsletter.ends) {
            let part_of_it = self.store.jobs.task(SEND_PART).unique(part.key());
            parts.push(part_of_it.enqueue(&part).await?);
        }
        let parted = self.watch(newsletter, &parts, watched, job).await?;
        match parted {
            Parted::Told(CancelReason::Shutdown) => self.here.idle().await,
            // Others may have it already.
            Parted::Told(CancelReason::OwnerDropped) => return Err(SendError::Stopped),
            Parted::Told(_) | Parted::Ended(Err(_)) => self.stop(&parts).await?,
            Parted::Ended(Ok(())) => {}
        }
        let end = match parted {
            Parted::Told(CancelReason::Shutdown) => {
                let tally = self.tally(newsletter).await?;
                self.register.note(newsletter.id, tally.counts).await?;
                let left = tally.left();
                tracing::info!(%tally, newsletter = newsletter.id, left, "newsletter handed back");
                return Err(SendError::HandedBack);
            }
            Parted::Told(_) => Err(SendError::Stopped),
            Parted::Ended(end) => end,
        };
        self.close(newsletter, end, job).await
    }

    /// The newsletter of this job, begun by whoever had the job first.
    async fn entered(&self, letter: &Letter, job: &JobContext) -> Result<Entered, SendError> {
        let (total, ends) = match self.register.find(job.id()).await? {
            Some(newsletter) => (newsletter.total, newsletter.ends),
            None => self.subscribers.plan().await?,
        };
        self.register.enter(job.id(), letter, total, &ends).await?;
        let entered = self.register.find(job.id()).await?;
        entered.ok_or_else(|| sqlx::Error::RowNotFound.into())
    }

    /// Says how far it is until all parts have ended, one has failed or there is a reason to stop.
    async fn watch(
        &self,
        newsletter: &Entered,
        parts: &[JobHandle<()>],
        watched: &mut Watched,
        job: &JobContext,
    ) -> Result<Parted, SendError> {
        let ended = async {
            for part in parts {
                match part.wait().await {
                    // One that is gone has ended long ago.
                    Ok(()) | Err(JobFailure::Gone) => {}
                    Err(JobFailure::Store(error)) => return Err(error.into()),
                    Err(JobFailure::Failed { error } | JobFailure::Dead { error }) => {
                        return Err(SendError::Part(error));
                    }
                    Err(other) => return Err(SendError::Part(other.to_string())),
                }
            }
            Ok(())
        };
        tokio::pin!(ended);
        loop {
            tokio::select! {
                biased;
                reason = job.cancelled() => return Ok(Parted::Told(reason)),
                end = &mut ended => return match end {
                    Err(error @ SendError::Store(_)) => Err(error),
                    end => Ok(Parted::Ended(end)),
                },
                () = sleep(LOOK) => {}
            }
            let tally = self.tally(newsletter).await?;
            if watched.tally.replace(tally) != Some(tally) {
                job.progress(tally.done(), tally.total);
                job.message(tally.to_string());
                self.register.note(newsletter.id, tally.counts).await?;
            }
        }
    }

    async fn tally(&self, newsletter: &Entered) -> Result<Tally, SendError> {
        Ok(Tally {
            total: newsletter.total,
            counts: self.deliveries.count(newsletter.id).await?,
        })
    }

    /// Stops the parts that have not ended, wherever they are, and waits for their ends.
    async fn stop(&self, parts: &[JobHandle<()>]) -> Result<(), SendError> {
        // From the end, where those are that wait: nobody begins one in the place of another.
        for part in parts.iter().rev() {
            part.cancel().await?;
        }
        for part in parts {
            // However it ended.
            let _ = part.wait().await;
        }
        Ok(())
    }

    /// Writes down the end, and says it to the task and to the log.
    async fn close(
        &self,
        newsletter: &Entered,
        mut end: Result<(), SendError>,
        job: &JobContext,
    ) -> Result<(), SendError> {
        let mut tally = self.tally(newsletter).await?;
        if end.is_ok() {
            // Who is left has unsubscribed meanwhile.
            tally.total = tally.done();
            if tally.counts.sent == 0 && tally.total > 0 {
                end = Err(SendError::ReachedNobody {
                    failed: tally.counts.failed,
                    in_doubt: tally.counts.in_doubt,
                    last_reason: self.deliveries.last_reason(newsletter.id).await?,
                });
            }
        }
        let ended = match end {
            Ok(()) => Ended::Completed,
            Err(SendError::Stopped) => Ended::Stopped,
            Err(_) => Ended::Failed,
        };
        self.register
            .close(newsletter.id, ended, tally.total, tally.counts)
            .await?;
        say(&end, newsletter.id, tally, job);
        end
    }

    /// Writes down the ends of newsletters whose jobs have ended with nobody there to do it: cancelled while no service
    /// had them, or out of attempts.
    pub(super) async fn catch_up(&self) -> Result<(), StoreError> {
        for (newsletter, job) in self.register.open().await? {
            let job = match job.parse::<JobId>() {
                Ok(job) => self.store.jobs.get(job).await?,
                Err(_) => None,
            };
            let ended = match job.map(|job| job.state) {
                Some(state) if !state.is_final() => continue,
                Some(JobState::Completed) => Ended::Completed,
                Some(JobState::Cancelled) => Ended::Stopped,
                // One that is not there any more has ended long ago.
                _ => Ended::Failed,
            };
            self.deliveries.doubt_all(newsletter).await?;
            let counts = self.deliveries.count(newsletter).await?;
            self.register.give_up(newsletter, ended, counts).await?;
            tracing::warn!(newsletter, ?ended, ?counts, "newsletter given up");
        }
        Ok(())
    }

    /// Sends one part.
    pub(super) async fn send_part(self, part: Part, job: JobContext) -> Result<(), JobError> {
        let _running = self.here.begin();
        let end = self.send_those_of(&part, &job).await;
        let end = end.inspect_err(|cause| {
            if !matches!(cause, SendError::Stopped) {
                let cause = one_line(&format!("{cause:?}"));
                tracing::error!(newsletter = part.newsletter, %cause, "part of a newsletter not sent");
            }
        });
        end.map_err(SendError::for_the_job)
    }

    async fn send_those_of(&self, part: &Part, job: &JobContext) -> Result<(), SendError> {
        // Cancelled while no service had it, a newsletter could not stop its parts.
        let whole = self.store.jobs.get(part.whole).await?;
        if whole.is_none_or(|whole| whole.state.is_final()) {
            return Err(SendError::Part("the newsletter has ended".to_owned()));
        }
        self.deliveries.doubt(part).await?;
        let letter = self.register.letter(part.newsletter).await?;
        let sending = Sending {
            letter: &letter,
            part,
            deliveries: &self.deliveries,
            subscribers: &self.subscribers,
            postman: self.mailer.postman(),
            retry_after: self.retry_after,
            job,
        };
        match sending.run().await {
            // A query that is stopped in its middle fails too, but not of itself.
            Err(_) if job.is_cancelled() => Err(SendError::Stopped),
            end => end,
        }
    }
}

fn say(end: &Result<(), SendError>, newsletter: i64, tally: Tally, job: &JobContext) {
    let (counts, left) = (tally.counts, tally.left());
    let (sent, failed, in_doubt) = (counts.sent, counts.failed, counts.in_doubt);
    job.progress(tally.done(), tally.total);
    match end {
        Ok(()) => {
            job.message(tally.to_string());
            tracing::info!(%tally, newsletter, sent, failed, in_doubt, left, "newsletter sent");
        }
        Err(SendError::Stopped) => {
            job.message(format!("stopped: {tally}, {left} left"));
            tracing::warn!(%tally, newsletter, sent, failed, in_doubt, left, "newsletter stopped");
        }
        Err(cause) => {
            job.message(format!("failed: {tally}, {left} left"));
            let cause = one_line(&format!("{cause:?}"));
            tracing::error!(%tally, newsletter, sent, failed, in_doubt, left, %cause, "newsletter failed");
        }
    }
}

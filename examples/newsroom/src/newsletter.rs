//! Newsletters and their way to every subscriber.
//!
//! A newsletter is a durable job, and the parts of its list are jobs of their own, which every service on the same jobs takes from.
//!
//! # Invariants
//!
//! 1. A delivery is claimed in the database before the text of its mail goes out. A claim is given back only when the mail
//!    certainly did not go out; nobody gets a newsletter twice, whatever is cancelled, killed or started again.
//! 2. What the task, the log and the database say is what went out. A mail whose end nobody knows is in doubt: it
//!    is neither sent nor failed, and not tried again.
//! 3. A newsletter that reached nobody has failed.
//! 4. Few newsletters are under way at a time.
//! 5. A newsletter that was accepted is sent to its end: who ends hands it back at once, and whoever was killed loses it to the
//!    next service on the same jobs a few seconds later.

mod cut_off;
mod deliveries;
mod earlier;
mod here;
mod letter;
mod part;
mod register;
mod sender;
mod sending;
mod store;
mod subscriber;
mod tally;

use std::{sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use nexios::{Drain, DrainReport, Drainable};
use nexios_jobs::{Filter, JobId, JobInfo, JobState, Jobs, Policy, Workers};
use tokio::sync::{Mutex, OnceCell};

use crate::{mail::Mailer, sqlite::Sqlite};
use deliveries::Deliveries;
use here::Here;
pub(crate) use letter::Letter;
pub(crate) use register::Newsletter;
use register::Register;
use sender::{SEND_NEWSLETTER, SEND_PART, Sender};
use store::Store;
pub(crate) use store::{Address, StoreError};
use subscriber::Subscribers;

/// The most newsletters at a time.
const MOST_UNDER_WAY: usize = 8;

/// The most parts at a time in one service: each has a connection to the mail server, and writes to the one database.
const PARTS_AT_A_TIME: usize = 4;

/// An attempt is one service that was killed, or one time that the database was away.
const ATTEMPTS: u32 = 20;

/// How long the parts of a cancelled newsletter may take to stop, wherever they are.
const GRACE: Duration = Duration::from_secs(15);

/// What is kept of the end of the service to write down what is handed back: the service itself waits no longer than its limit.
const TO_HAND_BACK: Duration = Duration::from_secs(1);

/// So many newsletters are shown as tasks.
const SHOWN: usize = 50;

/// Sends newsletters, and knows what became of them.
#[derive(Clone)]
pub(crate) struct Newsletters(Arc<Shared>);

struct Shared {
    /// Where the jobs are.
    jobs: Address,
    data: Sqlite,
    mailer: Arc<Mailer>,
    retry_after: Duration,
    here: Arc<Here>,
    open: OnceCell<Open>,
    /// Whoever holds it counts and adds.
    accepting: Mutex<()>,
}

struct Open {
    sender: Sender,
    workers: Workers,
}

impl Newsletters {
    pub(crate) fn new(jobs: Address, data: Sqlite, mailer: Mailer, retry_after: Duration) -> Self {
        Newsletters(Arc::new(Shared {
            jobs,
            data,
            mailer: Arc::new(mailer),
            retry_after,
            here: Arc::default(),
            open: OnceCell::new(),
            accepting: Mutex::default(),
        }))
    }

    /// Opens the store of jobs and starts to work, unless that has been done.
    pub(crate) async fn open(&self) -> Result<Jobs, StoreError> {
        Ok(self.opened().await?.sender.store.jobs.clone())
    }

    async fn opened(&self) -> Result<&Open, StoreError> {
        self.0.open.get_or_try_init(|| self.begin()).await
    }

    async fn begin(&self) -> Result<Open, StoreError> {
        let store = Store::open(&self.0.jobs).await?;
        earlier::bring_over(&self.0.data, &store.pool).await?;
        let sender = Sender {
            register: Register::new(store.pool.clone()),
            deliveries: Deliveries::new(store.pool.clone()),
            subscribers: Subscribers::new(self.0.data.clone()),
            mailer: self.0.mailer.clone(),
            retry_after: self.0.retry_after,
            here: self.0.here.clone(),
            store,
        };
        // Whoever has it next goes on with whom no row is claimed for: nothing is gained by waiting here.
        let policy = Policy::new()
            .attempts(ATTEMPTS)
            .grace(GRACE)
            .drain_wait(Duration::ZERO);
        let (whole, parts) = (sender.clone(), sender.clone());
        let workers = sender
            .store
            .jobs
            .workers()
            .handle(
                SEND_NEWSLETTER,
                policy.clone().concurrency(MOST_UNDER_WAY),
                move |letter, job| whole.clone().send(letter, job),
            )
            .handle(
                SEND_PART,
                policy.concurrency(PARTS_AT_A_TIME),
                move |part, job| parts.clone().send_part(part, job),
            )
            .start()
            .await?;
        Ok(Open { sender, workers })
    }

    /// Takes on a newsletter; `None` while as many as may be are under way.
    pub(crate) async fn accept(&self, letter: &Letter) -> Result<Option<JobId>, StoreError> {
        let jobs = &self.opened().await?.sender.store.jobs;
        let _one_after_the_other = self.0.accepting.lock().await;
        let living = [
            JobState::Scheduled,
            JobState::Ready,
            JobState::Running,
            JobState::Retrying,
        ];
        let filter = Filter::new().kind(SEND_NEWSLETTER).limit(MOST_UNDER_WAY);
        let under_way = jobs
            .list(living.into_iter().fold(filter, Filter::state))
            .await?;
        if under_way.jobs.len() >= MOST_UNDER_WAY {
            return Ok(None);
        }
        Ok(Some(jobs.enqueue(SEND_NEWSLETTER, letter).await?.id()))
    }

    /// The newest newsletters, newest first.
    pub(crate) async fn list(&self) -> Result<Vec<Newsletter>, StoreError> {
        let sender = &self.opened().await?.sender;
        sender.catch_up().await?;
        Ok(sender.register.newest().await?)
    }

    /// The jobs of the newest newsletters, newest first.
    pub(crate) async fn jobs(&self) -> Result<Vec<JobInfo>, StoreError> {
        let filter = Filter::new().kind(SEND_NEWSLETTER).limit(SHOWN);
        let jobs = &self.opened().await?.sender.store.jobs;
        Ok(jobs.list(filter).await?.jobs)
    }

    /// The job of a newsletter.
    pub(crate) async fn job(&self, id: JobId) -> Result<Option<JobInfo>, StoreError> {
        let jobs = &self.opened().await?.sender.store.jobs;
        Ok(jobs.job(SEND_NEWSLETTER, id).status().await?)
    }

    /// Stops a newsletter, wherever it is sent; false if it has ended.
    pub(crate) async fn cancel(&self, id: JobId) -> Result<bool, StoreError> {
        let sender = &self.opened().await?.sender;
        let cancelled = sender.store.jobs.job(SEND_NEWSLETTER, id).cancel().await?;
        // One that nobody had has ended at once.
        sender.catch_up().await?;
        Ok(cancelled)
    }

    /// Goes on with a newsletter that was stopped or has failed, or that waits for its next attempt; false if it cannot.
    pub(crate) async fn retry(&self, id: JobId) -> Result<bool, StoreError> {
        Ok(self.opened().await?.sender.store.jobs.retry(id).await?)
    }
}

impl Drainable for Newsletters {
    fn drain(&self, limits: Drain) -> BoxFuture<'_, DrainReport> {
        let limits = Drain {
            cancel: limits.cancel.saturating_sub(TO_HAND_BACK),
            ..limits
        };
        match self.0.open.get() {
            Some(open) => Drainable::drain(&open.workers, limits),
            None => Box::pin(async { DrainReport::default() }),
        }
    }

    fn unfinished(&self) -> Vec<String> {
        let open = self.0.open.get();
        open.map_or_else(Vec::new, |open| open.workers.unfinished())
    }
}

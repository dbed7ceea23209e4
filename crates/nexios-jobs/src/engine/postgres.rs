//! Jobs in Postgres, shared by any number of machines: graphile-worker's queue, and one table of ours for what it has not.

mod adding;
mod changing;
mod fault;
mod looking;
mod schema;
mod store;
mod working;

use std::{
    borrow::Cow,
    str::FromStr,
    sync::Arc,
    time::{Duration, SystemTime},
};

use futures_util::future::{BoxFuture, ready};
use sqlx::{PgPool, postgres::PgConnectOptions};

use crate::{
    builder::JobsBuilder,
    clock::from_millis,
    engine::{
        Added, Claimed, Ended, Engine, Finished, NewJob, Renewal, Reply, Run, RunProgress, Tick,
        Wanted, Worker, WorkerId, attendant::Attendant, changes::Changes,
    },
    error::JobsError,
    filter::Filter,
    id::JobId,
    info::{JobInfo, JobPage},
    transaction::Connection,
};

use store::Store;

/// How long it may take until a job is seen that others have put in for a later time.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(crate) struct PostgresEngine {
    store: Arc<Store>,
    attendant: Attendant,
    lease: Duration,
    name: String,
}

impl PostgresEngine {
    pub(crate) async fn open(settings: &JobsBuilder, url: &str) -> Result<Self, JobsError> {
        // The driver's own words may show what is in the URL.
        let options = PgConnectOptions::from_str(url).map_err(|_| JobsError::Url {
            reason: "it is no URL of Postgres".to_owned(),
        })?;
        Self::start(settings, options).await
    }

    pub(crate) async fn of_pool(settings: &JobsBuilder, pool: &PgPool) -> Result<Self, JobsError> {
        Self::start(settings, (*pool.connect_options()).clone()).await
    }

    async fn start(settings: &JobsBuilder, options: PgConnectOptions) -> Result<Self, JobsError> {
        let attendant = Attendant::start()?;
        let patience = settings.patience;
        let (store, name) = attendant
            .call(async move {
                // Here, where its connections are driven. Without the patience of other calls: an upgrade of large tables
                // takes its time, and whoever waits for it has nothing else to do.
                let store = Arc::new(Store::new(options, patience));
                let name = schema::prepare(&store.pool).await?;
                Ok((store, name))
            })
            .await?;
        attendant.spawn(Box::pin(store::watch(Arc::downgrade(&store))));
        Ok(Self {
            store,
            attendant,
            lease: settings.lease,
            name,
        })
    }

    fn write<T, F>(&self, step: F) -> Reply<'static, T>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut sqlx::PgConnection, i64) -> BoxFuture<'c, Result<T, JobsError>>
            + Send
            + 'static,
    {
        let store = self.store.clone();
        self.attendant.call(async move { store.write(step).await })
    }

    fn write_silently<T, F>(&self, step: F) -> Reply<'static, T>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut sqlx::PgConnection, i64) -> BoxFuture<'c, Result<T, JobsError>>
            + Send
            + 'static,
    {
        let store = self.store.clone();
        self.attendant
            .call(async move { store.write_silently(step).await })
    }

    fn read<T, F>(&self, step: F) -> Reply<'static, T>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut sqlx::PgConnection, i64) -> BoxFuture<'c, Result<T, JobsError>>
            + Send
            + 'static,
    {
        let store = self.store.clone();
        self.attendant.call(async move { store.read(step).await })
    }
}

impl Engine for PostgresEngine {
    fn add(&self, jobs: Vec<NewJob>) -> Reply<'_, Vec<Added>> {
        self.write(|connection, now| {
            Box::pin(async move {
                let mut jobs = jobs;
                if jobs.len() == 1
                    && let Some(job) = jobs.pop()
                {
                    return Ok(vec![adding::one(connection, now, job).await?]);
                }
                adding::many(connection, now, jobs).await
            })
        })
    }

    fn add_in<'a>(&'a self, transaction: Connection<'a>, job: NewJob) -> Reply<'a, Added> {
        match transaction {
            Connection::Postgres(connection) => Box::pin(async move {
                let now = store::moment(connection).await?;
                let added = adding::one(connection, now, job).await?;
                store::tell(connection).await?;
                Ok(added)
            }),
            _ => Box::pin(ready(Err(JobsError::WrongDatabase))),
        }
    }

    fn get(&self, id: JobId) -> Reply<'_, Option<JobInfo>> {
        self.read(move |connection, now| Box::pin(looking::one(connection, now, id)))
    }

    fn list(&self, filter: Filter) -> Reply<'_, JobPage> {
        self.read(|connection, now| Box::pin(looking::list(connection, now, filter)))
    }

    fn cancel(&self, id: JobId) -> Reply<'_, bool> {
        self.write(move |connection, now| Box::pin(changing::cancel(connection, now, id)))
    }

    fn retry(&self, id: JobId) -> Reply<'_, bool> {
        self.write(move |connection, now| Box::pin(changing::retry(connection, now, id)))
    }

    fn delete(&self, id: JobId) -> Reply<'_, bool> {
        self.write(move |connection, _| Box::pin(changing::delete(connection, id)))
    }

    fn prune(&self) -> Reply<'_, u64> {
        let store = self.store.clone();
        self.attendant.call(async move {
            let has_old =
                store.read(|connection, now| Box::pin(changing::has_old(connection, now)));
            if !has_old.await? {
                return Ok(0);
            }
            store
                .write(|connection, now| Box::pin(changing::prune(connection, now)))
                .await
        })
    }

    fn set_paused(&self, kind: Cow<'static, str>, paused: bool) -> Reply<'_, ()> {
        self.write(move |connection, _| Box::pin(changing::set_paused(connection, kind, paused)))
    }

    fn enroll(&self, worker: Worker) -> Reply<'_, ()> {
        self.write_silently(move |connection, _| Box::pin(working::enroll(connection, worker)))
    }

    fn renew(&self, worker: WorkerId) -> Reply<'_, Renewal> {
        let lease = self.lease;
        self.write_silently(move |connection, now| {
            Box::pin(working::renew(connection, now, worker, lease))
        })
    }

    fn retire(&self, worker: WorkerId) -> Reply<'_, ()> {
        self.write_silently(move |connection, _| Box::pin(working::retire(connection, worker)))
    }

    fn claim(&self, worker: Worker, wanted: Vec<Wanted>) -> Reply<'_, Claimed> {
        let store = self.store.clone();
        self.attendant.call(async move {
            // A look takes no lock: workers that find nothing are in nobody's way.
            let kinds = wanted.clone();
            let look = store.read(|connection, _| {
                Box::pin(async move { working::look_out(connection, &kinds).await })
            });
            let working::Outlook { is_due, next } = look.await?;
            let next = next.map_or(LOOK_AGAIN, |next| next.min(LOOK_AGAIN));
            let mut claimed = Claimed {
                jobs: Vec::new(),
                next: Some(next),
            };
            if is_due {
                let claim = store.write_silently(|connection, now| {
                    Box::pin(working::claim(connection, now, worker, wanted))
                });
                claimed.jobs = claim.await?;
            }
            Ok(claimed)
        })
    }

    fn finish(
        &self,
        ended: Vec<Ended>,
        worker: Worker,
        wanted: Vec<Wanted>,
    ) -> Reply<'_, Finished> {
        self.write(|connection, now| {
            Box::pin(async move {
                let states = working::finish(connection, now, ended).await?;
                let working::Outlook { is_due, next } =
                    working::look_out(connection, &wanted).await?;
                let mut claimed = Claimed {
                    jobs: Vec::new(),
                    next: Some(next.map_or(LOOK_AGAIN, |next| next.min(LOOK_AGAIN))),
                };
                if is_due {
                    claimed.jobs = working::claim(connection, now, worker, wanted).await?;
                }
                Ok(Finished { states, claimed })
            })
        })
    }

    fn news(&self, worker: WorkerId, progress: Vec<RunProgress>) -> Reply<'_, Vec<Run>> {
        let store = self.store.clone();
        self.attendant.call(async move {
            if !progress.is_empty() {
                store
                    .write_silently(|connection, _| Box::pin(working::note(connection, progress)))
                    .await?;
            }
            store
                .read(move |connection, _| Box::pin(working::cancelled(connection, worker)))
                .await
        })
    }

    fn tick(&self, tick: Tick, job: NewJob) -> Reply<'_, bool> {
        self.write(|connection, now| Box::pin(changing::tick(connection, now, tick, job)))
    }

    fn signal(&self, name: Cow<'static, str>) -> Reply<'_, ()> {
        self.write(|connection, _| Box::pin(changing::signal(connection, name)))
    }

    fn signal_count(&self, name: Cow<'static, str>) -> Reply<'_, i64> {
        self.read(|connection, _| Box::pin(changing::signal_count(connection, name)))
    }

    fn now(&self) -> Reply<'_, SystemTime> {
        Box::pin(ready(Ok(from_millis(self.store.now()))))
    }

    fn changes(&self) -> &Changes {
        &self.store.changes
    }

    fn lease(&self) -> Option<Duration> {
        Some(self.lease)
    }

    fn spawn(&self, task: BoxFuture<'static, ()>) {
        self.attendant.spawn(task);
    }

    fn name(&self) -> &str {
        &self.name
    }
}

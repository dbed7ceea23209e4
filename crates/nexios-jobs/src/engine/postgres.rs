//! Jobs in Postgres, shared by any number of machines: graphile-worker's queue, and one table of ours for what it has not.

mod adding;
mod changing;
mod channel;
mod connections;
mod fault;
mod leases;
mod looking;
mod progress;
mod schema;
mod step;
mod store;

use std::{
    borrow::Cow,
    str::FromStr,
    sync::Arc,
    time::{Duration, SystemTime},
};

use futures_util::future::{BoxFuture, ready};
use sqlx::{PgPool, postgres::PgConnectOptions};

use crate::{
    clock::from_millis,
    engine::{
        Added, Claimed, ClaimedJob, Ended, Engine, Finished, NewJob, Renewal, Reply, Run,
        RunProgress, Tick, Wanted, Worker, WorkerId, attendant::Attendant, changes::Changes,
        settings::Settings,
    },
    error::JobsError,
    filter::Filter,
    id::JobId,
    info::{JobInfo, JobPage},
    transaction::Connection,
};

use store::Store;

#[derive(Debug)]
pub(crate) struct PostgresEngine {
    store: Arc<Store>,
    attendant: Attendant,
    lease: Duration,
    name: String,
}

impl PostgresEngine {
    pub(crate) async fn open(settings: Settings, url: &str) -> Result<Self, JobsError> {
        // The driver's own words may show what is in the URL.
        let options = PgConnectOptions::from_str(url).map_err(|_| JobsError::Url {
            reason: "it is no URL of Postgres".to_owned(),
        })?;
        Self::start(settings, options).await
    }

    pub(crate) async fn of_pool(settings: Settings, pool: &PgPool) -> Result<Self, JobsError> {
        Self::start(settings, (*pool.connect_options()).clone()).await
    }

    async fn start(settings: Settings, options: PgConnectOptions) -> Result<Self, JobsError> {
        let attendant = Attendant::start()?;
        let database = name_of(&options);
        let patience = settings.patience;
        let (store, name) = attendant
            .call(async move {
                // Here, where its connections are driven. Without the patience of other calls: an upgrade of large tables
                // takes its time, and whoever waits for it has nothing else to do.
                let store = Arc::new(Store::new(options, patience));
                let name = store.prepare().await?;
                Ok((store, name))
            })
            .await
            .map_err(|error: JobsError| error.of(&database))?;
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

/// What an operator finds it by: without user and password.
fn name_of(options: &PgConnectOptions) -> String {
    let port = options.get_port();
    let host = match options.get_socket() {
        Some(folder) => folder.display().to_string(),
        None => options.get_host().to_owned(),
    };
    match options.get_database() {
        Some(database) => format!("{host}:{port}/{database}"),
        None => format!("{host}:{port}"),
    }
}

impl Engine for PostgresEngine {
    fn add(&self, jobs: Vec<NewJob>) -> Reply<'_, Vec<Added>> {
        let store = self.store.clone();
        self.attendant.call(async move {
            let added = store.add(jobs).await?;
            store.changes.tell();
            Ok(added)
        })
    }

    fn add_in<'a>(&'a self, transaction: Connection<'a>, job: NewJob) -> Reply<'a, Added> {
        match transaction {
            Connection::Postgres(connection) => {
                Box::pin(async move { Ok(adding::one(connection, job).await?.0) })
            }
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
        self.write_silently(move |connection, _| Box::pin(leases::enroll(connection, worker)))
    }

    fn renew(&self, worker: WorkerId) -> Reply<'_, Renewal> {
        let lease = self.lease;
        self.write_silently(move |connection, now| {
            Box::pin(leases::renew(connection, now, worker, lease))
        })
    }

    fn retire(&self, worker: WorkerId) -> Reply<'_, ()> {
        self.write_silently(move |connection, _| Box::pin(leases::retire(connection, worker)))
    }

    fn claim(&self, worker: Worker, wanted: Vec<Wanted>) -> Reply<'_, Claimed> {
        let store = self.store.clone();
        self.attendant.call(async move {
            let finished = store.step(Vec::new(), worker, wanted).await?;
            Ok(finished.claimed)
        })
    }

    fn finish(
        &self,
        ended: Vec<Ended>,
        worker: Worker,
        wanted: Vec<Wanted>,
    ) -> Reply<'_, Finished> {
        let store = self.store.clone();
        self.attendant.call(async move {
            let finished = store.step(ended, worker, wanted).await?;
            store.changes.tell();
            Ok(finished)
        })
    }

    fn recall(&self, worker: WorkerId, known: Vec<Run>) -> Reply<'_, Vec<ClaimedJob>> {
        self.read(move |connection, _| Box::pin(step::unknown(connection, worker, known)))
    }

    fn news(&self, worker: WorkerId, progress: Vec<RunProgress>) -> Reply<'_, Vec<Run>> {
        let store = self.store.clone();
        self.attendant.call(async move {
            if !progress.is_empty() {
                store
                    .write_silently(|connection, _| Box::pin(progress::note(connection, progress)))
                    .await?;
            }
            store
                .read(move |connection, _| Box::pin(progress::cancelled(connection, worker)))
                .await
        })
    }

    fn tick(&self, tick: Tick, job: NewJob) -> Reply<'_, bool> {
        self.write(|connection, _| Box::pin(changing::tick(connection, tick, job)))
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

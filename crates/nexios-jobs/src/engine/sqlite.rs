//! Jobs in an SQLite file, shared by the processes of one machine: one table of our own, in which each claim, and each end,
//! is one statement.

mod adding;
mod changing;
mod claiming;
mod ending;
mod fault;
mod leases;
mod looking;
mod progress;
mod schema;
mod store;

use std::{
    borrow::Cow,
    path::Path,
    str::FromStr,
    sync::Arc,
    time::{Duration, SystemTime},
};

use futures_util::future::{BoxFuture, ready};
use sqlx::{Row, SqlitePool, sqlite::SqliteConnectOptions};

use crate::{
    engine::{
        Added, Claimed, ClaimedJob, Ended, Engine, Finished, NewJob, Renewal, Reply, Run,
        RunProgress, Tick, Wanted, Worker, WorkerId, attendant::Attendant, changes::Changes,
        settings::Settings,
    },
    error::{DatabaseError, JobsError},
    filter::Filter,
    id::JobId,
    info::{JobInfo, JobPage},
    transaction::Connection,
};

use fault::fault;
use store::Store;

#[derive(Debug)]
pub(crate) struct SqliteEngine {
    store: Arc<Store>,
    attendant: Attendant,
    lease: Duration,
    name: String,
}

impl SqliteEngine {
    pub(crate) async fn open(settings: Settings, url: &str) -> Result<Self, JobsError> {
        let options = SqliteConnectOptions::from_str(url).map_err(|error| JobsError::Url {
            reason: error.to_string(),
        })?;
        let file = options.get_filename();
        make_folder(file).map_err(|error| error.of(&name_of(file)))?;
        Self::start(settings, options.create_if_missing(true)).await
    }

    pub(crate) async fn of_pool(settings: Settings, pool: &SqlitePool) -> Result<Self, JobsError> {
        Self::start(settings, (*pool.connect_options()).clone()).await
    }

    async fn start(settings: Settings, options: SqliteConnectOptions) -> Result<Self, JobsError> {
        let file = options.get_filename().to_owned();
        let started = Self::start_at(&file, settings, options).await;
        started.map_err(|error| error.of(&name_of(&file)))
    }

    async fn start_at(
        file: &Path,
        settings: Settings,
        options: SqliteConnectOptions,
    ) -> Result<Self, JobsError> {
        if file.is_dir() {
            // SQLite would say what it says of a file that another process is just making.
            return Err(JobsError::Database(DatabaseError::new("it is a folder")));
        }
        let store = Arc::new(Store::new(options, settings.patience));
        let attendant = Attendant::start()?;
        let opened = store.clone();
        let name = attendant
            .call(async move {
                refuse_memory(&opened).await?;
                opened
                    .write(|connection, _| Box::pin(schema::prepare(connection)))
                    .await
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
        F: for<'c> FnOnce(
                &'c mut sqlx::SqliteConnection,
                i64,
            ) -> BoxFuture<'c, Result<T, JobsError>>
            + Send
            + 'static,
    {
        let store = self.store.clone();
        self.attendant.call(async move { store.write(step).await })
    }

    fn read<T, F>(&self, step: F) -> Reply<'static, T>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(
                &'c mut sqlx::SqliteConnection,
                i64,
            ) -> BoxFuture<'c, Result<T, JobsError>>
            + Send
            + 'static,
    {
        let store = self.store.clone();
        self.attendant.call(async move { store.read(step).await })
    }
}

/// What an operator finds it by, wherever the process was started.
fn name_of(file: &Path) -> String {
    let path = std::path::absolute(file);
    path.as_deref().unwrap_or(file).display().to_string()
}

fn make_folder(file: &Path) -> Result<(), JobsError> {
    let Some(folder) = file.parent().filter(|folder| *folder != Path::new("")) else {
        return Ok(());
    };
    // A few bytes in a local file system: not worth a thread.
    std::fs::create_dir_all(folder).map_err(|error| {
        let text = format!("its folder cannot be made: {error}");
        JobsError::Unavailable(DatabaseError::new(text))
    })
}

/// A database in memory is another one for each connection.
async fn refuse_memory(store: &Store) -> Result<(), JobsError> {
    let file: Option<String> = store
        .read(|connection, _| {
            Box::pin(async move {
                let row = sqlx::query("SELECT file FROM pragma_database_list WHERE name = 'main'")
                    .fetch_one(connection)
                    .await
                    .map_err(fault)?;
                row.try_get(0).map_err(fault)
            })
        })
        .await?;
    if file.is_none_or(|file| file.is_empty()) {
        return Err(JobsError::Url {
            reason:
                "a database in memory is not shared by connections; `Jobs::memory()` is for tests"
                    .to_owned(),
        });
    }
    Ok(())
}

impl Engine for SqliteEngine {
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
            Connection::Sqlite(connection) => Box::pin(adding::one(connection, store::now(), job)),
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
        let lease = self.lease;
        self.write(move |connection, now| Box::pin(leases::enroll(connection, now, worker, lease)))
    }

    fn renew(&self, worker: WorkerId) -> Reply<'_, Renewal> {
        let lease = self.lease;
        self.write(move |connection, now| Box::pin(leases::renew(connection, now, worker, lease)))
    }

    fn retire(&self, worker: WorkerId) -> Reply<'_, ()> {
        self.write(move |connection, _| Box::pin(leases::retire(connection, worker)))
    }

    fn claim(&self, worker: Worker, wanted: Vec<Wanted>) -> Reply<'_, Claimed> {
        let store = self.store.clone();
        self.attendant.call(async move {
            // A look takes no lock: workers that find nothing are in nobody's way.
            let look =
                store.read(|connection, now| Box::pin(claiming::look_out(connection, now, wanted)));
            let claiming::Outlook { due, next } = look.await?;
            let mut claimed = Claimed {
                jobs: Vec::new(),
                next,
            };
            if !due.is_empty() {
                let claim = store.write(|connection, now| {
                    Box::pin(claiming::claim(connection, now, worker, due))
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
                let states = ending::finish(connection, now, ended).await?;
                let claiming::Outlook { due, next } =
                    claiming::look_out(connection, now, wanted).await?;
                let jobs = claiming::claim(connection, now, worker, due).await?;
                let claimed = Claimed { jobs, next };
                Ok(Finished { states, claimed })
            })
        })
    }

    fn recall(&self, worker: WorkerId, known: Vec<Run>) -> Reply<'_, Vec<ClaimedJob>> {
        self.read(move |connection, _| Box::pin(claiming::unknown(connection, worker, known)))
    }

    fn news(&self, worker: WorkerId, progress: Vec<RunProgress>) -> Reply<'_, Vec<Run>> {
        let store = self.store.clone();
        self.attendant.call(async move {
            if !progress.is_empty() {
                store
                    .write(|connection, _| Box::pin(progress::note(connection, progress)))
                    .await?;
            }
            store
                .read(move |connection, _| Box::pin(progress::cancelled(connection, worker)))
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
        Box::pin(ready(Ok(SystemTime::now())))
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

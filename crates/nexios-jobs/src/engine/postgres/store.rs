//! The connections of one store.
//!
//! # Invariants
//!
//! 1. Every change is one transaction, whose moment is read in it: the clock is the database's. What is done all the time is one
//!    call of a function, which is a transaction by itself.
//! 2. A call, with its wait for a connection, takes no longer than the patience. One that is given up before its commit has
//!    been sent is not done: its connection is closed. One call of a function may be done after it was given up.

use std::{
    sync::{
        Weak,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, SystemTime},
};

use futures_util::future::BoxFuture;
use sqlx::{
    ConnectOptions, Connection, PgConnection, PgPool, Row,
    postgres::{PgConnectOptions, PgListener, PgPoolOptions},
};
use tokio::time::sleep;

use crate::{
    clock::to_millis,
    engine::{
        Added, Ended, Finished, NewJob, Wanted, Worker,
        changes::Changes,
        patience::{insistently, patiently},
    },
    error::JobsError,
};

use super::{
    adding,
    channel::{CHANNEL, tell},
    connections::Connections,
    fault::fault,
    schema, step,
};

/// Graphile-worker's own.
const INSERTS: &str = "jobs:insert";

/// How many connections there are beside those that calls are made on.
const OTHERS: u32 = 2;

/// The pause before others is tried again.
const TRY_AGAIN: Duration = Duration::from_millis(500);

#[derive(Debug)]
pub(super) struct Store {
    pub(super) connections: Connections,
    /// Of the one that listens, and of those that make the tables, which takes the time that it takes.
    pub(super) others: PgPool,
    pub(super) patience: Duration,
    pub(super) changes: Changes,
    /// How many milliseconds the database's clock is ahead of this machine's.
    ahead: AtomicI64,
}

impl Store {
    /// Must be called where the connections are to be driven.
    pub(super) fn new(options: PgConnectOptions, patience: Duration) -> Self {
        let options = options
            .application_name("nexios-jobs")
            .disable_statement_logging();
        Self {
            others: PgPoolOptions::new()
                .max_connections(OTHERS)
                .acquire_timeout(patience)
                .connect_lazy_with(options.clone()),
            connections: Connections::new(options, patience),
            patience,
            changes: Changes::new(),
            ahead: AtomicI64::new(0),
        }
    }

    /// Makes the tables, or brings them up to date; returns the name of the store.
    pub(super) async fn prepare(&self) -> Result<String, JobsError> {
        // Not of the pool, which tells nothing of what it heard all the while.
        let connect = || async { self.connections.connect().await.map_err(fault) };
        let connected = insistently(self.patience, TRY_AGAIN, connect);
        let mut connection = patiently(self.patience, connected).await?;
        let name = schema::prepare(&mut connection, &self.others).await?;
        // What was to be done is done.
        let _ = connection.close().await;
        Ok(name)
    }

    /// Runs a step in a transaction of its own, and tells everybody.
    pub(super) async fn write<T, F>(&self, step: F) -> Result<T, JobsError>
    where
        T: Send,
        F: for<'c> FnOnce(&'c mut PgConnection, i64) -> BoxFuture<'c, Result<T, JobsError>> + Send,
    {
        let written = self.transact(step, true).await?;
        self.changes.tell();
        Ok(written)
    }

    /// Runs a step in a transaction of its own, of which nobody waits to hear.
    pub(super) async fn write_silently<T, F>(&self, step: F) -> Result<T, JobsError>
    where
        T: Send,
        F: for<'c> FnOnce(&'c mut PgConnection, i64) -> BoxFuture<'c, Result<T, JobsError>> + Send,
    {
        self.transact(step, false).await
    }

    async fn transact<T, F>(&self, step: F, tells: bool) -> Result<T, JobsError>
    where
        T: Send,
        F: for<'c> FnOnce(&'c mut PgConnection, i64) -> BoxFuture<'c, Result<T, JobsError>> + Send,
    {
        let transaction = async |connection: &mut PgConnection| {
            let mut transaction = connection.begin().await.map_err(fault)?;
            let now = self.moment(&mut transaction).await?;
            let result = step(&mut transaction, now).await?;
            if tells {
                tell(&mut transaction).await?;
            }
            transaction.commit().await.map_err(fault)?;
            Ok(result)
        };
        patiently(self.patience, self.connections.with(transaction)).await
    }

    /// Takes a step of a worker.
    pub(super) async fn step(
        &self,
        ended: Vec<Ended>,
        worker: Worker,
        wanted: Vec<Wanted>,
    ) -> Result<Finished, JobsError> {
        let call = async |connection: &mut PgConnection| {
            let (finished, now) = step::step(connection, ended, &worker, wanted).await?;
            self.learn(now);
            Ok(finished)
        };
        patiently(self.patience, self.connections.with(call)).await
    }

    /// Adds jobs; of new ones the queue tells by itself.
    pub(super) async fn add(&self, mut jobs: Vec<NewJob>) -> Result<Vec<Added>, JobsError> {
        if jobs.len() == 1
            && let Some(job) = jobs.pop()
        {
            let call = async |connection: &mut PgConnection| {
                let (added, now) = adding::one(connection, job).await?;
                self.learn(now);
                Ok(vec![added])
            };
            return patiently(self.patience, self.connections.with(call)).await;
        }
        self.write_silently(|connection, now| Box::pin(adding::many(connection, now, jobs)))
            .await
    }

    /// Runs a step that changes nothing.
    pub(super) async fn read<T, F>(&self, step: F) -> Result<T, JobsError>
    where
        T: Send,
        F: for<'c> FnOnce(&'c mut PgConnection, i64) -> BoxFuture<'c, Result<T, JobsError>> + Send,
    {
        let now = self.now();
        let call = async |connection: &mut PgConnection| step(connection, now).await;
        patiently(self.patience, self.connections.with(call)).await
    }

    /// What the database's clock shows, as far as is known.
    pub(super) fn now(&self) -> i64 {
        // Relaxed: an old difference is as good as the new one.
        to_millis(SystemTime::now()).saturating_add(self.ahead.load(Ordering::Relaxed))
    }

    async fn moment(&self, connection: &mut PgConnection) -> Result<i64, JobsError> {
        let now = moment(connection).await?;
        self.learn(now);
        Ok(now)
    }

    /// The database's clock has shown this just now.
    fn learn(&self, now: i64) {
        let ahead = now.saturating_sub(to_millis(SystemTime::now()));
        self.ahead.store(ahead, Ordering::Relaxed);
    }
}

/// The database's clock.
async fn moment(connection: &mut PgConnection) -> Result<i64, JobsError> {
    let row = sqlx::query("SELECT nexios_jobs.now_ms()")
        .fetch_one(connection)
        .await
        .map_err(fault)?;
    row.try_get(0).map_err(fault)
}

/// Tells of the changes that other processes make, as long as the store is there.
pub(super) async fn watch(store: Weak<Store>) {
    loop {
        let Some(pool) = store.upgrade().map(|store| store.others.clone()) else {
            return;
        };
        // Ends when the connection is lost, and with it what was told meanwhile.
        let _ = listen(&store, &pool).await;
        if let Some(store) = store.upgrade() {
            store.changes.tell();
        }
        sleep(TRY_AGAIN).await;
    }
}

async fn listen(store: &Weak<Store>, pool: &PgPool) -> Result<(), sqlx::Error> {
    let mut listener = PgListener::connect_with(pool).await?;
    listener.listen_all([CHANNEL, INSERTS]).await?;
    loop {
        let Some(store) = store.upgrade() else {
            return Ok(());
        };
        store.changes.tell();
        drop(store);
        // `None`: the connection was lost and is there again.
        let _ = listener.try_recv().await?;
    }
}

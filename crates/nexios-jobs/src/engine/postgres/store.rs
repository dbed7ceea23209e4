//! The connections of one store.
//!
//! # Invariants
//!
//! 1. Every change is one transaction, whose moment is read in it: the clock is the database's.
//! 2. A call, with its wait for a connection, takes no longer than the patience. One that is given up before its commit has
//!    been sent is not done: its connection is closed.

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
use tokio::time::{Instant, sleep, timeout_at};

use crate::{
    clock::to_millis,
    engine::changes::Changes,
    error::{DatabaseError, JobsError},
};

use super::fault::fault;

/// How many connections a store may have; one of them listens.
const CONNECTIONS: u32 = 5;

/// Told of what is not in graphile-worker's own channel.
const CHANNEL: &str = "nexios_jobs";

/// Graphile-worker's own.
const INSERTS: &str = "jobs:insert";

/// The pause before listening is tried again.
const TRY_AGAIN: Duration = Duration::from_millis(500);

#[derive(Debug)]
pub(super) struct Store {
    pub(super) pool: PgPool,
    pub(super) patience: Duration,
    pub(super) changes: Changes,
    /// How many milliseconds the database's clock is ahead of this machine's.
    ahead: AtomicI64,
}

impl Store {
    /// Must be called where the connections are to be driven.
    pub(super) fn new(options: PgConnectOptions, patience: Duration) -> Self {
        let pool = PgPoolOptions::new()
            .max_connections(CONNECTIONS)
            .acquire_timeout(patience)
            .connect_lazy_with(
                options
                    .application_name("nexios-jobs")
                    .disable_statement_logging(),
            );
        Self {
            pool,
            patience,
            changes: Changes::new(),
            ahead: AtomicI64::new(0),
        }
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
        self.patiently(async {
            let mut connection = self.pool.acquire().await.map_err(fault)?;
            let mut transaction = connection.begin().await.map_err(fault)?;
            let now = self.moment(&mut transaction).await?;
            let result = step(&mut transaction, now).await?;
            if tells {
                tell(&mut transaction).await?;
            }
            transaction.commit().await.map_err(fault)?;
            Ok(result)
        })
        .await
    }

    /// Runs a step that changes nothing.
    pub(super) async fn read<T, F>(&self, step: F) -> Result<T, JobsError>
    where
        T: Send,
        F: for<'c> FnOnce(&'c mut PgConnection, i64) -> BoxFuture<'c, Result<T, JobsError>> + Send,
    {
        self.patiently(async {
            let mut connection = self.pool.acquire().await.map_err(fault)?;
            step(&mut connection, self.now()).await
        })
        .await
    }

    /// What the database's clock shows, as far as is known.
    pub(super) fn now(&self) -> i64 {
        // Relaxed: an old difference is as good as the new one.
        to_millis(SystemTime::now()).saturating_add(self.ahead.load(Ordering::Relaxed))
    }

    async fn moment(&self, connection: &mut PgConnection) -> Result<i64, JobsError> {
        let now = moment(connection).await?;
        let ahead = now.saturating_sub(to_millis(SystemTime::now()));
        self.ahead.store(ahead, Ordering::Relaxed);
        Ok(now)
    }

    pub(super) async fn patiently<T>(
        &self,
        call: impl Future<Output = Result<T, JobsError>>,
    ) -> Result<T, JobsError> {
        let limit = Instant::now() + self.patience;
        timeout_at(limit, call).await.unwrap_or_else(|_| {
            let patience = self.patience;
            let text = format!("no answer within {patience:?}");
            Err(JobsError::Unavailable(DatabaseError::new(text)))
        })
    }
}

/// The database's clock.
pub(super) async fn moment(connection: &mut PgConnection) -> Result<i64, JobsError> {
    let row = sqlx::query("SELECT nexios_jobs.now_ms()")
        .fetch_one(connection)
        .await
        .map_err(fault)?;
    row.try_get(0).map_err(fault)
}

/// Tells the other processes when the transaction commits.
pub(super) async fn tell(connection: &mut PgConnection) -> Result<(), JobsError> {
    sqlx::query("SELECT pg_notify($1, '')")
        .bind(CHANNEL)
        .execute(connection)
        .await
        .map_err(fault)
        .map(drop)
}

/// Tells of the changes that other processes make, as long as the store is there.
pub(super) async fn watch(store: Weak<Store>) {
    loop {
        let Some(pool) = store.upgrade().map(|store| store.pool.clone()) else {
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

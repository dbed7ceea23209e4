//! The connections of one store.
//!
//! # Invariants
//!
//! 1. One connection writes. Every write is one immediate transaction, whose moment is read once it has the lock.
//! 2. A connection is out of its place while it is used, and comes back only after a success: one whose state nobody knows,
//!    such as one that SQLite has rolled back when the disk was full, is closed, which rolls back.
//! 3. A call, with its wait for the place and for the lock, takes no longer than the patience. One that is given up before
//!    its commit has been sent is not done.

use std::{
    path::PathBuf,
    sync::{Arc, Weak},
    time::{Duration, SystemTime},
};

use futures_util::future::BoxFuture;
use sqlx::{
    ConnectOptions, Row, SqliteConnection,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
};
use tokio::{
    sync::Mutex,
    time::{Instant, sleep},
};

use crate::{
    clock::to_millis,
    engine::{
        changes::Changes,
        patience::{insistently, patiently},
    },
    error::JobsError,
};

use super::fault::fault;

/// How often others' changes are looked for.
const LOOK: Duration = Duration::from_millis(100);

/// How often SQLite is asked itself although its log looks as before: two commits within one tick of the file system's clock,
/// in a log that is written from its beginning, look alike.
const ASK: Duration = Duration::from_secs(1);

/// The pause before a file is opened once more that another process is just making.
const TRY_AGAIN: Duration = Duration::from_millis(20);

#[derive(Debug)]
pub(super) struct Store {
    options: SqliteConnectOptions,
    log: PathBuf,
    writer: Mutex<Option<SqliteConnection>>,
    reader: Mutex<Option<SqliteConnection>>,
    pub(super) patience: Duration,
    pub(super) changes: Changes,
}

impl Store {
    pub(super) fn new(options: SqliteConnectOptions, patience: Duration) -> Self {
        let mut log = options.get_filename().as_os_str().to_owned();
        log.push("-wal");
        Self {
            log: log.into(),
            options: options
                .journal_mode(SqliteJournalMode::Wal)
                // A job that was enqueued survives the power as well.
                .synchronous(SqliteSynchronous::Full)
                .busy_timeout(patience)
                .disable_statement_logging(),
            writer: Mutex::default(),
            reader: Mutex::default(),
            patience,
            changes: Changes::new(),
        }
    }

    async fn connect(&self) -> Result<SqliteConnection, JobsError> {
        // Two processes that make the file are in each other's way, and SQLite does not wait there.
        let connect = || async { self.options.connect().await.map_err(fault) };
        insistently(self.patience, TRY_AGAIN, connect).await
    }

    /// Length and time of the log, to which every commit writes: a look at a file costs a tenth of what asking SQLite does.
    fn stamp(&self) -> Option<(u64, SystemTime)> {
        // A few bytes of a local file system: not worth a thread.
        let log = std::fs::metadata(&self.log).ok()?;
        Some((log.len(), log.modified().ok()?))
    }

    /// Runs a step in a transaction of its own.
    pub(super) async fn write<T, F>(&self, step: F) -> Result<T, JobsError>
    where
        T: Send,
        F: for<'c> FnOnce(&'c mut SqliteConnection, i64) -> BoxFuture<'c, Result<T, JobsError>>
            + Send,
    {
        let written = patiently(self.patience, async {
            let mut place = self.writer.lock().await;
            let mut connection = match place.take() {
                Some(connection) => connection,
                None => self.connect().await?,
            };
            execute(&mut connection, "BEGIN IMMEDIATE").await?;
            let result = step(&mut connection, now()).await?;
            execute(&mut connection, "COMMIT").await?;
            *place = Some(connection);
            Ok(result)
        })
        .await?;
        self.changes.tell();
        Ok(written)
    }

    /// Runs one statement that changes nothing.
    pub(super) async fn read<T, F>(&self, step: F) -> Result<T, JobsError>
    where
        T: Send,
        F: for<'c> FnOnce(&'c mut SqliteConnection, i64) -> BoxFuture<'c, Result<T, JobsError>>
            + Send,
    {
        patiently(self.patience, async {
            let mut place = self.reader.lock().await;
            let mut connection = match place.take() {
                Some(connection) => connection,
                None => self.connect().await?,
            };
            let result = step(&mut connection, now()).await?;
            *place = Some(connection);
            Ok(result)
        })
        .await
    }
}

/// The moment that a step is done in: SQLite's clock is the machine's.
pub(super) fn now() -> i64 {
    to_millis(SystemTime::now())
}

async fn execute(connection: &mut SqliteConnection, sql: &'static str) -> Result<(), JobsError> {
    sqlx::query(sql)
        .execute(connection)
        .await
        .map_err(fault)
        .map(drop)
}

/// Tells of the changes that other processes make, as long as the store is there and anybody listens.
pub(super) async fn watch(store: Weak<Store>) {
    let mut seen: Option<(SqliteConnection, i64)> = None;
    let mut stamp = None;
    let mut asked = Instant::now();
    loop {
        sleep(LOOK).await;
        let Some(store) = store.upgrade() else {
            return;
        };
        if !store.changes.is_heard() {
            continue;
        }
        // Before SQLite is asked: what is written after that changes it once more.
        let last = std::mem::replace(&mut stamp, store.stamp());
        if seen.is_some() && stamp == last && asked.elapsed() < ASK {
            continue;
        }
        asked = Instant::now();
        seen = look(&store, seen.take()).await;
    }
}

/// Asks for the number that changes with each commit of another connection, and tells if it has.
async fn look(
    store: &Arc<Store>,
    seen: Option<(SqliteConnection, i64)>,
) -> Option<(SqliteConnection, i64)> {
    let (mut connection, before) = match seen {
        Some((connection, version)) => (connection, Some(version)),
        None => (patiently(store.patience, store.connect()).await.ok()?, None),
    };
    let row = sqlx::query("PRAGMA data_version")
        .fetch_one(&mut connection)
        .await
        .ok()?;
    let version = row.try_get(0).ok()?;
    if before != Some(version) {
        store.changes.tell();
    }
    Some((connection, version))
}

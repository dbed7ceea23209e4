//! A SQLite file, used from async code.

use std::{
    fmt,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use nexios::{CancelToken, PoolError, ThreadPool};
use nexios_axum::Problem;
use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};

/// How long a writer waits for another.
const BUSY: Duration = Duration::from_secs(5);

/// SQLite looks at the token once in so many of its instructions: often enough for a stop within a millisecond.
const INSTRUCTIONS_A_LOOK: i32 = 1_000;

/// One database file; its work runs on threads for blocking work, never on a thread of the runtime.
///
/// Connections are opened when work finds none idle, so there are at most as many as threads.
#[derive(Clone)]
pub(crate) struct Sqlite {
    shared: Arc<Shared>,
}

struct Shared {
    path: PathBuf,
    flags: OpenFlags,
    threads: ThreadPool,
    /// Connections that no work is using.
    idle: Mutex<Vec<Connection>>,
}

impl Sqlite {
    pub(crate) fn new(path: PathBuf, threads: ThreadPool) -> Self {
        Sqlite::with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE, threads)
    }

    pub(crate) fn read_only(path: PathBuf, threads: ThreadPool) -> Self {
        Sqlite::with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY, threads)
    }

    fn with_flags(path: PathBuf, flags: OpenFlags, threads: ThreadPool) -> Self {
        // One connection is used by one thread at a time, so SQLite need not lock it.
        let flags = flags | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        Sqlite {
            shared: Arc::new(Shared {
                path,
                flags,
                threads,
                idle: Mutex::default(),
            }),
        }
    }

    /// Runs a query that stops in its middle when the caller goes away.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, SqliteError> {
        let shared = self.shared.clone();
        let result = self.shared.threads.run_with(move |token| {
            let mut connection = shared.take()?;
            interrupt_with(&mut connection, token)?;
            let result = query(&connection);
            shared.put_back(connection);
            result
        });
        Ok(result.await??)
    }

    /// Whether work waits for a thread, so that more of it would only make all of it later.
    pub(crate) fn is_behind(&self) -> bool {
        let stats = self.shared.threads.stats();
        stats.queued + stats.waiting > 0
    }

    /// Runs a change that, once begun, ends whether or not the caller waits: all of it is in the database, or none.
    ///
    /// It always is a transaction, as SQLite tells of a full disk with the commit. A statement on its own commits when
    /// it is done with, and one that has given a row back (`RETURNING`) has nobody left to tell.
    pub(crate) async fn write<T: Send + 'static>(
        &self,
        change: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, SqliteError> {
        let shared = self.shared.clone();
        let result = self.shared.threads.run(move || {
            let mut connection = shared.take()?;
            let result = in_transaction(&mut connection, change);
            shared.put_back(connection);
            result
        });
        Ok(result.await??)
    }
}

impl Shared {
    fn take(&self) -> rusqlite::Result<Connection> {
        let idle = self
            .idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop();
        idle.map_or_else(|| self.open(), Ok)
    }

    fn open(&self) -> rusqlite::Result<Connection> {
        let connection = Connection::open_with_flags(&self.path, self.flags)?;
        connection.busy_timeout(BUSY)?;
        connection.pragma_update(None, "synchronous", "NORMAL")?;
        Ok(connection)
    }

    fn put_back(&self, connection: Connection) {
        // A connection that keeps a token would be stopped by a caller of the past.
        if connection.progress_handler(0, None::<fn() -> bool>).is_ok() {
            self.idle
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(connection);
        }
    }
}

fn in_transaction<T>(
    connection: &mut Connection,
    change: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    // From its beginning the only writer: one that reads first would fail if somebody else wrote in between.
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let value = change(&transaction)?;
    transaction.commit()?;
    Ok(value)
}

fn interrupt_with(connection: &mut Connection, token: &CancelToken) -> rusqlite::Result<()> {
    let token = token.clone();
    connection.progress_handler(INSTRUCTIONS_A_LOOK, Some(move || token.is_cancelled()))
}

/// Why work on a database gave no result.
#[derive(Debug)]
pub(crate) enum SqliteError {
    Pool(PoolError),
    Sql(rusqlite::Error),
}

impl From<PoolError> for SqliteError {
    fn from(error: PoolError) -> Self {
        SqliteError::Pool(error)
    }
}

impl From<rusqlite::Error> for SqliteError {
    fn from(error: rusqlite::Error) -> Self {
        SqliteError::Sql(error)
    }
}

impl fmt::Display for SqliteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SqliteError::Pool(error) => error.fmt(f),
            SqliteError::Sql(error) => error.fmt(f),
        }
    }
}

impl From<SqliteError> for Problem {
    fn from(error: SqliteError) -> Self {
        match error {
            SqliteError::Pool(error) => error.into(),
            SqliteError::Sql(error) => Problem::internal(&error),
        }
    }
}

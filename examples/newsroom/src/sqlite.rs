//! A SQLite file, read from async code.

use std::{
    fmt,
    ops::{Deref, DerefMut},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use nexios_axum::Problem;
use sqlx::{
    SqliteConnection, SqlitePool,
    pool::PoolConnection,
    sqlite::{SqliteConnectOptions, SqlitePoolOptions},
};

/// How long a reader waits for whoever has the file for itself.
const BUSY: Duration = Duration::from_secs(5);

/// SQLite looks whether it is to stop once in so many of its instructions: often enough for a stop within a millisecond.
const INSTRUCTIONS_A_LOOK: i32 = 1_000;

/// Who was turned away may come again after this time.
const SOON: Duration = Duration::from_secs(1);

/// One database file; each of its connections works on a thread of its own, never on one of the runtime.
#[derive(Clone)]
pub(crate) struct Sqlite(SqlitePool);

impl Sqlite {
    /// So many read at a time; who comes then waits so long for its turn. Connections are opened when they are needed.
    pub(crate) fn read_only(path: &Path, most: u32, patience: Duration) -> Self {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .read_only(true)
            .busy_timeout(BUSY);
        let pool = SqlitePoolOptions::new()
            .max_connections(most)
            .acquire_timeout(patience)
            // It was tested when it was given back.
            .test_before_acquire(false);
        Sqlite(pool.connect_lazy_with(options))
    }

    /// A connection for one reader; dropped in the middle of a query, it stops that.
    pub(crate) async fn reader(&self) -> Result<Reader, SqliteError> {
        let connection = self.0.acquire().await?;
        let mut reader = Reader {
            stop: Stop::default(),
            connection,
        };
        let stopped = reader.stop.0.clone();
        let mut handle = reader.connection.lock_handle().await?;
        // Relaxed: nothing else is read through it. It takes the place of the one of the reader before.
        let goes_on = move || !stopped.load(Ordering::Relaxed);
        handle.set_progress_handler(INSTRUCTIONS_A_LOOK, goes_on);
        drop(handle);
        Ok(reader)
    }

    /// Whether whoever comes now waits for a connection, so that more work would only make all of it later.
    pub(crate) fn is_behind(&self) -> bool {
        self.0.num_idle() == 0 && self.0.size() >= self.0.options().get_max_connections()
    }
}

/// A connection and the right to use it, until it is dropped.
pub(crate) struct Reader {
    /// Dropped first: the connection is free for others when its query has ended.
    stop: Stop,
    connection: PoolConnection<sqlx::Sqlite>,
}

impl Deref for Reader {
    type Target = SqliteConnection;

    fn deref(&self) -> &SqliteConnection {
        &self.connection
    }
}

impl DerefMut for Reader {
    fn deref_mut(&mut self) -> &mut SqliteConnection {
        &mut self.connection
    }
}

/// Stops the query of its reader when it is dropped.
#[derive(Default)]
struct Stop(Arc<AtomicBool>);

impl Drop for Stop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Why work on a database gave no result.
#[derive(Debug)]
pub(crate) enum SqliteError {
    /// All connections were in use for too long.
    Busy,
    Sql(sqlx::Error),
}

impl From<sqlx::Error> for SqliteError {
    fn from(error: sqlx::Error) -> Self {
        match error {
            sqlx::Error::PoolTimedOut => SqliteError::Busy,
            error => SqliteError::Sql(error),
        }
    }
}

impl fmt::Display for SqliteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SqliteError::Busy => f.write_str("no connection was free in time"),
            SqliteError::Sql(error) => error.fmt(f),
        }
    }
}

impl From<SqliteError> for Problem {
    fn from(error: SqliteError) -> Self {
        match error {
            SqliteError::Busy => {
                Problem::unavailable("The service has more work than it can do.", SOON)
            }
            SqliteError::Sql(error) => Problem::internal(&error),
        }
    }
}

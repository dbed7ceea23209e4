//! A SQLite file, read from async code.

use std::{
    fmt,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use nexios::{CancelToken, PoolError, ThreadPool};
use nexios_axum::Problem;
use rusqlite::{Connection, OpenFlags};

/// How long a reader waits for whoever has the file for itself.
const BUSY: Duration = Duration::from_secs(5);

/// SQLite looks at the token once in so many of its instructions: often enough for a stop within a millisecond.
const INSTRUCTIONS_A_LOOK: i32 = 1_000;

/// One database file; its queries run on threads for blocking work, never on a thread of the runtime.
///
/// Connections are opened when work finds none idle, so there are at most as many as threads.
#[derive(Clone)]
pub(crate) struct Sqlite {
    shared: Arc<Shared>,
}

struct Shared {
    path: PathBuf,
    threads: ThreadPool,
    /// Connections that no work is using.
    idle: Mutex<Vec<Connection>>,
}

impl Sqlite {
    pub(crate) fn read_only(path: PathBuf, threads: ThreadPool) -> Self {
        Sqlite {
            shared: Arc::new(Shared {
                path,
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
        // One connection is used by one thread at a time, so SQLite need not lock it.
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&self.path, flags)?;
        connection.busy_timeout(BUSY)?;
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

//! What the services that send newsletters together share: their jobs, and who got what.

use std::{fmt, time::Duration};

use nexios_axum::Problem;
use nexios_jobs::{Jobs, JobsError};
use sqlx::{
    AnyPool, AssertSqlSafe, Executor,
    any::{AnyPoolOptions, install_default_drivers},
};

use crate::sqlite::SqliteError;

/// So long after a kill others go on with a newsletter.
const LEASE: Duration = Duration::from_secs(5);

/// Each part that is sent writes, and there are few.
const CONNECTIONS: u32 = 4;

/// Any number will do that nobody else has: whoever makes the tables has the lock.
const POSTGRES_LOCK: &str = "SELECT pg_advisory_lock(5702011)";
const POSTGRES_UNLOCK: &str = "SELECT pg_advisory_unlock(5702011)";

/// A time without a zone, in a form that SQLite and Postgres share.
pub(super) const NOW: &str = "substr(CAST(CURRENT_TIMESTAMP AS TEXT), 1, 19)";

#[derive(Clone)]
pub(super) struct Store {
    pub(super) jobs: Jobs,
    pub(super) pool: AnyPool,
}

impl Store {
    /// Opens the database of the URL, and makes what is missing in it.
    pub(super) async fn open(url: &str) -> Result<Self, StoreError> {
        // First: it makes the file.
        let jobs = Jobs::builder().lease(LEASE).open(url).await?;
        install_default_drivers();
        let is_sqlite = url.starts_with("sqlite:");
        let pool = AnyPoolOptions::new()
            .max_connections(CONNECTIONS)
            .after_connect(move |connection, _| {
                Box::pin(async move {
                    if is_sqlite {
                        // What a kill may not cost; the jobs themselves survive the power as well.
                        connection.execute("PRAGMA synchronous = NORMAL").await?;
                    }
                    Ok(())
                })
            });
        let pool = pool.connect(url).await?;
        make_tables(&pool, is_sqlite).await?;
        Ok(Store { jobs, pool })
    }
}

async fn make_tables(pool: &AnyPool, is_sqlite: bool) -> Result<(), sqlx::Error> {
    let number = if is_sqlite {
        "INTEGER PRIMARY KEY AUTOINCREMENT"
    } else {
        "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY"
    };
    let tables = include_str!("store.sql").replace("{number}", number);
    let mut connection = pool.acquire().await?;
    // One that failed may still have the lock.
    connection.close_on_drop();
    if !is_sqlite {
        connection.execute(POSTGRES_LOCK).await?;
    }
    for statement in tables.split(';').map(str::trim) {
        if !statement.is_empty() {
            sqlx::query(AssertSqlSafe(statement.to_owned()))
                .execute(&mut *connection)
                .await?;
        }
    }
    if !is_sqlite {
        connection.execute(POSTGRES_UNLOCK).await?;
    }
    Ok(())
}

/// Why what is shared, or the list of subscribers, gave no answer.
#[derive(Debug)]
pub(crate) enum StoreError {
    Jobs(JobsError),
    Sql(sqlx::Error),
    Subscribers(SqliteError),
}

impl From<JobsError> for StoreError {
    fn from(error: JobsError) -> Self {
        StoreError::Jobs(error)
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        StoreError::Sql(error)
    }
}

impl From<SqliteError> for StoreError {
    fn from(error: SqliteError) -> Self {
        StoreError::Subscribers(error)
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StoreError::Jobs(error) => error.fmt(f),
            StoreError::Sql(error) => error.fmt(f),
            StoreError::Subscribers(error) => error.fmt(f),
        }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Jobs(error) => error.into(),
            StoreError::Sql(error) => Problem::internal(&error),
            StoreError::Subscribers(error) => error.into(),
        }
    }
}

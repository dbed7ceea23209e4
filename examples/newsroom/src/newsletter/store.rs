//! What the services that send newsletters together share: their jobs, and who got what.

use std::{fmt, path::PathBuf, str::FromStr, time::Duration};

use nexios_axum::Problem;
use nexios_jobs::{Jobs, JobsError};
use sqlx::{
    AssertSqlSafe, Executor, SqlitePool,
    sqlite::{SqliteConnectOptions, SqlitePoolOptions, SqliteSynchronous},
};

use crate::sqlite::SqliteError;

/// So long after a kill others go on with a newsletter.
const LEASE: Duration = Duration::from_secs(5);

/// Each part that is sent writes, and there are few.
const CONNECTIONS: u32 = 4;

/// A time without a zone, in a form that SQLite and Postgres share.
pub(super) const NOW: &str = "substr(CAST(CURRENT_TIMESTAMP AS TEXT), 1, 19)";

/// Where jobs and deliveries are.
#[derive(Debug, Clone)]
pub(crate) enum Address {
    /// A file of SQLite, which is made if it is not there.
    File(PathBuf),
    /// As `sqlite:FILE` or `postgres://…`.
    Url(String),
}

/// Connections to the one database or the other.
#[derive(Clone)]
pub(super) enum Pool {
    Sqlite(SqlitePool),
    #[cfg(feature = "postgres")]
    Postgres(sqlx::PgPool),
}

/// Says the same to whatever database it is.
macro_rules! on {
    ($pool:expr, $db:ident => $work:expr) => {
        match $pool {
            $crate::newsletter::store::Pool::Sqlite($db) => $work,
            #[cfg(feature = "postgres")]
            $crate::newsletter::store::Pool::Postgres($db) => $work,
        }
    };
}
pub(super) use on;

#[derive(Clone)]
pub(super) struct Store {
    pub(super) jobs: Jobs,
    pub(super) pool: Pool,
}

impl Store {
    /// Opens the database, and makes what is missing in it.
    pub(super) async fn open(address: &Address) -> Result<Self, StoreError> {
        match address {
            Address::File(path) => {
                Store::open_sqlite(SqliteConnectOptions::new().filename(path)).await
            }
            Address::Url(url) if url.starts_with("sqlite:") => {
                Store::open_sqlite(SqliteConnectOptions::from_str(url)?).await
            }
            #[cfg(feature = "postgres")]
            Address::Url(url) => Store::open_postgres(url).await,
            // It says what is missing.
            #[cfg(not(feature = "postgres"))]
            Address::Url(url) => Err(match Jobs::open(url).await {
                Ok(_) => sqlx::Error::Configuration("no such database".into()).into(),
                Err(error) => error.into(),
            }),
        }
    }

    async fn open_sqlite(options: SqliteConnectOptions) -> Result<Self, StoreError> {
        let options = options
            .create_if_missing(true)
            // What a kill may not cost; the jobs themselves survive the power as well.
            .synchronous(SqliteSynchronous::Normal);
        let pool = SqlitePoolOptions::new()
            .max_connections(CONNECTIONS)
            .connect_lazy_with(options);
        // First: it makes the file.
        let jobs = Jobs::builder().lease(LEASE).sqlite(pool.clone()).await?;
        let tables = include_str!("store.sql");
        let number = "INTEGER PRIMARY KEY AUTOINCREMENT";
        let tables = tables.replace("{number}", number);
        pool.execute(sqlx::raw_sql(AssertSqlSafe(tables))).await?;
        let pool = Pool::Sqlite(pool);
        Ok(Store { jobs, pool })
    }

    #[cfg(feature = "postgres")]
    async fn open_postgres(url: &str) -> Result<Self, StoreError> {
        let pool = sqlx::postgres::PgPoolOptions::new()
            .max_connections(CONNECTIONS)
            .connect(url)
            .await?;
        let jobs = Jobs::builder().lease(LEASE).postgres(pool.clone()).await?;
        let number = "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY";
        let tables = include_str!("store.sql").replace("{number}", number);
        // Any number will do that nobody else has: two who make tables at the same time get in each other's way.
        let mut transaction = pool.begin().await?;
        let tables = format!("SELECT pg_advisory_xact_lock(5702011); {tables}");
        transaction
            .execute(sqlx::raw_sql(AssertSqlSafe(tables)))
            .await?;
        transaction.commit().await?;
        let pool = Pool::Postgres(pool);
        Ok(Store { jobs, pool })
    }
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

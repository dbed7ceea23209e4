//! The tables, and their way from version to version.

use graphile_worker::WorkerUtils;
use sqlx::{Connection, PgConnection, PgPool, Row};

use crate::error::{DatabaseError, JobsError};

use super::{fault::fault, leases::SCHEMA};

const FUNCTIONS: &str = include_str!("functions.sql");

/// What makes each version of the one before. The functions are those of the last one, made anew by each that changes them.
const STEPS: [&str; 3] = [include_str!("schema.sql"), FUNCTIONS, FUNCTIONS];

const SUPPORTED: i64 = STEPS.len() as i64;

/// Locked by whoever makes the tables: a number that nobody else is likely to have.
const LOCK: i64 = 0x6e65_7869_6f73;

/// Makes the tables, graphile-worker's and ours, or brings them up to date; returns the name of the store.
pub(super) async fn prepare(
    connection: &mut PgConnection,
    another: &PgPool,
) -> Result<String, JobsError> {
    // Before anything is changed.
    refuse_newer(connection).await?;
    let mut transaction = connection.begin().await.map_err(fault)?;
    sqlx::query("SELECT pg_advisory_xact_lock($1)")
        .bind(LOCK)
        .execute(&mut *transaction)
        .await
        .map_err(fault)?;
    // On a connection of its own, under our lock: two that make the same tables are in each other's way.
    WorkerUtils::new(another.clone(), SCHEMA)
        .migrate()
        .await
        .map_err(|error| JobsError::Database(DatabaseError::new(error)))?;
    let found = refuse_newer(&mut transaction).await?;
    for step in STEPS.iter().skip(usize::try_from(found).unwrap_or(0)) {
        sqlx::raw_sql(*step)
            .execute(&mut *transaction)
            .await
            .map_err(fault)?;
    }
    if found == 0 {
        sqlx::query("INSERT INTO nexios_jobs.schema (version, name) VALUES ($1, $2)")
            .bind(SUPPORTED)
            .bind(crate::random::name())
            .execute(&mut *transaction)
            .await
            .map_err(fault)?;
    } else if found < SUPPORTED {
        sqlx::query("UPDATE nexios_jobs.schema SET version = $1")
            .bind(SUPPORTED)
            .execute(&mut *transaction)
            .await
            .map_err(fault)?;
    }
    let row = sqlx::query("SELECT name FROM nexios_jobs.schema")
        .fetch_one(&mut *transaction)
        .await
        .map_err(fault)?;
    let name = row.try_get(0).map_err(fault)?;
    transaction.commit().await.map_err(fault)?;
    Ok(name)
}

/// The version of the tables; 0 without tables.
async fn refuse_newer(connection: &mut PgConnection) -> Result<i64, JobsError> {
    // Not by `to_regclass`, which may remember that there was none before the lock was waited for.
    let table = "SELECT EXISTS (SELECT 1 FROM pg_catalog.pg_tables WHERE schemaname = 'nexios_jobs' AND tablename = 'schema')";
    let row = sqlx::query(table)
        .fetch_one(&mut *connection)
        .await
        .map_err(fault)?;
    let is_there: bool = row.try_get(0).map_err(fault)?;
    if !is_there {
        return Ok(0);
    }
    let row = sqlx::query("SELECT coalesce(max(version), 0) FROM nexios_jobs.schema")
        .fetch_one(connection)
        .await
        .map_err(fault)?;
    let found = row.try_get(0).map_err(fault)?;
    if found > SUPPORTED {
        return Err(JobsError::NewerSchema {
            found,
            supported: SUPPORTED,
        });
    }
    Ok(found)
}

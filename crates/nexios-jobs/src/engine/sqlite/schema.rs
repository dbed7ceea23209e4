//! The tables, and their way from version to version.

use sqlx::{Row, SqliteConnection};

use crate::error::JobsError;

use super::fault::fault;

/// What makes each version of the one before.
const STEPS: [&str; 1] = [include_str!("schema.sql")];

const SUPPORTED: i64 = STEPS.len() as i64;

/// Makes the tables, or brings them up to date, under the lock of the caller's transaction; returns the name of the store.
pub(super) async fn prepare(connection: &mut SqliteConnection) -> Result<String, JobsError> {
    let found = version(connection).await?;
    if found > SUPPORTED {
        return Err(JobsError::NewerSchema {
            found,
            supported: SUPPORTED,
        });
    }
    for step in STEPS.iter().skip(usize::try_from(found).unwrap_or(0)) {
        sqlx::raw_sql(*step)
            .execute(&mut *connection)
            .await
            .map_err(fault)?;
    }
    if found == 0 {
        sqlx::query("INSERT INTO nexios_jobs_schema (version, name) VALUES (?, ?)")
            .bind(SUPPORTED)
            .bind(crate::random::name())
            .execute(&mut *connection)
            .await
            .map_err(fault)?;
    } else if found < SUPPORTED {
        sqlx::query("UPDATE nexios_jobs_schema SET version = ?")
            .bind(SUPPORTED)
            .execute(&mut *connection)
            .await
            .map_err(fault)?;
    }
    let row = sqlx::query("SELECT name FROM nexios_jobs_schema")
        .fetch_one(connection)
        .await
        .map_err(fault)?;
    row.try_get(0).map_err(fault)
}

/// The version of the tables; 0 without tables.
async fn version(connection: &mut SqliteConnection) -> Result<i64, JobsError> {
    let table = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'nexios_jobs_schema'";
    let is_there = sqlx::query(table)
        .fetch_optional(&mut *connection)
        .await
        .map_err(fault)?;
    if is_there.is_none() {
        return Ok(0);
    }
    let row = sqlx::query("SELECT coalesce(max(version), 0) FROM nexios_jobs_schema")
        .fetch_one(connection)
        .await
        .map_err(fault)?;
    row.try_get(0).map_err(fault)
}

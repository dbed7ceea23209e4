//! What is done to jobs from outside, and the small tables beside them.

use std::borrow::Cow;

use sqlx::{Row, SqliteConnection};

use crate::{
    clock::millis,
    engine::{NewJob, Tick},
    error::JobsError,
    id::JobId,
};

use super::{adding, fault::fault};

/// How many jobs are deleted in one transaction: the lock is others' too.
const MOST_PRUNED: i64 = 1000;

pub(super) async fn cancel(
    connection: &mut SqliteConnection,
    now: i64,
    id: JobId,
) -> Result<bool, JobsError> {
    let cancelled = sqlx::query(
        "UPDATE nexios_jobs SET cancelled = 1,
             state = CASE state WHEN 2 THEN 2 ELSE 6 END,
             ended = CASE state WHEN 2 THEN NULL ELSE ?2 END,
             until = CASE state WHEN 2 THEN NULL ELSE ?2 + keep END
         WHERE id = ?1 AND state <= 2",
    )
    .bind(id.0)
    .bind(now)
    .execute(connection)
    .await
    .map_err(fault)?;
    Ok(cancelled.rows_affected() > 0)
}

pub(super) async fn retry(
    connection: &mut SqliteConnection,
    now: i64,
    id: JobId,
) -> Result<bool, JobsError> {
    // Not if the key is another living job's.
    let revived = sqlx::query(
        "UPDATE OR IGNORE nexios_jobs SET state = 1, run_at = ?2, cancelled = 0, ended = NULL, until = NULL,
             attempt = CASE WHEN state < 2 THEN attempt ELSE 0 END
         WHERE id = ?1 AND state IN (0, 1, 5, 6, 7)",
    )
    .bind(id.0)
    .bind(now)
    .execute(connection)
    .await
    .map_err(fault)?;
    Ok(revived.rows_affected() > 0)
}

pub(super) async fn delete(
    connection: &mut SqliteConnection,
    id: JobId,
) -> Result<bool, JobsError> {
    let deleted = sqlx::query("DELETE FROM nexios_jobs WHERE id = ? AND state <> 2")
        .bind(id.0)
        .execute(connection)
        .await
        .map_err(fault)?;
    Ok(deleted.rows_affected() > 0)
}

/// Whether there is anything to prune; without a lock.
pub(super) async fn has_old(
    connection: &mut SqliteConnection,
    now: i64,
) -> Result<bool, JobsError> {
    let row = sqlx::query(
        "SELECT EXISTS (SELECT 1 FROM nexios_jobs WHERE until IS NOT NULL AND until <= ?)",
    )
    .bind(now)
    .fetch_one(connection)
    .await
    .map_err(fault)?;
    row.try_get(0).map_err(fault)
}

pub(super) async fn prune(connection: &mut SqliteConnection, now: i64) -> Result<u64, JobsError> {
    let pruned = sqlx::query(
        "DELETE FROM nexios_jobs WHERE id IN
             (SELECT id FROM nexios_jobs WHERE until IS NOT NULL AND until <= ? ORDER BY until LIMIT ?)",
    )
    .bind(now)
    .bind(MOST_PRUNED)
    .execute(connection)
    .await
    .map_err(fault)?;
    Ok(pruned.rows_affected())
}

pub(super) async fn set_paused(
    connection: &mut SqliteConnection,
    kind: Cow<'static, str>,
    paused: bool,
) -> Result<(), JobsError> {
    let change = if paused {
        "INSERT OR IGNORE INTO nexios_jobs_paused (kind) VALUES (?)"
    } else {
        "DELETE FROM nexios_jobs_paused WHERE kind = ?"
    };
    sqlx::query(change)
        .bind(&*kind)
        .execute(connection)
        .await
        .map_err(fault)?;
    Ok(())
}

pub(super) async fn tick(
    connection: &mut SqliteConnection,
    now: i64,
    tick: Tick,
    job: NewJob,
) -> Result<bool, JobsError> {
    sqlx::query("DELETE FROM nexios_jobs_ticks WHERE schedule = ? AND abs(time - ?) > ?")
        .bind(&tick.schedule)
        .bind(tick.time)
        .bind(millis(tick.memory))
        .execute(&mut *connection)
        .await
        .map_err(fault)?;
    let noted =
        sqlx::query("INSERT OR IGNORE INTO nexios_jobs_ticks (schedule, time) VALUES (?, ?)")
            .bind(&tick.schedule)
            .bind(tick.time)
            .execute(&mut *connection)
            .await
            .map_err(fault)?;
    let is_new = noted.rows_affected() > 0;
    if is_new {
        adding::one(connection, now, job).await?;
    }
    Ok(is_new)
}

pub(super) async fn signal(
    connection: &mut SqliteConnection,
    name: Cow<'static, str>,
) -> Result<(), JobsError> {
    sqlx::query(
        "INSERT INTO nexios_jobs_signals (name, count) VALUES (?, 1)
         ON CONFLICT (name) DO UPDATE SET count = count + 1",
    )
    .bind(&*name)
    .execute(connection)
    .await
    .map_err(fault)?;
    Ok(())
}

pub(super) async fn signal_count(
    connection: &mut SqliteConnection,
    name: Cow<'static, str>,
) -> Result<i64, JobsError> {
    let row = sqlx::query("SELECT count FROM nexios_jobs_signals WHERE name = ?")
        .bind(&*name)
        .fetch_optional(connection)
        .await
        .map_err(fault)?;
    row.map_or(Ok(0), |row| row.try_get(0)).map_err(fault)
}

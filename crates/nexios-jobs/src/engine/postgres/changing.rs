//! What is done to jobs from outside, and the small tables beside them.

use std::borrow::Cow;

use sqlx::{PgConnection, Row};

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
    connection: &mut PgConnection,
    now: i64,
    id: JobId,
) -> Result<bool, JobsError> {
    loop {
        let asked =
            sqlx::query("UPDATE nexios_jobs.jobs SET cancelled = true WHERE id = $1 AND state = 2")
                .bind(id.0)
                .execute(&mut *connection)
                .await
                .map_err(fault)?;
        if asked.rows_affected() > 0 {
            return Ok(true);
        }
        // In the order in which a claim locks the two rows.
        lock(connection, id).await?;
        let ended = sqlx::query(
            "UPDATE nexios_jobs.jobs SET cancelled = true, state = 6, ended = $2, until = $2 + keep
             WHERE id = $1 AND state = 1",
        )
        .bind(id.0)
        .bind(now)
        .execute(&mut *connection)
        .await
        .map_err(fault)?;
        if ended.rows_affected() > 0 {
            unqueue(connection, id).await?;
            return Ok(true);
        }
        if !is_in(connection, id, "2").await? {
            return Ok(false);
        }
        // It was claimed between the two.
    }
}

/// Locks what graphile-worker has of a job that waits.
async fn lock(connection: &mut PgConnection, id: JobId) -> Result<(), JobsError> {
    sqlx::query("SELECT 1 FROM graphile_worker._private_jobs WHERE key = 'nexios_jobs:' || $1::int8 FOR UPDATE")
        .bind(id.0)
        .fetch_optional(connection)
        .await
        .map_err(fault)
        .map(drop)
}

/// Takes a job out of graphile-worker's table.
async fn unqueue(connection: &mut PgConnection, id: JobId) -> Result<(), JobsError> {
    sqlx::query(
        "DELETE FROM graphile_worker._private_jobs WHERE key = 'nexios_jobs:' || $1::int8
         OR id = (SELECT queue_id FROM nexios_jobs.jobs WHERE id = $1)",
    )
    .bind(id.0)
    .execute(connection)
    .await
    .map_err(fault)
    .map(drop)
}

async fn is_in(connection: &mut PgConnection, id: JobId, state: &str) -> Result<bool, JobsError> {
    let row = sqlx::query("SELECT 1 FROM nexios_jobs.jobs WHERE id = $1 AND state::text = $2")
        .bind(id.0)
        .bind(state)
        .fetch_optional(connection)
        .await
        .map_err(fault)?;
    Ok(row.is_some())
}

pub(super) async fn retry(
    connection: &mut PgConnection,
    now: i64,
    id: JobId,
) -> Result<bool, JobsError> {
    lock(connection, id).await?;
    // Not if the key is another living job's: who has it cannot end meanwhile, as its row is looked at in this moment.
    let revived = sqlx::query(
        "UPDATE nexios_jobs.jobs AS jobs SET state = 1, run_at = $2, cancelled = false, ended = NULL, until = NULL,
             attempt = CASE state WHEN 1 THEN attempt ELSE 0 END
         WHERE id = $1 AND state IN (1, 5, 6, 7) AND NOT EXISTS (
             SELECT 1 FROM nexios_jobs.jobs AS others
             WHERE others.kind = jobs.kind AND others.key = jobs.key AND others.state < 4 AND others.id <> jobs.id)",
    )
    .bind(id.0)
    .bind(now)
    .execute(&mut *connection)
    .await;
    match revived {
        Ok(revived) if revived.rows_affected() > 0 => {}
        Ok(_) => return Ok(false),
        Err(error) => return Err(fault(error)),
    }
    let waiting = sqlx::query(
        "UPDATE graphile_worker._private_jobs SET run_at = now() WHERE locked_at IS NULL AND
             (key = 'nexios_jobs:' || $1::int8 OR id = (SELECT queue_id FROM nexios_jobs.jobs WHERE id = $1))",
    )
    .bind(id.0)
    .execute(&mut *connection)
    .await
    .map_err(fault)?;
    if waiting.rows_affected() == 0 {
        adding::queue(connection, &[id.0]).await?;
    }
    Ok(true)
}

pub(super) async fn delete(connection: &mut PgConnection, id: JobId) -> Result<bool, JobsError> {
    lock(connection, id).await?;
    if is_in(connection, id, "1").await? {
        unqueue(connection, id).await?;
    }
    let deleted = sqlx::query("DELETE FROM nexios_jobs.jobs WHERE id = $1 AND state <> 2")
        .bind(id.0)
        .execute(connection)
        .await
        .map_err(fault)?;
    Ok(deleted.rows_affected() > 0)
}

/// Whether there is anything to prune; without a lock.
pub(super) async fn has_old(connection: &mut PgConnection, now: i64) -> Result<bool, JobsError> {
    let row = sqlx::query(
        "SELECT EXISTS (SELECT 1 FROM nexios_jobs.jobs WHERE until IS NOT NULL AND until <= $1)",
    )
    .bind(now)
    .fetch_one(connection)
    .await
    .map_err(fault)?;
    row.try_get(0).map_err(fault)
}

pub(super) async fn prune(connection: &mut PgConnection, now: i64) -> Result<u64, JobsError> {
    let pruned = sqlx::query(
        "DELETE FROM nexios_jobs.jobs WHERE id IN
             (SELECT id FROM nexios_jobs.jobs WHERE until IS NOT NULL AND until <= $1 ORDER BY until LIMIT $2)",
    )
    .bind(now)
    .bind(MOST_PRUNED)
    .execute(connection)
    .await
    .map_err(fault)?;
    Ok(pruned.rows_affected())
}

pub(super) async fn set_paused(
    connection: &mut PgConnection,
    kind: Cow<'static, str>,
    paused: bool,
) -> Result<(), JobsError> {
    let change = if paused {
        "INSERT INTO nexios_jobs.paused (kind) VALUES ($1) ON CONFLICT DO NOTHING"
    } else {
        "DELETE FROM nexios_jobs.paused WHERE kind = $1"
    };
    sqlx::query(change)
        .bind(&*kind)
        .execute(connection)
        .await
        .map_err(fault)?;
    Ok(())
}

pub(super) async fn tick(
    connection: &mut PgConnection,
    tick: Tick,
    job: NewJob,
) -> Result<bool, JobsError> {
    sqlx::query("DELETE FROM nexios_jobs.ticks WHERE schedule = $1 AND abs(time - $2) > $3")
        .bind(&tick.schedule)
        .bind(tick.time)
        .bind(millis(tick.memory))
        .execute(&mut *connection)
        .await
        .map_err(fault)?;
    let noted = sqlx::query(
        "INSERT INTO nexios_jobs.ticks (schedule, time) VALUES ($1, $2) ON CONFLICT DO NOTHING",
    )
    .bind(&tick.schedule)
    .bind(tick.time)
    .execute(&mut *connection)
    .await
    .map_err(fault)?;
    let is_new = noted.rows_affected() > 0;
    if is_new {
        adding::one(connection, job).await?;
    }
    Ok(is_new)
}

pub(super) async fn signal(
    connection: &mut PgConnection,
    name: Cow<'static, str>,
) -> Result<(), JobsError> {
    sqlx::query(
        "INSERT INTO nexios_jobs.signals AS signals (name, count) VALUES ($1, 1)
         ON CONFLICT (name) DO UPDATE SET count = signals.count + 1",
    )
    .bind(&*name)
    .execute(connection)
    .await
    .map_err(fault)?;
    Ok(())
}

pub(super) async fn signal_count(
    connection: &mut PgConnection,
    name: Cow<'static, str>,
) -> Result<i64, JobsError> {
    let row = sqlx::query("SELECT count FROM nexios_jobs.signals WHERE name = $1")
        .bind(&*name)
        .fetch_optional(connection)
        .await
        .map_err(fault)?;
    row.map_or(Ok(0), |row| row.try_get(0)).map_err(fault)
}

//! Who works, and whose jobs go back.

use std::time::Duration;

use sqlx::SqliteConnection;

use crate::{
    clock::millis,
    engine::{LOST, Renewal, Worker, WorkerId, stored::recovered},
    error::JobsError,
};

use super::fault::fault;

pub(super) async fn enroll(
    connection: &mut SqliteConnection,
    now: i64,
    worker: Worker,
    lease: Duration,
) -> Result<(), JobsError> {
    sqlx::query(
        "INSERT OR REPLACE INTO nexios_jobs_workers (id, host, pid, expires) VALUES (?, ?, ?, ?)",
    )
    .bind(worker.id.0)
    .bind(worker.host)
    .bind(worker.pid)
    .bind(now.saturating_add(millis(lease)))
    .execute(connection)
    .await
    .map_err(fault)?;
    Ok(())
}

pub(super) async fn retire(
    connection: &mut SqliteConnection,
    worker: WorkerId,
) -> Result<(), JobsError> {
    sqlx::query(
        "DELETE FROM nexios_jobs_workers WHERE id = ?1
         AND NOT EXISTS (SELECT 1 FROM nexios_jobs WHERE state = 2 AND worker = ?1)",
    )
    .bind(worker.0)
    .execute(connection)
    .await
    .map_err(fault)?;
    Ok(())
}

/// Renews one lease and takes the jobs of all that are over.
pub(super) async fn renew(
    connection: &mut SqliteConnection,
    now: i64,
    worker: WorkerId,
    lease: Duration,
) -> Result<Renewal, JobsError> {
    // First: a process that was stopped for long, and whose jobs nobody has taken, keeps them.
    let renewed = sqlx::query("UPDATE nexios_jobs_workers SET expires = ? WHERE id = ?")
        .bind(now.saturating_add(millis(lease)))
        .bind(worker.0)
        .execute(&mut *connection)
        .await
        .map_err(fault)?;
    sqlx::query("DELETE FROM nexios_jobs_workers WHERE expires <= ?")
        .bind(now)
        .execute(&mut *connection)
        .await
        .map_err(fault)?;
    let rows = sqlx::query_as(
        "UPDATE nexios_jobs SET
             state = CASE WHEN cancelled THEN 6 WHEN attempt >= attempts THEN 7 ELSE 1 END,
             ended = CASE WHEN cancelled OR attempt >= attempts THEN ?1 END,
             until = CASE WHEN cancelled OR attempt >= attempts THEN ?1 + keep END,
             run_at = CASE WHEN cancelled OR attempt >= attempts THEN run_at ELSE ?1 END,
             error = ?2,
             history = json_set(history, '$[#-1].ended', ?1, '$[#-1].end', 'lost', '$[#-1].error', ?2),
             worker = NULL
         WHERE state = 2 AND worker NOT IN (SELECT id FROM nexios_jobs_workers)
         RETURNING id, kind, attempt, state",
    )
    .bind(now)
    .bind(LOST)
    .fetch_all(connection)
    .await
    .map_err(fault)?;
    Ok(Renewal {
        lost: renewed.rows_affected() == 0,
        recovered: recovered(rows),
    })
}

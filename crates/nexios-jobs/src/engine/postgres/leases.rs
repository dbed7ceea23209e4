//! Who works, and whose jobs go back: graphile-worker keeps the workers and knows who is lost; the rest is in the same
//! transactions.

use std::time::Duration;

use graphile_worker::sql::worker_heartbeat::{
    registration::{worker_deregister, worker_heartbeat},
    stale::{delete_stale_workers, list_stale_workers},
};
use sqlx::PgConnection;

use crate::{
    engine::{LOST, Renewal, Worker, WorkerId, stored::recovered},
    error::JobsError,
};

use super::{
    channel::tell,
    fault::{fault, queue_fault},
};

/// Where graphile-worker has its tables, for its Node workers too.
pub(super) const SCHEMA: &str = "graphile_worker";

/// What a worker of ours is called there.
pub(super) fn name(worker: WorkerId) -> String {
    format!("nexios-{}", worker.0)
}

pub(super) async fn enroll(connection: &mut PgConnection, worker: Worker) -> Result<(), JobsError> {
    let metadata = serde_json::json!({ "host": worker.host, "pid": worker.pid });
    worker_heartbeat(connection, SCHEMA, &name(worker.id), Some(metadata))
        .await
        .map_err(queue_fault)
}

pub(super) async fn retire(
    connection: &mut PgConnection,
    worker: WorkerId,
) -> Result<(), JobsError> {
    let name = name(worker);
    let has_jobs = sqlx::query("SELECT 1 FROM nexios_jobs.jobs WHERE state = 2 AND worker = $1")
        .bind(&name)
        .fetch_optional(&mut *connection)
        .await
        .map_err(fault)?;
    if has_jobs.is_some() {
        return Ok(());
    }
    worker_deregister(connection, SCHEMA, &name)
        .await
        .map_err(queue_fault)
}

/// Renews one lease and takes the jobs of all that are over.
pub(super) async fn renew(
    connection: &mut PgConnection,
    now: i64,
    worker: WorkerId,
    lease: Duration,
) -> Result<Renewal, JobsError> {
    // Not graphile-worker's own heartbeat, which would make a worker known again that was given up.
    let renewed = sqlx::query(
        "UPDATE graphile_worker._private_workers SET last_heartbeat_at = now() WHERE id = $1",
    )
    .bind(name(worker))
    .execute(&mut *connection)
    .await
    .map_err(fault)?;
    let stale = list_stale_workers(&mut *connection, SCHEMA, lease)
        .await
        .map_err(queue_fault)?;
    let stale: Vec<String> = stale
        .into_iter()
        .filter(|name| name.starts_with("nexios-"))
        .collect();
    let mut renewal = Renewal {
        lost: renewed.rows_affected() == 0,
        recovered: Vec::new(),
    };
    if stale.is_empty() {
        return Ok(renewal);
    }
    // Locked before their jobs are looked for: none of them can claim in between, and nobody would find that job.
    sqlx::query(
        "SELECT 1 FROM graphile_worker._private_workers WHERE id = ANY ($1) ORDER BY id FOR UPDATE",
    )
    .bind(&stale)
    .execute(&mut *connection)
    .await
    .map_err(fault)?;
    let rows: Vec<(i64, String, i64, i64, Option<String>)> = sqlx::query_as(
        "WITH recovered AS (
             UPDATE nexios_jobs.jobs SET
                 state = CASE WHEN cancelled THEN 6 WHEN attempt >= attempts THEN 7 ELSE 1 END,
                 ended = CASE WHEN cancelled OR attempt >= attempts THEN $2 END,
                 until = CASE WHEN cancelled OR attempt >= attempts THEN $2 + keep END,
                 run_at = CASE WHEN cancelled OR attempt >= attempts THEN run_at ELSE $2 END,
                 error = $3,
                 history = jsonb_set(history, '{-1}', history -> -1 || jsonb_build_object('ended', $2, 'end', 'lost', 'error', $3)),
                 worker = NULL
             WHERE state = 2 AND worker = ANY ($1)
             RETURNING id, kind, attempt, state, queue_id
         )
         SELECT id, kind, attempt::int8, state::int8, nexios_jobs.release(queue_id, CASE state WHEN 1 THEN $2 END)::text
         FROM recovered",
    )
    .bind(&stale)
    .bind(now)
    .bind(LOST)
    .fetch_all(&mut *connection)
    .await
    .map_err(fault)?;
    let rows = rows.into_iter();
    let rows = rows.map(|(id, kind, attempt, state, _)| (id, kind, attempt, state));
    renewal.recovered = recovered(rows.collect());
    // Others may have the handlers.
    tell(&mut *connection).await?;
    delete_stale_workers(connection, SCHEMA, &stale)
        .await
        .map_err(queue_fault)?;
    Ok(renewal)
}

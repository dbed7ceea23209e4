//! Jobs on their way to a worker.

use std::time::Duration;

use serde::Serialize;
use sqlx::{Row, SqliteConnection};

use crate::{
    clock::millis,
    engine::{ClaimedJob, HISTORY, Run, Wanted, Worker, WorkerId, stored::claimed},
    error::{DatabaseError, JobsError},
};

use super::fault::fault;

/// How many jobs become due in one transaction.
const MOST_DUE: i64 = 1000;

/// What there is to claim.
pub(super) struct Outlook {
    /// Kinds that have jobs that are due.
    pub(super) due: Vec<Wanted>,
    /// How long it is until the next one is due.
    pub(super) next: Option<Duration>,
}

/// Looks, without a lock, whether there is something to claim.
pub(super) async fn look_out(
    connection: &mut SqliteConnection,
    now: i64,
    wanted: Vec<Wanted>,
) -> Result<Outlook, JobsError> {
    #[derive(Serialize)]
    struct Kinds<'a>(Vec<&'a str>);
    let kinds = Kinds(wanted.iter().map(|wanted| &*wanted.kind).collect());
    let kinds = serde_json::to_string(&kinds)
        .map_err(|error| JobsError::Database(DatabaseError::new(error)))?;
    let rows = sqlx::query(
        "SELECT EXISTS (SELECT 1 FROM nexios_jobs WHERE state = 1 AND kind = value),
             (SELECT min(run_at) FROM nexios_jobs WHERE state = 0 AND kind = value),
             EXISTS (SELECT 1 FROM nexios_jobs_paused WHERE kind = value)
         FROM json_each(?) ORDER BY json_each.key",
    )
    .bind(kinds)
    .fetch_all(connection)
    .await
    .map_err(fault)?;
    let mut outlook = Outlook {
        due: Vec::new(),
        next: None,
    };
    for (wanted, row) in wanted.into_iter().zip(rows) {
        let is_paused: bool = row.try_get(2).map_err(fault)?;
        if is_paused {
            continue;
        }
        let next: Option<i64> = row.try_get(1).map_err(fault)?;
        if row.try_get(0).map_err(fault)? || next.is_some_and(|next| next <= now) {
            outlook.due.push(wanted);
        } else if let Some(next) = next {
            let pause = Duration::from_millis((next - now).unsigned_abs());
            outlook.next = outlook.next.into_iter().chain([pause]).min();
        }
    }
    Ok(outlook)
}

pub(super) async fn claim(
    connection: &mut SqliteConnection,
    now: i64,
    worker: Worker,
    wanted: Vec<Wanted>,
) -> Result<Vec<ClaimedJob>, JobsError> {
    let mut jobs = Vec::new();
    for wanted in wanted {
        promote(connection, now, &wanted.kind).await?;
        jobs.extend(claim_kind(connection, now, &worker, &wanted).await?);
    }
    Ok(jobs)
}

/// Makes those due whose time has come, so that they are claimed in the order of their priorities.
async fn promote(connection: &mut SqliteConnection, now: i64, kind: &str) -> Result<(), JobsError> {
    sqlx::query(
        "UPDATE nexios_jobs SET state = 1 WHERE id IN
             (SELECT id FROM nexios_jobs WHERE state = 0 AND kind = ? AND run_at <= ? ORDER BY run_at LIMIT ?)",
    )
    .bind(kind)
    .bind(now)
    .bind(MOST_DUE)
    .execute(connection)
    .await
    .map_err(fault)?;
    Ok(())
}

async fn claim_kind(
    connection: &mut SqliteConnection,
    now: i64,
    worker: &Worker,
    wanted: &Wanted,
) -> Result<Vec<ClaimedJob>, JobsError> {
    let rows = sqlx::query_as(
        "UPDATE nexios_jobs SET state = 2, worker = ?1, fence = fence + 1, attempt = attempt + 1, attempts = ?2,
             keep = ?3,
             history = json_insert(
                 CASE WHEN json_array_length(history) >= ?4 THEN json_remove(history, '$[0]') ELSE history END,
                 '$[#]', json_object('fence', fence + 1, 'n', attempt + 1, 'started', ?5, 'host', ?6, 'pid', ?7))
         WHERE id IN (SELECT id FROM nexios_jobs WHERE state = 1 AND kind = ?8 ORDER BY priority, run_at, id LIMIT ?9)
             AND EXISTS (SELECT 1 FROM nexios_jobs_workers WHERE id = ?1)
             AND NOT EXISTS (SELECT 1 FROM nexios_jobs_paused WHERE kind = ?8)
         RETURNING id, fence, kind, attempt, args, origin, priority, run_at, done, total, message",
    )
    .bind(worker.id.0)
    .bind(wanted.attempts)
    .bind(millis(wanted.keep))
    .bind(i64::try_from(HISTORY).unwrap_or(i64::MAX))
    .bind(now)
    .bind(&worker.host)
    .bind(worker.pid)
    .bind(&*wanted.kind)
    .bind(i64::try_from(wanted.slots).unwrap_or(i64::MAX))
    .fetch_all(connection)
    .await
    .map_err(fault)?;
    Ok(claimed(rows))
}

/// The runs of a worker that are not among those it knows.
pub(super) async fn unknown(
    connection: &mut SqliteConnection,
    worker: WorkerId,
    known: Vec<Run>,
) -> Result<Vec<ClaimedJob>, JobsError> {
    let rows = sqlx::query_as(
        "SELECT id, fence, kind, attempt, args, origin, priority, run_at, done, total, message
         FROM nexios_jobs WHERE state = 2 AND worker = ?",
    )
    .bind(worker.0)
    .fetch_all(connection)
    .await
    .map_err(fault)?;
    let mut jobs = claimed(rows);
    jobs.retain(|job| !known.contains(&job.run));
    Ok(jobs)
}

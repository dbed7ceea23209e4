//! Jobs on their way to a worker.

use std::time::Duration;

use serde::Serialize;
use sqlx::{Row, SqliteConnection, sqlite::SqliteRow};

use crate::{
    clock::millis,
    engine::{ClaimedJob, HISTORY, Run, Wanted, Worker, WorkerId},
    error::{DatabaseError, JobsError},
    id::JobId,
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
    let mut claimed = Vec::new();
    for wanted in wanted {
        promote(connection, now, &wanted.kind).await?;
        claimed.extend(claim_kind(connection, now, &worker, &wanted).await?);
    }
    Ok(claimed)
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
    let rows = sqlx::query(
        "UPDATE nexios_jobs SET state = 2, worker = ?1, fence = fence + 1, attempt = attempt + 1, attempts = ?2,
             keep = ?3,
             history = json_insert(
                 CASE WHEN json_array_length(history) >= ?4 THEN json_remove(history, '$[0]') ELSE history END,
                 '$[#]', json_object('n', attempt + 1, 'started', ?5, 'host', ?6, 'pid', ?7))
         WHERE id IN (SELECT id FROM nexios_jobs WHERE state = 1 AND kind = ?8 ORDER BY priority, run_at, id LIMIT ?9)
             AND EXISTS (SELECT 1 FROM nexios_jobs_workers WHERE id = ?1)
             AND NOT EXISTS (SELECT 1 FROM nexios_jobs_paused WHERE kind = ?8)
         RETURNING id, fence, kind, attempt, args, origin, priority, run_at",
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
    let mut claimed = rows
        .iter()
        .map(read)
        .collect::<Result<Vec<_>, _>>()
        .map_err(fault)?;
    // What an update returns comes in no order.
    claimed.sort_by_key(|(order, _)| *order);
    Ok(claimed.into_iter().map(|(_, job)| job).collect())
}

/// The runs of a worker that are not among those it knows.
pub(super) async fn unknown(
    connection: &mut SqliteConnection,
    worker: WorkerId,
    known: Vec<Run>,
) -> Result<Vec<ClaimedJob>, JobsError> {
    let rows = sqlx::query(
        "SELECT id, fence, kind, attempt, args, origin, priority, run_at FROM nexios_jobs WHERE state = 2 AND worker = ?",
    )
    .bind(worker.0)
    .fetch_all(connection)
    .await
    .map_err(fault)?;
    let jobs = rows.iter().map(|row| read(row).map(|(_, job)| job));
    let mut jobs = jobs.collect::<Result<Vec<_>, _>>().map_err(fault)?;
    jobs.retain(|job| !known.contains(&job.run));
    Ok(jobs)
}

/// A job that was started, and its place among the others.
fn read(row: &SqliteRow) -> Result<((i64, i64, i64), ClaimedJob), sqlx::Error> {
    let order = (row.try_get(6)?, row.try_get(7)?, row.try_get(0)?);
    let job = ClaimedJob {
        run: Run {
            id: JobId(row.try_get(0)?),
            fence: row.try_get(1)?,
        },
        kind: row.try_get(2)?,
        attempt: row.try_get(3)?,
        args: row.try_get(4)?,
        origin: row.try_get(5)?,
    };
    Ok((order, job))
}

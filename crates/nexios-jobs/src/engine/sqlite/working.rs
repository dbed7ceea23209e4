//! Jobs in the hands of workers.

use std::time::Duration;

use serde::Serialize;
use sqlx::{Row, SqliteConnection};

use crate::{
    clock::millis,
    engine::{
        ClaimedJob, DeadJob, End, Ended, HISTORY, LOST, Progress, Renewal, Run, RunProgress,
        Wanted, Worker, WorkerId,
    },
    error::{DatabaseError, JobsError},
    id::JobId,
    state::JobState,
};

use super::{fault::fault, looking::state};

/// How many jobs become due in one transaction.
const MOST_DUE: i64 = 1000;

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
    let recovered = sqlx::query(
        "UPDATE nexios_jobs SET
             state = CASE WHEN cancelled THEN 6 WHEN attempt >= attempts THEN 7 ELSE 1 END,
             ended = CASE WHEN cancelled OR attempt >= attempts THEN ?1 END,
             until = CASE WHEN cancelled OR attempt >= attempts THEN ?1 + keep END,
             run_at = CASE WHEN cancelled OR attempt >= attempts THEN run_at ELSE ?1 END,
             error = ?2,
             history = json_set(history, '$[#-1].ended', ?1, '$[#-1].error', ?2),
             worker = NULL
         WHERE state = 2 AND worker NOT IN (SELECT id FROM nexios_jobs_workers)
         RETURNING id, kind, attempt, state",
    )
    .bind(now)
    .bind(LOST)
    .fetch_all(connection)
    .await
    .map_err(fault)?;
    let mut dead = Vec::new();
    for row in recovered {
        if row.try_get::<i64, _>(3).map_err(fault)? == 7 {
            dead.push(DeadJob {
                id: JobId(row.try_get(0).map_err(fault)?),
                kind: row.try_get(1).map_err(fault)?,
                attempt: row.try_get(2).map_err(fault)?,
            });
        }
    }
    Ok(Renewal {
        lost: renewed.rows_affected() == 0,
        dead,
    })
}

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
    let mut claimed = Vec::with_capacity(rows.len());
    for row in rows {
        let read = || -> Result<_, sqlx::Error> {
            let order: (i64, i64, i64) = (row.try_get(6)?, row.try_get(7)?, row.try_get(0)?);
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
        };
        claimed.push(read().map_err(fault)?);
    }
    // What an update returns comes in no order.
    claimed.sort_by_key(|(order, _)| *order);
    Ok(claimed.into_iter().map(|(_, job)| job).collect())
}

pub(super) async fn finish(
    connection: &mut SqliteConnection,
    now: i64,
    ended: Vec<Ended>,
) -> Result<Vec<Option<JobState>>, JobsError> {
    let mut states = Vec::with_capacity(ended.len());
    for ended in ended {
        states.push(finish_one(connection, now, ended).await?);
    }
    Ok(states)
}

/// What is written at an attempt's end.
#[derive(Default)]
struct Last {
    /// The state that it would have if nobody had cancelled it.
    state: i64,
    run_at: i64,
    uncounted: bool,
    result: Option<String>,
    error: Option<String>,
}

impl Last {
    fn of(end: End, now: i64) -> Self {
        let ended = |state, error| Self {
            state,
            error,
            ..Self::default()
        };
        match end {
            End::Completed(result) => Self {
                state: 4,
                result: Some(result),
                ..Self::default()
            },
            End::Failed(error) => ended(5, Some(error)),
            End::Cancelled => ended(6, None),
            End::Dead(error) => ended(7, Some(error)),
            End::Again {
                after,
                error,
                counted,
            } => Self {
                state: i64::from(after.is_zero()),
                run_at: now.saturating_add(millis(after)),
                uncounted: !counted,
                result: None,
                error,
            },
        }
    }
}

async fn finish_one(
    connection: &mut SqliteConnection,
    now: i64,
    ended: Ended,
) -> Result<Option<JobState>, JobsError> {
    let last = Last::of(ended.end, now);
    let progress = Parts::of(ended.progress);
    let row = sqlx::query(
        "UPDATE nexios_jobs SET
             state = CASE WHEN cancelled AND ?1 <> 4 THEN 6 ELSE ?1 END,
             run_at = CASE WHEN cancelled OR ?1 >= 4 THEN run_at ELSE ?2 END,
             ended = CASE WHEN cancelled OR ?1 >= 4 THEN ?3 END,
             until = CASE WHEN cancelled OR ?1 >= 4 THEN ?3 + keep END,
             attempt = attempt - (?4 AND NOT cancelled),
             result = ?5,
             error = CASE WHEN cancelled THEN error ELSE coalesce(?6, error) END,
             history = json_set(history, '$[#-1].ended', ?3,
                 '$[#-1].error', CASE WHEN NOT cancelled THEN ?6 END),
             done = coalesce(?7, done), total = coalesce(?8, total), message = coalesce(?9, message),
             worker = NULL
         WHERE id = ?10 AND fence = ?11 AND state = 2
         RETURNING state, attempt, run_at",
    )
    .bind(last.state)
    .bind(last.run_at)
    .bind(now)
    .bind(last.uncounted)
    .bind(last.result)
    .bind(last.error)
    .bind(progress.done)
    .bind(progress.total)
    .bind(progress.message)
    .bind(ended.run.id.0)
    .bind(ended.run.fence)
    .fetch_optional(connection)
    .await
    .map_err(fault)?;
    let Some(row) = row else {
        return Ok(None);
    };
    let read = || -> Result<_, sqlx::Error> {
        Ok(state(
            row.try_get(0)?,
            row.try_get(1)?,
            row.try_get(2)?,
            now,
        ))
    };
    read().map(Some).map_err(fault)
}

/// Progress as it is bound to a statement; nothing where nothing was said.
#[derive(Default)]
struct Parts {
    done: Option<i64>,
    total: Option<i64>,
    message: Option<String>,
}

impl Parts {
    fn of(progress: Option<Progress>) -> Self {
        progress.map_or_else(Self::default, |progress| Self {
            done: Some(progress.done.cast_signed()),
            total: Some(progress.total.cast_signed()),
            message: progress.message,
        })
    }
}

pub(super) async fn note(
    connection: &mut SqliteConnection,
    progress: Vec<RunProgress>,
) -> Result<(), JobsError> {
    for RunProgress { run, progress } in progress {
        let parts = Parts::of(Some(progress));
        sqlx::query(
            "UPDATE nexios_jobs SET done = ?, total = ?, message = coalesce(?, message)
             WHERE id = ? AND fence = ? AND state = 2",
        )
        .bind(parts.done)
        .bind(parts.total)
        .bind(parts.message)
        .bind(run.id.0)
        .bind(run.fence)
        .execute(&mut *connection)
        .await
        .map_err(fault)?;
    }
    Ok(())
}

pub(super) async fn cancelled(
    connection: &mut SqliteConnection,
    worker: WorkerId,
) -> Result<Vec<Run>, JobsError> {
    let rows = sqlx::query(
        "SELECT id, fence FROM nexios_jobs WHERE state = 2 AND worker = ? AND cancelled",
    )
    .bind(worker.0)
    .fetch_all(connection)
    .await
    .map_err(fault)?;
    let run = |row: &sqlx::sqlite::SqliteRow| {
        Ok(Run {
            id: JobId(row.try_get(0)?),
            fence: row.try_get(1)?,
        })
    };
    rows.iter()
        .map(run)
        .collect::<Result<_, _>>()
        .map_err(fault)
}

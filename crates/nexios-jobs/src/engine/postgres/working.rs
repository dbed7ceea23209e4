//! Jobs in the hands of workers: graphile-worker claims, locks and knows who is lost; the rest is in the same transactions.

use std::time::Duration;

use graphile_worker::sql::{
    batch_get_jobs::batch_get_jobs,
    task_identifiers::get_tasks_details,
    worker_heartbeat::{
        registration::{worker_deregister, worker_heartbeat},
        stale::{delete_stale_workers, list_stale_workers},
    },
};
use sqlx::{PgConnection, Row, postgres::PgRow};

use crate::{
    clock::millis,
    engine::{
        ClaimedJob, DeadJob, End, Ended, HISTORY, KEEP, LOST, Progress, Renewal, Run, RunProgress,
        Wanted, Worker, WorkerId,
    },
    error::JobsError,
    id::JobId,
    state::JobState,
};

use super::{
    fault::{fault, queue_fault},
    looking::state,
    store::tell,
};

/// Where graphile-worker has its tables, for its Node workers too.
pub(super) const SCHEMA: &str = "graphile_worker";

/// The beginning of the keys of our jobs there.
const OURS: &str = "nexios_jobs:";

/// What a worker of ours is called there.
fn name(worker: WorkerId) -> String {
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
        dead: Vec::new(),
    };
    if stale.is_empty() {
        return Ok(renewal);
    }
    let recovered = sqlx::query(
        "WITH recovered AS (
             UPDATE nexios_jobs.jobs SET
                 state = CASE WHEN cancelled THEN 6 WHEN attempt >= attempts THEN 7 ELSE 1 END,
                 ended = CASE WHEN cancelled OR attempt >= attempts THEN $2 END,
                 until = CASE WHEN cancelled OR attempt >= attempts THEN $2 + keep END,
                 run_at = CASE WHEN cancelled OR attempt >= attempts THEN run_at ELSE $2 END,
                 error = $3,
                 history = jsonb_set(jsonb_set(history, '{-1,ended}', to_jsonb($2)), '{-1,error}', to_jsonb($3)),
                 worker = NULL
             WHERE state = 2 AND worker = ANY ($1)
             RETURNING id, kind, attempt, state, queue_id
         )
         SELECT id, kind, attempt, state, nexios_jobs.release(queue_id, CASE state WHEN 1 THEN $2 END)::text
         FROM recovered",
    )
    .bind(&stale)
    .bind(now)
    .bind(LOST)
    .fetch_all(&mut *connection)
    .await
    .map_err(fault)?;
    for row in recovered {
        if row.try_get::<i16, _>(3).map_err(fault)? == 7 {
            renewal.dead.push(DeadJob {
                id: JobId(row.try_get(0).map_err(fault)?),
                kind: row.try_get(1).map_err(fault)?,
                attempt: attempt(&row, 2).map_err(fault)?,
            });
        }
    }
    // Others may have the handlers.
    tell(&mut *connection).await?;
    delete_stale_workers(connection, SCHEMA, &stale)
        .await
        .map_err(queue_fault)?;
    Ok(renewal)
}

/// What there is to claim.
pub(super) struct Outlook {
    /// Whether there are jobs that are due.
    pub(super) is_due: bool,
    /// How long it is until the next one is due.
    pub(super) next: Option<Duration>,
}

/// Looks, without a lock, whether there is something to claim.
pub(super) async fn look_out(
    connection: &mut PgConnection,
    wanted: &[Wanted],
) -> Result<Outlook, JobsError> {
    let kinds: Vec<&str> = wanted.iter().map(|wanted| &*wanted.kind).collect();
    let row = sqlx::query(
        "WITH wanted AS (SELECT kind FROM unnest($1::text[]) AS kind WHERE kind NOT IN (SELECT kind FROM nexios_jobs.paused))
         SELECT EXISTS (
                 SELECT 1 FROM graphile_worker._private_jobs AS jobs
                 WHERE is_available AND run_at <= now() AND task_id IN (
                     SELECT tasks.id FROM graphile_worker._private_tasks AS tasks WHERE identifier IN (SELECT kind FROM wanted))
             ),
             (SELECT min(first) - nexios_jobs.now_ms() FROM wanted, LATERAL
                 (SELECT min(run_at) AS first FROM nexios_jobs.jobs WHERE state = 1 AND jobs.kind = wanted.kind
                     AND run_at > nexios_jobs.now_ms()) AS later)",
    )
    .bind(kinds)
    .fetch_one(connection)
    .await
    .map_err(fault)?;
    let next: Option<i64> = row.try_get(1).map_err(fault)?;
    Ok(Outlook {
        is_due: row.try_get(0).map_err(fault)?,
        next: next.map(|pause| Duration::from_millis(pause.max(1).unsigned_abs())),
    })
}

pub(super) async fn claim(
    connection: &mut PgConnection,
    now: i64,
    worker: Worker,
    wanted: Vec<Wanted>,
) -> Result<Vec<ClaimedJob>, JobsError> {
    // Locked, so that it is not given up before this is done.
    let known =
        sqlx::query("SELECT 1 FROM graphile_worker._private_workers WHERE id = $1 FOR SHARE")
            .bind(name(worker.id))
            .fetch_optional(&mut *connection)
            .await
            .map_err(fault)?;
    let paused = sqlx::query("SELECT kind FROM nexios_jobs.paused")
        .fetch_all(&mut *connection)
        .await
        .map_err(fault)?;
    let paused = paused.iter().map(|row| row.try_get(0));
    let paused: Vec<String> = paused.collect::<Result<_, _>>().map_err(fault)?;
    let mut claimed = Vec::new();
    if known.is_none() {
        return Ok(claimed);
    }
    for wanted in wanted {
        if !paused.contains(&wanted.kind.to_string()) {
            claim_kind(connection, now, &worker, &wanted, &mut claimed).await?;
        }
    }
    Ok(claimed)
}

async fn claim_kind(
    connection: &mut PgConnection,
    now: i64,
    worker: &Worker,
    wanted: &Wanted,
    claimed: &mut Vec<ClaimedJob>,
) -> Result<(), JobsError> {
    let kind = wanted.kind.to_string();
    let task = get_tasks_details(&mut *connection, SCHEMA, vec![kind])
        .await
        .map_err(queue_fault)?;
    let slots = i32::try_from(wanted.slots).unwrap_or(i32::MAX);
    let jobs = batch_get_jobs(
        &mut *connection,
        &task,
        SCHEMA,
        &name(worker.id),
        &[],
        slots,
        None,
    )
    .await
    .map_err(queue_fault)?;
    let mut ids = Vec::with_capacity(jobs.len());
    for job in &jobs {
        let ours = job.key().as_deref().and_then(|key| key.strip_prefix(OURS));
        let id = match ours.and_then(|id| id.parse().ok()) {
            Some(id) => id,
            None => adopt(connection, now, job, wanted).await?,
        };
        ids.push(id);
    }
    if ids.is_empty() {
        return Ok(());
    }
    let queue_ids: Vec<i64> = jobs.iter().map(|job| *job.id()).collect();
    let rows = sqlx::query(
        "UPDATE nexios_jobs.jobs AS jobs SET state = 2, worker = $1, queue_id = new.queue_id, fence = fence + 1,
             attempt = attempt + 1, attempts = $2, keep = $3,
             history = (CASE WHEN jsonb_array_length(history) >= $4 THEN history - 0 ELSE history END)
                 || jsonb_build_array(jsonb_build_object('n', attempt + 1, 'started', $5::int8, 'host', $6::text, 'pid', $7::int8))
         FROM unnest($8::int8[], $9::int8[]) AS new (id, queue_id)
         WHERE jobs.id = new.id AND jobs.state = 1
         RETURNING jobs.id, fence, kind, attempt, args, origin, priority, run_at",
    )
    .bind(name(worker.id))
    .bind(i32::try_from(wanted.attempts).unwrap_or(i32::MAX))
    .bind(millis(wanted.keep))
    .bind(i32::try_from(HISTORY).unwrap_or(i32::MAX))
    .bind(now)
    .bind(&worker.host)
    .bind(i64::from(worker.pid))
    .bind(ids)
    .bind(queue_ids)
    .fetch_all(connection)
    .await
    .map_err(fault)?;
    let read = |row: &PgRow| -> Result<_, sqlx::Error> {
        let order: (i16, i64, i64) = (row.try_get(6)?, row.try_get(7)?, row.try_get(0)?);
        let job = ClaimedJob {
            run: Run {
                id: JobId(row.try_get(0)?),
                fence: row.try_get(1)?,
            },
            kind: row.try_get(2)?,
            attempt: attempt(row, 3)?,
            args: row.try_get(4)?,
            origin: row.try_get(5)?,
        };
        Ok((order, job))
    };
    let mut jobs = rows
        .iter()
        .map(read)
        .collect::<Result<Vec<_>, _>>()
        .map_err(fault)?;
    jobs.sort_by_key(|(order, _)| *order);
    claimed.extend(jobs.into_iter().map(|(_, job)| job));
    Ok(())
}

/// Makes a row for a job that others have put in, by SQL, a trigger or Node, when it is first claimed.
async fn adopt(
    connection: &mut PgConnection,
    now: i64,
    job: &graphile_worker::Job,
    wanted: &Wanted,
) -> Result<i64, JobsError> {
    let row = sqlx::query(
        "INSERT INTO nexios_jobs.jobs (queue_id, kind, priority, state, run_at, created, keep, args)
         VALUES ($1, $2, $3, 1, $4, $5, $6, $7)
         ON CONFLICT (queue_id) DO UPDATE SET queue_id = excluded.queue_id
         RETURNING id",
    )
    .bind(job.id())
    .bind(&*wanted.kind)
    .bind(job.priority())
    .bind(job.run_at().timestamp_millis())
    .bind(now.min(job.created_at().timestamp_millis()))
    .bind(millis(KEEP))
    .bind(job.payload().to_string())
    .fetch_one(connection)
    .await
    .map_err(fault)?;
    row.try_get(0).map_err(fault)
}

pub(super) async fn finish(
    connection: &mut PgConnection,
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
    state: i16,
    run_at: i64,
    uncounted: i32,
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
                state: 1,
                run_at: now.saturating_add(millis(after)),
                uncounted: i32::from(!counted),
                result: None,
                error,
            },
        }
    }
}

async fn finish_one(
    connection: &mut PgConnection,
    now: i64,
    ended: Ended,
) -> Result<Option<JobState>, JobsError> {
    let last = Last::of(ended.end, now);
    let progress = Parts::of(ended.progress);
    let row = sqlx::query(
        "WITH ended AS (
             UPDATE nexios_jobs.jobs SET
                 state = CASE WHEN cancelled AND $1 <> 4 THEN 6 ELSE $1 END,
                 run_at = CASE WHEN cancelled OR $1 >= 4 THEN run_at ELSE $2 END,
                 ended = CASE WHEN cancelled OR $1 >= 4 THEN $3 END,
                 until = CASE WHEN cancelled OR $1 >= 4 THEN $3 + keep END,
                 attempt = attempt - CASE WHEN cancelled THEN 0 ELSE $4 END,
                 result = $5,
                 error = CASE WHEN cancelled THEN error ELSE coalesce($6, error) END,
                 history = jsonb_set(jsonb_set(history, '{-1,ended}', to_jsonb($3)),
                     '{-1,error}', coalesce(to_jsonb(CASE WHEN NOT cancelled THEN $6 END), 'null')),
                 done = coalesce($7, done), total = coalesce($8, total), message = coalesce($9, message),
                 worker = NULL
             WHERE id = $10 AND fence = $11 AND state = 2
             RETURNING state, attempt, run_at, queue_id
         )
         SELECT state, attempt, run_at, nexios_jobs.release(queue_id, CASE state WHEN 1 THEN run_at END)::text FROM ended",
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
            attempt(&row, 1)?,
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
    connection: &mut PgConnection,
    progress: Vec<RunProgress>,
) -> Result<(), JobsError> {
    for RunProgress { run, progress } in progress {
        let parts = Parts::of(Some(progress));
        sqlx::query(
            "UPDATE nexios_jobs.jobs SET done = $1, total = $2, message = coalesce($3, message)
             WHERE id = $4 AND fence = $5 AND state = 2",
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
    connection: &mut PgConnection,
    worker: WorkerId,
) -> Result<Vec<Run>, JobsError> {
    let rows = sqlx::query(
        "SELECT id, fence FROM nexios_jobs.jobs WHERE state = 2 AND worker = $1 AND cancelled",
    )
    .bind(name(worker))
    .fetch_all(connection)
    .await
    .map_err(fault)?;
    let run = |row: &PgRow| {
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

/// The number of an attempt, which Postgres has only with a sign.
pub(super) fn attempt(row: &PgRow, column: usize) -> Result<u32, sqlx::Error> {
    let number: i32 = row.try_get(column)?;
    Ok(number.max(0).unsigned_abs())
}

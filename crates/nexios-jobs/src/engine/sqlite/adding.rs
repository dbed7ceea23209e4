//! Jobs on their way in.

use std::sync::Mutex;

use serde::Serialize;
use sqlx::{Row, SqliteConnection};

use crate::{
    clock::millis,
    engine::{Added, KEEP, NewJob},
    error::{DatabaseError, JobsError},
    id::JobId,
    lock::lock,
};

use super::fault::fault;

/// How much is written by one statement: rows, and bytes of arguments.
const MOST_ROWS: usize = 1000;
const MOST_BYTES: usize = 8 << 20;

/// A new number: microseconds since 2025, and 12 random bits that tell apart what two processes do in the same one. SQLite's
/// own numbers come back when a transaction is rolled back.
fn new_id() -> JobId {
    const START: i64 = 1_735_689_600_000_000;
    static LAST: Mutex<i64> = Mutex::new(0);
    let micros = std::time::SystemTime::now()
        .duration_since(std::time::SystemTime::UNIX_EPOCH)
        .ok()
        .and_then(|since| i64::try_from(since.as_micros()).ok())
        .map_or(1, |micros| (micros - START).max(1));
    let mut last = lock(&LAST);
    // Greater than all before it in this process, also when the clock was set back.
    *last = micros.max(*last + 1);
    let random = (crate::random::number() >> 52).cast_signed();
    JobId((*last << 12) | random)
}

/// Adds one job.
pub(super) async fn one(
    connection: &mut SqliteConnection,
    now: i64,
    job: NewJob,
) -> Result<Added, JobsError> {
    let id = new_id();
    let run_at = job.when.moment(now);
    let inserted = sqlx::query(
        "INSERT INTO nexios_jobs (id, kind, key, priority, state, run_at, created, keep, origin, args)
         VALUES (?1, ?2, ?3, ?4, ?5 <= ?6, ?5, ?6, ?7, ?8, ?9)
         ON CONFLICT (kind, key) WHERE key IS NOT NULL AND state < 4 DO NOTHING",
    )
    .bind(id.0)
    .bind(&*job.kind)
    .bind(&job.key)
    .bind(job.priority)
    .bind(run_at)
    .bind(now)
    .bind(millis(KEEP))
    .bind(&job.origin)
    .bind(&job.args)
    .execute(&mut *connection)
    .await
    .map_err(fault)?;
    if inserted.rows_affected() > 0 {
        return Ok(Added { id, was_new: true });
    }
    let living = sqlx::query(
        "SELECT id FROM nexios_jobs WHERE kind = ? AND key = ? AND key IS NOT NULL AND state < 4",
    )
    .bind(&*job.kind)
    .bind(&job.key)
    .fetch_optional(connection)
    .await
    .map_err(fault)?;
    match living {
        Some(row) => Ok(Added {
            id: JobId(row.try_get(0).map_err(fault)?),
            was_new: false,
        }),
        None => Err(JobsError::Database(DatabaseError::new(
            "a key was taken by no job",
        ))),
    }
}

/// Adds many.
pub(super) async fn many(
    connection: &mut SqliteConnection,
    now: i64,
    jobs: Vec<NewJob>,
) -> Result<Vec<Added>, JobsError> {
    let mut added = Vec::with_capacity(jobs.len());
    let mut batch = Vec::new();
    let mut bytes = 0;
    for job in jobs {
        if job.key.is_some() {
            added.push(one(connection, now, job).await?);
            continue;
        }
        if batch.len() == MOST_ROWS || bytes > MOST_BYTES {
            insert(connection, now, &std::mem::take(&mut batch)).await?;
            bytes = 0;
        }
        let id = new_id();
        bytes += job.args.len();
        batch.push(Addition {
            id: id.0,
            run_at: job.when.moment(now),
            kind: job.kind,
            priority: job.priority,
            origin: job.origin,
            args: job.args,
        });
        added.push(Added { id, was_new: true });
    }
    if !batch.is_empty() {
        insert(connection, now, &batch).await?;
    }
    Ok(added)
}

/// A row on its way into the table.
#[derive(Serialize)]
struct Addition {
    id: i64,
    kind: std::borrow::Cow<'static, str>,
    priority: i16,
    run_at: i64,
    origin: Option<String>,
    args: String,
}

async fn insert(
    connection: &mut SqliteConnection,
    now: i64,
    batch: &[Addition],
) -> Result<(), JobsError> {
    let rows = serde_json::to_string(batch)
        .map_err(|error| JobsError::Database(DatabaseError::new(error)))?;
    sqlx::query(
        "INSERT INTO nexios_jobs (id, kind, priority, state, run_at, created, keep, origin, args)
         SELECT value ->> 'id', value ->> 'kind', value ->> 'priority', value ->> 'run_at' <= ?2,
             value ->> 'run_at', ?2, ?3, value ->> 'origin', value ->> 'args'
         FROM json_each(?1)",
    )
    .bind(rows)
    .bind(now)
    .bind(millis(KEEP))
    .execute(connection)
    .await
    .map_err(fault)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_grow_and_are_never_the_same() {
        let ids: Vec<_> = (0..10_000).map(|_| new_id()).collect();
        assert!(ids.is_sorted_by(|one, next| one < next));
        assert!(ids.iter().all(|id| id.0 > 0));
    }
}

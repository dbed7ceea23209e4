//! Jobs on their way in: a row of ours, and one of graphile-worker's, in one transaction.

use sqlx::{PgConnection, Row, postgres::PgRow};

use crate::{
    clock::{millis, to_millis},
    engine::{Added, KEEP, NewJob, When},
    error::{DatabaseError, JobsError},
    id::JobId,
};

use super::fault::fault;

/// How many are written by one statement: graphile-worker locks each key.
const MOST_ROWS: usize = 500;

/// Adds one job, or finds the living one that has its key; with the moment that the database did it in.
pub(super) async fn one(
    connection: &mut PgConnection,
    job: NewJob,
) -> Result<(Added, i64), JobsError> {
    let (at, after) = match job.when {
        When::At(time) => (Some(to_millis(time)), 0),
        When::After(delay) => (None, millis(delay)),
    };
    let added = sqlx::query(
        "SELECT job, was_new, moment FROM nexios_jobs.add($1, $2, $3, $4, $5, $6, $7, $8)",
    )
    .bind(&*job.kind)
    .bind(&job.key)
    .bind(job.priority)
    .bind(at)
    .bind(after)
    .bind(millis(KEEP))
    .bind(&job.origin)
    .bind(&job.args)
    .fetch_one(connection)
    .await;
    let read = |row: PgRow| {
        let id: Option<i64> = row.try_get(0)?;
        Ok((id, row.try_get(1)?, row.try_get(2)?))
    };
    match added.and_then(read).map_err(fault)? {
        (Some(id), was_new, now) => {
            let id = JobId(id);
            Ok((Added { id, was_new }, now))
        }
        (None, ..) => Err(JobsError::Unavailable(DatabaseError::new(
            "a key was taken by ever new jobs",
        ))),
    }
}

/// Adds many.
pub(super) async fn many(
    connection: &mut PgConnection,
    now: i64,
    jobs: Vec<NewJob>,
) -> Result<Vec<Added>, JobsError> {
    let mut added = Vec::with_capacity(jobs.len());
    let mut batch = Batch::default();
    for job in jobs {
        if job.key.is_some() {
            batch.insert(connection, now, &mut added).await?;
            added.push(one(connection, job).await?.0);
            continue;
        }
        if batch.kinds.len() == MOST_ROWS {
            batch.insert(connection, now, &mut added).await?;
        }
        batch.run_at.push(job.when.moment(now));
        batch.priorities.push(job.priority);
        batch.kinds.push(job.kind.into_owned());
        batch.origins.push(job.origin);
        batch.args.push(job.args);
    }
    batch.insert(connection, now, &mut added).await?;
    Ok(added)
}

/// Rows on their way into the table, by columns.
#[derive(Default)]
struct Batch {
    kinds: Vec<String>,
    priorities: Vec<i16>,
    run_at: Vec<i64>,
    origins: Vec<Option<String>>,
    args: Vec<String>,
}

impl Batch {
    async fn insert(
        &mut self,
        connection: &mut PgConnection,
        now: i64,
        added: &mut Vec<Added>,
    ) -> Result<(), JobsError> {
        let batch = std::mem::take(self);
        if batch.kinds.is_empty() {
            return Ok(());
        }
        let rows = sqlx::query(
            "INSERT INTO nexios_jobs.jobs (kind, priority, state, run_at, created, keep, origin, args)
             SELECT kind, priority, 1, run_at, $6, $7, origin, args
             FROM unnest($1::text[], $2::int2[], $3::int8[], $4::text[], $5::text[])
                 WITH ORDINALITY AS new (kind, priority, run_at, origin, args, place)
             ORDER BY place
             RETURNING id",
        )
        .bind(batch.kinds)
        .bind(batch.priorities)
        .bind(batch.run_at)
        .bind(batch.origins)
        .bind(batch.args)
        .bind(now)
        .bind(millis(KEEP))
        .fetch_all(&mut *connection)
        .await
        .map_err(fault)?;
        let ids = rows.iter().map(|row| row.try_get(0));
        let mut ids = ids.collect::<Result<Vec<i64>, _>>().map_err(fault)?;
        // The numbers are drawn in the order of the rows.
        ids.sort_unstable();
        queue(connection, &ids).await?;
        added.extend(ids.into_iter().map(|id| Added {
            id: JobId(id),
            was_new: true,
        }));
        Ok(())
    }
}

/// Puts jobs into graphile-worker's table.
pub(super) async fn queue(connection: &mut PgConnection, ids: &[i64]) -> Result<(), JobsError> {
    sqlx::query("SELECT nexios_jobs.queue($1)")
        .bind(ids)
        .execute(connection)
        .await
        .map_err(fault)
        .map(drop)
}

//! A step of a worker: how runs ended is written, and jobs are started in their places. All of it is one call of a function
//! in the database, which is one round trip and one commit.

use std::time::Duration;

use sqlx::{PgConnection, Row, postgres::PgRow};

use crate::{
    clock::millis,
    engine::{
        Claimed, ClaimedJob, Ended, Finished, HISTORY, KEEP, Run, Wanted, Worker, WorkerId,
        outcome::Outcome,
        stored::{Started, claimed, state},
    },
    error::JobsError,
};

use super::{fault::fault, leases::name, progress::Columns};

/// How long it may take until a job is seen that others have put in for a later time.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// Takes a step; with the moment that the database took it in.
pub(super) async fn step(
    connection: &mut PgConnection,
    ended: Vec<Ended>,
    worker: &Worker,
    wanted: Vec<Wanted>,
) -> Result<(Finished, i64), JobsError> {
    let places = ended.len();
    let mut ends = Ends::default();
    ended.into_iter().for_each(|ended| ends.push(ended));
    let mut wishes = Wishes::default();
    wanted.into_iter().for_each(|wanted| wishes.push(wanted));
    let rows = sqlx::query(
        "SELECT place, job, fence, state, attempt, run_at, priority, kind, args, origin, done, total, message
         FROM nexios_jobs.step($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20)",
    )
    .bind(name(worker.id))
    .bind(&worker.host)
    .bind(i64::from(worker.pid))
    .bind(i32::try_from(HISTORY).unwrap_or(i32::MAX))
    .bind(millis(KEEP))
    .bind(ends.jobs)
    .bind(ends.fences)
    .bind(ends.outcomes)
    .bind(ends.afters)
    .bind(ends.words)
    .bind(ends.uncounted)
    .bind(ends.results)
    .bind(ends.errors)
    .bind(ends.said.done)
    .bind(ends.said.total)
    .bind(ends.said.messages)
    .bind(wishes.kinds)
    .bind(wishes.slots)
    .bind(wishes.attempts)
    .bind(wishes.keeps)
    .fetch_all(connection)
    .await
    .map_err(fault)?;
    read(&rows, places).map_err(fault)
}

fn read(rows: &[PgRow], places: usize) -> Result<(Finished, i64), sqlx::Error> {
    let Some((last, rows)) = rows.split_last() else {
        return Err(sqlx::Error::RowNotFound);
    };
    let now: i64 = last.try_get(2)?;
    let next: Option<i64> = last.try_get(5)?;
    let next = next.map(|next| Duration::from_millis((next - now).max(1).unsigned_abs()));
    let mut states = vec![None; places];
    let mut started = Vec::new();
    for row in rows {
        let place: Option<i64> = row.try_get(0)?;
        let Some(place) = place else {
            started.push(read_started(row)?);
            continue;
        };
        let place = usize::try_from(place.saturating_sub(1)).unwrap_or(places);
        if let Some(written) = states.get_mut(place) {
            let (attempt, run_at) = (row.try_get(4)?, row.try_get(5)?);
            *written = Some(state(row.try_get(3)?, attempt, run_at, now));
        }
    }
    let claimed = Claimed {
        jobs: claimed(started),
        next: Some(next.map_or(LOOK_AGAIN, |next| next.min(LOOK_AGAIN))),
    };
    Ok((Finished { states, claimed }, now))
}

fn read_started(row: &PgRow) -> Result<Started, sqlx::Error> {
    Ok((
        row.try_get(1)?,
        row.try_get(2)?,
        row.try_get(7)?,
        row.try_get(4)?,
        row.try_get(8)?,
        row.try_get(9)?,
        row.try_get(6)?,
        row.try_get(5)?,
        row.try_get(10)?,
        row.try_get(11)?,
        row.try_get(12)?,
    ))
}

/// The runs of a worker that are not among those it knows.
pub(super) async fn unknown(
    connection: &mut PgConnection,
    worker: WorkerId,
    known: Vec<Run>,
) -> Result<Vec<ClaimedJob>, JobsError> {
    let (ids, fences): (Vec<i64>, Vec<i64>) =
        known.into_iter().map(|run| (run.id.0, run.fence)).unzip();
    let rows = sqlx::query_as(
        "SELECT id, fence, kind, attempt::int8, args, origin, priority, run_at, done, total, message FROM nexios_jobs.jobs
         WHERE state = 2 AND worker = $1
             AND NOT EXISTS (SELECT 1 FROM unnest($2::int8[], $3::int8[]) AS known (job, run) WHERE job = id AND run = fence)",
    )
    .bind(name(worker))
    .bind(ids)
    .bind(fences)
    .fetch_all(connection)
    .await
    .map_err(fault)?;
    Ok(claimed(rows))
}

/// How runs ended, by columns.
#[derive(Default)]
struct Ends {
    jobs: Vec<i64>,
    fences: Vec<i64>,
    /// The states that they would have if nobody had cancelled them.
    outcomes: Vec<i16>,
    afters: Vec<Option<i64>>,
    words: Vec<&'static str>,
    uncounted: Vec<i32>,
    results: Vec<Option<String>>,
    errors: Vec<Option<String>>,
    said: Columns,
}

impl Ends {
    fn push(&mut self, ended: Ended) {
        let outcome = Outcome::of(ended.end);
        self.jobs.push(ended.run.id.0);
        self.fences.push(ended.run.fence);
        self.outcomes.push(outcome.state);
        self.afters.push(outcome.after);
        self.words.push(outcome.word);
        self.uncounted.push(i32::from(outcome.uncounted));
        self.results.push(outcome.result);
        self.errors.push(outcome.error);
        self.said.push(ended.progress);
    }
}

/// What a worker would take, by columns.
#[derive(Default)]
struct Wishes {
    kinds: Vec<String>,
    slots: Vec<i32>,
    attempts: Vec<i32>,
    keeps: Vec<i64>,
}

impl Wishes {
    fn push(&mut self, wanted: Wanted) {
        self.kinds.push(wanted.kind.into_owned());
        self.slots
            .push(i32::try_from(wanted.slots).unwrap_or(i32::MAX));
        self.attempts
            .push(i32::try_from(wanted.attempts).unwrap_or(i32::MAX));
        self.keeps.push(millis(wanted.keep));
    }
}

//! Jobs as they are shown.

use sqlx::{QueryBuilder, Row, Sqlite, SqliteConnection, sqlite::SqliteRow};

use crate::{
    clock::from_millis,
    error::JobsError,
    filter::Filter,
    id::JobId,
    info::{AttemptRecord, JobInfo, JobPage},
    state::JobState,
};

use super::fault::fault;

const COLUMNS: &str = "SELECT id, kind, state, key, priority, created, run_at, ended, attempt, history, done, total, \
                       message, result, error FROM nexios_jobs WHERE ";

pub(super) async fn one(
    connection: &mut SqliteConnection,
    now: i64,
    id: JobId,
) -> Result<Option<JobInfo>, JobsError> {
    let mut query = QueryBuilder::<Sqlite>::new(COLUMNS);
    query.push("id = ").push_bind(id.0);
    let row = query.build().fetch_optional(connection).await;
    row.and_then(|row| row.map(|row| info(&row, now)).transpose())
        .map_err(fault)
}

pub(super) async fn list(
    connection: &mut SqliteConnection,
    now: i64,
    filter: Filter,
) -> Result<JobPage, JobsError> {
    let page = filter.page();
    let rows = query(&filter, now).build().fetch_all(connection).await;
    let rows = rows.map_err(fault)?;
    let jobs = rows.iter().take(page).map(|row| info(row, now));
    let jobs: Vec<_> = jobs.collect::<Result<_, _>>().map_err(fault)?;
    let more = rows.len() > page;
    let next = jobs.last().filter(|_| more).map(|job| job.id);
    Ok(JobPage { jobs, next })
}

/// One row more than the page has, to know whether there is another page.
fn query(filter: &Filter, now: i64) -> QueryBuilder<Sqlite> {
    let mut query = QueryBuilder::new(COLUMNS);
    let before = filter.before.map_or(i64::MAX, |id| id.0);
    query.push("id < ").push_bind(before);
    if let Some(kind) = &filter.kind {
        query.push(" AND kind = ").push_bind(kind.to_string());
    }
    if let Some(key) = &filter.key {
        query.push(" AND key = ").push_bind(key.clone());
    }
    if !filter.states.is_empty() {
        query.push(" AND (");
        for (place, state) in filter.states.iter().enumerate() {
            if place > 0 {
                query.push(" OR ");
            }
            match state {
                JobState::Scheduled => {
                    query
                        .push("state < 2 AND attempt = 0 AND run_at > ")
                        .push_bind(now);
                }
                JobState::Ready => {
                    query
                        .push("state < 2 AND attempt = 0 AND run_at <= ")
                        .push_bind(now);
                }
                JobState::Retrying => {
                    query.push("state < 2 AND attempt > 0");
                }
                // Written out, with the condition of the partial index that it is found by.
                JobState::Running => {
                    query.push("state = 2");
                }
                JobState::Completed => {
                    query.push("state = 4");
                }
                JobState::Failed => {
                    query.push("state > 4 AND state = 5");
                }
                JobState::Cancelled => {
                    query.push("state > 4 AND state = 6");
                }
                JobState::Dead => {
                    query.push("state > 4 AND state = 7");
                }
            }
        }
        query.push(")");
    }
    let most = i64::try_from(filter.page()).unwrap_or(i64::MAX);
    query
        .push(" ORDER BY id DESC LIMIT ")
        .push_bind(most.saturating_add(1));
    query
}

/// What the number in the column `state` means.
pub(super) fn state(number: i64, attempt: u32, run_at: i64, now: i64) -> JobState {
    match number {
        2 => JobState::Running,
        4 => JobState::Completed,
        5 => JobState::Failed,
        6 => JobState::Cancelled,
        7 => JobState::Dead,
        _ if attempt > 0 => JobState::Retrying,
        _ if run_at > now => JobState::Scheduled,
        _ => JobState::Ready,
    }
}

fn info(row: &SqliteRow, now: i64) -> Result<JobInfo, sqlx::Error> {
    let attempt = row.try_get(8)?;
    let run_at = row.try_get(6)?;
    let history: &str = row.try_get(9)?;
    let history: Vec<AttemptRecord> = serde_json::from_str(history).unwrap_or_default();
    let result: Option<&str> = row.try_get(13)?;
    Ok(JobInfo {
        id: JobId(row.try_get(0)?),
        kind: row.try_get(1)?,
        state: state(row.try_get(2)?, attempt, run_at, now),
        key: row.try_get(3)?,
        priority: row.try_get(4)?,
        created: from_millis(row.try_get(5)?),
        run_at: from_millis(run_at),
        ended: row.try_get::<Option<i64>, _>(7)?.map(from_millis),
        attempt,
        attempts: history.into_iter().map(Into::into).collect(),
        done: row.try_get::<i64, _>(10)?.cast_unsigned(),
        total: row.try_get::<i64, _>(11)?.cast_unsigned(),
        message: row.try_get(12)?,
        result: result.and_then(|text| serde_json::from_str(text).ok()),
        error: row.try_get(14)?,
    })
}

//! Jobs as they are shown.

use sqlx::{QueryBuilder, SqliteConnection};

use crate::{
    engine::stored::{info, page, select},
    error::JobsError,
    filter::Filter,
    id::JobId,
    info::{JobInfo, JobPage},
};

use super::fault::fault;

const COLUMNS: &str = "SELECT id, kind, state, key, priority, created, run_at, ended, attempt, history, done, total, message, result, \
                       error FROM nexios_jobs WHERE ";

/// The condition of those that wait.
const WAITS: &str = "state < 2";

pub(super) async fn one(
    connection: &mut SqliteConnection,
    now: i64,
    id: JobId,
) -> Result<Option<JobInfo>, JobsError> {
    let mut query = QueryBuilder::new(COLUMNS);
    query.push("id = ").push_bind(id.0);
    let row = query.build_query_as().fetch_optional(connection).await;
    Ok(row.map_err(fault)?.map(|row| info(row, now)))
}

pub(super) async fn list(
    connection: &mut SqliteConnection,
    now: i64,
    filter: Filter,
) -> Result<JobPage, JobsError> {
    let mut query = select(COLUMNS, WAITS, &filter, now);
    let rows = query.build_query_as().fetch_all(connection).await;
    Ok(page(rows.map_err(fault)?, &filter, now))
}

//! What running jobs say of themselves, and what they are to hear.

use sqlx::PgConnection;

use crate::{
    engine::{Run, RunProgress, WorkerId, outcome::Said, stored},
    error::JobsError,
    progress::JobProgress,
};

use super::{fault::fault, leases::name};

/// Progress of many runs as it is bound to a statement; nothing where nothing was said.
#[derive(Default)]
pub(super) struct Columns {
    pub(super) done: Vec<Option<i64>>,
    pub(super) total: Vec<Option<i64>>,
    pub(super) messages: Vec<Option<String>>,
}

impl Columns {
    pub(super) fn push(&mut self, progress: Option<JobProgress>) {
        let said = Said::of(progress);
        self.done.push(said.done);
        self.total.push(said.total);
        self.messages.push(said.message);
    }
}

pub(super) async fn note(
    connection: &mut PgConnection,
    progress: Vec<RunProgress>,
) -> Result<(), JobsError> {
    let mut said = Columns::default();
    let mut runs = (Vec::new(), Vec::new());
    for RunProgress { run, progress } in progress {
        runs.0.push(run.id.0);
        runs.1.push(run.fence);
        said.push(Some(progress));
    }
    sqlx::query(
        "UPDATE nexios_jobs.jobs AS jobs SET done = said.done, total = said.total,
             message = coalesce(said.message, jobs.message)
         FROM unnest($1::int8[], $2::int8[], $3::int8[], $4::int8[], $5::text[]) AS said (job, fence, done, total, message)
         WHERE jobs.id = said.job AND jobs.fence = said.fence AND jobs.state = 2",
    )
    .bind(runs.0)
    .bind(runs.1)
    .bind(said.done)
    .bind(said.total)
    .bind(said.messages)
    .execute(connection)
    .await
    .map_err(fault)
    .map(drop)
}

pub(super) async fn cancelled(
    connection: &mut PgConnection,
    worker: WorkerId,
) -> Result<Vec<Run>, JobsError> {
    let runs = sqlx::query_as(
        "SELECT id, fence FROM nexios_jobs.jobs WHERE state = 2 AND worker = $1 AND cancelled",
    )
    .bind(name(worker))
    .fetch_all(connection)
    .await
    .map_err(fault)?;
    Ok(runs.into_iter().map(stored::run).collect())
}

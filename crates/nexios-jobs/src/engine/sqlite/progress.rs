//! What running jobs say of themselves, and what they are to hear.

use sqlx::SqliteConnection;

use crate::{
    engine::{Run, RunProgress, WorkerId, outcome::Said, stored},
    error::JobsError,
};

use super::fault::fault;

pub(super) async fn note(
    connection: &mut SqliteConnection,
    progress: Vec<RunProgress>,
) -> Result<(), JobsError> {
    for RunProgress { run, progress } in progress {
        let said = Said::of(Some(progress));
        sqlx::query(
            "UPDATE nexios_jobs SET done = ?, total = ?, message = coalesce(?, message)
             WHERE id = ? AND fence = ? AND state = 2",
        )
        .bind(said.done)
        .bind(said.total)
        .bind(said.message)
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
    let runs = sqlx::query_as(
        "SELECT id, fence FROM nexios_jobs WHERE state = 2 AND worker = ? AND cancelled",
    )
    .bind(worker.0)
    .fetch_all(connection)
    .await
    .map_err(fault)?;
    Ok(runs.into_iter().map(stored::run).collect())
}

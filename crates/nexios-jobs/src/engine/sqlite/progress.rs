//! What running jobs say of themselves, and what they are to hear.

use sqlx::{Row, SqliteConnection, sqlite::SqliteRow};

use crate::{
    engine::{Progress, Run, RunProgress, WorkerId},
    error::JobsError,
    id::JobId,
};

use super::fault::fault;

/// Progress as it is bound to a statement; nothing where nothing was said.
#[derive(Default)]
pub(super) struct Parts {
    pub(super) done: Option<i64>,
    pub(super) total: Option<i64>,
    pub(super) message: Option<String>,
}

impl Parts {
    pub(super) fn of(progress: Option<Progress>) -> Self {
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
    let run = |row: &SqliteRow| {
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

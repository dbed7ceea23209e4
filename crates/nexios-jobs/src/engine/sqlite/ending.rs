//! How runs ended.

use sqlx::{Row, SqliteConnection};

use crate::{
    clock::millis,
    engine::{End, Ended},
    error::JobsError,
    state::JobState,
};

use super::{fault::fault, looking::state, progress::Parts};

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

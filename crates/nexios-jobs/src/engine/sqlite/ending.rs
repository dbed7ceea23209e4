//! How runs ended.

use sqlx::SqliteConnection;

use crate::{
    engine::{
        Ended, Run,
        outcome::{Outcome, Said},
        stored::{state, state_after},
    },
    error::JobsError,
    state::JobState,
};

use super::fault::fault;

pub(super) async fn finish(
    connection: &mut SqliteConnection,
    now: i64,
    ended: Vec<Ended>,
) -> Result<Vec<Option<JobState>>, JobsError> {
    let mut states = Vec::with_capacity(ended.len());
    for ended in ended {
        let run = ended.run;
        let state = match finish_one(connection, now, ended).await? {
            Some(state) => Some(state),
            None => written_before(connection, now, run).await?,
        };
        states.push(state);
    }
    Ok(states)
}

async fn finish_one(
    connection: &mut SqliteConnection,
    now: i64,
    ended: Ended,
) -> Result<Option<JobState>, JobsError> {
    let outcome = Outcome::of(ended.end);
    let said = Said::of(ended.progress);
    // One that waits for nothing is due.
    let state_then = match outcome.state {
        1 => i16::from(outcome.after.unwrap_or(0) == 0),
        ended => ended,
    };
    let row = sqlx::query_as(
        "UPDATE nexios_jobs SET
             state = CASE WHEN cancelled AND ?1 <> 4 THEN 6 ELSE ?1 END,
             run_at = CASE WHEN cancelled THEN run_at ELSE coalesce(?2, run_at) END,
             ended = CASE WHEN cancelled OR ?1 >= 4 THEN ?3 END,
             until = CASE WHEN cancelled OR ?1 >= 4 THEN ?3 + keep END,
             attempt = attempt - (?12 AND NOT cancelled),
             result = ?5,
             error = CASE WHEN cancelled THEN error ELSE coalesce(?6, error) END,
             history = json_set(history, '$[#-1].ended', ?3,
                 '$[#-1].end', CASE WHEN cancelled AND ?1 <> 4 THEN 'cancelled' ELSE ?4 END,
                 '$[#-1].error', CASE WHEN NOT cancelled THEN ?6 END),
             done = coalesce(?7, done), total = coalesce(?8, total), message = coalesce(?9, message),
             worker = NULL
         WHERE id = ?10 AND fence = ?11 AND state = 2
         RETURNING state, attempt, run_at",
    )
    .bind(state_then)
    .bind(outcome.after.map(|after| now.saturating_add(after)))
    .bind(now)
    .bind(outcome.word)
    .bind(outcome.result)
    .bind(outcome.error)
    .bind(said.done)
    .bind(said.total)
    .bind(said.message)
    .bind(ended.run.id.0)
    .bind(ended.run.fence)
    .bind(outcome.uncounted)
    .fetch_optional(connection)
    .await
    .map_err(fault)?;
    Ok(row.map(|(number, attempt, run_at)| state(number, attempt, run_at, now)))
}

/// What became of a run whose end is written already, by a call whose answer was lost.
///
/// The end of a run is written once: by its own worker, or by whoever took its job away, who says so.
async fn written_before(
    connection: &mut SqliteConnection,
    now: i64,
    run: Run,
) -> Result<Option<JobState>, JobsError> {
    let row = sqlx::query_as(
        "SELECT state, attempt, run_at, fence FROM nexios_jobs WHERE id = ?1 AND EXISTS (
             SELECT 1 FROM json_each(history) WHERE value ->> 'fence' = ?2
                 AND value ->> 'end' <> 'lost')",
    )
    .bind(run.id.0)
    .bind(run.fence)
    .fetch_optional(connection)
    .await
    .map_err(fault)?;
    Ok(row.map(|row| state_after(row, run, now)))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::{
        engine::{
            Added, Cause, Claimed, End, Ended, Engine, KEEP, NewJob, Wanted, When, Worker,
            WorkerId, settings::Settings, sqlite::SqliteEngine,
        },
        state::JobState,
    };

    /// Starts the one job there is, for a worker of its own.
    async fn claim(engine: &SqliteEngine) -> (Worker, crate::engine::Run) {
        let worker = Worker {
            id: WorkerId(7),
            host: "here".to_owned(),
            pid: 1,
        };
        engine.enroll(worker.clone()).await.unwrap();
        let wanted = Wanted {
            kind: "echo".into(),
            slots: 1,
            attempts: 3,
            keep: KEEP,
        };
        let Claimed { jobs, .. } = engine.claim(worker.clone(), vec![wanted]).await.unwrap();
        (worker, jobs[0].run)
    }

    async fn store(folder: &tempfile::TempDir) -> SqliteEngine {
        let settings = Settings {
            lease: Duration::from_secs(1),
            patience: Duration::from_secs(5),
        };
        let url = format!("sqlite:{}/jobs.db", folder.path().display());
        let engine = SqliteEngine::open(settings, &url).await.unwrap();
        let job = NewJob {
            kind: "echo".into(),
            args: "1".to_owned(),
            key: None,
            when: When::After(Duration::ZERO),
            priority: 0,
            origin: None,
        };
        let Added { was_new, .. } = engine.add(vec![job]).await.unwrap()[0];
        assert!(was_new);
        engine
    }

    #[tokio::test]
    async fn an_end_that_is_written_again_is_known_to_be_written() {
        let again = |cause| End::Again {
            after: Duration::ZERO,
            cause,
        };
        for (end, state) in [
            (End::Completed("1".to_owned()), JobState::Completed),
            (End::Failed("no".to_owned()), JobState::Failed),
            (End::Dead("no".to_owned()), JobState::Dead),
            (End::Cancelled, JobState::Cancelled),
            (again(Cause::Failed("busy".to_owned())), JobState::Retrying),
            (again(Cause::Snoozed), JobState::Ready),
            (End::HandedBack, JobState::Ready),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let engine = store(&folder).await;
            let (worker, run) = claim(&engine).await;
            let ended = Ended {
                run,
                end,
                progress: None,
            };
            for _ in 0..2 {
                let ends = vec![ended.clone()];
                let finished = engine.finish(ends, worker.clone(), Vec::new()).await;
                assert_eq!(finished.unwrap().states, [Some(state)], "{ended:?}");
            }
            if matches!(ended.end, End::Again { .. } | End::HandedBack) {
                let (_, next) = claim(&engine).await;
                assert_ne!(next, run);
                let finished = engine.finish(vec![ended], worker, Vec::new()).await;
                assert_eq!(finished.unwrap().states, [Some(JobState::Retrying)]);
            }
        }
    }

    #[tokio::test]
    async fn an_end_after_a_lost_lease_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let engine = store(&folder).await;
        let (worker, run) = claim(&engine).await;
        tokio::time::sleep(Duration::from_millis(1100)).await;
        let other = WorkerId(8);
        engine.renew(other).await.unwrap();
        let ended = Ended {
            run,
            end: End::Completed("1".to_owned()),
            progress: None,
        };
        let finished = engine.finish(vec![ended], worker, Vec::new()).await;
        assert_eq!(finished.unwrap().states, [None]);
    }
}

//! Jobs as the databases keep them: what the columns mean, and how those are found that a filter names.

use sqlx::{Database, Encode, QueryBuilder, Type};

use crate::{
    clock::from_millis,
    engine::{ClaimedJob, RecoveredJob, Run},
    filter::Filter,
    id::JobId,
    info::{AttemptRecord, JobInfo, JobPage},
    progress::JobProgress,
    state::JobState,
};

/// A row, in the order of its columns: `id, kind, state, key, priority, created, run_at, ended, attempt, history, done,
/// total, message, result, error`.
pub(super) type Stored = (
    i64,
    String,
    i64,
    Option<String>,
    i16,
    i64,
    i64,
    Option<i64>,
    i64,
    String,
    i64,
    i64,
    Option<String>,
    Option<String>,
    Option<String>,
);

/// The job of a row, as it is seen now.
pub(super) fn info(row: Stored, now: i64) -> JobInfo {
    let (
        id,
        kind,
        state_number,
        key,
        priority,
        created,
        run_at,
        ended,
        attempt,
        history,
        done,
        total,
        message,
        result,
        error,
    ) = row;
    let history: Vec<AttemptRecord> = serde_json::from_str(&history).unwrap_or_default();
    JobInfo {
        id: JobId(id),
        kind,
        state: state(state_number, attempt, run_at, now),
        key,
        priority,
        created: from_millis(created),
        run_at: from_millis(run_at),
        ended: ended.map(from_millis),
        attempt: attempt_number(attempt),
        attempts: history.into_iter().map(Into::into).collect(),
        done: done.cast_unsigned(),
        total: total.cast_unsigned(),
        message,
        result: result.and_then(|text| serde_json::from_str(&text).ok()),
        error,
    }
}

/// The page of the rows that [`select`] finds.
pub(super) fn page(rows: Vec<Stored>, filter: &Filter, now: i64) -> JobPage {
    let more = rows.len() > filter.page();
    let rows = rows.into_iter().take(filter.page());
    let jobs: Vec<_> = rows.map(|row| info(row, now)).collect();
    let next = jobs.last().filter(|_| more).map(|job| job.id);
    JobPage { jobs, next }
}

/// A job that was started: `id, fence, kind, attempt, args, origin, priority, run_at, done, total, message`.
pub(super) type Started = (
    i64,
    i64,
    String,
    i64,
    String,
    Option<String>,
    i16,
    i64,
    i64,
    i64,
    Option<String>,
);

/// The jobs that were started, in their order: what an update returns comes in none.
pub(super) fn claimed(mut rows: Vec<Started>) -> Vec<ClaimedJob> {
    rows.sort_by_key(|(id, .., priority, run_at, _, _, _)| (*priority, *run_at, *id));
    let job = |(id, fence, kind, attempt, args, origin, _, _, done, total, message): Started| {
        let (done, total) = (done.cast_unsigned(), total.cast_unsigned());
        let last = JobProgress {
            done,
            total,
            message,
        };
        ClaimedJob {
            run: run((id, fence)),
            kind,
            attempt: attempt_number(attempt),
            args,
            origin,
            last: last.if_any(),
        }
    };
    rows.into_iter().map(job).collect()
}

/// One start of a job: `id, fence`.
pub(super) fn run((id, fence): (i64, i64)) -> Run {
    Run {
        id: JobId(id),
        fence,
    }
}

/// The jobs whose workers were lost: `id, kind, attempt, state`, now due, dead or cancelled.
pub(super) fn recovered(rows: Vec<(i64, String, i64, i64)>) -> Vec<RecoveredJob> {
    let job = |(id, kind, attempt, number)| RecoveredJob {
        id: JobId(id),
        kind,
        attempt: attempt_number(attempt),
        state: state(number, attempt, 0, 0),
    };
    rows.into_iter().map(job).collect()
}

/// What the number in the column `state` means.
pub(super) fn state(number: i64, attempt: i64, run_at: i64, now: i64) -> JobState {
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

#[cfg(feature = "sqlite")]
/// What a run whose end is written has made of its job, of which there is now `state, attempt, run_at, fence`.
pub(super) fn state_after(
    (number, attempt, run_at, fence): (i64, i64, i64, i64),
    run: Run,
    now: i64,
) -> JobState {
    if fence == run.fence {
        state(number, attempt, run_at, now)
    } else {
        // It was to run again, and has begun to.
        JobState::Retrying
    }
}

/// Databases have numbers only with a sign.
fn attempt_number(number: i64) -> u32 {
    u32::try_from(number.max(0)).unwrap_or(u32::MAX)
}

/// Finds the jobs that a filter names, newest first, and one more than the page has, to know whether there is another page.
///
/// Conditions are written as the partial indexes have them; `waits` is that of those which wait.
pub(super) fn select<D: Database>(
    columns: &'static str,
    waits: &'static str,
    filter: &Filter,
    now: i64,
) -> QueryBuilder<D>
where
    i64: Type<D> + for<'q> Encode<'q, D>,
    String: Type<D> + for<'q> Encode<'q, D>,
{
    let mut query = QueryBuilder::new(columns);
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
                    query.push(waits).push(" AND attempt = 0 AND run_at > ");
                    query.push_bind(now)
                }
                JobState::Ready => {
                    query.push(waits).push(" AND attempt = 0 AND run_at <= ");
                    query.push_bind(now)
                }
                JobState::Retrying => query.push(waits).push(" AND attempt > 0"),
                JobState::Running => query.push("state = 2"),
                JobState::Completed => query.push("state = 4"),
                JobState::Failed => query.push("state > 4 AND state = 5"),
                JobState::Cancelled => query.push("state > 4 AND state = 6"),
                JobState::Dead => query.push("state > 4 AND state = 7"),
            };
        }
        query.push(")");
    }
    let most = i64::try_from(filter.page()).unwrap_or(i64::MAX);
    query
        .push(" ORDER BY id DESC LIMIT ")
        .push_bind(most.saturating_add(1));
    query
}

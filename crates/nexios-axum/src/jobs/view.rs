//! How a job looks in JSON. Never its arguments, which the store does not tell; times are milliseconds since 1970 in UTC.

use std::time::{SystemTime, UNIX_EPOCH};

use nexios_jobs::{AttemptEnd, JobAttempt, JobId, JobInfo};
use serde::Serialize;
use serde_json::Value;

/// A page of `GET /jobs`.
#[derive(Serialize)]
pub(super) struct Page {
    pub(super) jobs: Vec<JobView>,
    /// Where the next page begins, if there is one.
    pub(super) next: Option<JobId>,
}

/// The number is text, as that of a job is more than a number of JSON can be.
#[derive(Clone, PartialEq, Serialize)]
pub(super) struct JobView {
    pub(super) id: JobId,
    pub(super) kind: String,
    pub(super) state: &'static str,
    key: Option<String>,
    priority: i16,
    created_unix_ms: u64,
    run_at_unix_ms: u64,
    ended_unix_ms: Option<u64>,
    attempt: u32,
    done: u64,
    total: u64,
    message: Option<String>,
    error: Option<String>,
}

impl From<JobInfo> for JobView {
    fn from(job: JobInfo) -> Self {
        JobView {
            error: job.failure().map(str::to_owned),
            id: job.id,
            kind: job.kind,
            state: job.state.as_str(),
            key: job.key,
            priority: job.priority,
            created_unix_ms: millis(job.created),
            run_at_unix_ms: millis(job.run_at),
            ended_unix_ms: job.ended.map(millis),
            attempt: job.attempt,
            done: job.done,
            total: job.total,
            message: job.message,
        }
    }
}

impl JobView {
    /// Of one that was deleted, or has ended and was pruned: there is no more to be known.
    pub(super) fn gone(mut self) -> Self {
        self.state = "gone";
        self
    }
}

/// One job, with what became of its attempts.
#[derive(Serialize)]
pub(super) struct WholeJobView {
    #[serde(flatten)]
    job: JobView,
    /// The newest ones, oldest first.
    attempts: Vec<AttemptView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<Value>,
}

impl WholeJobView {
    pub(super) fn new(mut job: JobInfo, with_result: bool) -> Self {
        let attempts = std::mem::take(&mut job.attempts);
        let result = job.result.take().filter(|_| with_result);
        WholeJobView {
            job: job.into(),
            attempts: attempts.into_iter().map(AttemptView::from).collect(),
            result,
        }
    }
}

#[derive(Serialize)]
struct AttemptView {
    number: u32,
    started_unix_ms: u64,
    ended_unix_ms: Option<u64>,
    host: String,
    pid: u32,
    end: Option<AttemptEnd>,
    error: Option<String>,
}

impl From<JobAttempt> for AttemptView {
    fn from(attempt: JobAttempt) -> Self {
        AttemptView {
            number: attempt.number,
            started_unix_ms: millis(attempt.started),
            ended_unix_ms: attempt.ended.map(millis),
            host: attempt.host,
            pid: attempt.pid,
            end: attempt.end,
            error: attempt.error,
        }
    }
}

fn millis(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

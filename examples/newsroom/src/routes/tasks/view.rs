//! How a job looks among tasks.

use std::time::SystemTime;

use nexios_jobs::{AttemptEnd, JobAttempt, JobId, JobInfo, JobState};
use serde::Serialize;

/// As a task of nexios-axum looks, and who works on it. The number is text, as that of a job is more than a number of JSON can be.
#[derive(Clone, Serialize)]
pub(super) struct JobView {
    pub(super) id: JobId,
    name: String,
    pub(super) state: &'static str,
    #[serde(skip)]
    pub(super) has_ended: bool,
    done: u64,
    total: u64,
    message: Option<String>,
    attempt: u32,
    elapsed_ms: u64,
    error: Option<String>,
    /// Who has it now.
    worker: Option<String>,
    /// The newest ones, oldest first.
    attempts: Vec<AttemptView>,
}

#[derive(Clone, Serialize)]
struct AttemptView {
    number: u32,
    worker: String,
    end: Option<AttemptEnd>,
    error: Option<String>,
}

impl From<JobAttempt> for AttemptView {
    fn from(attempt: JobAttempt) -> Self {
        AttemptView {
            number: attempt.number,
            worker: format!("{}/{}", attempt.host, attempt.pid),
            end: attempt.end,
            error: attempt.error,
        }
    }
}

impl From<JobInfo> for JobView {
    fn from(job: JobInfo) -> Self {
        let error = job.failure().map(str::to_owned);
        let end = job.ended.unwrap_or_else(SystemTime::now);
        let elapsed = end.duration_since(job.created).unwrap_or_default();
        let attempts: Vec<AttemptView> = job.attempts.into_iter().map(AttemptView::from).collect();
        let newest = attempts.last().filter(|_| job.state == JobState::Running);
        JobView {
            worker: newest.map(|attempt| attempt.worker.clone()),
            id: job.id,
            name: job.kind,
            state: match job.state {
                JobState::Scheduled | JobState::Ready | JobState::Retrying => "queued",
                JobState::Dead => "failed",
                state => state.as_str(),
            },
            has_ended: job.state.is_final(),
            done: job.done,
            total: job.total,
            message: job.message,
            attempt: job.attempt,
            error,
            elapsed_ms: u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX),
            attempts,
        }
    }
}

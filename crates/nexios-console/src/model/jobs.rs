//! Durable jobs, of whatever machine.

use serde::Serialize;

use super::{Progress, Redact, Sensitive};

/// One page of the jobs of a store, and what is wrong with it.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct JobList {
    /// Whether there is a store at all.
    #[serde(skip)]
    pub(crate) has_store: bool,
    /// Whether the store has ever said what is there.
    #[serde(skip)]
    pub(crate) is_known: bool,
    /// Running ones, waiting ones, and then those that have ended; each newest first.
    pub(crate) jobs: Vec<Job>,
    /// What there is no room for.
    #[serde(rename = "jobs_left_out")]
    pub(crate) left_out: Vec<LeftOut>,
    #[serde(rename = "jobs_away")]
    pub(crate) away: Option<Away>,
}

#[derive(Debug, Clone, Serialize)]
pub(crate) struct Job {
    pub(crate) id: String,
    pub(crate) kind: String,
    pub(crate) state: &'static str,
    pub(crate) key: Option<Sensitive>,
    pub(crate) priority: i16,
    pub(crate) created_unix_ms: u64,
    /// When it may start, or start again.
    pub(crate) run_at_unix_ms: u64,
    pub(crate) ended_unix_ms: Option<u64>,
    /// Of those that count.
    pub(crate) attempt: u32,
    /// The newest, oldest first.
    pub(crate) attempts: Vec<JobAttempt>,
    pub(crate) progress: Option<Progress>,
    /// JSON as text.
    pub(crate) result: Option<Sensitive>,
    /// The last one.
    pub(crate) error: Option<Sensitive>,
}

#[derive(Debug, Clone, Serialize)]
pub(crate) struct JobAttempt {
    pub(crate) number: u32,
    pub(crate) started_unix_ms: u64,
    pub(crate) ended_unix_ms: Option<u64>,
    pub(crate) host: String,
    pub(crate) pid: u32,
    /// None of one that goes on.
    pub(crate) end: Option<&'static str>,
    pub(crate) error: Option<Sensitive>,
}

/// More jobs, by the questions that ask for them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct LeftOut {
    pub(crate) state: String,
    /// None where there was no room for any of them.
    pub(crate) before: Option<String>,
}

/// The store of jobs does not answer.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Away {
    pub(crate) since_unix_ms: u64,
    pub(crate) error: Option<Sensitive>,
}

impl Job {
    /// Cancelling does something, as long as it lives.
    pub(crate) fn lives(&self) -> bool {
        matches!(self.state, "scheduled" | "ready" | "running" | "retrying")
    }

    /// Its last error is of use beside its state: not where an attempt after it went well, or somebody has ended it.
    pub(crate) fn tells_its_error(&self) -> bool {
        !matches!(self.state, "completed" | "cancelled")
    }

    /// It waits for its time, which a retry does not.
    pub(crate) fn waits_for_its_time(&self) -> bool {
        matches!(self.state, "scheduled" | "retrying")
    }

    /// It has ended otherwise than well.
    pub(crate) fn can_be_revived(&self) -> bool {
        matches!(self.state, "failed" | "cancelled" | "dead")
    }
}

impl Redact for JobList {
    fn hide(&mut self) {
        self.jobs.hide();
        self.away.hide();
    }
}

impl Redact for Job {
    fn hide(&mut self) {
        self.key.hide();
        self.attempts.hide();
        self.progress.hide();
        self.result.hide();
        self.error.hide();
    }
}

impl Redact for JobAttempt {
    fn hide(&mut self) {
        self.error.hide();
    }
}

impl Redact for Away {
    fn hide(&mut self) {
        self.error.hide();
    }
}

/// What came of telling a job something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum JobAnswer {
    Done,
    /// There is no such job, or no store of jobs.
    Unknown,
    /// It is there, and in no state for it.
    Ended,
    /// The store does not answer: it may be done, or not.
    Away,
}

//! Background tasks, live and lately ended, schedules, and jobs.

use serde::Serialize;

use super::{JobList, Redact, Work};

#[derive(Debug, Clone, Serialize)]
pub(crate) struct Background {
    /// Live ones, oldest first, and then those that have ended, newest first.
    pub(crate) tasks: Vec<BackgroundTask>,
    pub(crate) schedules: Vec<Schedule>,
    #[serde(flatten)]
    pub(crate) jobs: JobList,
}

#[derive(Debug, Clone, Serialize)]
pub(crate) struct BackgroundTask {
    #[serde(flatten)]
    pub(crate) work: Work,
    pub(crate) registry: Option<String>,
    /// By its progress since its start.
    pub(crate) eta_ms: Option<f64>,
    pub(crate) ended_unix_ms: Option<u64>,
    /// From its start to its end, or until now.
    pub(crate) elapsed_ms: f64,
}

#[derive(Debug, Clone, Serialize)]
pub(crate) struct Schedule {
    pub(crate) name: String,
    pub(crate) next_unix_ms: Option<u64>,
}

impl Redact for Background {
    fn hide(&mut self) {
        self.tasks.hide();
        self.jobs.hide();
    }
}

impl Redact for BackgroundTask {
    fn hide(&mut self) {
        self.work.hide();
    }
}

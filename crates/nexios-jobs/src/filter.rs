use std::borrow::Cow;

use crate::{id::JobId, state::JobState};

/// Which jobs to list. Default: all, 100 a page.
///
/// # Examples
///
/// ```
/// use nexios_jobs::{Filter, JobState};
///
/// let dead_letters = Filter::new().kind("send newsletter").state(JobState::Dead).limit(50);
/// # let _ = dead_letters;
/// ```
#[derive(Debug, Clone, Default)]
#[must_use]
pub struct Filter {
    pub(crate) kind: Option<Cow<'static, str>>,
    /// Any of them; of none, all.
    pub(crate) states: Vec<JobState>,
    pub(crate) key: Option<String>,
    limit: Option<usize>,
    pub(crate) before: Option<JobId>,
}

impl Filter {
    /// All jobs.
    pub fn new() -> Self {
        Self::default()
    }

    /// Only jobs of this kind.
    pub fn kind(mut self, kind: impl Into<Cow<'static, str>>) -> Self {
        self.kind = Some(kind.into());
        self
    }

    /// Only jobs in this state; of several calls, in any of them.
    pub fn state(mut self, state: JobState) -> Self {
        if !self.states.contains(&state) {
            self.states.push(state);
        }
        self
    }

    /// Only jobs that were enqueued with this key, also those that have ended.
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// At most so many a page, 1 to 1,000. Default: 100.
    ///
    /// # Panics
    ///
    /// Panics if it is zero or over 1,000.
    #[track_caller]
    pub fn limit(mut self, limit: usize) -> Self {
        assert!(
            (1..=1000).contains(&limit),
            "limit({limit}): a page has 1 to 1,000 jobs"
        );
        self.limit = Some(limit);
        self
    }

    /// Only jobs that were enqueued before this one.
    pub fn before(mut self, id: JobId) -> Self {
        self.before = Some(id);
        self
    }

    pub(crate) fn page(&self) -> usize {
        self.limit.unwrap_or(100)
    }
}

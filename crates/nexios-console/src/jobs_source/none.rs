//! In the place of the store of jobs, where the feature `jobs` is off.

use std::sync::Arc;

use crate::{
    model::{JobAnswer, JobList},
    query::JobsQuery,
};

/// There are no jobs.
#[derive(Default)]
pub(crate) struct JobsSource(());

impl JobsSource {
    #[expect(clippy::unused_self, reason = "as a source with jobs has it")]
    pub(crate) fn rev(&self) -> u64 {
        0
    }

    #[expect(clippy::unused_self, reason = "as a source with jobs has it")]
    pub(crate) fn known(&self, _: &JobsQuery) -> JobList {
        JobList::default()
    }

    pub(crate) async fn look(self: &Arc<Self>, _: &JobsQuery) {}

    pub(crate) fn ask(self: &Arc<Self>, _: &JobsQuery) {}

    pub(crate) async fn cancel(&self, _: &str) -> JobAnswer {
        JobAnswer::Unknown
    }

    pub(crate) async fn retry(&self, _: &str) -> JobAnswer {
        JobAnswer::Unknown
    }
}

//! The jobs of a store that the routes show: all, or those of some kinds.

use std::borrow::Cow;

use nexios_jobs::{Filter, JobId, JobInfo, Jobs, JobsError};

use crate::problem::Problem;

#[derive(Debug, Clone)]
pub(super) struct Shown {
    pub(super) jobs: Jobs,
    /// All if there are none.
    pub(super) kinds: Vec<Cow<'static, str>>,
}

impl Shown {
    fn shows(&self, kind: &str) -> bool {
        self.kinds.is_empty() || self.kinds.iter().any(|shown| shown == kind)
    }

    /// The job of this number, if it is shown.
    pub(super) async fn get(&self, id: JobId) -> Result<Option<JobInfo>, JobsError> {
        let job = self.jobs.get(id).await?;
        Ok(job.filter(|job| self.shows(&job.kind)))
    }

    /// The same for those who know that it is there.
    pub(super) async fn find(&self, id: JobId) -> Result<JobInfo, Problem> {
        self.get(id)
            .await?
            .ok_or_else(|| Problem::not_found("There is no such job.").with("job", id.to_string()))
    }

    /// At most `limit` of the jobs that `filter` names, newest first, and before which the next ones are; of all kinds
    /// that are shown, or of one.
    pub(super) async fn page(
        &self,
        filter: Filter,
        kind: Option<String>,
        limit: usize,
    ) -> Result<(Vec<JobInfo>, Option<JobId>), JobsError> {
        let kinds = match kind {
            Some(kind) if self.shows(&kind) => vec![Some(Cow::Owned(kind))],
            Some(_) => Vec::new(),
            None if self.kinds.is_empty() => vec![None],
            None => self.kinds.iter().cloned().map(Some).collect(),
        };
        let (mut jobs, mut has_more) = (Vec::new(), false);
        // A page of each: the newest of all are among the newest of each.
        for kind in kinds {
            let filter = kind.into_iter().fold(filter.clone(), Filter::kind);
            let page = self.jobs.list(filter.limit(limit)).await?;
            has_more |= page.next.is_some();
            jobs.extend(page.jobs);
        }
        jobs.sort_by_key(|job| std::cmp::Reverse(job.id));
        has_more |= jobs.len() > limit;
        jobs.truncate(limit);
        let next = jobs.last().filter(|_| has_more).map(|job| job.id);
        Ok((jobs, next))
    }
}

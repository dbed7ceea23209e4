//! What happens to the jobs that are shown. However many follow it, the store is asked as often as for one.
//!
//! Those that run are followed, and the newest of those that wait: a store may have more of them than anybody reads of. One
//! that waits and is not among those any more is told no further, until it runs.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use nexios_jobs::{Filter, JobId, JobInfo, JobState, JobsError};
use tokio::time::Instant;

use super::{shown::Shown, view::JobView};
use crate::feed::{Feed, News, Watched};

/// How often the store is asked: often enough for a progress bar.
const LOOK: Duration = Duration::from_millis(250);

/// At most a tenth of the time is spent asking, but it is asked at least so often.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

const MOST_RUNNING: usize = 1000;

const MOST_WAITING: usize = 100;

impl Watched for Shown {
    type Id = JobId;

    const EVENT: &'static str = "job";

    const FULL: &'static str = "As many clients watch the jobs as may at a time.";

    async fn watch(feed: Arc<Feed<Self>>) {
        let followed = HashMap::new();
        Watcher { feed, followed }.run().await;
    }
}

/// Looks at the jobs, for all who watch.
struct Watcher {
    feed: Arc<Feed<Shown>>,
    /// The living jobs as they were last seen.
    followed: HashMap<JobId, JobView>,
}

impl Watcher {
    async fn run(mut self) {
        loop {
            let began = Instant::now();
            // While the store is away there is no news.
            let changes = self.look().await.unwrap_or_default();
            if !self.feed.publish(changes) {
                return;
            }
            let pause = began.elapsed().saturating_mul(9);
            tokio::time::sleep(pause.clamp(LOOK, LONGEST_PAUSE)).await;
        }
    }

    /// What has changed since the last look.
    async fn look(&mut self) -> Result<Vec<News<JobId>>, JobsError> {
        let shown = &self.feed.watched;
        let living = living(shown).await?;
        let mut out_of_sight = BTreeMap::new();
        for &id in self.followed.keys().filter(|id| !living.contains_key(id)) {
            out_of_sight.insert(id, shown.get(id).await?);
        }
        // All that could fail is done: what is noted as told is told.
        let mut changes = Vec::new();
        for (id, job) in living {
            let now = JobView::from(job);
            if self.followed.get(&id) != Some(&now) {
                changes.push(news(id, &now, false));
                self.followed.insert(id, now);
            }
        }
        for (id, job) in out_of_sight {
            let before = self.followed.remove(&id);
            let now = job.map(JobView::from).or_else(|| before.map(JobView::gone));
            changes.extend(now.map(|now| news(id, &now, true)));
        }
        Ok(changes)
    }
}

/// Those that are followed.
async fn living(shown: &Shown) -> Result<BTreeMap<JobId, JobInfo>, JobsError> {
    let waiting = [JobState::Scheduled, JobState::Ready, JobState::Retrying];
    let waiting = waiting.into_iter().fold(Filter::new(), Filter::state);
    let running = Filter::new().state(JobState::Running);
    let (waiting, _) = shown.page(waiting, None, MOST_WAITING).await?;
    // After the others, so that one which begins meanwhile is seen.
    let (running, _) = shown.page(running, None, MOST_RUNNING).await?;
    let jobs = waiting.into_iter().chain(running);
    Ok(jobs.map(|job| (job.id, job)).collect())
}

fn news(id: JobId, job: &JobView, ended: bool) -> News<JobId> {
    // Plain fields, which always are JSON.
    let text = serde_json::to_string(job).unwrap_or_default().into();
    News { id, text, ended }
}

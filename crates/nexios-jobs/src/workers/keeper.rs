//! Keeps what the workers have: renews their lease, stores progress, hears of cancels; where no handler can hold it up.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use nexios::CancelReason;
use tokio::time::{Instant, sleep_until};

use crate::{
    engine::{RecoveredJob, Renewal, RunProgress},
    log::log,
    state::JobState,
};

use super::shared::Shared;

/// How often running jobs are looked after: others see their progress, and they hear of a cancel, within a second.
const LOOK: Duration = Duration::from_millis(250);

/// The least time between two looks at a store that changes all the time.
const PACE: Duration = Duration::from_millis(50);

/// How often the lease is renewed, in its time.
const RENEWALS: u32 = 6;

/// How often ended jobs are deleted whose time is over.
const PRUNE: Duration = Duration::from_secs(60);

/// So many jobs of lost workers are named at a time, each by a line; of the rest one line says how many.
const MOST_NAMED: usize = 20;

/// Keeps them until all is over.
pub(super) async fn keep(shared: Arc<Shared>) {
    let mut changes = shared.engine.changes().listen();
    let mut lease = shared.engine.lease().map(Lease::new);
    let mut look = Instant::now();
    let mut prune = Instant::now() + PRUNE.mul_f64(0.5 + share() / 2.0);
    loop {
        let moment = lease.as_ref().map_or(look, |lease| lease.next.min(look));
        tokio::select! {
            () = shared.wait_until_over() => return,
            () = changes.changed(), if Instant::now() + PACE < look => look = Instant::now() + PACE,
            () = sleep_until(moment) => {
                if let Some(lease) = lease.as_mut().filter(|lease| lease.next <= Instant::now()) {
                    lease.renew(&shared).await;
                }
                if look <= Instant::now() {
                    look_after(&shared).await;
                    look = Instant::now() + LOOK;
                }
                if prune <= Instant::now() {
                    // What cannot be deleted now is deleted later.
                    let _ = shared.engine.prune().await;
                    prune = Instant::now() + PRUNE.mul_f64(0.5 + share() / 2.0);
                }
            }
        }
    }
}

/// A random number from 0 to 1.
fn share() -> f64 {
    (crate::random::number() >> 11) as f64 / (1_u64 << 53) as f64
}

/// Stores what running jobs say of themselves, and fires the tokens of those that are to end.
async fn look_after(shared: &Shared) {
    let attempts = shared.attempts();
    if attempts.is_empty() {
        return;
    }
    let mut progress = Vec::new();
    for attempt in &attempts {
        if attempt
            .deadline
            .is_some_and(|deadline| deadline <= Instant::now())
        {
            // It fires it by itself, unless it holds its thread.
            attempt.token.cancel(CancelReason::Deadline);
        }
        progress.extend(attempt.news().map(|progress| RunProgress {
            run: attempt.run,
            progress,
        }));
    }
    match shared.engine.news(shared.worker().id, progress).await {
        Ok(cancelled) => {
            for attempt in attempts
                .iter()
                .filter(|attempt| cancelled.contains(&attempt.run))
            {
                attempt.token.cancel(CancelReason::Requested);
            }
        }
        Err(_) => attempts.iter().for_each(|attempt| attempt.not_stored()),
    }
}

/// Says what became of the jobs of lost workers.
fn tell(recovered: &[RecoveredJob]) {
    for job in recovered.iter().filter(|job| job.state == JobState::Dead) {
        let RecoveredJob {
            id, kind, attempt, ..
        } = job;
        let error = crate::engine::LOST;
        log(|| tracing::error!(kind, %id, attempt, error, "the job is dead"));
    }
    let goes_on = |job: &&RecoveredJob| !job.state.is_final();
    let mut again = recovered.iter().filter(goes_on);
    for job in again.by_ref().take(MOST_NAMED) {
        let RecoveredJob {
            id, kind, attempt, ..
        } = job;
        log(|| tracing::warn!(kind, %id, attempt, "the worker was lost; the job is tried again"));
    }
    let more = again.count();
    if more > 0 {
        log(|| {
            tracing::warn!(
                more,
                "the worker was lost; so many more jobs are tried again"
            );
        });
    }
}

/// The lease of the workers.
struct Lease {
    length: Duration,
    /// When it was last renewed.
    renewed: Instant,
    /// When it is to be renewed.
    next: Instant,
}

impl Lease {
    fn new(length: Duration) -> Self {
        let now = Instant::now();
        Self {
            length,
            renewed: now,
            next: now + length / RENEWALS,
        }
    }

    async fn renew(&mut self, shared: &Shared) {
        let began = Instant::now();
        let renewal = shared.engine.renew(shared.worker().id).await;
        self.next = began + self.length / RENEWALS;
        match renewal {
            Ok(Renewal { lost, recovered }) => {
                // Relaxed: a statistic.
                let count = recovered.len() as u64;
                shared.counts.recovered.fetch_add(count, Ordering::Relaxed);
                tell(&recovered);
                if !lost {
                    self.renewed = began;
                    return;
                }
                log(|| {
                    tracing::warn!("the lease of the workers was lost: others may have their jobs");
                });
                shared.cancel_all(CancelReason::OwnerDropped);
                if shared.engine.enroll(shared.renumber()).await.is_ok() {
                    self.renewed = began;
                }
                shared.told.notify_one();
            }
            Err(error) => {
                log(|| tracing::warn!(%error, "the lease of the workers was not renewed"));
                if began.duration_since(self.renewed) >= self.length {
                    // Whether others have the jobs cannot be known; a live job must not run twice.
                    shared.cancel_all(CancelReason::OwnerDropped);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    };

    use tracing::{Event, Metadata, Subscriber, span};

    use super::*;
    use crate::id::JobId;

    /// Counts lines.
    struct Lines(Arc<AtomicUsize>);

    impl Subscriber for Lines {
        fn enabled(&self, _: &Metadata<'_>) -> bool {
            true
        }

        fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
            span::Id::from_u64(1)
        }

        fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

        fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

        fn event(&self, _: &Event<'_>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }

        fn enter(&self, _: &span::Id) {}

        fn exit(&self, _: &span::Id) {}
    }

    fn lines(count: i64, state: JobState) -> usize {
        let job = |id| RecoveredJob {
            id: JobId(id),
            kind: "echo".to_owned(),
            attempt: 1,
            state,
        };
        let jobs: Vec<_> = (1..=count).map(job).collect();
        let lines = Arc::new(AtomicUsize::new(0));
        tracing::subscriber::with_default(Lines(lines.clone()), || tell(&jobs));
        lines.load(Ordering::Relaxed)
    }

    #[test]
    fn ten_thousand_jobs_of_lost_workers_are_no_ten_thousand_lines() {
        assert_eq!(lines(10_000, JobState::Retrying), MOST_NAMED + 1);
        assert_eq!(lines(20, JobState::Retrying), 20);
        assert_eq!(lines(2, JobState::Dead), 2);
        assert_eq!(lines(2, JobState::Cancelled), 0, "they have ended as asked");
    }
}

//! The thread pools.

use nexios::{
    PoolStats,
    observe::{self, Living, WorkId, WorkKind},
};

use crate::{
    model::{Answer, Pool, PoolJob, PoolState, Pools, milliseconds},
    store::{
        Store,
        history::{Second, is_saturated},
        live::Live,
        moment::Moment,
        text::{NAME, bounded},
    },
};

impl Store {
    pub(crate) fn pools(&self) -> Answer<Pools> {
        let rev = self.rev();
        let now = self.clock.now();
        let pools = observe::snapshot().pools;
        self.history.take(&pools, now);
        let running = self
            .lives
            .copies(|_, live| live.kind == WorkKind::PoolJob && live.started.is_some());
        Answer::new(
            rev,
            Pools {
                pools: pools
                    .into_iter()
                    .map(|pool| self.pool(pool, &running, now))
                    .collect(),
            },
        )
    }

    fn pool(
        &self,
        Living {
            id, name, stats, ..
        }: Living<PoolStats>,
        running: &[(WorkId, Live)],
        now: Moment,
    ) -> Pool {
        let history = self.history.of(id, now);
        Pool {
            id: id.0,
            oldest_running: oldest(&name, running),
            name: name.into_owned(),
            state: state(&stats, &history, now),
            threads: stats.threads,
            running: stats.running,
            queued: stats.queued,
            wait_p50_ms: milliseconds(stats.wait_p50),
            wait_p95_ms: milliseconds(stats.wait_p95),
            completed: stats.completed,
            shed: stats.shed,
            cancelled: stats.cancelled,
            oldest_running_ms: stats.oldest_running.map(milliseconds),
            history: history.iter().map(|second| self.point(second)).collect(),
        }
    }

    fn point(&self, second: &Second) -> (u64, usize, usize) {
        (
            self.clock.unix_ms(second.taken),
            second.running,
            second.queued,
        )
    }
}

/// Of the jobs of the pool with this name.
fn oldest(pool: &str, running: &[(WorkId, Live)]) -> Option<PoolJob> {
    let pool = bounded(pool, NAME);
    let jobs = running
        .iter()
        .filter(|(_, live)| live.owner.as_ref() == Some(&pool));
    let (id, live) = jobs.min_by_key(|(id, live)| (live.started, *id))?;
    Some(PoolJob {
        id: id.0,
        name: live.name.to_string(),
        request: live.request().map(|request| request.0),
        route: live.tree.as_ref().map(|tree| tree.route.to_string()),
    })
}

fn state(stats: &PoolStats, history: &[Second], now: Moment) -> PoolState {
    if is_saturated(history, now) {
        PoolState::Saturated
    } else if stats.running >= stats.threads || stats.queued > 0 {
        PoolState::Busy
    } else {
        PoolState::Free
    }
}

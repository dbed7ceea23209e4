//! The thread pools.

use std::{borrow::Cow, collections::HashMap};

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
        let mut names = HashMap::<Cow<'static, str>, usize>::new();
        for pool in &pools {
            *names.entry(pool.name.clone()).or_default() += 1;
        }
        let pool = |pool: Living<PoolStats>| {
            let is_twin = names.get(&pool.name).is_some_and(|pools| *pools > 1);
            self.pool(pool, is_twin, &running, now)
        };
        let pools = pools.into_iter().map(pool).collect();
        Answer::new(rev, Pools { pools })
    }

    fn pool(
        &self,
        Living {
            id, name, stats, ..
        }: Living<PoolStats>,
        is_twin: bool,
        running: &[(WorkId, Live)],
        now: Moment,
    ) -> Pool {
        let history = self.history.of(id, now);
        Pool {
            id: id.0,
            oldest_running: oldest(&name, is_twin, running),
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

/// Of the jobs of the pool with this name; of pools that share one nobody knows whose a job is.
fn oldest(pool: &str, is_twin: bool, running: &[(WorkId, Live)]) -> Option<PoolJob> {
    if is_twin {
        return None;
    }
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

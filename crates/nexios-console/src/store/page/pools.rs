//! The thread pools.

use nexios::{
    PoolStats,
    observe::{self, Living},
};

use crate::{
    model::{Answer, Pool, PoolState, Pools, milliseconds},
    store::{
        Store,
        history::{Second, is_saturated},
        moment::Moment,
    },
};

impl Store {
    pub(crate) fn pools(&self) -> Answer<Pools> {
        let rev = self.rev();
        let now = self.clock.now();
        let pools = observe::snapshot().pools;
        self.history.take(&pools, now);
        Answer::new(
            rev,
            Pools {
                pools: pools.into_iter().map(|pool| self.pool(pool, now)).collect(),
            },
        )
    }

    fn pool(
        &self,
        Living {
            id, name, stats, ..
        }: Living<PoolStats>,
        now: Moment,
    ) -> Pool {
        let history = self.history.of(id, now);
        Pool {
            id: id.0,
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

fn state(stats: &PoolStats, history: &[Second], now: Moment) -> PoolState {
    if is_saturated(history, now) {
        PoolState::Saturated
    } else if stats.running >= stats.threads || stats.queued > 0 {
        PoolState::Busy
    } else {
        PoolState::Free
    }
}

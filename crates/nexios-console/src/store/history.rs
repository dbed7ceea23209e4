//! Two minutes of each pool, second by second: taken when one of its jobs says something, or when somebody looks.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use nexios::{
    PoolStats,
    observe::{Living, WorkId},
};

use super::{memory::Memory, moment::Moment};

/// Seconds.
const KEPT: usize = 120;

/// Pools; of further ones no history is kept.
const POOLS: usize = 100;

/// How long a pool is called saturated after it was.
const AFTERMATH: Duration = Duration::from_secs(10);

const A_SECOND: Duration = Duration::from_secs(1);

/// How long a queue may be too long.
const PATIENCE: Duration = Duration::from_secs(10);

/// How a pool was in one second.
#[derive(Debug, Clone, Copy)]
pub(super) struct Second {
    pub(super) taken: Moment,
    pub(super) running: usize,
    pub(super) queued: usize,
    /// Callers wait for a place in the queue.
    full: bool,
    /// Refused since the pool was made.
    shed: u64,
    /// When the last of those was refused that this look found. The first job of a second has the pools looked at, so it was no later
    /// than a second after the look before.
    shed_at: Option<Moment>,
    /// The queue is twice as long as there are threads: who comes last waits for two jobs and more.
    too_long: bool,
}

#[derive(Debug)]
pub(super) struct History {
    pools: Mutex<HashMap<WorkId, VecDeque<Second>>>,
    /// The second that was taken last when a job was made, and when one had ended; and one.
    taken: [AtomicU64; 2],
    memory: Arc<Memory>,
}

/// What a pool takes, as soon as there is one.
const BYTES: usize = KEPT.next_power_of_two() * size_of::<Second>();

/// What a job says when the pools are looked at. Each has its turn in a second: after the last job of a busy time they look
/// idle, and not as busy as they were when it came.
#[derive(Debug, Clone, Copy)]
pub(super) enum Edge {
    Made,
    Ended,
}

impl History {
    pub(super) fn new(memory: Arc<Memory>) -> Self {
        Self {
            pools: Mutex::default(),
            taken: Default::default(),
            memory,
        }
    }

    /// Whether nobody has taken this second yet; who is told so has to.
    pub(super) fn is_due(&self, edge: Edge, now: Moment) -> bool {
        let (taken, second) = (&self.taken[edge as usize], now.second() + 1);
        // Relaxed: it keeps the others from the same work, and guards nothing.
        taken.load(Ordering::Relaxed) < second
            && taken.fetch_max(second, Ordering::Relaxed) < second
    }

    pub(super) fn take(&self, pools: &[Living<PoolStats>], now: Moment) {
        // Pools that are gone; others may look at the same time and see more or fewer.
        self.lock().retain(|id, _| {
            let lives = pools.iter().any(|pool| pool.id == *id);
            if !lives {
                self.memory.give_back(BYTES);
            }
            lives
        });
        pools
            .iter()
            .for_each(|pool| self.note(pool.id, &pool.stats, now));
    }

    fn note(&self, pool: WorkId, stats: &PoolStats, now: Moment) {
        let mut histories = self.lock();
        if histories.len() >= POOLS && !histories.contains_key(&pool) {
            return;
        }
        let history = histories.entry(pool).or_insert_with(|| {
            self.memory.take(BYTES);
            VecDeque::with_capacity(KEPT)
        });
        let mut second = Second::new(stats, now);
        let last = history.back().copied();
        second.shed_at = last
            .filter(|last| second.shed > last.shed)
            .map(|last| now.min(last.taken.plus(A_SECOND)));
        if let Some(last) = last.filter(|last| last.taken.second() == now.second()) {
            history.pop_back();
            second.shed_at = second.shed_at.or(last.shed_at);
            second.full |= last.full;
        } else if history.len() == KEPT {
            history.pop_front();
        }
        history.push_back(second);
    }

    /// The last two minutes, oldest first.
    pub(super) fn of(&self, pool: WorkId, now: Moment) -> Vec<Second> {
        let histories = self.lock();
        let seconds = histories.get(&pool).into_iter().flatten();
        seconds
            .filter(|second| now.since(second.taken) <= Duration::from_secs(KEPT as u64))
            .copied()
            .collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<WorkId, VecDeque<Second>>> {
        self.pools.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Second {
    fn new(stats: &PoolStats, now: Moment) -> Self {
        Self {
            taken: now,
            running: stats.running,
            queued: stats.queued,
            full: stats.waiting > 0,
            shed: stats.shed,
            shed_at: None,
            too_long: stats.queued > 2 * stats.threads,
        }
    }
}

/// Whether callers are shed or wait for a place, or did in the last seconds.
pub(super) fn is_saturated(history: &[Second], now: Moment) -> bool {
    let recent = |moment: Moment| now.since(moment) <= AFTERMATH;
    history
        .iter()
        .any(|second| second.full && recent(second.taken) || second.shed_at.is_some_and(recent))
}

/// Since when the queue is too long, if that is for longer than it may be. Between two looks nothing is thought to have changed.
pub(super) fn too_long_since(history: &[Second], now: Moment) -> Option<Moment> {
    let since = history
        .iter()
        .rev()
        .take_while(|second| second.too_long)
        .last()?
        .taken;
    (now.since(since) >= PATIENCE).then_some(since)
}

#[cfg(test)]
mod tests {
    use nexios::ThreadPool;

    use super::*;

    const POOL: WorkId = WorkId(1);

    /// Stats can only be had from a pool.
    fn stats() -> PoolStats {
        ThreadPool::builder().threads(2).build().stats()
    }

    fn at(millis: u64) -> Moment {
        Moment::after(Duration::from_millis(millis))
    }

    #[test]
    fn a_second_is_taken_once_when_jobs_are_made_and_once_when_they_end() {
        let history = History::new(Arc::new(Memory::new(1 << 20)));
        let due = [10, 20, 990, 1_010].map(|millis| history.is_due(Edge::Made, at(millis)));
        assert_eq!(due, [true, false, false, true]);
        assert!(history.is_due(Edge::Ended, at(1_020)));
    }

    #[test]
    fn two_minutes_are_kept_a_second_each() {
        let history = History::new(Arc::new(Memory::new(1 << 20)));
        for half in 0..600 {
            let mut stats = stats();
            stats.queued = half;
            history.note(POOL, &stats, at(half as u64 * 500));
        }
        let kept = history.of(POOL, at(299_500));
        assert_eq!(
            (kept.len(), kept[0].queued, kept[119].queued),
            (120, 361, 599)
        );
        assert_eq!(history.of(POOL, at(360_000)).len(), 60);
    }

    #[test]
    fn a_pool_is_saturated_until_ten_seconds_after_it_has_shed() {
        let history = History::new(Arc::new(Memory::new(1 << 20)));
        let mut stats = stats();
        stats.shed = 7;
        history.note(POOL, &stats, at(0));
        assert!(
            !is_saturated(&history.of(POOL, at(0)), at(0)),
            "what it shed before is over"
        );
        stats.shed = 8;
        history.note(POOL, &stats, at(100));
        history.note(POOL, &stats, at(200));
        assert!(is_saturated(&history.of(POOL, at(200)), at(200)));
        for second in 1..12 {
            history.note(POOL, &stats, at(second * 1_000));
        }
        assert!(is_saturated(&history.of(POOL, at(10_100)), at(10_100)));
        assert!(!is_saturated(&history.of(POOL, at(11_000)), at(11_000)));
        stats.waiting = 1;
        history.note(POOL, &stats, at(12_000));
        assert!(
            is_saturated(&history.of(POOL, at(12_000)), at(12_000)),
            "callers wait for a place"
        );
    }

    #[test]
    fn a_pool_that_has_shed_long_ago_is_not_saturated_when_somebody_looks() {
        let history = History::new(Arc::new(Memory::new(1 << 20)));
        let mut stats = stats();
        history.note(POOL, &stats, at(100));
        stats.shed = 1;
        history.note(POOL, &stats, at(200));
        // In the rest of that second, in which nobody looked again.
        stats.shed = 100;
        history.note(POOL, &stats, at(9_000));
        assert!(is_saturated(&history.of(POOL, at(9_000)), at(9_000)));
        let history = History::new(Arc::new(Memory::new(1 << 20)));
        stats.shed = 1;
        history.note(POOL, &stats, at(200));
        stats.shed = 100;
        history.note(POOL, &stats, at(100_000));
        assert!(!is_saturated(&history.of(POOL, at(100_000)), at(100_000)));
    }

    #[test]
    fn a_queue_is_too_long_once_it_was_for_ten_seconds() {
        let history = History::new(Arc::new(Memory::new(1 << 20)));
        let mut stats = stats();
        for (second, queued) in [(0, 9), (1, 3), (2, 5), (6, 9), (11, 5)] {
            stats.queued = queued;
            history.note(POOL, &stats, at(second * 1_000));
        }
        let since = |millis| too_long_since(&history.of(POOL, at(millis)), at(millis));
        assert_eq!(since(11_500), None);
        assert_eq!(since(12_000), Some(at(2_000)));
        stats.queued = 4;
        history.note(POOL, &stats, at(12_500));
        assert_eq!(since(13_000), None);
    }
}

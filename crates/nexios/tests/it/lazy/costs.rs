//! What many callers and many keys cost: in proportion to their number.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use nexios::{AsyncLazy, AsyncLazyMap};

use super::{Source, poll_once, settle};
use crate::race::linear;

type Cell = AsyncLazy<usize, super::Broken>;
type Map = AsyncLazyMap<usize, usize, super::Broken>;

async fn waiting(cell: &Cell, callers: usize) -> Vec<impl Future + Unpin + use<'_>> {
    let mut calls: Vec<_> = (0..callers).map(|_| cell.get()).collect();
    for call in &mut calls {
        assert!(poll_once(call).is_pending());
    }
    settle().await;
    calls
}

fn timed(work: impl FnOnce()) -> Duration {
    let began = Instant::now();
    work();
    began.elapsed()
}

#[tokio::test]
async fn callers_leave_in_any_order_at_a_cost_that_is_linear() {
    for order in [0, 1, 2] {
        linear("leaving", 10_000, async |callers| {
            let source = Source::new();
            let cell = source.builder().build();
            let mut calls = waiting(&cell, callers).await;
            match order {
                0 => {}
                1 => calls.reverse(),
                _ => {
                    calls.sort_by_cached_key(|call| {
                        std::ptr::from_ref(call).addr().wrapping_mul(0x9e37_79b9)
                    });
                }
            }
            timed(|| drop(calls))
        })
        .await;
    }
}

#[tokio::test]
async fn callers_are_answered_at_a_cost_that_is_linear() {
    linear("landing", 10_000, async |callers| {
        let source = Source::new();
        let cell = source.builder().build();
        let calls = waiting(&cell, callers).await;
        let began = Instant::now();
        source.let_through(1);
        for call in calls {
            call.await;
        }
        began.elapsed()
    })
    .await;
}

fn map(source: &Arc<Source>, keys: usize) -> Map {
    let source = Arc::clone(source);
    AsyncLazyMap::new(2 * keys, move |_| {
        let computation = Arc::clone(&source).compute();
        async move { Ok(computation.await) }
    })
}

#[tokio::test]
async fn the_flights_of_a_map_end_at_a_cost_that_is_linear() {
    for ending in ["landing", "leaving", "clearing", "resetting", "dropping"] {
        linear(ending, 4_000, async |keys| {
            let source = Source::new();
            let map = map(&source, keys);
            let names: Vec<usize> = (0..keys).collect();
            let mut calls: Vec<_> = names.iter().map(|key| map.get(key)).collect();
            for call in &mut calls {
                assert!(poll_once(call).is_pending());
            }
            while source.started() < keys {
                tokio::task::yield_now().await;
            }
            let began = Instant::now();
            match ending {
                "landing" => {
                    source.let_through(keys);
                    for call in calls {
                        assert!(call.await.is_ok());
                    }
                    return began.elapsed();
                }
                "clearing" => map.reset_all(),
                "resetting" => names.iter().for_each(|key| map.reset(key)),
                _ => {}
            }
            drop(calls);
            drop(map);
            began.elapsed()
        })
        .await;
    }
}

#[tokio::test]
async fn the_entries_of_a_map_are_cleared_at_a_cost_that_is_linear() {
    for ending in ["clearing", "resetting", "dropping"] {
        linear(ending, 10_000, async |keys| {
            let map = map(&Source::new(), keys);
            (0..keys).for_each(|key| map.set(key, key));
            timed(|| match ending {
                "clearing" => map.reset_all(),
                "resetting" => (0..keys).for_each(|key| map.reset(&key)),
                _ => drop(map),
            })
        })
        .await;
    }
}

/// Each is computed from the one before, and they are asked for from the first or from the last.
#[tokio::test]
async fn a_chain_of_values_begins_and_ends_at_a_cost_that_is_linear() {
    for from_the_first in [false, true] {
        linear("chain", 500, async |length| {
            let source = Source::new();
            let mut values: Vec<Arc<Cell>> = vec![source.cell()];
            for _ in 0..length {
                let before = Arc::clone(&values[values.len() - 1]);
                values.push(Arc::new(AsyncLazy::new(move || {
                    let before = Arc::clone(&before);
                    async move {
                        before
                            .get()
                            .await
                            .map(|value| *value)
                            .map_err(|_| super::Broken(0))
                    }
                })));
            }
            let began = Instant::now();
            let last = values.len() - 1;
            let asked = if from_the_first {
                0..=last
            } else {
                last..=last
            };
            let mut calls: Vec<_> = asked.map(|index| values[index].get()).collect();
            for call in &mut calls {
                assert!(poll_once(call).is_pending());
                if from_the_first {
                    tokio::task::yield_now().await;
                }
            }
            while source.started() == 0 {
                tokio::task::yield_now().await;
            }
            settle().await;
            drop(calls);
            began.elapsed()
        })
        .await;
    }
}

/// The first of a map's values is computed from many others, and many more from the first.
#[tokio::test]
async fn many_wait_for_a_value_that_waits_for_many_at_a_cost_that_is_linear() {
    linear("many waits", 300, async |many| {
        let map: Arc<std::sync::OnceLock<Map>> = Arc::default();
        let own = Arc::downgrade(&map);
        let compute = move |key: usize| {
            let own = own.clone();
            async move {
                let map = own.upgrade().ok_or(super::Broken(key))?;
                let map = map.get().ok_or(super::Broken(key))?;
                if key == 0 {
                    let keys: Vec<usize> = (1..=many).collect();
                    futures_util::future::join_all(keys.iter().map(|key| map.get(key))).await;
                } else if key > many {
                    return map
                        .get(&0)
                        .await
                        .map(|value| *value)
                        .map_err(|_| super::Broken(key));
                }
                std::future::pending().await
            }
        };
        let map = map.get_or_init(|| Map::new(100_000, compute));
        let keys: Vec<usize> = (0..=2 * many)
            .filter(|key| *key == 0 || *key > many)
            .collect();
        let mut calls: Vec<_> = keys.iter().map(|key| map.get(key)).collect();
        assert!(poll_once(&mut calls[0]).is_pending());
        settle().await;
        let began = Instant::now();
        for call in &mut calls[1..] {
            assert!(poll_once(call).is_pending());
        }
        while map.stats().computations < 2 * many as u64 + 1 {
            tokio::task::yield_now().await;
        }
        settle().await;
        drop(calls);
        began.elapsed()
    })
    .await;
}

//! Many threads, few places: what must hold on real threads.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};

use nexios::AsyncLazyMap;

use super::{super::histories::model::Random, Broken, computing, poll_once};

const KEYS: usize = 24;

struct Running {
    by_key: [AtomicUsize; KEYS],
    most: AtomicUsize,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn with_eviction_a_key_still_has_one_computation_at_a_time() {
    // LZ-003 with a map of five places for 24 keys.
    for round in 0..20 {
        let running = Arc::new(Running {
            by_key: std::array::from_fn(|_| AtomicUsize::new(0)),
            most: AtomicUsize::new(0),
        });
        let map = {
            let running = running.clone();
            Arc::new(AsyncLazyMap::<usize, usize, Broken>::new(5, move |key| {
                let now = running.by_key[key].fetch_add(1, SeqCst) + 1;
                running.most.fetch_max(now, SeqCst);
                let running = running.clone();
                async move {
                    for _ in 0..key % 4 {
                        tokio::task::yield_now().await;
                    }
                    running.by_key[key].fetch_sub(1, SeqCst);
                    Ok(key)
                }
            }))
        };
        let callers: Vec<_> = (0..8)
            .map(|caller| {
                let map = map.clone();
                tokio::spawn(async move {
                    let mut random = Random::new(round * 8 + caller);
                    for _ in 0..200 {
                        let key = random.below(KEYS);
                        match random.below(8) {
                            0 => assert_eq!(*map.refresh(&key).await.unwrap(), key),
                            1 => assert!(map.peek(&key).is_none_or(|value| *value == key)),
                            _ => assert_eq!(*map.get(&key).await.unwrap(), key),
                        }
                        assert!(map.len() <= 5);
                    }
                })
            })
            .collect();
        for caller in callers {
            caller.await.unwrap();
        }
        assert_eq!(running.most.load(SeqCst), 1);
        assert_eq!(computing(&map), 0);
        let stats = map.stats();
        assert_eq!(stats.hits + stats.waits + stats.misses + stats.stale, {
            let mut gets = 0;
            for caller in 0..8 {
                let mut random = Random::new(round * 8 + caller);
                for _ in 0..200 {
                    random.below(KEYS);
                    gets += u64::from(random.below(8) > 1);
                }
            }
            gets
        });
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn resets_sets_evictions_and_leaving_callers_leave_nothing_behind() {
    // A value is its key and the number of resets of that key before its computation began.
    for round in 0..20 {
        let resets: Arc<Vec<AtomicUsize>> =
            Arc::new((0..KEYS).map(|_| AtomicUsize::new(0)).collect());
        let map = {
            let resets = resets.clone();
            Arc::new(
                AsyncLazyMap::<usize, (usize, usize), Broken>::builder(5, move |key| {
                    let value = (key, resets[key].load(SeqCst));
                    async move {
                        for _ in 0..key % 3 {
                            tokio::task::yield_now().await;
                        }
                        Ok(value)
                    }
                })
                .keep_warm(round % 3 == 0)
                .build(),
            )
        };
        let callers: Vec<_> = (0..8)
            .map(|caller| {
                let (map, resets) = (map.clone(), resets.clone());
                tokio::spawn(async move {
                    let mut random = Random::new(1_000 + round * 8 + caller);
                    for step in 0..200 {
                        let key = random.below(KEYS);
                        match random.below(10) {
                            0 => {
                                // Counted before the reset: what began before it may have either number.
                                resets[key].fetch_add(1, SeqCst);
                                map.reset(&key);
                            }
                            1 => drop(poll_once(&mut map.get(&key))),
                            2 if step % 20 == 0 => {
                                for resets in resets.iter() {
                                    resets.fetch_add(1, SeqCst);
                                }
                                map.reset_all();
                            }
                            _ => assert_eq!(map.get(&key).await.unwrap().0, key),
                        }
                    }
                })
            })
            .collect();
        for caller in callers {
            caller.await.unwrap();
        }
        // Every key's last reset has returned, so nothing older may be seen.
        map.reset_all();
        let before: HashMap<usize, usize> = resets
            .iter()
            .map(|resets| resets.load(SeqCst))
            .enumerate()
            .collect();
        for key in 0..KEYS {
            assert_eq!(*map.get(&key).await.unwrap(), (key, before[&key]));
        }
        assert_eq!(computing(&map), 0);
        assert!(map.len() <= 5);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_get_after_reset_all_sees_nothing_older_however_they_race() {
    let began: Arc<Mutex<u64>> = Arc::default();
    let map = {
        let began = began.clone();
        Arc::new(AsyncLazyMap::<usize, u64, Broken>::new(50, move |_| {
            let now = *began.lock().unwrap();
            async move {
                tokio::task::yield_now().await;
                Ok(now)
            }
        }))
    };
    let readers: Vec<_> = (0..3)
        .map(|reader| {
            let (map, began) = (map.clone(), began.clone());
            tokio::spawn(async move {
                let mut random = Random::new(reader);
                for _ in 0..3_000 {
                    // What was reset by now must not be seen.
                    let at_least = *began.lock().unwrap();
                    let value = *map.get(&random.below(60)).await.unwrap();
                    assert!(value >= at_least.saturating_sub(1), "{value} of {at_least}");
                }
            })
        })
        .collect();
    for _ in 0..500 {
        *began.lock().unwrap() += 1;
        map.reset_all();
        tokio::task::yield_now().await;
    }
    for reader in readers {
        reader.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn reset_all_is_seen_for_all_keys_at_one_instant() {
    // Whoever has seen one key after it sees no key from before it, though the entries are thrown away one by
    // one.
    const MANY: usize = 2_000;
    let epoch = Arc::new(AtomicUsize::new(0));
    let map = {
        let epoch = epoch.clone();
        Arc::new(AsyncLazyMap::<usize, usize, Broken>::new(
            10 * MANY,
            move |_| {
                let now = epoch.load(SeqCst);
                async move { Ok(now) }
            },
        ))
    };
    for round in 0..15 {
        for key in 0..MANY {
            map.set(key, round);
        }
        epoch.store(round + 1, SeqCst);
        let readers: Vec<_> = (0..2)
            .map(|reader| {
                let map = map.clone();
                tokio::spawn(async move {
                    let mut random = Random::new((round * 2 + reader) as u64);
                    let mut seen = round;
                    for _ in 0..20_000 {
                        let value = *map.get(&random.below(MANY)).await.unwrap();
                        assert!(value >= seen, "{value} after {seen}");
                        seen = value;
                        if seen > round && random.below(50) == 0 {
                            return;
                        }
                    }
                })
            })
            .collect();
        let resetting = map.clone();
        tokio::task::spawn_blocking(move || resetting.reset_all())
            .await
            .unwrap();
        for reader in readers {
            reader.await.unwrap();
        }
    }
}

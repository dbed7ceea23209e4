//! Lazy values: hits, with and without a time to live, on one to four threads; first calls; maps.

use std::{
    future::Future,
    hint::black_box,
    rc::Rc,
    sync::{
        Arc,
        mpsc::{Receiver, Sender, channel},
    },
    thread,
    time::Duration,
};

use benches::{Contest, Side};
use nexios::{AsyncLazy, AsyncLazyMap};
use tokio::{
    runtime::{Builder, Runtime},
    sync::OnceCell,
};

type Named = (String, Box<dyn FnOnce() -> Contest>);
type Lazy = Arc<AsyncLazy<u64, String>>;
type Map = Arc<AsyncLazyMap<u64, u64, String>>;

const HOUR: Duration = Duration::from_secs(3_600);

/// Keys that all fit.
const KEYS: u64 = 1_000;

pub(crate) fn contests() -> Vec<Named> {
    let mut contests: Vec<Named> = vec![
        ("lazy/hit/1".into(), Box::new(hit)),
        ("lazy/hit_ttl/1".into(), Box::new(hit_with_ttl)),
        (
            "lazy/cold/current_thread".into(),
            Box::new(|| cold("lazy/cold/current_thread", &current_thread())),
        ),
        (
            "lazy/cold/multi_thread".into(),
            Box::new(|| cold("lazy/cold/multi_thread", &multi_thread())),
        ),
        ("lazy_map/hit".into(), Box::new(|| map_hit(None))),
        ("lazy_map/hit_ttl".into(), Box::new(|| map_hit(Some(HOUR)))),
        ("lazy_map/miss".into(), Box::new(map_miss)),
    ];
    for threads in [2, 3, 4] {
        contests.push((
            format!("lazy/hit/{threads}"),
            Box::new(move || hit_on_threads(threads)),
        ));
    }
    contests
}

fn current_thread() -> Rc<Runtime> {
    built(&mut Builder::new_current_thread())
}

fn multi_thread() -> Rc<Runtime> {
    built(Builder::new_multi_thread().worker_threads(2))
}

fn built(builder: &mut Builder) -> Rc<Runtime> {
    Rc::new(
        builder
            .enable_all()
            .build()
            .expect("a runtime can be built on a machine that runs benches"),
    )
}

/// One way of doing the work, again and again in one future.
fn repeated<F, Fut, V>(who: &'static str, runtime: &Rc<Runtime>, work: F) -> Side
where
    F: Fn() -> Fut + 'static,
    Fut: Future<Output = V>,
{
    let runtime = runtime.clone();
    Side::new(who, move |repeats| {
        runtime.block_on(async {
            for _ in 0..repeats {
                black_box(work().await);
            }
        });
    })
}

fn lazy() -> Lazy {
    let lazy = AsyncLazy::new(|| async { Ok(42) });
    lazy.set(42);
    Arc::new(lazy)
}

fn once() -> Arc<OnceCell<Arc<u64>>> {
    Arc::new(OnceCell::new_with(Some(Arc::new(42))))
}

fn hit() -> Contest {
    let runtime = current_thread();
    let (get, guard, peek, once) = (lazy(), lazy(), lazy(), once());
    Contest::new("lazy/hit/1", 1)
        .side(
            Side::new("nexios get", {
                let runtime = runtime.clone();
                move |repeats| {
                    runtime.block_on(async {
                        for _ in 0..repeats {
                            black_box(get.get().await.ok());
                        }
                    });
                }
            })
            .goal("OnceCell and Arc::clone", 1.8),
        )
        .side(
            Side::new("nexios get_guard", {
                let runtime = runtime.clone();
                move |repeats| {
                    runtime.block_on(async {
                        for _ in 0..repeats {
                            black_box(&*guard.get_guard().await.expect("it was set"));
                        }
                    });
                }
            })
            .goal("OnceCell and Arc::clone", 1.1),
        )
        .side(
            Side::new("nexios peek_guard", move |repeats| {
                for _ in 0..repeats {
                    black_box(peek.peek_guard().as_deref());
                }
            })
            .goal("OnceCell and Arc::clone", 1.1),
        )
        .side(Side::new("OnceCell and Arc::clone", move |repeats| {
            runtime.block_on(async {
                for _ in 0..repeats {
                    black_box(Arc::clone(
                        once.get_or_init(|| async { Arc::new(42) }).await,
                    ));
                }
            });
        }))
}

fn hit_with_ttl() -> Contest {
    let runtime = current_thread();
    let lazy = AsyncLazy::<u64, String>::builder(|| async { Ok(42) })
        .ttl(HOUR)
        .build();
    lazy.set(42);
    let moka = moka::future::Cache::builder()
        .max_capacity(10)
        .time_to_live(HOUR)
        .build();
    runtime.block_on(moka.insert((), Arc::new(42)));
    Contest::new("lazy/hit_ttl/1", 1)
        .side(
            Side::new("nexios get", {
                let runtime = runtime.clone();
                move |repeats| {
                    runtime.block_on(async {
                        for _ in 0..repeats {
                            black_box(lazy.get().await.ok());
                        }
                    });
                }
            })
            .goal("moka get", 0.15),
        )
        .side(Side::new("moka get", move |repeats| {
            runtime.block_on(async {
                for _ in 0..repeats {
                    black_box(moka.get(&()).await);
                }
            });
        }))
        .side(Side::new("tokio's clock alone", |repeats| {
            for _ in 0..repeats {
                black_box(tokio::time::Instant::now());
            }
        }))
}

/// Threads that all do the same at the same time, as often as they are told.
struct Crew {
    orders: Vec<Sender<u32>>,
    done: Receiver<()>,
}

impl Crew {
    fn side<S: Send + 'static>(
        who: &'static str,
        threads: usize,
        shared: impl Fn() -> S,
        work: impl Fn(&S, &Runtime, u32) + Clone + Send + 'static,
    ) -> Side {
        let (done, all_done) = channel();
        let orders = (0..threads)
            .map(|_| {
                let (order, orders) = channel();
                let (done, shared, work) = (done.clone(), shared(), work.clone());
                thread::spawn(move || {
                    let runtime = Builder::new_current_thread()
                        .build()
                        .expect("a runtime without drivers");
                    for repeats in orders {
                        work(&shared, &runtime, repeats);
                        let _ = done.send(());
                    }
                });
                order
            })
            .collect();
        let crew = Self {
            orders,
            done: all_done,
        };
        Side::new(who, move |repeats| {
            // Enough for each order that what it takes to give it does not count.
            for order in &crew.orders {
                let _ = order.send(repeats * 64);
            }
            for _ in &crew.orders {
                let _ = crew.done.recv();
            }
        })
    }
}

fn hit_on_threads(threads: usize) -> Contest {
    let (get, guard, once) = (lazy(), lazy(), once());
    Contest::new(format!("lazy/hit/{threads}"), 64 * threads as u64)
        .without_allocations()
        .side(
            Crew::side(
                "nexios get",
                threads,
                move || get.clone(),
                |lazy: &Lazy, runtime, repeats| {
                    runtime.block_on(async {
                        for _ in 0..repeats {
                            black_box(lazy.get().await.ok());
                        }
                    });
                },
            )
            .goal("OnceCell and Arc::clone", 1.8),
        )
        .side(
            Crew::side(
                "nexios get_guard",
                threads,
                move || guard.clone(),
                |lazy: &Lazy, runtime, repeats| {
                    runtime.block_on(async {
                        for _ in 0..repeats {
                            black_box(&*lazy.get_guard().await.expect("it was set"));
                        }
                    });
                },
            )
            .goal("OnceCell and Arc::clone", 1.1),
        )
        .side(Crew::side(
            "OnceCell and Arc::clone",
            threads,
            move || once.clone(),
            |once: &Arc<OnceCell<Arc<u64>>>, runtime, repeats| {
                runtime.block_on(async {
                    for _ in 0..repeats {
                        black_box(Arc::clone(
                            once.get_or_init(|| async { Arc::new(42) }).await,
                        ));
                    }
                });
            },
        ))
}

/// A value that nobody has asked for yet.
fn cold(name: &'static str, runtime: &Rc<Runtime>) -> Contest {
    let contest = Contest::new(name, 1)
        .side(repeated("nexios", runtime, || async {
            let lazy = AsyncLazy::<u64, String>::new(|| async { Ok(42) });
            lazy.get().await.ok()
        }))
        .side(repeated("OnceCell", runtime, || async {
            OnceCell::new()
                .get_or_init(|| async { Arc::new(42) })
                .await
                .clone()
        }))
        .side(repeated("OnceCell and tokio::spawn", runtime, || async {
            // The nearest to what nexios does: whoever leaves does not stop the computation.
            let once = OnceCell::new();
            let spawned =
                once.get_or_init(|| async { tokio::spawn(async { Arc::new(42) }).await.ok() });
            spawned.await.clone()
        }));
    if name.ends_with("multi_thread") {
        contest.without_allocations()
    } else {
        contest
    }
}

fn map(capacity: usize, ttl: Option<Duration>) -> Map {
    let builder = AsyncLazyMap::builder(capacity, |key: u64| async move { Ok(key) });
    Arc::new(match ttl {
        Some(ttl) => builder.ttl(ttl).build(),
        None => builder.build(),
    })
}

fn moka(capacity: u64, ttl: Option<Duration>) -> moka::future::Cache<u64, Arc<u64>> {
    let builder = moka::future::Cache::builder().max_capacity(capacity);
    match ttl {
        Some(ttl) => builder.time_to_live(ttl).build(),
        None => builder.build(),
    }
}

fn map_hit(ttl: Option<Duration>) -> Contest {
    let runtime = current_thread();
    // Room for twice as many: the parts of a cache are never filled evenly.
    let map = map(2 * KEYS as usize, ttl);
    let moka = moka(2 * KEYS, ttl);
    runtime.block_on(async {
        for key in 0..KEYS {
            map.set(key, key);
            moka.insert(key, Arc::new(key)).await;
        }
    });
    let name = if ttl.is_some() {
        "lazy_map/hit_ttl"
    } else {
        "lazy_map/hit"
    };
    Contest::new(name, KEYS)
        .side(
            Side::new("nexios get", {
                let runtime = runtime.clone();
                move |repeats| {
                    runtime.block_on(async {
                        for key in (0..repeats).flat_map(|_| 0..KEYS) {
                            black_box(map.get(&key).await.ok());
                        }
                    });
                }
            })
            .goal("moka get", 1.0)
            .goal("moka get_with", 1.0),
        )
        .side(Side::new("moka get", {
            let (runtime, moka) = (runtime.clone(), moka.clone());
            move |repeats| {
                runtime.block_on(async {
                    for key in (0..repeats).flat_map(|_| 0..KEYS) {
                        black_box(moka.get(&key).await);
                    }
                });
            }
        }))
        .side(Side::new("moka get_with", move |repeats| {
            runtime.block_on(async {
                for key in (0..repeats).flat_map(|_| 0..KEYS) {
                    black_box(moka.get_with(key, async move { Arc::new(key) }).await);
                }
            });
        }))
}

/// Keys that nobody has asked for yet, in a full cache.
fn map_miss() -> Contest {
    let runtime = current_thread();
    let map = map(KEYS as usize, None);
    let (moka, spawning) = (moka(KEYS, None), moka(KEYS, None));
    let mut next = 0;
    let (mut moka_next, mut spawning_next) = (0, 0);
    Contest::new("lazy_map/miss", 16)
        .side(
            Side::new("nexios get", {
                let runtime = runtime.clone();
                move |repeats| {
                    runtime.block_on(async {
                        for _ in 0..repeats * 16 {
                            next += 1;
                            black_box(map.get(&next).await.ok());
                        }
                    });
                }
            })
            .goal("moka get_with", 1.0),
        )
        .side(Side::new("moka get_with", {
            let runtime = runtime.clone();
            move |repeats| {
                runtime.block_on(async {
                    for _ in 0..repeats * 16 {
                        moka_next += 1;
                        let key = moka_next;
                        black_box(moka.get_with(key, async move { Arc::new(key) }).await);
                    }
                });
            }
        }))
        .side(Side::new(
            "moka get_with and tokio::spawn",
            move |repeats| {
                runtime.block_on(async {
                    for _ in 0..repeats * 16 {
                        spawning_next += 1;
                        let key = spawning_next;
                        let computed = async move {
                            tokio::spawn(async move { Arc::new(key) })
                                .await
                                .unwrap_or_default()
                        };
                        black_box(spawning.get_with(key, computed).await);
                    }
                });
            },
        ))
}

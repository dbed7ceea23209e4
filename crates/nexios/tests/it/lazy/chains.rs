//! Values that are computed from each other, or own each other, in a long row: whatever ends it, the stack does not
//! grow with its length.

use std::{
    future::Future,
    sync::{
        Arc, OnceLock, Weak,
        atomic::{AtomicUsize, Ordering},
    },
};

use nexios::{AsyncLazy, AsyncLazyMap, LazyError};
use tokio::runtime::{Builder, Runtime};

use super::{Alive, Broken, Source, poll_once};

/// Far more than a stack has room for.
const LENGTH: usize = 20_000;

/// Key n is computed from key n - 1; what 0 is, its source's passes and `last` say.
struct Chain {
    map: OnceLock<Weak<AsyncLazyMap<usize, usize, Broken>>>,
    source: Arc<Source>,
    last: fn() -> Result<usize, Broken>,
    /// Computations that have begun.
    begun: AtomicUsize,
}

impl Chain {
    fn new(
        last: fn() -> Result<usize, Broken>,
    ) -> (Arc<Self>, Arc<AsyncLazyMap<usize, usize, Broken>>) {
        let chain = Arc::new(Self {
            map: OnceLock::new(),
            source: Source::new(),
            last,
            begun: AtomicUsize::new(0),
        });
        let links = Arc::clone(&chain);
        let map = Arc::new(AsyncLazyMap::new(2 * LENGTH, move |key| {
            Arc::clone(&links).compute(key)
        }));
        chain.map.set(Arc::downgrade(&map)).unwrap();
        (chain, map)
    }

    async fn compute(self: Arc<Self>, key: usize) -> Result<usize, Broken> {
        self.begun.fetch_add(1, Ordering::SeqCst);
        if key == 0 {
            Arc::clone(&self.source).compute().await;
            return (self.last)();
        }
        let _alive = Alive::new(&self.source);
        let map = self.map.get().and_then(Weak::upgrade).unwrap();
        match map.get(&(key - 1)).await {
            Ok(before) => Ok(*before + 1),
            Err(_) => Err(Broken(key)),
        }
    }

    /// Waits until every key is being computed.
    async fn stands(&self) {
        until(|| self.begun.load(Ordering::SeqCst) > LENGTH).await;
    }

    async fn is_gone(&self) {
        until(|| self.source.alive() == 0).await;
    }
}

async fn until(reached: impl Fn() -> bool) {
    while !reached() {
        tokio::task::yield_now().await;
    }
}

/// Each scenario in `block_on` of a current-thread runtime, and in a task of a worker thread.
fn on_both_runtimes<F: Future<Output = ()> + Send + 'static>(scenario: fn() -> F) {
    Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(scenario());
    let worker = worker();
    worker.block_on(worker.spawn(scenario())).unwrap();
}

fn worker() -> Runtime {
    Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap()
}

#[test]
fn a_caller_may_leave_a_chain_of_any_length() {
    on_both_runtimes(|| async {
        let (chain, map) = Chain::new(|| Ok(0));
        tokio::select! {
            _ = map.get(&(5 * LENGTH)) => panic!("the source is closed"),
            () = until(|| chain.begun.load(Ordering::SeqCst) > 5 * LENGTH) => {}
        }
        assert_eq!(chain.source.alive(), 0, "all are gone when the caller is");
    });
}

#[test]
fn a_chain_of_any_length_completes() {
    on_both_runtimes(|| async {
        let (chain, map) = Chain::new(|| Ok(0));
        chain.source.let_through(1);
        assert_eq!(*map.get(&LENGTH).await.unwrap(), LENGTH);
        assert_eq!(map.len(), LENGTH + 1);
    });
}

#[test]
fn a_failure_or_panic_goes_through_a_chain_of_any_length() {
    on_both_runtimes(|| async {
        for last in [(|| Err(Broken(0))) as fn() -> _, || {
            panic!("the end of a chain")
        }] {
            let (chain, map) = Chain::new(last);
            chain.source.let_through(1);
            let answer = map.get(&LENGTH).await;
            assert!(matches!(answer, Err(LazyError::Failed(error)) if *error == Broken(LENGTH)));
            chain.is_gone().await;
        }
    });
}

#[test]
fn a_chain_of_any_length_that_is_reset_goes_on_for_those_who_wait() {
    on_both_runtimes(|| async {
        let (chain, map) = Chain::new(|| Ok(0));
        let caller = tokio::spawn({
            let map = Arc::clone(&map);
            async move { map.get(&LENGTH).await }
        });
        chain.stands().await;
        map.reset(&0);
        map.reset(&LENGTH);
        map.reset_all();
        chain.source.let_through(1);
        assert_eq!(*caller.await.unwrap().unwrap(), LENGTH);
        assert_eq!(map.len(), 0);
    });
}

#[test]
fn a_reset_may_take_the_last_reason_of_a_chain_of_any_length() {
    on_both_runtimes(|| async {
        let source = Source::new();
        let mut last = source.cell();
        for link in 1..=LENGTH {
            let (before, source) = (last, Arc::clone(&source));
            let value = AsyncLazy::builder(move || {
                let (before, alive) = (Arc::clone(&before), Alive::new(&source));
                async move {
                    let _alive = alive;
                    before
                        .get()
                        .await
                        .map(|value| *value)
                        .map_err(|_| Broken(0))
                }
            });
            last = Arc::new(value.keep_warm(link == LENGTH).build());
        }
        assert!(poll_once(&mut last.get()).is_pending());
        until(|| source.started() == 1).await;
        assert_eq!(source.alive(), LENGTH + 1);
        last.reset();
        assert_eq!(source.alive(), 0);
    });
}

#[test]
fn a_runtime_may_shut_down_below_a_chain_of_any_length() {
    let current = Builder::new_current_thread().enable_all().build().unwrap();
    for runtime in [current, worker()] {
        let (chain, map) = Chain::new(|| Ok(0));
        let caller = runtime.spawn({
            let map = Arc::clone(&map);
            async move { map.get(&LENGTH).await }
        });
        runtime.block_on(chain.stands());
        drop(runtime);
        assert_eq!(chain.source.alive(), 0);
        drop((caller, map));
    }
}

/// The computations own the map, so the last of them to go takes it along.
#[test]
fn the_map_of_a_chain_of_any_length_may_go_with_it() {
    on_both_runtimes(|| async {
        let (chain, map) = Chain::new(|| Ok(0));
        let mut call = Box::pin({
            let map = Arc::clone(&map);
            async move { map.get(&LENGTH).await }
        });
        tokio::select! {
            _ = &mut call => panic!("the source is closed"),
            () = chain.stands() => {}
        }
        drop(map);
        drop(call);
        until(|| chain.map.get().is_some_and(|map| map.strong_count() == 0)).await;
        assert_eq!(chain.source.alive(), 0);
    });
}

type Owning = AsyncLazy<usize, Broken>;

/// A value whose closure owns the value that it is computed from, and so on.
fn owning(end: Owning) -> Owning {
    (0..LENGTH).fold(end, |before, _| {
        let before = Arc::new(before);
        AsyncLazy::new(move || {
            let before = Arc::clone(&before);
            async move {
                before
                    .get()
                    .await
                    .map(|value| *value + 1)
                    .map_err(|_| Broken(0))
            }
        })
    })
}

#[test]
fn values_that_own_each_other_may_be_dropped_in_a_chain_of_any_length() {
    on_both_runtimes(|| async {
        drop(owning(AsyncLazy::new(async || Ok(0))));
        let value = owning(AsyncLazy::new(async || Ok(0)));
        assert_eq!(*value.get().await.unwrap(), LENGTH);
        drop(value);
        let source = Source::new();
        let value = owning(source.builder().build());
        let mut call = value.get();
        assert!(poll_once(&mut call).is_pending());
        until(|| source.alive() == 1).await;
        drop(call);
        assert_eq!(source.alive(), 0);
        drop(value);
    });
}

/// A page with a link to the next one, which is loaded when it is wanted.
struct Page {
    next: Option<AsyncLazy<Page, Broken>>,
    _alive: Alive,
}

#[test]
fn values_inside_values_may_be_dropped_in_a_chain_of_any_length() {
    on_both_runtimes(|| async {
        let pages = Source::new();
        let mut first = Page {
            next: None,
            _alive: Alive::new(&pages),
        };
        for _ in 0..LENGTH {
            let next = AsyncLazy::new(async || Err(Broken(0)));
            next.set(first);
            first = Page {
                next: Some(next),
                _alive: Alive::new(&pages),
            };
        }
        assert!(first.next.as_ref().unwrap().peek().unwrap().next.is_some());
        assert_eq!(pages.alive(), LENGTH + 1);
        drop(first);
        assert_eq!(pages.alive(), 0);
    });
}

/// The same with maps: in values and in closures.
#[test]
fn maps_inside_maps_may_be_dropped_in_a_chain_of_any_length() {
    struct Level {
        _below: Option<AsyncLazyMap<u8, Level, Broken>>,
    }
    on_both_runtimes(|| async {
        // A map has many locks and parts, so fewer of them.
        let mut level = Level { _below: None };
        for _ in 0..LENGTH / 10 {
            let map = AsyncLazyMap::new(1, async |_| Err(Broken(0)));
            map.set(0, level);
            level = Level { _below: Some(map) };
        }
        drop(level);
        let mut map = AsyncLazyMap::<u8, u8, Broken>::new(1, async |_| Ok(0));
        for _ in 0..LENGTH / 10 {
            let below = map;
            map = AsyncLazyMap::new(1, move |_| {
                let some = below.len();
                async move { Ok(u8::from(some > 0)) }
            });
        }
        drop(map);
    });
}

/// A destructor that panics in the middle does not keep the others.
#[test]
fn a_destructor_that_panics_does_not_stop_the_end_of_a_chain() {
    struct Panics(Arc<AtomicUsize>);
    impl Drop for Panics {
        fn drop(&mut self) {
            let dropped = self.0.fetch_add(1, Ordering::SeqCst);
            assert_ne!(dropped % 100, 50, "a destructor in a chain");
        }
    }
    on_both_runtimes(|| async {
        let dropped = Arc::new(AtomicUsize::new(0));
        let begun = Arc::new(AtomicUsize::new(0));
        let (mut value, alive) = (
            AsyncLazy::new(std::future::pending::<Result<(), Broken>>),
            &begun,
        );
        for _ in 0..1_000 {
            let (before, dropped, begun) =
                (Arc::new(value), Arc::clone(&dropped), Arc::clone(alive));
            value = AsyncLazy::new(move || {
                let (before, panics) = (Arc::clone(&before), Panics(Arc::clone(&dropped)));
                begun.fetch_add(1, Ordering::SeqCst);
                async move {
                    let _panics = panics;
                    before.get().await.map(|_| ()).map_err(|_| Broken(0))
                }
            });
        }
        let mut call = value.get();
        assert!(poll_once(&mut call).is_pending());
        until(|| begun.load(Ordering::SeqCst) == 1_000).await;
        // The last one's computation has been polled as well.
        super::settle().await;
        drop(call);
        assert_eq!(dropped.load(Ordering::SeqCst), 1_000);
    });
}

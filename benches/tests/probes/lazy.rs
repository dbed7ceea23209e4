//! Shared computations: impatient callers, failures, invalidation.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll, Waker},
};

use futures_util::future::join_all;
use nexios::{AsyncLazy, AsyncLazyMap};
use tokio::sync::{OnceCell, Semaphore};

const CALLERS: usize = 20;

type Map = AsyncLazyMap<&'static str, Arc<usize>, ()>;

/// Computations that wait at a gate, and are counted as they begin.
#[derive(Clone)]
struct Work {
    begun: Arc<AtomicUsize>,
    gate: Arc<Semaphore>,
}

impl Work {
    fn new() -> Self {
        Self {
            begun: Arc::default(),
            gate: Arc::new(Semaphore::new(0)),
        }
    }

    async fn succeed(self) -> Arc<usize> {
        let number = self.begun.fetch_add(1, SeqCst) + 1;
        let _ = self.gate.acquire().await;
        Arc::new(number)
    }

    async fn fail(self) -> Result<Arc<usize>, usize> {
        let number = self.begun.fetch_add(1, SeqCst) + 1;
        tokio::task::yield_now().await;
        Err(number)
    }

    fn open(&self) {
        self.gate.add_permits(Semaphore::MAX_PERMITS);
    }

    fn begun(&self) -> usize {
        self.begun.load(SeqCst)
    }
}

type Caller<'a> = Pin<Box<dyn Future<Output = usize> + 'a>>;

/// Lets twenty callers come one after the other, each leaving just after the next has come; then opens the
/// gate for the last one, if `patient`.
async fn impatient<'a>(work: &Work, patient: bool, call: impl Fn() -> Caller<'a>) -> Option<usize> {
    let mut waiting = call();
    assert!(poll_once(&mut waiting).is_pending());
    settle().await;
    for _ in 1..CALLERS {
        let mut next = call();
        assert!(poll_once(&mut next).is_pending());
        drop(waiting);
        settle().await;
        // Whoever was woken goes on.
        assert!(poll_once(&mut next).is_pending());
        waiting = next;
    }
    if !patient {
        drop(waiting);
        settle().await;
        return None;
    }
    work.open();
    Some(waiting.await)
}

fn poll_once<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(Waker::noop()))
}

async fn settle() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn once_cell_begins_anew_for_each_impatient_caller_and_nexios_once() {
    let work = Work::new();
    let once = OnceCell::new();
    let call = || -> Caller<'_> {
        let work = work.clone();
        Box::pin(async { **once.get_or_init(|| work.succeed()).await })
    };
    impatient(&work, false, call).await;
    assert_eq!(
        (work.begun(), once.initialized()),
        (CALLERS, false),
        "OnceCell"
    );

    let work = Work::new();
    let lazy = {
        let work = work.clone();
        AsyncLazy::<_, ()>::new(move || {
            let work = work.clone();
            async move { Ok(work.succeed().await) }
        })
    };
    let call = || -> Caller<'_> { Box::pin(async { **lazy.get().await.expect("nothing fails") }) };
    assert_eq!(impatient(&work, true, call).await, Some(1));
    assert_eq!((work.begun(), lazy.peek().is_some()), (1, true), "nexios");
}

#[tokio::test]
async fn moka_begins_anew_for_each_impatient_caller_and_nexios_once() {
    let work = Work::new();
    let cache = moka::future::Cache::new(10);
    let call = || -> Caller<'_> {
        let (work, cache) = (work.clone(), &cache);
        Box::pin(async move { *cache.get_with("key", work.succeed()).await })
    };
    impatient(&work, false, call).await;
    assert_eq!(
        (work.begun(), cache.contains_key("key")),
        (CALLERS, false),
        "moka"
    );

    let work = Work::new();
    let map = {
        let work = work.clone();
        Map::new(10, move |_| {
            let work = work.clone();
            async move { Ok(work.succeed().await) }
        })
    };
    let call =
        || -> Caller<'_> { Box::pin(async { **map.get(&"key").await.expect("nothing fails") }) };
    assert_eq!(impatient(&work, true, call).await, Some(1));
    assert_eq!(
        (work.begun(), map.peek(&"key").is_some()),
        (1, true),
        "nexios"
    );
}

#[tokio::test]
async fn once_cell_runs_a_failing_computation_for_each_caller_in_turn_and_nexios_once() {
    let work = Work::new();
    let once = OnceCell::new();
    let answers =
        join_all((0..CALLERS).map(|_| once.get_or_try_init(|| work.clone().fail()))).await;
    let errors: Vec<_> = answers.into_iter().filter_map(Result::err).collect();
    assert_eq!(
        (work.begun(), errors),
        (CALLERS, (1..=CALLERS).collect()),
        "OnceCell: the convoy"
    );

    let work = Work::new();
    let lazy = {
        let work = work.clone();
        AsyncLazy::new(move || work.clone().fail())
    };
    let answers = join_all((0..CALLERS).map(|_| lazy.get())).await;
    assert!(answers.iter().all(Result::is_err));
    assert_eq!(work.begun(), 1, "nexios");
}

#[tokio::test]
async fn moka_keeps_what_was_invalidated_while_it_was_computed_and_nexios_does_not() {
    let work = Work::new();
    let cache = moka::future::Cache::new(10);
    let mut waiting: Caller<'_> =
        Box::pin(async { *cache.get_with("key", work.clone().succeed()).await });
    assert!(poll_once(&mut waiting).is_pending());
    cache.invalidate("key").await;
    work.open();
    assert_eq!(waiting.await, 1);
    assert_eq!(
        cache.get("key").await.as_deref(),
        Some(&1),
        "moka: the value from before the invalidation"
    );

    let work = Work::new();
    let map = {
        let work = work.clone();
        Map::new(10, move |_| {
            let work = work.clone();
            async move { Ok(work.succeed().await) }
        })
    };
    let ways: [fn(&Map); 2] = [|map| map.reset(&"key"), |map| map.reset_all()];
    for reset in ways {
        let before = work.begun();
        let mut waiting = map.get(&"key");
        assert!(poll_once(&mut waiting).is_pending());
        settle().await;
        reset(&map);
        work.open();
        assert_eq!(**waiting.await.expect("nothing fails"), before + 1);
        assert!(
            map.peek(&"key").is_none(),
            "nexios: nothing from before the reset"
        );
        assert_eq!(**map.get(&"key").await.expect("nothing fails"), before + 2);
        map.reset(&"key");
        let _ = work.gate.forget_permits(usize::MAX);
    }
}

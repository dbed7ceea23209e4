//! The hook that is told of failures.

use std::{
    future::{Future, pending},
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Wake, Waker},
};

use nexios::{AsyncLazy, AsyncLazyBuilder, AsyncLazyMap, LazyError};

use super::{Broken, Source, pass_time, poll_once, seconds, settle};
use crate::lines::Lines;

/// What a hook was told, in words.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<String>>>);

impl Told {
    fn push(&self, error: &LazyError<Broken>) {
        let text = match error {
            LazyError::Failed(error) => format!("failed {}", error.0),
            other => other.to_string(),
        };
        self.0.lock().unwrap().push(text);
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }

    fn hook(&self) -> impl Fn(&LazyError<Broken>) + Send + Sync + use<> {
        let told = self.clone();
        move |error| told.push(error)
    }
}

/// Computations that fail with their number, from the first on.
fn failing(told: &Told) -> AsyncLazyBuilder<usize, Broken> {
    let always = Arc::new(AtomicUsize::new(1));
    Source::open().fallible(&always).on_error(told.hook())
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_told_once_however_many_wait() {
    let (source, told) = (Source::new(), Told::default());
    let failing = Arc::new(AtomicUsize::new(1));
    let cell = Arc::new(source.fallible(&failing).on_error(told.hook()).build());
    let callers: Vec<_> = (0..10)
        .map(|_| {
            let cell = Arc::clone(&cell);
            tokio::spawn(async move { assert!(cell.get().await.is_err()) })
        })
        .collect();
    settle().await;
    source.let_through(1);
    for caller in callers {
        caller.await.unwrap();
    }
    assert_eq!(told.take(), ["failed 1"]);
    failing.store(0, Ordering::SeqCst);
    source.let_through(1);
    cell.get().await.unwrap();
    assert_eq!(told.take(), [""; 0], "a value is none");
}

/// Says whether it was woken.
#[derive(Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Whoever has the error may count on its being in the log.
#[tokio::test(start_paused = true)]
async fn the_hook_is_told_before_those_who_wait() {
    let (woken, told) = (Arc::<Woken>::default(), Arc::new(Mutex::new(Vec::new())));
    let (look, heard) = (woken.clone(), told.clone());
    let cell = AsyncLazy::builder(|| async { Err::<u8, _>(Broken(1)) })
        .on_error(move |_| heard.lock().unwrap().push(look.0.load(Ordering::SeqCst)))
        .build();
    let mut call = cell.get();
    let waker = Waker::from(woken.clone());
    let polled = Pin::new(&mut call).poll(&mut Context::from_waker(&waker));
    assert!(polled.is_pending());
    settle().await;
    assert_eq!(*told.lock().unwrap(), [false]);
    assert!(woken.0.load(Ordering::SeqCst));
    assert!(call.await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_panic_and_a_time_limit_are_told_as_what_they_are() {
    let told = Told::default();
    let panics = AsyncLazy::<u8, Broken>::builder(|| async { panic!("broken") });
    let panics = panics.on_error(told.hook()).build();
    assert!(panics.get().await.is_err());
    assert_eq!(told.take(), ["the computation panicked"]);
    let slow = AsyncLazy::builder(pending::<Result<u8, Broken>>).timeout(seconds(5));
    let slow = slow.on_error(told.hook()).build();
    assert!(slow.get().await.is_err());
    assert_eq!(told.take(), ["the computation ran into its time limit"]);
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_told_that_nobody_waits_for_or_that_an_old_value_stands_in_for() {
    let told = Told::default();
    let cell = failing(&told)
        .ttl(seconds(1))
        .stale_while_revalidate(seconds(10))
        .stale_if_error(seconds(100))
        .build();
    cell.set(70);
    pass_time(1.0).await;
    for _ in 0..3 {
        assert_eq!(*cell.get().await.unwrap(), 70);
        settle().await;
    }
    assert_eq!(told.take(), ["failed 1"], "in the background");
    pass_time(20.0).await;
    assert_eq!(*cell.get().await.unwrap(), 70);
    assert_eq!(told.take(), ["failed 2"], "and for who waits");
    assert!(cell.refresh().await.is_err());
    assert_eq!(told.take(), ["failed 3"]);
    assert_eq!(cell.stats().failures, 3);
}

#[tokio::test(start_paused = true)]
async fn neither_a_caller_that_leaves_nor_an_error_that_is_kept_is_told() {
    let (source, told) = (Source::new(), Told::default());
    let cell = source
        .fallible(&Arc::new(AtomicUsize::new(1)))
        .on_error(told.hook())
        .error_backoff(seconds(5))
        .build();
    let mut call = cell.get();
    assert!(poll_once(&mut call).is_pending());
    settle().await;
    drop(call);
    settle().await;
    assert_eq!((source.started(), told.take().len()), (1, 0));
    source.let_through(1);
    for _ in 0..10 {
        assert!(cell.get().await.is_err());
    }
    assert_eq!(told.take(), ["failed 2"]);
}

#[tokio::test(start_paused = true)]
async fn a_hook_that_panics_costs_a_line_in_the_log_and_nobody_their_error() {
    let (lines, _guard) = Lines::capture();
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = calls.clone();
    let cell = AsyncLazy::builder(|| async { Err::<u8, _>(Broken(1)) })
        .name("rates")
        .on_error(move |_| {
            counted.fetch_add(1, Ordering::SeqCst);
            panic!("cannot tell");
        })
        .build();
    for _ in 0..2 {
        assert!(matches!(cell.get().await, Err(LazyError::Failed(_))));
    }
    assert_eq!(calls.load(Ordering::SeqCst), 2);
    assert_eq!(lines.take(), ["ERROR rates: the error hook panicked"; 2]);
}

#[tokio::test(start_paused = true)]
async fn the_hook_of_a_map_is_told_the_key() {
    let told = Arc::new(Mutex::new(Vec::new()));
    let heard = told.clone();
    let map = AsyncLazyMap::builder(10, |key: String| async move {
        if key == "ok" { Ok(1) } else { Err(Broken(7)) }
    })
    .on_error(move |key: &String, error| {
        let is_failure = matches!(error, LazyError::Failed(error) if error.0 == 7);
        heard.lock().unwrap().push((key.clone(), is_failure));
    })
    .build();
    assert!(map.get("ok").await.is_ok());
    for key in ["one", "two", "one"] {
        assert!(map.get(key).await.is_err());
    }
    let expected = ["one", "two", "one"].map(|key| (key.to_owned(), true));
    assert_eq!(*told.lock().unwrap(), expected);
}

#[tokio::test(start_paused = true)]
async fn the_last_hook_counts_and_goes_with_its_value() {
    let (first, last) = (Told::default(), Told::default());
    let cell = failing(&first).on_error(last.hook()).build();
    assert!(cell.get().await.is_err());
    assert_eq!((first.take().len(), last.take().len()), (0, 1));
    assert_eq!(Arc::strong_count(&first.0), 1);
    settle().await;
    drop(cell);
    assert_eq!(Arc::strong_count(&last.0), 1);
}

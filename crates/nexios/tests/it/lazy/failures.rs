//! Errors, panics and time limits.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use nexios::{AsyncLazy, ErrorBackoff, LazyError};

use super::{Broken, Source, pass_time, poll_once, seconds, settle};

#[tokio::test(start_paused = true)]
async fn an_error_is_shared_by_all_who_wait_and_not_kept() {
    // LZ-013, LZ-044, L3
    let source = Source::new();
    let failing = Arc::new(AtomicUsize::new(1));
    let cell = Arc::new(source.fallible(&failing).build());
    let callers: Vec<_> = (0..10)
        .map(|_| {
            let cell = Arc::clone(&cell);
            tokio::spawn(async move { cell.get().await.unwrap_err() })
        })
        .collect();
    settle().await;
    source.let_through(1);
    let mut errors = Vec::new();
    for caller in callers {
        let LazyError::Failed(error) = caller.await.unwrap() else {
            panic!("not a failure")
        };
        errors.push(error);
    }
    assert!(
        errors
            .iter()
            .all(|error| Arc::ptr_eq(error, &errors[0]) && **error == Broken(1))
    );
    assert_eq!(source.started(), 1, "no convoy");
    failing.store(0, Ordering::SeqCst);
    source.let_through(1);
    assert_eq!(*cell.get().await.unwrap(), 2);
    assert_eq!(cell.stats().failures, 1);
}

#[tokio::test(start_paused = true)]
async fn an_error_is_not_held_by_the_cell() {
    let cell = AsyncLazy::new(|| async { Err::<u8, _>(Broken(1)) });
    let Err(LazyError::Failed(error)) = cell.get().await else {
        panic!("it fails")
    };
    settle().await;
    assert_eq!(Arc::strong_count(&error), 1);
}

#[tokio::test(start_paused = true)]
async fn with_a_backoff_the_error_stands_until_the_backoff_is_over() {
    // LZ-014
    let source = Source::open();
    let failing = Arc::new(AtomicUsize::new(1));
    let cell = source.fallible(&failing).error_backoff(seconds(5)).build();
    let first = cell.get().await.unwrap_err();
    pass_time(4.999).await;
    let second = cell.get().await.unwrap_err();
    let (LazyError::Failed(first), LazyError::Failed(second)) = (first, second) else {
        panic!()
    };
    assert!(Arc::ptr_eq(&first, &second));
    assert_eq!(source.started(), 1);
    pass_time(0.001).await;
    failing.store(0, Ordering::SeqCst);
    assert_eq!(*cell.get().await.unwrap(), 2);
}

/// With each failure in a row the pause doubles up to its limit; jitter only shortens it, to a half at most.
#[tokio::test(start_paused = true)]
async fn an_exponential_backoff_grows_with_each_failure_in_a_row() {
    let source = Source::open();
    let failing = Arc::new(AtomicUsize::new(1));
    let backoff = ErrorBackoff::exponential(seconds(2), seconds(12));
    let cell = source.fallible(&failing).error_backoff(backoff).build();
    let rows: [&[f64]; 2] = [&[2.0, 4.0, 8.0, 12.0, 12.0], &[2.0, 4.0]];
    let mut started = 0;
    for row in rows {
        for whole in row {
            cell.get().await.unwrap_err();
            started += 1;
            assert_eq!(source.started(), started, "the pause before is over");
            pass_time(whole / 2.0 - 0.001).await;
            cell.get().await.unwrap_err();
            assert_eq!(source.started(), started, "half of {whole} is the least");
            pass_time(whole / 2.0 + 0.001).await;
        }
        cell.reset();
    }
    cell.get().await.unwrap_err();
    failing.store(0, Ordering::SeqCst);
    cell.refresh().await.unwrap();
    failing.store(1, Ordering::SeqCst);
    cell.refresh().await.unwrap_err();
    cell.set(70);
    cell.refresh().await.unwrap_err();
    cell.reset();
    cell.get().await.unwrap_err();
    started += 5;
    assert_eq!(source.started(), started);
    pass_time(2.0).await;
    cell.get().await.unwrap_err();
    assert_eq!(
        source.started(),
        started + 1,
        "a value, `set` and `reset` begin a new row"
    );
}

#[tokio::test(start_paused = true)]
async fn the_pauses_of_an_exponential_backoff_differ() {
    let failing = Arc::new(AtomicUsize::new(1));
    let source = Source::open();
    let backoff = ErrorBackoff::exponential(seconds(10), seconds(10));
    let cells: Vec<_> = (0..50)
        .map(|_| source.fallible(&failing).error_backoff(backoff).build())
        .collect();
    for cell in &cells {
        cell.get().await.unwrap_err();
    }
    pass_time(7.5).await;
    for cell in &cells {
        cell.get().await.unwrap_err();
    }
    assert!((55..95).contains(&source.started()), "{}", source.started());
}

#[tokio::test(start_paused = true)]
async fn refresh_computes_in_spite_of_a_backoff() {
    let source = Source::open();
    let failing = Arc::new(AtomicUsize::new(1));
    let cell = source.fallible(&failing).error_backoff(seconds(5)).build();
    cell.get().await.unwrap_err();
    failing.store(0, Ordering::SeqCst);
    assert_eq!(*cell.refresh().await.unwrap(), 2);
    assert_eq!(*cell.get().await.unwrap(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_panic_reaches_all_who_wait_and_the_cell_stays_usable() {
    // LZ-015, LZ-017
    let runs = Arc::new(AtomicUsize::new(0));
    let cell = Arc::new(AsyncLazy::new({
        let runs = Arc::clone(&runs);
        move || {
            let run = runs.fetch_add(1, Ordering::SeqCst);
            async move {
                tokio::time::sleep(Duration::from_millis(10)).await;
                assert!(run > 0, "the first one panics");
                Ok::<_, Broken>(run)
            }
        }
    }));
    let callers: Vec<_> = (0..5)
        .map(|_| {
            let cell = Arc::clone(&cell);
            tokio::spawn(async move { cell.get().await })
        })
        .collect();
    for caller in callers {
        let answer = tokio::time::timeout(seconds(1), caller)
            .await
            .unwrap()
            .unwrap();
        assert!(matches!(answer, Err(LazyError::Panicked)));
    }
    assert_eq!(*cell.get().await.unwrap(), 1);
    let stats = cell.stats();
    assert_eq!((stats.failures, stats.computations), (1, 2));
}

#[tokio::test(start_paused = true)]
async fn a_closure_that_panics_before_there_is_a_future_is_a_panic_too() {
    // LZ-018
    let runs = AtomicUsize::new(0);
    let cell = AsyncLazy::new(move || {
        assert!(runs.fetch_add(1, Ordering::SeqCst) > 0, "no future");
        async { Ok::<_, Broken>(4) }
    });
    assert!(matches!(cell.get().await, Err(LazyError::Panicked)));
    let stats = cell.stats();
    assert_eq!((stats.misses, stats.failures), (1, 1));
    assert_eq!(*cell.get().await.unwrap(), 4);
}

#[tokio::test(start_paused = true)]
async fn a_destructor_that_panics_does_not_reach_the_caller_that_leaves() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("in a destructor");
        }
    }
    let cell = AsyncLazy::new(|| async {
        let _bomb = Bomb;
        std::future::pending::<()>().await;
        Ok::<_, Broken>(1)
    });
    let mut waiting = cell.get();
    assert!(poll_once(&mut waiting).is_pending());
    settle().await;
    drop(waiting);
    cell.set(2);
    assert_eq!(*cell.get().await.unwrap(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_panic_with_a_panicking_destructor_is_contained() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            if !std::thread::panicking() {
                panic!("in a destructor");
            }
        }
    }
    struct Carries(Bomb);
    impl std::future::Future for Carries {
        type Output = Result<u8, Broken>;
        fn poll(
            self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Self::Output> {
            let _ = &self.0;
            panic!("in a poll");
        }
    }
    let cell = AsyncLazy::new(|| Carries(Bomb));
    assert!(matches!(cell.get().await, Err(LazyError::Panicked)));
    assert!(matches!(cell.get().await, Err(LazyError::Panicked)));
}

#[tokio::test(start_paused = true)]
async fn a_computation_past_its_time_limit_is_dropped() {
    let source = Source::new();
    let cell = source.builder().timeout(seconds(3)).build();
    let start = tokio::time::Instant::now();
    assert!(matches!(cell.get().await, Err(LazyError::TimedOut)));
    assert_eq!(start.elapsed(), seconds(3));
    assert_eq!(source.alive(), 0);
    assert_eq!(cell.stats().failures, 1);
    source.let_through(1);
    assert_eq!(*cell.get().await.unwrap(), 2);
}

#[tokio::test(start_paused = true)]
async fn the_time_limit_counts_from_the_start_not_from_a_later_caller() {
    let source = Source::new();
    let cell = source.builder().timeout(seconds(3)).build();
    let mut first = cell.get();
    assert!(poll_once(&mut first).is_pending());
    pass_time(2.0).await;
    let start = tokio::time::Instant::now();
    assert!(matches!(cell.get().await, Err(LazyError::TimedOut)));
    assert_eq!(start.elapsed(), seconds(1));
}

#[tokio::test(start_paused = true)]
async fn errors_say_what_happened() {
    let failed: LazyError<Broken> = LazyError::Failed(Arc::new(Broken(1)));
    let texts = Mutex::new(Vec::new());
    for error in [
        failed,
        LazyError::Panicked,
        LazyError::Recursive,
        LazyError::TimedOut,
        LazyError::Shutdown,
    ] {
        let copy = error.clone();
        assert_eq!(copy.to_string(), error.to_string());
        texts.lock().unwrap().push(error.to_string());
    }
    assert!(texts.into_inner().unwrap()[0].contains("Broken(1)"));
}

//! Time limits and waits beside code that is always ready.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use nexios::{AsyncLazy, AsyncLazyMap, LazyError};

use super::Broken;
use crate::race::{busy, everywhere, ms};

/// How long the busy code would go on, and what is long before that.
const BUSY: Duration = ms(3_000);
const SOON: Duration = ms(1_000);

#[test]
fn the_limit_of_a_computation_that_is_always_ready_holds() {
    everywhere(|| async {
        let began = Instant::now();
        let cell = AsyncLazy::builder(async || {
            busy(BUSY).await;
            Ok::<_, Broken>(1)
        })
        .timeout(ms(50))
        .build();
        assert!(matches!(cell.get().await, Err(LazyError::TimedOut)));
        let map = AsyncLazyMap::builder(10, async |_: u8| {
            busy(BUSY).await;
            Ok::<_, Broken>(1)
        });
        assert!(matches!(
            map.timeout(ms(50)).build().get(&1).await,
            Err(LazyError::TimedOut)
        ));
        assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
    });
}

#[test]
fn a_computation_that_is_always_ready_keeps_no_other_from_its_turn() {
    everywhere(|| async {
        let began = Instant::now();
        let cell = Arc::new(AsyncLazy::new(async || {
            busy(BUSY).await;
            Ok::<_, Broken>(1)
        }));
        let other = AsyncLazy::new(async || {
            tokio::time::sleep(ms(50)).await;
            Ok::<_, Broken>(2)
        });
        let mut call = cell.get();
        assert!(super::poll_once(&mut call).is_pending());
        assert_eq!(*other.get().await.unwrap(), 2);
        assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
    });
}

#[test]
fn callers_beside_code_that_is_always_ready_get_their_answers_in_time() {
    everywhere(|| async {
        let began = Instant::now();
        let slow = || async {
            tokio::time::sleep(ms(50)).await;
            Ok::<_, Broken>(1)
        };
        let cell = AsyncLazy::new(slow);
        let map = AsyncLazyMap::new(10, move |_: u8| slow());
        let limited = AsyncLazy::builder(std::future::pending::<Result<u8, Broken>>)
            .timeout(ms(50))
            .build();
        let answers = async {
            let (one, two, none) = tokio::join!(cell.get(), map.get(&1), limited.get());
            assert_eq!((*one.unwrap(), *two.unwrap()), (1, 1));
            assert!(matches!(none, Err(LazyError::TimedOut)));
        };
        tokio::select! {
            biased;
            () = busy(BUSY) => {}
            () = answers => {}
        }
        assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
    });
}

#[test]
fn a_value_grows_old_and_an_error_is_kept_beside_code_that_is_always_ready() {
    everywhere(|| async {
        let began = Instant::now();
        let cell = AsyncLazy::builder(async || Ok::<_, Broken>(()))
            .ttl(ms(50))
            .stale_while_revalidate(BUSY)
            .build();
        let failing = AsyncLazy::builder(async || Err::<(), _>(Broken(1)))
            .error_backoff(ms(50))
            .build();
        let looks = async {
            while cell.stats().computations < 3 || failing.stats().computations < 3 {
                let (_served, _kept) = (cell.get().await, failing.get().await);
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            biased;
            () = busy(BUSY) => {}
            () = looks => {}
        }
        assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
        assert!(began.elapsed() >= ms(100), "{:?}", began.elapsed());
    });
}

//! Time limits of each key's value by itself.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::SeqCst},
};

use nexios::{AsyncLazyMap, LazyError};

use super::{
    super::{pass_time, seconds},
    Broken, Shelf, computing, poll_once, settle,
};

#[tokio::test(start_paused = true)]
async fn each_value_expires_by_itself() {
    // LZ-027, LZ-028
    let map = Shelf::open().builder(10).ttl(seconds(10)).build();
    map.get("a").await.unwrap();
    pass_time(6.0).await;
    map.get("b").await.unwrap();
    pass_time(3.999).await;
    assert_eq!(*map.get("a").await.unwrap(), "a 1");
    pass_time(0.001).await;
    assert!(
        map.peek("a").is_none(),
        "an age equal to the limit is past it"
    );
    assert_eq!(*map.get("a").await.unwrap(), "a 2");
    assert_eq!(*map.get("b").await.unwrap(), "b 1");
    assert_eq!(map.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_ttl_of_zero_keeps_nothing_but_still_shares() {
    let shelf = Shelf::new();
    let map = shelf.builder(10).ttl(seconds(0)).build();
    let (mut one, mut two) = (map.get("a"), map.get("a"));
    assert!(poll_once(&mut one).is_pending() && poll_once(&mut two).is_pending());
    shelf.let_through("a", 1);
    assert_eq!(
        [one.await.unwrap().as_str(), two.await.unwrap().as_str()],
        ["a 1", "a 1"]
    );
    map.set("b".into(), "set".into());
    assert_eq!((map.len(), computing(&map)), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_stale_value_is_served_at_once_while_one_refresh_runs() {
    // LZ-045, L12
    let shelf = Shelf::new();
    let map = shelf
        .builder(10)
        .ttl(seconds(10))
        .stale_while_revalidate(seconds(10))
        .build();
    map.set("a".into(), "set".into());
    pass_time(10.0).await;
    for _ in 0..5 {
        assert_eq!(*map.get("a").await.unwrap(), "set");
        settle().await;
    }
    assert_eq!(
        (shelf.started("a"), computing(&map), map.stats().stale),
        (1, 1, 5)
    );
    shelf.let_through("a", 1);
    settle().await;
    assert_eq!(*map.get("a").await.unwrap(), "a 1");
    assert_eq!((map.len(), computing(&map)), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn past_the_hard_limit_an_old_value_is_never_served_even_while_a_refresh_runs() {
    let shelf = Shelf::new();
    let map = shelf
        .builder(10)
        .ttl(seconds(10))
        .stale_while_revalidate(seconds(10))
        .build();
    map.set("a".into(), "set".into());
    pass_time(10.0).await;
    map.get("a").await.unwrap();
    pass_time(10.0).await;
    let mut call = map.get("a");
    assert!(poll_once(&mut call).is_pending());
    assert!(map.peek("a").is_none());
    shelf.let_through("a", 1);
    assert_eq!(*call.await.unwrap(), "a 1");
    assert_eq!(shelf.started("a"), 1);
}

#[tokio::test(start_paused = true)]
async fn on_failure_the_old_value_stands_in_until_its_limit() {
    // L11
    let map = AsyncLazyMap::<u8, u8, _>::builder(10, |key| async move { Err(Broken(key.into())) })
        .ttl(seconds(10))
        .stale_if_error(seconds(10))
        .build();
    map.set(1, 70);
    pass_time(10.0).await;
    assert_eq!(*map.get(&1).await.unwrap(), 70);
    pass_time(10.0).await;
    assert!(matches!(map.get(&1).await, Err(LazyError::Failed(_))));
    assert_eq!(
        (map.len(), computing(&map)),
        (0, 0),
        "nothing is left to keep"
    );
}

#[tokio::test(start_paused = true)]
async fn with_a_backoff_an_error_is_an_entry_until_the_next_computation() {
    // LZ-014
    let failing = Arc::new(AtomicBool::new(true));
    let map = {
        let failing = failing.clone();
        AsyncLazyMap::builder(10, move |key: u8| {
            let failing = failing.load(SeqCst);
            async move {
                if failing {
                    Err(Broken(key.into()))
                } else {
                    Ok(key)
                }
            }
        })
        .error_backoff(seconds(5))
        .build()
    };
    assert!(map.get(&1).await.is_err());
    assert_eq!((map.len(), map.stats().computations), (1, 1));
    failing.store(false, SeqCst);
    assert!(map.get(&1).await.is_err());
    assert!(map.peek(&1).is_none());
    assert_eq!(map.stats().computations, 1);
    pass_time(5.0).await;
    assert_eq!(*map.get(&1).await.unwrap(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_computation_past_its_time_limit_is_dropped() {
    let shelf = Shelf::new();
    let map = shelf.builder(10).timeout(seconds(3)).build();
    assert!(matches!(map.get("a").await, Err(LazyError::TimedOut)));
    assert_eq!((shelf.alive("a"), computing(&map), map.len()), (0, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn jitter_shortens_each_ttl_by_its_own_share() {
    let map = Shelf::open()
        .builder(1_000)
        .ttl(seconds(100))
        .jitter(0.5)
        .build();
    for key in 0..200 {
        map.set(format!("{key}"), String::new());
    }
    let left = || {
        (0..200)
            .filter(|key| map.peek(&format!("{key}")).is_some())
            .count()
    };
    pass_time(49.9).await;
    assert_eq!(left(), 200);
    pass_time(25.0).await;
    assert!((50..150).contains(&left()), "{}", left());
    pass_time(25.1).await;
    assert_eq!(left(), 0);
}

#[test]
#[should_panic(expected = "the jitter of a lazy value is a share from 0 to 1, not 1.5")]
fn a_jitter_above_one_is_refused() {
    drop(Shelf::open().builder(1).jitter(1.5));
}

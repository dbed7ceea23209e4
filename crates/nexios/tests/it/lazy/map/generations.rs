//! What `reset`, `reset_all` and `set` do to computations that began before them.

use super::{super::seconds, Shelf, computing, poll_once, settle};

/// How a key can be forgotten.
const WAYS: [fn(&super::Map); 2] = [|map| map.reset("a"), |map| map.reset_all()];

#[tokio::test(start_paused = true)]
async fn a_get_after_a_reset_never_sees_the_older_computation() {
    // LZ-005, LZ-006, LZ-024, L2: moka inserts what was invalidated while it was computed.
    for reset in WAYS {
        for order in [[1, 2], [2, 1]] {
            let shelf = Shelf::new();
            let map = shelf.map(10);
            let mut first = map.get("a");
            assert!(poll_once(&mut first).is_pending());
            settle().await;
            reset(&map);
            assert_eq!(computing(&map), 0, "who comes now finds nothing to join");
            let (mut second, mut third) = (map.get("a"), map.get("a"));
            assert!(poll_once(&mut second).is_pending() && poll_once(&mut third).is_pending());
            settle().await;
            assert_eq!(shelf.started("a"), 2);
            if order == [1, 2] {
                shelf.let_through("a", 1);
                assert_eq!(*first.await.unwrap(), "a 1");
                assert!(map.peek("a").is_none(), "the old value is not kept");
                assert_eq!(map.len(), 0);
                shelf.let_through("a", 2);
            } else {
                shelf.let_through("a", 2);
                assert_eq!(*first.await.unwrap(), "a 1");
            }
            assert_eq!(
                [
                    second.await.unwrap().as_str(),
                    third.await.unwrap().as_str()
                ],
                ["a 2", "a 2"]
            );
            assert_eq!(
                map.peek("a").unwrap().as_str(),
                "a 2",
                "the old completion overwrites nothing"
            );
            assert_eq!((map.len(), computing(&map)), (1, 0));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_refresh_after_a_reset_does_not_join_the_older_computation() {
    for reset in WAYS {
        let shelf = Shelf::new();
        let map = shelf.map(10);
        let mut old = map.get("a");
        assert!(poll_once(&mut old).is_pending());
        settle().await;
        reset(&map);
        shelf.let_through("a", 2);
        assert_eq!(*map.refresh("a").await.unwrap(), "a 2");
    }
}

#[tokio::test(start_paused = true)]
async fn a_reset_forgets_the_value_and_the_refresh_that_runs() {
    // LZ-049
    for reset in WAYS {
        let shelf = Shelf::new();
        let map = shelf.map(10);
        map.set("a".into(), "set".into());
        let mut refresh = map.refresh("a");
        assert!(poll_once(&mut refresh).is_pending());
        settle().await;
        reset(&map);
        assert!(map.peek("a").is_none());
        shelf.let_through("a", 1);
        assert_eq!(
            *refresh.await.unwrap(),
            "a 1",
            "who waits gets what it waits for"
        );
        assert!(map.peek("a").is_none());
        assert_eq!((map.len(), computing(&map)), (0, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn a_reset_drops_a_computation_that_nobody_waits_for() {
    for reset in WAYS {
        let shelf = Shelf::new();
        let map = shelf.builder(10).keep_warm(true).build();
        assert!(poll_once(&mut map.get("a")).is_pending());
        settle().await;
        assert_eq!(shelf.alive("a"), 1);
        reset(&map);
        assert_eq!(shelf.alive("a"), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_reset_of_one_key_leaves_the_others() {
    let shelf = Shelf::new();
    let map = shelf.map(10);
    map.set("b".into(), "set".into());
    let mut computed = map.get("c");
    assert!(poll_once(&mut computed).is_pending());
    map.reset("a");
    assert_eq!(*map.get("b").await.unwrap(), "set");
    shelf.let_through("c", 1);
    computed.await.unwrap();
    assert_eq!((shelf.started("c"), map.peek("c").is_some()), (1, true));
}

#[tokio::test(start_paused = true)]
async fn reset_all_forgets_every_key() {
    let shelf = Shelf::open();
    let map = shelf.map(1_000);
    for key in 0..500 {
        map.get(&format!("{key}")).await.unwrap();
    }
    assert_eq!(map.len(), 500);
    map.reset_all();
    assert_eq!((map.len(), map.weight()), (0, 0));
    assert_eq!(*map.get("7").await.unwrap(), "7 2");
    assert_eq!(map.len(), 1, "what comes after it stays");
    assert_eq!(*map.get("7").await.unwrap(), "7 2");
    assert_eq!(map.stats().evictions, 0, "a reset is no eviction");
}

#[tokio::test(start_paused = true)]
async fn set_wins_over_an_older_computation_in_flight() {
    // LZ-024, LZ-025
    let shelf = Shelf::new();
    let map = shelf.map(10);
    let mut waiting = map.get("a");
    assert!(poll_once(&mut waiting).is_pending());
    settle().await;
    map.set("a".into(), "set".into());
    assert_eq!(
        shelf.alive("a"),
        0,
        "nobody needs that computation any more"
    );
    shelf.let_through("a", 1);
    settle().await;
    assert_eq!(*waiting.await.unwrap(), "set");
    assert_eq!(*map.get("a").await.unwrap(), "set");
    assert_eq!((map.len(), computing(&map)), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_value_set_while_an_overtaken_computation_runs_stays() {
    for reset in WAYS {
        let shelf = Shelf::new();
        let map = shelf.map(10);
        let mut old = map.get("a");
        assert!(poll_once(&mut old).is_pending());
        settle().await;
        reset(&map);
        map.set("a".into(), "set".into());
        shelf.let_through("a", 1);
        assert_eq!(*old.await.unwrap(), "a 1");
        assert_eq!(*map.get("a").await.unwrap(), "set");
        assert_eq!(shelf.started("a"), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_failure_from_before_a_reset_counts_for_nothing_after_it() {
    for reset in WAYS {
        let failing = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(true));
        let map = {
            let failing = failing.clone();
            nexios::AsyncLazyMap::builder(10, move |key: String| {
                let failing = failing.load(std::sync::atomic::Ordering::SeqCst);
                async move {
                    if failing {
                        Err(super::Broken(1))
                    } else {
                        Ok(key)
                    }
                }
            })
            .error_backoff(seconds(60))
            .build()
        };
        assert!(map.get("a").await.is_err());
        failing.store(false, std::sync::atomic::Ordering::SeqCst);
        assert!(map.get("a").await.is_err());
        reset(&map);
        assert_eq!(*map.get("a").await.unwrap(), "a");
    }
}

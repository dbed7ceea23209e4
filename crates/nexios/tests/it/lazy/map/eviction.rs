//! The bound, and what it must not touch.

use std::{
    sync::{Arc, Mutex, Weak},
    task::Poll,
};

use nexios::AsyncLazyMap;

use super::{
    super::{pass_time, seconds},
    Broken, Shelf, computing, poll_once, settle,
};

#[tokio::test(start_paused = true)]
async fn a_map_never_holds_more_entries_than_its_capacity() {
    for capacity in [1, 2, 3, 31, 33, 101, 1_003] {
        let map = AsyncLazyMap::<usize, usize, Broken>::new(capacity, |key| async move { Ok(key) });
        for key in 0..3 * capacity {
            assert_eq!(*map.get(&key).await.unwrap(), key);
            assert!(map.len() <= capacity, "{} of {capacity}", map.len());
        }
        assert!(
            map.len() * 10 >= capacity * 7,
            "{} of {capacity}: most of it is used",
            map.len()
        );
        assert_eq!(map.stats().evictions as usize, 3 * capacity - map.len());
    }
}

#[tokio::test(start_paused = true)]
async fn the_largest_capacity_there_is_takes_no_room_by_itself() {
    let map = Shelf::open().map(usize::MAX);
    map.get("a").await.unwrap();
    let weighed = Shelf::open()
        .builder(usize::MAX)
        .weigher(|_, _| usize::MAX / 8)
        .build();
    weighed.get("a").await.unwrap();
    assert_eq!((map.len(), weighed.len()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn evicted_values_are_gone_and_computed_again() {
    let made: Arc<Mutex<Vec<Weak<()>>>> = Arc::default();
    let map = {
        let made = made.clone();
        AsyncLazyMap::<usize, Arc<()>, Broken>::new(3, move |_| {
            let value = Arc::new(());
            made.lock().unwrap().push(Arc::downgrade(&value));
            async move { Ok(value) }
        })
    };
    for key in 0..20 {
        map.get(&key).await.unwrap();
    }
    let alive = || {
        made.lock()
            .unwrap()
            .iter()
            .filter(|value| value.strong_count() > 0)
            .count()
    };
    assert_eq!((alive(), map.len()), (3, 3));
    let gone = (0..20).find(|key| map.peek(key).is_none()).unwrap();
    map.get(&gone).await.unwrap();
    assert_eq!(map.stats().computations, 21);
    drop(map);
    assert_eq!(alive(), 0);
}

#[tokio::test(start_paused = true)]
async fn with_a_weigher_the_total_weight_stays_inside_the_capacity() {
    let map = Shelf::open()
        .builder(1_000)
        .weigher(|key, value| key.len() + value.len())
        .build();
    for key in 0..200 {
        map.set(format!("{key:04}"), "x".repeat(key % 90));
        assert!(map.weight() <= 1_000, "{}", map.weight());
    }
    assert!(map.weight() > 500 && map.len() > 5, "{map:?}");
    let heavy = "y".repeat(996);
    map.set("heavy".into(), heavy);
    assert!(
        map.peek("heavy").is_none(),
        "heavier than a part's share: given up at once"
    );
    assert!(map.weight() <= 1_000);
}

#[tokio::test(start_paused = true)]
async fn a_value_too_heavy_to_keep_is_given_to_those_who_wait() {
    let map = AsyncLazyMap::builder(
        100,
        |key: usize| async move { Ok::<_, Broken>("z".repeat(key)) },
    )
    .weigher(|_, value| value.len())
    .build();
    let (one, two) = tokio::join!(map.get(&500), map.get(&500));
    assert_eq!((one.unwrap().len(), two.unwrap().len()), (500, 500));
    assert_eq!(
        (map.len(), computing(&map), map.stats().computations),
        (0, 0, 1)
    );
}

#[tokio::test(start_paused = true)]
async fn the_weight_follows_the_value() {
    let map = Shelf::open()
        .builder(1_000)
        .weigher(|_, value| value.len())
        .build();
    map.set("a".into(), "x".repeat(10));
    assert_eq!(map.weight(), 10);
    map.set("a".into(), "x".repeat(30));
    assert_eq!(map.weight(), 30);
    map.refresh("a").await.unwrap();
    assert_eq!((map.weight(), map.len()), (3, 1), "of `a 1`");
    map.reset("a");
    assert_eq!(map.weight(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_weight_of_zero_counts_as_one() {
    let map = Shelf::open().builder(8).weigher(|_, _| 0).build();
    for key in 0..100 {
        map.get(&format!("{key}")).await.unwrap();
    }
    assert!(
        map.len() <= 8 && map.weight() as usize == map.len(),
        "{map:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_weigher_that_panics_costs_only_the_place_in_the_map() {
    let map = Shelf::open()
        .builder(8)
        .weigher(|key, _| {
            assert!(key != "b", "no scales for this one");
            1
        })
        .build();
    map.get("a").await.unwrap();
    assert_eq!(*map.get("b").await.unwrap(), "b 1");
    map.set("b".into(), "set".into());
    assert!(map.peek("a").is_some() && map.peek("b").is_none());
    assert_eq!((map.len(), computing(&map)), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn eviction_strands_no_waiter_and_starts_no_second_computation() {
    let shelf = Shelf::new();
    let map = shelf.map(1);
    let mut first = map.get("a");
    assert!(poll_once(&mut first).is_pending());
    for key in 0..50 {
        map.set(format!("{key}"), "other".into());
    }
    let mut second = map.get("a");
    assert!(poll_once(&mut second).is_pending());
    settle().await;
    assert_eq!((shelf.started("a"), map.len()), (1, 1));
    shelf.let_through("a", 1);
    assert_eq!(
        [
            first.await.unwrap().as_str(),
            second.await.unwrap().as_str()
        ],
        ["a 1", "a 1"]
    );
}

#[tokio::test(start_paused = true)]
async fn an_entry_that_is_evicted_while_it_is_refreshed_is_not_refreshed_twice() {
    let shelf = Shelf::new();
    let map = shelf
        .builder(1)
        .ttl(seconds(1))
        .stale_while_revalidate(seconds(100))
        .build();
    map.set("a".into(), "old".into());
    pass_time(1.0).await;
    assert_eq!(*map.get("a").await.unwrap(), "old");
    settle().await;
    map.set("b".into(), "other".into());
    map.set("c".into(), "other".into());
    assert_eq!(map.len(), 1);
    // Polled, not awaited: were it gone, this would wait for ever.
    let served = poll_once(&mut map.get("a"));
    assert!(
        matches!(served, Poll::Ready(Ok(value)) if *value == "old"),
        "kept until it is replaced"
    );
    let mut refresh = map.refresh("a");
    assert!(poll_once(&mut refresh).is_pending());
    settle().await;
    assert_eq!(shelf.started("a"), 1);
    map.reset("a");
    let mut again = map.refresh("a");
    assert!(poll_once(&mut again).is_pending());
    settle().await;
    assert_eq!(
        shelf.started("a"),
        2,
        "after a reset there may be a second one"
    );
    shelf.let_through("a", 2);
    assert_eq!(
        [
            refresh.await.unwrap().as_str(),
            again.await.unwrap().as_str()
        ],
        ["a 1", "a 2"]
    );
    assert_eq!((map.len(), computing(&map)), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_destructor_of_an_evicted_value_may_use_the_map() {
    struct Value(Weak<AsyncLazyMap<u32, Value, Broken>>);
    impl Drop for Value {
        fn drop(&mut self) {
            if let Some(map) = self.0.upgrade() {
                // Each of these takes a lock that would be held if values were dropped under one.
                let _ = map.peek(&1);
                map.reset(&999);
                let _ = map.len();
            }
        }
    }
    let map: Arc<AsyncLazyMap<u32, Value, Broken>> = Arc::new_cyclic(|map| {
        let map = map.clone();
        AsyncLazyMap::new(2, move |_| {
            let value = Value(map.clone());
            async move { Ok(value) }
        })
    });
    for key in 0..20 {
        map.get(&key).await.unwrap();
        map.set(key, Value(Arc::downgrade(&map)));
        map.refresh(&key).await.unwrap();
    }
    map.reset(&19);
    map.reset_all();
    assert!(map.is_empty());
}

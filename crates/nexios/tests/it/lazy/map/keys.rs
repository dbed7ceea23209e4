//! Each key has one computation at a time, and no key knows of another.

use std::{
    cell::Cell,
    hash::{Hash, Hasher},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, OnceLock},
};

use nexios::{AsyncLazyMap, LazyError};
use tokio::time::timeout;

use super::{
    super::{pass_time, seconds},
    Broken, Map, Shelf, computing, poll_once, settle,
};

#[tokio::test(start_paused = true)]
async fn a_key_is_computed_once_for_all_who_ask() {
    // LZ-001, LZ-003, L10
    let shelf = Shelf::new();
    let map = shelf.map(10);
    let mut calls: Vec<_> = (0..20).map(|_| map.get("a")).collect();
    for call in &mut calls {
        assert!(poll_once(call).is_pending());
    }
    settle().await;
    assert_eq!((shelf.started("a"), computing(&map), map.len()), (1, 1, 0));
    shelf.let_through("a", 1);
    for call in calls {
        assert_eq!(*call.await.unwrap(), "a 1");
    }
    assert_eq!(*map.get("a").await.unwrap(), "a 1");
    let stats = map.stats();
    assert_eq!(
        (stats.misses, stats.waits, stats.hits, stats.computations),
        (1, 19, 1, 1)
    );
    assert_eq!((computing(&map), map.len()), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn keys_do_not_wait_for_each_other() {
    let shelf = Shelf::new();
    let map = shelf.map(10);
    // More keys than there are locks, so that some share one.
    let keys: Vec<_> = (0..64).map(|number| format!("key {number}")).collect();
    let mut calls: Vec<_> = keys.iter().map(|key| map.get(key)).collect();
    for call in &mut calls {
        assert!(poll_once(call).is_pending());
    }
    settle().await;
    assert_eq!(computing(&map), 64);
    for (key, call) in keys.iter().zip(calls).rev() {
        shelf.let_through(key, 1);
        assert_eq!(*call.await.unwrap(), format!("{key} 1"));
    }
    assert_eq!(computing(&map), 0);
}

#[tokio::test(start_paused = true)]
async fn what_is_never_asked_for_never_runs() {
    // LZ-002
    let shelf = Shelf::open();
    let map = shelf.map(10);
    drop(map.get("a"));
    assert!(map.peek("a").is_none());
    assert_eq!(
        (shelf.started("a"), map.len(), map.is_empty()),
        (0, 0, true)
    );
}

#[tokio::test(start_paused = true)]
async fn a_hit_is_ready_at_the_first_poll() {
    let map = Shelf::open().map(10);
    map.get("a").await.unwrap();
    assert!(poll_once(&mut map.get("a")).is_ready());
}

#[tokio::test(start_paused = true)]
async fn peek_neither_waits_nor_computes() {
    // LZ-023
    let shelf = Shelf::new();
    let map = shelf.map(10);
    let mut call = map.get("a");
    assert!(poll_once(&mut call).is_pending());
    settle().await;
    assert!(map.peek("a").is_none() && map.age("a").is_none());
    shelf.let_through("a", 1);
    call.await.unwrap();
    tokio::time::advance(seconds(3)).await;
    assert_eq!(map.peek("a").unwrap().as_str(), "a 1");
    assert_eq!(map.age("a"), Some(seconds(3)));
    assert!(map.peek("b").is_none());
    assert_eq!(map.stats().hits, 0);
}

#[tokio::test(start_paused = true)]
async fn a_first_caller_that_leaves_changes_nothing_for_the_second() {
    // LZ-008, L4
    let shelf = Shelf::new();
    let map = shelf.map(10);
    let (mut first, mut second) = (map.get("a"), map.get("a"));
    assert!(poll_once(&mut first).is_pending() && poll_once(&mut second).is_pending());
    settle().await;
    drop(first);
    shelf.let_through("a", 1);
    assert_eq!(*second.await.unwrap(), "a 1");
}

#[tokio::test(start_paused = true)]
async fn the_computation_is_dropped_as_the_last_waiter_leaves_and_nothing_stays() {
    // LZ-009, LZ-010
    let shelf = Shelf::new();
    let map = shelf.map(10);
    let (mut first, mut second) = (map.get("a"), map.get("a"));
    assert!(poll_once(&mut first).is_pending() && poll_once(&mut second).is_pending());
    settle().await;
    drop(first);
    assert_eq!(shelf.alive("a"), 1);
    drop(second);
    assert_eq!((shelf.alive("a"), computing(&map), map.len()), (0, 0, 0));
    shelf.let_through("a", 2);
    assert_eq!(*map.get("a").await.unwrap(), "a 2");
}

#[tokio::test(start_paused = true)]
async fn keep_warm_goes_on_without_waiters() {
    let shelf = Shelf::new();
    let map = shelf.builder(10).keep_warm(true).build();
    let mut call = map.get("a");
    assert!(poll_once(&mut call).is_pending());
    drop(call);
    settle().await;
    shelf.let_through("a", 1);
    settle().await;
    assert_eq!(map.peek("a").unwrap().as_str(), "a 1");
    assert_eq!((computing(&map), map.len()), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn dropping_the_map_drops_its_computations() {
    let shelf = Shelf::new();
    let map = shelf.builder(10).keep_warm(true).build();
    for key in ["a", "b"] {
        assert!(poll_once(&mut map.get(key)).is_pending());
    }
    settle().await;
    assert_eq!((shelf.alive("a"), shelf.alive("b")), (1, 1));
    drop(map);
    assert_eq!((shelf.alive("a"), shelf.alive("b")), (0, 0));
    settle().await;
    assert_eq!(Arc::strong_count(&shelf), 1, "nothing is left of the map");
}

#[tokio::test(start_paused = true)]
async fn an_error_is_shared_by_all_who_wait_and_not_kept() {
    // LZ-013, L3
    let map = AsyncLazyMap::new(10, |key: usize| async move {
        tokio::time::sleep(seconds(1)).await;
        Err::<(), _>(Broken(key))
    });
    let calls = (0..5).map(|_| map.get(&7));
    for answer in futures_util::future::join_all(calls).await {
        assert!(matches!(answer, Err(LazyError::Failed(error)) if *error == Broken(7)));
    }
    let stats = map.stats();
    assert_eq!((stats.computations, stats.failures), (1, 1));
    assert_eq!((map.len(), computing(&map)), (0, 0));
    assert!(map.get(&7).await.is_err());
    assert_eq!(map.stats().computations, 2);
}

#[tokio::test(start_paused = true)]
async fn a_panic_reaches_all_who_wait_and_the_map_stays_usable() {
    // LZ-015, LZ-018
    let map = AsyncLazyMap::<u8, u8, Broken>::new(10, |key| {
        assert!(key != 1, "no future for this one");
        async move {
            assert!(key != 2, "no value for this one");
            Ok(key)
        }
    });
    for key in [1, 2] {
        let (one, two) = tokio::join!(map.get(&key), map.get(&key));
        assert!(matches!(
            (one, two),
            (Err(LazyError::Panicked), Err(LazyError::Panicked))
        ));
    }
    assert_eq!(*map.get(&3).await.unwrap(), 3);
    assert_eq!(
        (map.len(), computing(&map), map.stats().failures),
        (1, 0, 2)
    );
}

/// A map whose computations ask the map itself: `n` asks for `n - 1`, and zero for itself.
fn asking() -> Arc<AsyncLazyMap<u32, u32, LazyError<Broken>>> {
    static MAP: OnceLock<std::sync::Weak<AsyncLazyMap<u32, u32, LazyError<Broken>>>> =
        OnceLock::new();
    let map = Arc::new(AsyncLazyMap::new(10, |key: u32| async move {
        let map = MAP
            .get()
            .and_then(std::sync::Weak::upgrade)
            .ok_or(LazyError::Shutdown)?;
        match map.get(&key.saturating_sub(1)).await {
            Ok(below) => Ok(*below + 1),
            Err(LazyError::Failed(inner)) => Err((*inner).clone()),
            Err(LazyError::Recursive) => Err(LazyError::Recursive),
            Err(_) => Err(LazyError::Panicked),
        }
    }));
    MAP.set(Arc::downgrade(&map)).unwrap();
    map
}

#[tokio::test(start_paused = true)]
async fn a_get_of_the_same_key_inside_its_computation_is_an_error_and_of_another_is_not() {
    // LZ-063, L7
    let map = asking();
    let recursive = |answer: Result<_, LazyError<LazyError<Broken>>>| match answer {
        Err(LazyError::Failed(inner)) => matches!(*inner, LazyError::Recursive),
        _ => false,
    };
    assert!(recursive(map.get(&0).await));
    assert!(recursive(map.get(&3).await), "through three other keys");
    map.set(0, 0);
    assert_eq!(*map.get(&3).await.unwrap(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_computation_that_resets_its_key_and_asks_again_does_not_go_on_for_ever() {
    static MAP: OnceLock<AsyncLazyMap<u32, u32, String>> = OnceLock::new();
    let map = MAP.get_or_init(|| {
        AsyncLazyMap::new(10, |key: u32| async move {
            let Some(map) = MAP.get() else { return Ok(0) };
            map.reset(&key);
            map.get(&key)
                .await
                .map(|value| *value)
                .map_err(|error| error.to_string())
        })
    });
    let answer = map.get(&1).await;
    assert!(matches!(answer, Err(LazyError::Failed(error)) if error.contains("inside its own")));
    assert_eq!((map.stats().computations, computing(map)), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn refresh_computes_though_there_is_a_value_and_joins_a_running_computation() {
    // LZ-061
    let shelf = Shelf::new();
    let map = shelf.map(10);
    map.set("a".into(), "set".into());
    let (mut first, mut second) = (map.refresh("a"), map.refresh("a"));
    assert!(poll_once(&mut first).is_pending() && poll_once(&mut second).is_pending());
    assert_eq!(
        *map.get("a").await.unwrap(),
        "set",
        "the old value is served meanwhile"
    );
    shelf.let_through("a", 1);
    assert_eq!(*first.await.unwrap(), "a 1");
    assert_eq!(*second.await.unwrap(), "a 1");
    assert_eq!((shelf.started("a"), map.len()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_set_value_is_served_without_a_computation() {
    // LZ-026
    let shelf = Shelf::open();
    let map = shelf.map(10);
    map.set("a".into(), "one".into());
    map.set("a".into(), "two".into());
    assert_eq!(*map.get("a").await.unwrap(), "two");
    assert_eq!((shelf.started("a"), map.len()), (0, 1));
}

#[test]
fn one_map_serves_many_runtimes() {
    // LZ-016, LZ-037, RS-006, L8
    let shelf = Shelf::new();
    let map = shelf.map(10);
    let runtime = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
    };
    let dying = runtime();
    let mut call = map.get("a");
    dying.block_on(async {
        assert!(poll_once(&mut call).is_pending());
        settle().await;
    });
    drop(dying);
    assert_eq!((shelf.alive("a"), computing(&map)), (0, 0));
    shelf.let_through("a", 2);
    assert_eq!(*runtime().block_on(call).unwrap(), "a 2");
    assert_eq!(*runtime().block_on(map.get("a")).unwrap(), "a 2");
}

#[test]
fn maps_and_their_futures_cross_threads() {
    // RS-007
    fn shared<V: Send + Sync>(_: &V) {}
    fn sent<V: Send>(_: &V) {}
    let map: Map = Shelf::open().map(10);
    shared(&map);
    sent(&map.get("a"));
    sent(&map.refresh("a"));
}

#[test]
fn debug_shows_name_and_size() {
    let map = Shelf::open().builder(10).name("pages").build();
    map.set("a".into(), "1".into());
    let shown = format!("{map:?}");
    for part in [
        "pages",
        "len: 1",
        "weight: 1",
        "capacity: 10",
        "computing: 0",
    ] {
        assert!(shown.contains(part), "{part} is not in {shown}");
    }
}

#[test]
#[should_panic(expected = "the capacity of a lazy map is at least 1, not 0")]
fn a_capacity_of_zero_is_refused() {
    drop(Shelf::open().map(0));
}

/// A key that panics in the middle of a call costs that call only.
#[tokio::test(start_paused = true)]
async fn a_panic_of_a_keys_hash_leaves_no_computation_that_nobody_runs() {
    thread_local! {
        /// The hash that panics, counted from zero; negative for none.
        static FUSE: Cell<i32> = const { Cell::new(-1) };
    }
    #[derive(Clone, PartialEq, Eq)]
    struct Key;
    impl Hash for Key {
        fn hash<H: Hasher>(&self, state: &mut H) {
            let left = FUSE.replace(FUSE.get() - 1);
            assert!(left != 0, "the fuse is at its end");
            state.write_u8(1);
        }
    }
    for (known, stale) in [(false, 0), (true, 0), (true, 100)] {
        for fuse in 0.. {
            let map = AsyncLazyMap::builder(10, |_: Key| async { Ok::<_, Broken>("computed") })
                .ttl(seconds(1))
                .stale_while_revalidate(seconds(stale))
                .build();
            if known {
                map.set(Key, "old");
                pass_time(1.0).await;
            }
            FUSE.set(fuse);
            let panicked =
                catch_unwind(AssertUnwindSafe(|| drop(poll_once(&mut map.get(&Key))))).is_err();
            FUSE.set(-1);
            settle().await;
            let _stale = timeout(seconds(1), map.get(&Key))
                .await
                .expect("somebody runs it");
            settle().await;
            assert_eq!(
                map.peek(&Key).as_deref(),
                Some(&"computed"),
                "hash {fuse} of {known}, {stale}"
            );
            assert_eq!(computing(&map), 0);
            if !panicked {
                assert!(fuse > 3, "all of its hashes were tried");
                break;
            }
        }
    }
}

//! What is told of lazy values.

use std::{future::pending, sync::Arc, time::Duration};

use futures_util::FutureExt;
use nexios::{
    AsyncLazy, AsyncLazyMap, LazyState,
    observe::{self, WorkId},
};
use tokio::{task::yield_now, time::sleep};

use super::recorder::Recorder;

type Lazy = AsyncLazy<u8, &'static str>;

fn alive(name: &str) -> Option<observe::Living<nexios::LazyStats>> {
    observe::snapshot()
        .lazies
        .into_iter()
        .find(|lazy| lazy.name == name)
}

/// What is told of the computation, without the number of what was waited for.
fn lines(recorder: &Recorder) -> Vec<String> {
    let without_number = |line: String| match line.split_once(", on: ") {
        Some((line, on)) => format!("{line}, on: {}", on.starts_with("Some")),
        None => line,
    };
    recorder.lines().into_iter().map(without_number).collect()
}

#[tokio::test(start_paused = true)]
async fn a_computation_is_a_root_with_a_link_and_who_waits_says_so() {
    let (recorder, _observing, root) = Recorder::begin();
    let lazy = Lazy::builder(|| async {
        sleep(Duration::from_secs(1)).await;
        drop(observe::custom("inside"));
        Ok(1)
    });
    let lazy = lazy.name("daily stats").build();
    let waiter = root.scope(|| observe::custom("waiter"));
    waiter.run(lazy.get()).await.unwrap();
    assert_eq!(
        lines(&recorder),
        [
            "waiter: made as custom in the test",
            "waiter: started",
            "daily stats: made as computation",
            "waiter: Waiting { name: \"daily stats\", on: true",
            "daily stats: started",
            "inside: made as custom in daily stats",
            "inside: started",
            "inside: Completed",
            "daily stats: Completed",
            "waiter: Resumed",
            "waiter: Completed",
        ]
        .map(|line| line.replace(" in the test", ""))
    );
}

#[tokio::test(start_paused = true)]
async fn a_computation_ends_as_it_went() {
    let (recorder, _observing, root) = Recorder::begin();
    let failed = Lazy::builder(|| async { Err("no") }).name("failed").build();
    let panics = Lazy::builder(|| async { panic!("on purpose") })
        .name("panics")
        .build();
    let slow = Lazy::builder(pending)
        .timeout(Duration::from_secs(1))
        .name("slow")
        .build();
    let _ended = root
        .run(async { (failed.get().await, panics.get().await, slow.get().await) })
        .await;
    let lines = lines(&recorder);
    for line in [
        "failed: Failed(None)",
        "panics: Panicked(\"on purpose\")",
        "slow: TimedOut",
    ] {
        assert!(lines.contains(&line.into()), "{lines:?}");
    }
}

#[tokio::test]
async fn a_computation_that_nobody_waits_for_is_cancelled() {
    let (recorder, _observing, root) = Recorder::begin();
    let lazy = Lazy::builder(pending).name("left").build();
    let mut waiter = Box::pin(root.run(lazy.get()));
    tokio::select! {
        biased;
        _ = &mut waiter => unreachable!("it waits for ever"),
        () = yield_now() => {}
    }
    drop(waiter);
    assert_eq!(
        lines(&recorder).last().unwrap(),
        "left: Cancelled(OwnerDropped)"
    );
}

/// Who waits for the last one is dropped from inside the drop of the one before.
#[tokio::test]
async fn each_computation_of_a_chain_has_ended_when_it_is_gone() {
    let (recorder, _observing, root) = Recorder::begin();
    let last = Arc::new(
        Lazy::builder(|| observe::custom("inside").run(pending()))
            .name("last")
            .build(),
    );
    let middle = lazy_on("middle", last);
    let first = lazy_on("first", middle);
    let mut waiter = Box::pin(root.run(first.get()));
    for _ in 0..8 {
        assert!((&mut waiter).now_or_never().is_none());
        yield_now().await;
    }
    drop(waiter);
    let lines = lines(&recorder);
    let place = |line: &str| lines.iter().position(|told| told == line);
    let inside = place("inside: Cancelled(OwnerDropped)");
    assert!(inside.is_some(), "{lines:#?}");
    assert!(
        inside < place("last: Cancelled(OwnerDropped)"),
        "{lines:#?}"
    );
}

fn lazy_on(name: &'static str, other: Arc<Lazy>) -> Arc<Lazy> {
    let lazy = Lazy::builder(move || {
        let other = other.clone();
        async move { other.get().await.map(|value| *value).map_err(|_| "no") }
    });
    Arc::new(lazy.name(name).build())
}

#[tokio::test]
async fn a_call_that_goes_on_elsewhere_says_nothing_of_work_that_has_ended() {
    let (recorder, _observing, root) = Recorder::begin();
    let lazy = Lazy::builder(pending).name("never").build();
    let mut call = lazy.get();
    let carrier = root.scope(|| observe::custom("carrier"));
    assert!(carrier.scope(|| (&mut call).now_or_never()).is_none());
    drop(carrier);
    drop(call);
    let lines = lines(&recorder);
    let of_carrier: Vec<_> = lines
        .iter()
        .filter(|line| line.starts_with("carrier"))
        .collect();
    assert_eq!(*of_carrier[of_carrier.len() - 1], "carrier: Completed");
    assert!(
        lines
            .iter()
            .any(|line| line.starts_with("carrier: Waiting")),
        "{lines:#?}"
    );
}

#[tokio::test]
async fn a_lazy_value_is_alive_from_its_first_computation_until_it_is_dropped() {
    let lazy = Lazy::builder(|| async { Ok(1) })
        .name("alive for a while")
        .build();
    assert!(alive("alive for a while").is_none());
    lazy.get().await.unwrap();
    assert_eq!(
        alive("alive for a while").unwrap().stats.state,
        LazyState::Fresh
    );
    drop(lazy);
    assert!(alive("alive for a while").is_none());
}

#[tokio::test(start_paused = true)]
async fn a_lazy_value_says_what_it_has_to_serve() {
    let lazy = Arc::new(
        AsyncLazy::<u8, &str>::builder(|| async {
            sleep(Duration::from_secs(1)).await;
            Ok(1)
        })
        .ttl(Duration::from_secs(10))
        .stale_while_revalidate(Duration::from_secs(10))
        .build(),
    );
    assert_eq!(lazy.stats().state, LazyState::Empty);
    let computing = tokio::spawn({
        let lazy = lazy.clone();
        async move { lazy.get().await.map(|value| *value) }
    });
    yield_now().await;
    assert_eq!(lazy.stats().state, LazyState::Computing);
    computing.await.unwrap().unwrap();
    let stats = lazy.stats();
    assert_eq!(
        (stats.state, stats.fresh_for),
        (LazyState::Fresh, Some(Duration::from_secs(10)))
    );
    sleep(Duration::from_secs(11)).await;
    let stats = lazy.stats();
    assert_eq!((stats.state, stats.fresh_for), (LazyState::Stale, None));
    assert_eq!(stats.age, Some(Duration::from_secs(11)));
    let failed = Lazy::new(|| async { Err("no") });
    failed.get().await.unwrap_err();
    assert_eq!(failed.stats().state, LazyState::Failed);
}

#[tokio::test]
async fn a_lazy_value_can_be_reset_and_refreshed_by_its_number() {
    let lazy = Lazy::builder(|| async { Ok(1) })
        .name("by its number")
        .build();
    lazy.get().await.unwrap();
    let id = alive("by its number").unwrap().id;
    assert!(observe::refresh(id));
    while lazy.stats().computations < 2 {
        yield_now().await;
    }
    assert!(observe::reset(id));
    assert!(lazy.peek().is_none());
    drop(lazy);
    assert!(!observe::reset(id) && !observe::refresh(id) && !observe::reset(WorkId(u64::MAX)));
}

#[tokio::test]
async fn a_map_is_alive_as_one_and_cannot_be_refreshed() {
    let map = AsyncLazyMap::<u8, u8, &str>::builder(8, |key| async move { Ok(key) })
        .name("a map")
        .build();
    map.get(&1).await.unwrap();
    let id = alive("a map").unwrap().id;
    assert!(!observe::refresh(id));
    assert!(observe::reset(id));
    assert!(map.peek(&1).is_none());
}

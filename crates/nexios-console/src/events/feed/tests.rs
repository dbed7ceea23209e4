//! What streams are told, and when a page is rendered for them.

use std::sync::atomic::AtomicUsize;

use nexios::observe::{self, Observer, WorkId};

use super::*;
use crate::{life::Known, mount::Place, store::Store};

fn feed() -> Arc<Feed> {
    feed_with(|_| {})
}

/// One that tells which pages it renders.
fn feed_with(probe: impl Fn(&str) + Send + Sync + 'static) -> Arc<Feed> {
    let source = Source {
        store: Arc::new(Store::new(1 << 20)),
        jobs: Arc::default(),
        life: Arc::new(Known::new(None)),
        service: "test".into(),
        probe: Some(Arc::new(probe)),
    };
    Arc::new(Feed::new(source))
}

fn looks_at(view: View) -> Vec<Onlooker> {
    let place = Place {
        base: "./".into(),
        home: "./".into(),
    };
    vec![Onlooker {
        view,
        place,
        access: Access::View,
        acts: false,
    }]
}

fn is_looking(feed: &Feed) -> bool {
    feed.lock()
        .ticker
        .as_ref()
        .is_some_and(|ticker| !ticker.is_finished())
}

#[tokio::test(start_paused = true)]
async fn nobody_looks_while_nobody_is_connected() {
    let feed = feed();
    assert!(!is_looking(&feed));
    let one = Feed::subscribe(&feed, looks_at(View::Head), None);
    assert!(is_looking(&feed));
    tokio::time::sleep(PATIENCE / 2).await;
    assert!(is_looking(&feed), "as long as somebody is there");
    drop(one);
    tokio::time::sleep(LOOK * 2).await;
    assert!(!is_looking(&feed));
    let again = Feed::subscribe(&feed, looks_at(View::Head), None);
    assert!(is_looking(&feed), "and again for who comes later");
    drop(again);
}

#[tokio::test(start_paused = true)]
async fn whoever_comes_again_and_again_makes_nobody_look_more_than_four_times_a_second() {
    let looks = Arc::new(AtomicUsize::new(0));
    let feed = feed_with({
        let looks = looks.clone();
        move |_| {
            looks.fetch_add(1, Ordering::Relaxed);
        }
    });
    for _ in 0..1_000 {
        let client = Feed::subscribe(&feed, looks_at(View::Head), None);
        // Something is observed all the time.
        let work = observe::custom("feed test");
        feed.source.store.started(WorkId(u64::MAX));
        tokio::time::sleep(Duration::from_millis(10)).await;
        drop((client, work));
    }
    let looks = looks.load(Ordering::Relaxed);
    assert!((20..=41).contains(&looks), "{looks} in ten seconds");
}

#[tokio::test(start_paused = true)]
async fn a_page_that_cannot_be_rendered_keeps_no_other_from_being_told() {
    let feed = feed_with(|page| assert_ne!(page, "/pools"));
    let broken = Feed::subscribe(&feed, looks_at(View::Pools), None);
    let mut client = Feed::subscribe(&feed, looks_at(View::Lints), None).unwrap();
    client.take_first();
    tokio::time::sleep(LOOK * 8).await;
    assert!(is_looking(&feed));
    assert!(feed.has_complained.load(Ordering::Relaxed));
    let shown = |feed: &Feed| {
        let shared = feed.lock();
        let looked = shared.channels.values().map(|channel| channel.looked).max();
        looked.is_some_and(|looked| looked.elapsed() <= LOOK * IDLE_LOOKS)
    };
    assert!(shown(&feed), "the others are looked at all the same");
    drop((broken, client));
}

#[tokio::test(start_paused = true)]
async fn a_page_that_nobody_comes_back_to_is_forgotten() {
    let feed = feed();
    for id in 0..200 {
        drop(Feed::subscribe(
            &feed,
            looks_at(View::Cell(
                format!("GET /{id}"),
                crate::model::Bucket::Failed,
            )),
            None,
        ));
    }
    assert!(
        feed.lock().channels.len() <= MOST_CHANNELS + 1,
        "{}",
        feed.lock().channels.len()
    );
}

//! What is kept, and what goes.

use nexios::CancelReason;

use super::*;
use crate::model::{Bucket, JobList};

fn kept(feed: &Feed, route: &str, bucket: Bucket) -> Vec<u64> {
    feed.store
        .samples(route, bucket)
        .content
        .samples
        .iter()
        .map(|sample| sample.id)
        .collect()
}

#[tokio::test(start_paused = true)]
async fn slow_and_failed_ones_survive_any_flood_of_fast_ones() {
    let feed = Feed::new(MEBIBYTE);
    let slow = feed.answered("GET /", ms(7_000), &Outcome::Completed).await;
    let failed = feed
        .answered("GET /", ms(1), &Outcome::Failed(Some("no")))
        .await;
    let cancelled = feed
        .answered(
            "GET /",
            ms(1),
            &Outcome::Cancelled(CancelReason::ClientDisconnected),
        )
        .await;
    for _ in 0..50_000 {
        let fast = feed.request("GET /");
        feed.end(
            feed.started(WorkKind::Child, "part", Some(fast)),
            &Outcome::Completed,
        );
        feed.end(fast, &Outcome::Completed);
    }
    assert_eq!(kept(&feed, "GET /", Bucket::Ge5s), [slow.0]);
    assert_eq!(kept(&feed, "GET /", Bucket::Failed), [failed.0]);
    assert_eq!(kept(&feed, "GET /", Bucket::Cancelled), [cancelled.0]);
    assert_eq!(kept(&feed, "GET /", Bucket::Lt10ms).len(), 10);
    let routes = feed.store.requests().content.routes;
    assert_eq!(routes.len(), 1);
    assert_eq!(
        (routes[0].total, routes[0].counts[Bucket::Lt10ms]),
        (50_003, 10)
    );
}

#[tokio::test(start_paused = true)]
async fn a_full_bucket_takes_one_a_second_and_keeps_the_newest_of_them() {
    let feed = Feed::new(MEBIBYTE);
    let rush = async |count: u64| {
        let mut came = Vec::new();
        for _ in 0..count {
            came.push(feed.answered("GET /", ms(20), &Outcome::Completed).await.0);
        }
        came
    };
    let first = rush(10).await;
    rush(40).await;
    let mut expected: Vec<u64> = first.iter().rev().copied().collect();
    assert_eq!(
        kept(&feed, "GET /", Bucket::Lt50ms),
        expected,
        "whoever has the list open finds them in it"
    );
    for _ in 0..12 {
        advance(ms(1_000)).await;
        expected.insert(0, rush(30).await[0]);
        expected.truncate(10);
        assert_eq!(kept(&feed, "GET /", Bucket::Lt50ms), expected);
    }
    assert!(feed.store.request(expected[9]).is_some());
    assert!(feed.store.request(first[9]).is_none());
}

#[tokio::test(start_paused = true)]
async fn an_outcome_wins_over_a_time_and_a_failed_status_over_both() {
    let feed = Feed::new(MEBIBYTE);
    let of = async |outcome: Outcome<'_>, status: Option<&str>| {
        let id = feed.request("GET /");
        if let Some(status) = status {
            feed.say(id, "status", status);
        }
        advance(ms(6_000)).await;
        feed.end(id, &outcome);
        Bucket::ALL
            .into_iter()
            .find(|bucket| kept(&feed, "GET /", *bucket).contains(&id.0))
    };
    assert_eq!(of(Outcome::Completed, None).await, Some(Bucket::Ge5s));
    assert_eq!(
        of(Outcome::Completed, Some("404")).await,
        Some(Bucket::Ge5s)
    );
    assert_eq!(
        of(Outcome::Completed, Some("500")).await,
        Some(Bucket::Failed)
    );
    assert_eq!(of(Outcome::Failed(None), None).await, Some(Bucket::Failed));
    assert_eq!(
        of(Outcome::Panicked("no"), None).await,
        Some(Bucket::Failed)
    );
    assert_eq!(
        of(Outcome::TimedOut, Some("504")).await,
        Some(Bucket::Failed)
    );
    assert_eq!(
        of(Outcome::Cancelled(CancelReason::Shutdown), Some("503")).await,
        Some(Bucket::Failed)
    );
    assert_eq!(
        of(
            Outcome::Cancelled(CancelReason::ClientDisconnected),
            Some("200")
        )
        .await,
        Some(Bucket::Cancelled)
    );
}

#[tokio::test(start_paused = true)]
async fn the_route_that_was_asked_longest_ago_goes_first() {
    let feed = Feed::new(MEBIBYTE);
    let old = feed
        .answered("GET /old", ms(9_000), &Outcome::Completed)
        .await;
    let busy = feed
        .answered("GET /busy", ms(9_000), &Outcome::Completed)
        .await;
    let mut routes = 0;
    while feed.store.request(old.0).is_some() {
        routes += 1;
        assert!(routes < 10_000, "nothing goes");
        feed.answered(&format!("GET /{routes}"), ms(1), &Outcome::Completed)
            .await;
        feed.answered("GET /busy", ms(1), &Outcome::Completed).await;
    }
    assert!(feed.store.request(busy.0).is_some());
    let rows = feed.store.requests().content.routes;
    assert!(rows.iter().any(|row| row.route == format!("GET /{routes}")));
}

#[tokio::test(start_paused = true)]
async fn of_too_many_parts_the_shortest_go_and_are_counted() {
    let feed = Feed::new(MEBIBYTE);
    let request = feed.request("GET /");
    let group = feed.started(WorkKind::Group, "group", Some(request));
    let slow = feed.started(WorkKind::Child, "slow", Some(group));
    for _ in 0..200 {
        let item = feed.started(WorkKind::Item, "item", Some(group));
        advance(ms(1)).await;
        feed.end(item, &Outcome::Completed);
    }
    feed.end(slow, &Outcome::Completed);
    feed.end(group, &Outcome::Completed);
    feed.end(request, &Outcome::Completed);
    let request = feed.store.request(request.0).expect("kept").content;
    assert_eq!(request.spans.len(), 64);
    assert_eq!(request.dropped_spans, 138);
    assert_eq!(
        request
            .spans
            .iter()
            .filter(|span| ["slow", "group"].contains(&&*span.name))
            .count(),
        2
    );
    assert_eq!(feed.store.status("", "ready").content.dropped_spans, 138);
}

#[tokio::test(start_paused = true)]
async fn failed_background_tasks_survive_those_that_went_well() {
    let feed = Feed::new(MEBIBYTE);
    let failed = feed.started(WorkKind::Background, "import", None);
    feed.end(failed, &Outcome::Failed(Some("no file")));
    for _ in 0..1_000 {
        feed.end(
            feed.started(WorkKind::Background, "mail", None),
            &Outcome::Completed,
        );
    }
    let tasks = feed.store.background(JobList::default()).content.tasks;
    assert_eq!(tasks.len(), 51);
    let failed = tasks
        .iter()
        .find(|task| task.work.id == failed.0)
        .expect("kept");
    assert_eq!(
        failed.work.error.as_ref().map(|error| error.as_str()),
        Some("no file")
    );
    assert!(failed.ended_unix_ms.is_some());
}

#[tokio::test(start_paused = true)]
async fn the_consoles_own_requests_are_nobodys_business() {
    let feed = Feed::new(MEBIBYTE);
    let own = feed.request("GET /nexios/events");
    feed.started(WorkKind::Child, "part of it", Some(own));
    feed.store.disregard(own);
    assert_eq!(feed.store.running(&Default::default()).content.total, 0);
    assert_eq!(feed.store.status("", "ready").content.in_flight, 0);
    feed.end(own, &Outcome::Completed);
    assert!(feed.store.requests().content.routes.is_empty());
    assert_eq!(feed.store.status("", "ready").content.p50_ms, None);
}

//! Each page's content.

use nexios::CancelReason;

use super::*;
use crate::{
    model::{JobList, LintKind, Sensitive, State, Work},
    query::{RunningQuery, ViewOf},
};

fn running(feed: &Feed, query: RunningQuery) -> Vec<Work> {
    feed.store.running(&query).content.work
}

#[tokio::test(start_paused = true)]
async fn live_work_is_a_tree_or_flat_oldest_first() {
    let feed = Feed::new(MEBIBYTE);
    let first = feed.request("GET /first");
    let second = feed.request("GET /second");
    let late = feed.started(WorkKind::Child, "late", Some(first));
    let orphan = feed.started(WorkKind::Child, "orphan", Some(WorkId(9_999)));
    let ids = |view| {
        running(
            &feed,
            RunningQuery {
                view,
                ..Default::default()
            },
        )
        .iter()
        .map(|work| work.id)
        .collect()
    };
    let (tree, flat): (Vec<_>, Vec<_>) = (ids(ViewOf::Tree), ids(ViewOf::Flat));
    assert_eq!(tree, [first.0, late.0, second.0, orphan.0]);
    assert_eq!(flat, [first.0, second.0, late.0, orphan.0]);
    let orphan = running(
        &feed,
        RunningQuery {
            name: "ORPH".into(),
            ..Default::default()
        },
    );
    assert_eq!(
        (orphan.len(), orphan[0].parent),
        (1, None),
        "whose parent is unknown is a root"
    );
}

#[tokio::test(start_paused = true)]
async fn live_work_can_be_filtered_and_comes_in_pages() {
    let feed = Feed::new(MEBIBYTE);
    let old = feed.request("GET /old");
    advance(ms(3_000)).await;
    for _ in 0..450 {
        feed.made(WorkKind::PoolJob, "resize", Some(old));
    }
    let with = |query: RunningQuery| feed.store.running(&query).content;
    assert_eq!(
        with(RunningQuery {
            older: "2s".into(),
            ..Default::default()
        })
        .total,
        1
    );
    assert_eq!(
        with(RunningQuery {
            kind: "pool_job".into(),
            ..Default::default()
        })
        .total,
        450
    );
    assert_eq!(
        with(RunningQuery {
            state: "running".into(),
            ..Default::default()
        })
        .total,
        1
    );
    assert_eq!(
        with(RunningQuery {
            state: "no such".into(),
            ..Default::default()
        })
        .total,
        0
    );
    let page = with(RunningQuery {
        page: "3".into(),
        ..Default::default()
    });
    assert_eq!(
        (page.total, page.page, page.pages, page.work.len()),
        (451, 3, 3, 51)
    );
    let beyond = with(RunningQuery {
        page: "99".into(),
        ..Default::default()
    });
    assert_eq!((beyond.page, beyond.work.len()), (3, 51));
}

#[tokio::test(start_paused = true)]
async fn what_work_waits_for_is_said_in_words() {
    let feed = Feed::new(MEBIBYTE);
    let request = feed.request("GET /");
    let job = feed.owned(WorkKind::PoolJob, "job", "thumbnails", Some(request));
    let waiting = |id: WorkId| {
        let work = running(&feed, RunningQuery::default())
            .into_iter()
            .find(|work| work.id == id.0);
        work.and_then(|work| work.waiting_for)
    };
    assert_eq!(waiting(job).as_deref(), Some("a thread of \"thumbnails\""));
    feed.store.started(job);
    assert_eq!(waiting(job), None);
    feed.store.updated(
        request,
        &Update::Waiting {
            name: "daily stats",
            on: None,
        },
    );
    assert_eq!(
        waiting(request).as_deref(),
        Some("lazy value \"daily stats\"")
    );
    feed.store.updated(request, &Update::Resumed);
    assert_eq!(waiting(request), None);
}

#[tokio::test(start_paused = true)]
async fn a_wait_for_a_lazy_value_is_as_long_as_it_has_been() {
    let feed = Feed::new(MEBIBYTE);
    let request = feed.request("GET /");
    let made = feed.store.clock.unix_ms(feed.store.clock.now());
    advance(ms(5_000)).await;
    let waiting = Update::Waiting {
        name: "daily stats",
        on: None,
    };
    feed.store.updated(request, &waiting);
    advance(ms(700)).await;
    let work = &running(&feed, RunningQuery::default())[0];
    assert_eq!(
        (work.age_ms, work.waited_ms, work.waits_since_unix_ms),
        (5_700.0, 700.0, Some(made + 5_000))
    );
    let stay = &feed.store.now().stays[0];
    assert_eq!(
        (stay.what.as_str(), stay.oldest_unix_ms),
        ("lazy value \"daily stats\"", made + 5_000)
    );
    feed.store.updated(request, &Update::Resumed);
    let work = &running(&feed, RunningQuery::default())[0];
    assert_eq!((work.waited_ms, work.waits_since_unix_ms), (0.0, None));
}

#[tokio::test(start_paused = true)]
async fn a_background_task_says_how_far_it_is_and_when_it_may_be_done() {
    let feed = Feed::new(MEBIBYTE);
    let task = feed.owned(WorkKind::Background, "send", "letters", None);
    advance(ms(500)).await;
    feed.store.started(task);
    advance(ms(2_000)).await;
    feed.store.updated(
        task,
        &Update::Progress {
            done: 250,
            total: 1_000,
        },
    );
    feed.store.updated(task, &Update::Message("250 sent"));
    feed.say(task, "last_error", "the mail server said no");
    feed.store.updated(task, &Update::Attempt(2));
    let schedule = feed.started(WorkKind::Background, "nightly", None);
    feed.say(schedule, "next_unix_ms", "1795348288123");
    let background = feed.store.background(JobList::default()).content;
    let send = &background.tasks[0];
    assert_eq!(
        (send.eta_ms, send.elapsed_ms, send.work.waited_ms),
        (Some(6_000.0), 2_000.0, 500.0)
    );
    assert_eq!(
        (
            send.registry.as_deref(),
            send.work.attempt,
            send.work.can_cancel
        ),
        (Some("letters"), 2, true)
    );
    let error = send.work.error.as_ref().map(Sensitive::as_str);
    assert_eq!(
        error,
        Some("the mail server said no"),
        "of the attempt before"
    );
    assert_eq!(
        background.schedules[0].next_unix_ms,
        Some(1_795_348_288_123)
    );
    assert_eq!(background.schedules.len(), 1);
    feed.end(task, &Outcome::Cancelled(CancelReason::Shutdown));
    let ended = feed
        .store
        .background(JobList::default())
        .content
        .tasks
        .into_iter()
        .find(|ended| ended.work.id == task.0);
    let ended = ended.expect("lately ended");
    assert_eq!(
        (ended.work.state, ended.work.reason),
        (State::Cancelled, Some(CancelReason::Shutdown))
    );
    assert!(!ended.work.can_cancel);
}

#[tokio::test(start_paused = true)]
async fn what_goes_on_after_its_deadline_or_its_cancel_is_named() {
    let feed = Feed::new(MEBIBYTE);
    let group = feed.started(WorkKind::Group, "dashboard", None);
    let child = feed.started(WorkKind::Child, "prices", Some(group));
    let task = feed.started(WorkKind::Background, "send", None);
    feed.store
        .updated(child, &Update::Cancelling(CancelReason::Deadline));
    feed.store
        .updated(group, &Update::Cancelling(CancelReason::Deadline));
    feed.store
        .updated(task, &Update::Cancelling(CancelReason::Requested));
    let lints = || {
        feed.store
            .lints()
            .content
            .lints
            .into_iter()
            .filter(|lint| lint.work.is_some())
            .collect::<Vec<_>>()
    };
    advance(ms(900)).await;
    assert_eq!(lints().len(), 0);
    advance(ms(600)).await;
    let found: Vec<_> = lints().iter().map(|lint| (lint.lint, lint.work)).collect();
    assert_eq!(
        found,
        [
            (LintKind::DeadlinePassed, Some(group.0)),
            (LintKind::IgnoresCancel, Some(child.0)),
            (LintKind::IgnoresCancel, Some(task.0)),
        ]
    );
    assert_eq!(
        lints()[0].text,
        "group \"dashboard\" goes on after its deadline"
    );
    feed.end(group, &Outcome::TimedOut);
    assert_eq!(lints().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_slow_poll_is_named_for_a_minute() {
    let feed = Feed::new(MEBIBYTE);
    let child = feed.started(WorkKind::Child, "parse", None);
    feed.store.updated(child, &Update::SlowPoll(ms(250)));
    feed.end(child, &Outcome::Completed);
    let slow = || {
        feed.store
            .lints()
            .content
            .lints
            .into_iter()
            .find(|lint| lint.lint == LintKind::SlowPoll)
    };
    assert_eq!(
        slow().map(|lint| lint.text).as_deref(),
        Some("child \"parse\" held its thread for 0.2 s in one poll")
    );
    advance(ms(61_000)).await;
    assert!(slow().is_none());
}

#[tokio::test(start_paused = true)]
async fn the_header_counts_the_last_minute() {
    let feed = Feed::new(MEBIBYTE);
    for took in [10, 10, 10, 400] {
        feed.answered("GET /", ms(took), &Outcome::Completed).await;
    }
    feed.answered(
        "GET /",
        ms(10),
        &Outcome::Cancelled(CancelReason::ClientDisconnected),
    )
    .await;
    feed.end(feed.made(WorkKind::PoolJob, "job", None), &Outcome::Refused);
    let running = feed.request("GET /");
    feed.say(running, "shed_by", "a pool");
    let status = feed.store.status("newsroom", "ready").content;
    assert_eq!(
        (
            status.in_flight,
            status.cancelled_per_minute,
            status.shed_per_minute
        ),
        (1, 1, 2)
    );
    let (p50, p99) = (
        status.p50_ms.unwrap_or_default(),
        status.p99_ms.unwrap_or_default(),
    );
    assert!(
        (10.0..=11.3).contains(&p50) && (400.0..=450.0).contains(&p99),
        "{p50} {p99}"
    );
    assert_eq!(status.observed, 7);
}

#[tokio::test(start_paused = true)]
async fn a_race_that_nobody_wins_is_counted_and_a_cancelled_one_is_not() {
    let feed = Feed::new(MEBIBYTE);
    for outcome in [
        Outcome::Failed(None),
        Outcome::TimedOut,
        Outcome::Cancelled(CancelReason::Requested),
    ] {
        let race = feed.started(WorkKind::Race, "search", None);
        let candidate = feed.started(WorkKind::Candidate, "primary", Some(race));
        feed.end(candidate, &Outcome::Refused);
        feed.end(race, &outcome);
    }
    let call = feed.owned(WorkKind::Hedge, "src/read.rs:1:1", "replica reads", None);
    let attempt = feed.started(WorkKind::Attempt, "attempt 1", Some(call));
    feed.end(attempt, &Outcome::Won);
    feed.end(call, &Outcome::Completed);
    let races = feed.store.races().content.races;
    assert_eq!(
        (&*races[0].name, races[0].calls, races[0].wins["attempt 1"]),
        ("replica reads", 1, 1)
    );
    assert_eq!(
        (
            &*races[1].name,
            races[1].calls,
            races[1].nobody,
            races[1].wins["primary"]
        ),
        ("search", 3, 2, 0)
    );
}

#[tokio::test(start_paused = true)]
async fn what_requests_are_at_is_told_by_what_they_have_in_common() {
    let feed = Feed::new(MEBIBYTE);
    for _ in 0..3 {
        let request = feed.request("GET /dashboard");
        let group = feed.started(WorkKind::Group, "dashboard", Some(request));
        feed.started(WorkKind::Child, "profile service", Some(group));
        let upload = feed.request("POST /upload");
        feed.owned(WorkKind::PoolJob, "job", "thumbnails", Some(upload));
    }
    let ended = feed.request("GET /dashboard");
    feed.owned(WorkKind::PoolJob, "job", "thumbnails", Some(ended));
    let stays = || {
        let stays = feed.store.now().stays.into_iter();
        stays
            .map(|stay| (stay.what, stay.waits, stay.count, stay.routes))
            .collect::<Vec<_>>()
    };
    let waits = (
        "a thread of \"thumbnails\"".to_owned(),
        true,
        4,
        vec![
            ("POST /upload".to_owned(), 3),
            ("GET /dashboard".to_owned(), 1),
        ],
    );
    assert_eq!(
        stays(),
        std::slice::from_ref(&waits),
        "the others may be quick"
    );
    advance(ms(1_500)).await;
    let slow = vec![("GET /dashboard".to_owned(), 3)];
    let runs = ("profile service".to_owned(), false, 3, slow);
    assert_eq!(stays(), [waits, runs]);
}

#[tokio::test(start_paused = true)]
async fn cancelled_requests_are_told_by_route_and_reason_for_a_minute() {
    let feed = Feed::new(MEBIBYTE);
    let left = Outcome::Cancelled(CancelReason::ClientDisconnected);
    for took in [600, 800] {
        feed.answered("GET /report", ms(took), &left).await;
    }
    let ends = Outcome::Cancelled(CancelReason::Shutdown);
    feed.answered("GET /report", ms(100), &ends).await;
    let told = || {
        let cancelled = feed.store.now().cancelled.into_iter();
        cancelled
            .map(|requests| (requests.reason, requests.count, requests.mean_ms))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        told(),
        [
            (CancelReason::ClientDisconnected, 2, 700.0),
            (CancelReason::Shutdown, 1, 100.0)
        ]
    );
    advance(ms(70_000)).await;
    assert_eq!(told(), []);
}

#[tokio::test(start_paused = true)]
async fn what_an_ending_service_waits_for_is_what_nobody_else_holds() {
    let feed = Feed::new(MEBIBYTE);
    let request = feed.request("GET /archive");
    feed.started(WorkKind::Child, "pack", Some(request));
    let task = feed.started(WorkKind::Background, "index", None);
    let schedule = feed.started(WorkKind::Background, "nightly", None);
    feed.say(schedule, "next_unix_ms", "1795348288123");
    feed.started(WorkKind::Computation, "daily totals", None);
    let left: Vec<_> = feed.store.now().left.iter().map(|left| left.id).collect();
    assert_eq!(left, [request.0, task.0]);
}

#[tokio::test(start_paused = true)]
async fn a_request_is_named_by_its_route_and_its_parts_by_theirs() {
    let feed = Feed::new(MEBIBYTE);
    let request = WorkId(1_000);
    let made = Live {
        made_at: Some(std::panic::Location::caller()),
        ..Live::new(WorkKind::Request, "GET /slow", feed.store.clock.now())
    };
    feed.store.make(request, made);
    let child = feed.started(WorkKind::Child, "parse", Some(request));
    for id in [request, child] {
        feed.store.updated(id, &Update::SlowPoll(ms(250)));
    }
    let lints = feed.store.lints().content.lints.into_iter();
    let lints = lints.filter(|lint| lint.lint == LintKind::SlowPoll);
    let told: Vec<_> = lints.map(|lint| (lint.text, lint.request)).collect();
    let text = |work: &str| {
        (
            format!("{work} held its thread for 0.2 s in one poll"),
            Some(request.0),
        )
    };
    assert_eq!(
        told,
        [
            text("child \"parse\" of GET /slow"),
            text("request \"GET /slow\"")
        ],
        "the place that serves all requests says nothing"
    );
}

//! One request as a waterfall.

use std::{collections::HashMap, iter};

use nexios::CancelReason;

use super::*;
use crate::model::{Request, Span, State, TraceEvent};

fn shown(feed: &Feed, id: WorkId) -> Request {
    feed.store
        .request(id.0)
        .expect("it runs or is kept")
        .content
}

fn span<'a>(request: &'a Request, name: &str) -> &'a Span {
    request
        .spans
        .iter()
        .find(|span| span.name == name)
        .expect("a part with this name")
}

#[tokio::test(start_paused = true)]
async fn a_race_names_its_winner_and_what_its_losers_saved() {
    let feed = Feed::new(MEBIBYTE);
    let request = async |first: u64, second: u64, primary_wins: bool| {
        let request = feed.request("GET /search");
        let race = feed.started(WorkKind::Race, "search", Some(request));
        let primary = feed.started(WorkKind::Candidate, "primary", Some(race));
        let replica = feed.started(WorkKind::Candidate, "replica", Some(race));
        advance(ms(first + second)).await;
        let (winner, loser) = if primary_wins {
            (primary, replica)
        } else {
            (replica, primary)
        };
        feed.end(winner, &Outcome::Won);
        feed.end(loser, &Outcome::Lost);
        feed.end(race, &Outcome::Completed);
        feed.end(request, &Outcome::Completed);
        (request, winner)
    };
    let (first, _) = request(100, 0, true).await;
    assert_eq!(
        span(&shown(&feed, first), "replica").saved_ms,
        None,
        "it has never won"
    );
    let (second, winner) = request(0, 40, false).await;
    let second = shown(&feed, second);
    assert_eq!(span(&second, "search").winner, Some(winner.0));
    assert_eq!(span(&second, "primary").saved_ms, Some(60.0));
    assert_eq!(
        (
            span(&second, "replica").saved_ms,
            span(&second, "search").saved_ms
        ),
        (None, None)
    );
    let critical: Vec<_> = second
        .spans
        .iter()
        .filter(|span| span.critical)
        .map(|span| &*span.name)
        .collect();
    assert_eq!(
        critical,
        ["search", "replica"],
        "a loser is waited for by nobody"
    );

    let races = feed.store.races().content.races;
    assert_eq!(
        (races[0].calls, races[0].nobody, races[0].lost_ms),
        (2, 0, 140.0)
    );
    assert_eq!(
        Vec::from_iter(races[0].wins.clone()),
        [("primary".into(), 1), ("replica".into(), 1)]
    );
}

#[tokio::test(start_paused = true)]
async fn what_ends_after_the_answer_is_shown_with_it() {
    let feed = Feed::new(MEBIBYTE);
    let request = feed.request("GET /");
    let group = feed.started(WorkKind::Group, "group", Some(request));
    let finalizer = feed.started(WorkKind::Finalizer, "unlock", Some(group));
    advance(ms(10)).await;
    feed.store.updated(finalizer, &Update::Adopted);
    let adopted = feed
        .store
        .running(&Default::default())
        .content
        .work
        .into_iter()
        .find(|work| work.id == finalizer.0);
    assert_eq!(
        adopted.map(|work| work.parent),
        Some(None),
        "the process waits for it"
    );
    feed.end(group, &Outcome::Cancelled(CancelReason::OwnerDropped));
    feed.end(request, &Outcome::Completed);

    assert!(span(&shown(&feed, request), "unlock").ended_ms.is_none());
    assert!(span(&shown(&feed, request), "unlock").after_answer);
    let alone = feed.store.running(&Default::default()).content.work;
    assert_eq!((alone.len(), alone[0].parent), (1, None));

    advance(ms(5)).await;
    feed.end(finalizer, &Outcome::Completed);
    let request = shown(&feed, request);
    let finalizer = span(&request, "unlock");
    assert_eq!(
        (
            finalizer.ended_ms,
            finalizer.after_answer,
            finalizer.critical
        ),
        (Some(15.0), true, false)
    );
    assert_eq!((finalizer.parent, request.duration_ms), (group.0, 10.0));
    assert!(!span(&request, "group").after_answer);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_left_is_499_with_what_the_cleanup_took() {
    let feed = Feed::new(MEBIBYTE);
    let id = feed.request("GET /quote/{id}");
    feed.say(id, "uri", "/quote/42?user=7");
    feed.say(id, "deadline_ms", "2000");
    advance(ms(812)).await;
    feed.store
        .updated(id, &Update::Cancelling(CancelReason::ClientDisconnected));
    advance(ms(20)).await;
    let running = shown(&feed, id);
    assert_eq!(
        (running.state, running.status, running.duration_ms),
        (State::Cancelling, None, 812.0)
    );
    advance(ms(23)).await;
    feed.end(id, &Outcome::Cancelled(CancelReason::ClientDisconnected));
    let request = shown(&feed, id);
    assert_eq!(
        (request.status, request.state),
        (Some(499), State::Cancelled)
    );
    assert_eq!(request.reason, Some(CancelReason::ClientDisconnected));
    assert_eq!(
        (request.duration_ms, request.cleanup_ms, request.deadline_ms),
        (812.0, Some(43.0), Some(2000.0))
    );
    assert_eq!(
        request.uri.as_ref().map(|uri| uri.as_str()),
        Some("/quote/42?user=7")
    );
}

#[tokio::test(start_paused = true)]
async fn one_that_could_still_answer_has_taken_until_its_answer() {
    let feed = Feed::new(MEBIBYTE);
    let id = feed.request("POST /pay");
    advance(ms(5)).await;
    feed.store
        .updated(id, &Update::Cancelling(CancelReason::ClientDisconnected));
    advance(ms(40)).await;
    feed.say(id, "status", "201");
    feed.end(id, &Outcome::Completed);
    let request = shown(&feed, id);
    assert_eq!(
        (request.duration_ms, request.cleanup_ms, request.status),
        (45.0, None, Some(201))
    );
    assert_eq!(
        (request.state, request.reason),
        (State::Completed, Some(CancelReason::ClientDisconnected))
    );
}

#[tokio::test(start_paused = true)]
async fn parts_are_in_the_order_of_their_starts_after_their_parents() {
    let feed = Feed::new(MEBIBYTE);
    let request = feed.request("GET /");
    let mut parents = vec![request];
    for round in 0..40_u64 {
        let parent = parents[(round * 7 % parents.len() as u64) as usize];
        parents.push(feed.started(WorkKind::Child, "part", Some(parent)));
        advance(ms(round % 3)).await;
    }
    for ended in parents.drain(..).skip(1).rev() {
        feed.end(ended, &Outcome::Completed);
    }
    feed.end(request, &Outcome::Completed);
    let request = shown(&feed, request);
    let mut seen = vec![request.id];
    for span in &request.spans {
        assert!(seen.contains(&span.parent));
        seen.push(span.id);
    }
    assert!(
        request
            .spans
            .is_sorted_by(|span, next| span.made_ms <= next.made_ms)
    );
    assert_eq!(request.spans.len(), 40);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_runs_is_shown_with_what_lives_and_what_has_ended() {
    let feed = Feed::new(MEBIBYTE);
    let request = feed.request("GET /");
    let done = feed.started(WorkKind::Child, "done", Some(request));
    feed.end(done, &Outcome::Completed);
    let job = feed.owned(WorkKind::PoolJob, "job", "cpu", Some(request));
    advance(ms(30)).await;
    let shown = shown(&feed, request);
    assert_eq!(
        (shown.state, shown.status, shown.duration_ms),
        (State::Running, None, 30.0)
    );
    assert_eq!(span(&shown, "done").state, State::Completed);
    let waiting = span(&shown, "job");
    assert_eq!(
        (waiting.state, waiting.started_ms, waiting.ended_ms),
        (State::Waiting, None, None)
    );
    assert!(waiting.critical);
    assert_eq!((waiting.id, shown.spans.len()), (job.0, 2));
}

#[tokio::test(start_paused = true)]
async fn only_a_request_has_a_waterfall() {
    let feed = Feed::new(MEBIBYTE);
    let child = feed.started(WorkKind::Child, "child", Some(feed.request("GET /")));
    assert!(feed.store.request(child.0).is_none());
    assert!(feed.store.request(9_999).is_none());
}

#[tokio::test(start_paused = true)]
async fn on_a_track_of_the_trace_events_follow_or_hold_each_other() {
    let feed = Feed::new(MEBIBYTE);
    let request = feed.request("GET /");
    let mut live = vec![request];
    for round in 0..60_u64 {
        let parent = live[(round * 5 % live.len() as u64) as usize];
        live.push(feed.started(WorkKind::Child, "part", Some(parent)));
        advance(Duration::from_micros(100 * (round % 4))).await;
        if round % 3 == 0 {
            // Also parents before their parts: adopted ones overlap without being held.
            feed.end(
                live.remove((round * 11 % (live.len() as u64 - 1)) as usize + 1),
                &Outcome::Completed,
            );
        }
    }
    feed.end(request, &Outcome::Completed);
    let parents: HashMap<u64, u64> = shown(&feed, request)
        .spans
        .iter()
        .map(|span| (span.id, span.parent))
        .collect();
    let is_part = |event: &TraceEvent, of: &TraceEvent| {
        let mut parents = iter::successors(Some(event.args.id), |id| parents.get(id).copied());
        parents.any(|id| id == of.args.id)
    };
    let events = feed.store.trace(request.0).expect("kept").trace_events;
    assert_eq!(events.len(), 61);
    for (place, event) in events.iter().enumerate() {
        for other in events[place + 1..]
            .iter()
            .filter(|other| other.tid == event.tid)
        {
            let (end, other_end) = (event.ts + event.dur, other.ts + other.dur);
            let follows = other.ts >= end;
            let holds = event.ts <= other.ts && other_end <= end && is_part(other, event);
            assert!(follows || holds, "{event:?} {other:?}");
        }
    }
    assert!(events.iter().map(|event| event.tid).max() > Some(1));
}

#[tokio::test(start_paused = true)]
async fn a_wait_for_a_lazy_value_is_a_part_of_the_request() {
    let feed = Feed::new(MEBIBYTE);
    let request = feed.request("GET /prices");
    let flight = feed.owned(WorkKind::Computation, "rates", "rates", None);
    feed.store.started(flight);
    let child = feed.started(WorkKind::Child, "price", Some(request));
    for waiter in [child, request] {
        let waiting = Update::Waiting {
            name: "rates",
            on: Some(flight),
        };
        feed.store.updated(waiter, &waiting);
        advance(ms(100)).await;
    }
    advance(ms(800)).await;
    let open = shown(&feed, request);
    let wait = span(&open, "rates");
    assert_eq!(
        (wait.state, wait.parent, wait.made_ms, wait.ended_ms),
        (State::Waiting, child.0, 0.0, None),
        "once, where it was waited for first"
    );
    feed.end(flight, &Outcome::Failed(None));
    feed.store.updated(child, &Update::Resumed);
    feed.store.updated(request, &Update::Resumed);
    feed.end(child, &Outcome::Failed(None));
    feed.end(request, &Outcome::Failed(None));
    let ended = shown(&feed, request);
    let wait = span(&ended, "rates");
    assert_eq!(
        (wait.state, wait.started_ms, wait.ended_ms, wait.critical),
        (State::Failed, None, Some(1_000.0), true)
    );
}

#[tokio::test(start_paused = true)]
async fn what_was_refused_after_a_wait_was_waited_for() {
    let feed = Feed::new(MEBIBYTE);
    let request = feed.request("POST /upload");
    let job = feed.owned(WorkKind::PoolJob, "job", "thumbnails", Some(request));
    advance(ms(250)).await;
    feed.end(job, &Outcome::Refused);
    feed.say(request, "response_bytes", "141");
    feed.end(request, &Outcome::Completed);
    let request = shown(&feed, request);
    assert!(span(&request, "job").critical);
    assert_eq!(request.response_bytes, Some(141));
}

#[tokio::test(start_paused = true)]
async fn a_finalizer_is_waited_for_from_its_start_on() {
    let feed = Feed::new(MEBIBYTE);
    let request = feed.request("GET /report");
    let finalizer = feed.made(WorkKind::Finalizer, "give back", Some(request));
    let child = feed.started(WorkKind::Child, "sums", Some(request));
    advance(ms(700)).await;
    feed.end(child, &Outcome::Completed);
    feed.store.started(finalizer);
    advance(ms(100)).await;
    feed.end(finalizer, &Outcome::Completed);
    feed.end(request, &Outcome::Completed);
    let request = shown(&feed, request);
    assert!(span(&request, "give back").critical);
    assert!(
        span(&request, "sums").critical,
        "what the time before went to"
    );
}

//! The API by what it answers.

mod conforms;

use std::{sync::Arc, time::Duration};

use axum::{
    Extension,
    body::{Body, to_bytes},
    http::{Request, StatusCode, header},
    response::Response,
};
use nexios::{
    CancelReason,
    observe::{Observer, Outcome, Update, WorkId, WorkKind},
};
use serde_json::Value;
use tokio::time::advance;
use tower::ServiceExt;

use super::{Api, router};
use crate::{access::Access, jobs_source::JobsSource, store::tests::Feed};

struct Asked {
    status: StatusCode,
    tag: Option<String>,
    kind: String,
    json: Value,
}

async fn ask(feed: &Arc<Feed>, path: &str, access: Access) -> Asked {
    ask_with(
        feed,
        Request::get(path).body(Body::empty()).expect("a request"),
        access,
    )
    .await
}

async fn ask_with(feed: &Arc<Feed>, request: Request<Body>, access: Access) -> Asked {
    ask_about(feed, Arc::default(), request, access).await
}

async fn ask_about(
    feed: &Arc<Feed>,
    jobs: Arc<JobsSource>,
    request: Request<Body>,
    access: Access,
) -> Asked {
    let api = Api {
        store: feed.store.clone(),
        jobs,
        service: "newsroom".into(),
        phase: Arc::new(|| "ready"),
    };
    let response: Response = router(api)
        .layer(Extension(access))
        .oneshot(request)
        .await
        .expect("infallible");
    let header = |name| {
        response
            .headers()
            .get(name)
            .map(|value| value.to_str().expect("text").to_owned())
    };
    let (tag, kind) = (
        header(header::ETAG),
        header(header::CONTENT_TYPE).unwrap_or_default(),
    );
    let status = response.status();
    let body = to_bytes(response.into_body(), usize::MAX)
        .await
        .expect("a body");
    Asked {
        status,
        tag,
        kind,
        json: serde_json::from_slice(&body).unwrap_or_default(),
    }
}

/// Some of everything; the numbers are those of the snapshots.
async fn busy() -> (Arc<Feed>, WorkId) {
    let feed = Feed::new(8 << 20);
    let ms = Duration::from_millis;
    let request = feed.request("GET /search");
    feed.say(request, "uri", "/search?q=secret");
    feed.say(request, "deadline_ms", "2000");
    let race = feed.started(WorkKind::Race, "search", Some(request));
    let primary = feed.started(WorkKind::Candidate, "primary", Some(race));
    let replica = feed.started(WorkKind::Candidate, "replica", Some(race));
    advance(ms(12)).await;
    feed.end(primary, &Outcome::Won);
    feed.end(replica, &Outcome::Lost);
    feed.end(race, &Outcome::Completed);
    let job = feed.owned(
        WorkKind::PoolJob,
        "src/upload.rs:40:9",
        "thumbnails",
        Some(request),
    );
    advance(ms(5)).await;
    feed.store.started(job);
    advance(ms(20)).await;
    feed.end(job, &Outcome::Panicked("secret"));
    feed.say(request, "status", "500");
    feed.end(request, &Outcome::Failed(Some("secret")));

    let left = feed.request("GET /search");
    advance(ms(100)).await;
    feed.store
        .updated(left, &Update::Cancelling(CancelReason::ClientDisconnected));
    advance(ms(7)).await;
    feed.end(left, &Outcome::Cancelled(CancelReason::ClientDisconnected));

    let failed = feed.owned(WorkKind::Background, "import", "background", None);
    feed.store.started(failed);
    feed.end(failed, &Outcome::Failed(Some("secret")));
    let running = feed.request("GET /dashboard");
    feed.owned(
        WorkKind::PoolJob,
        "src/upload.rs:40:9",
        "thumbnails",
        Some(running),
    );
    let task = feed.owned(WorkKind::Background, "newsletter", "background", None);
    feed.store.started(task);
    feed.store.updated(
        task,
        &Update::Progress {
            done: 510,
            total: 1000,
        },
    );
    feed.store.updated(task, &Update::Message("secret"));
    feed.store
        .updated(task, &Update::Cancelling(CancelReason::Requested));
    feed.say(task, "next_unix_ms", "1795348299999");
    advance(ms(1_900)).await;
    (Arc::new(feed), request)
}

const PAGES: [&str; 8] = [
    "/status",
    "/running",
    "/requests",
    "/pools",
    "/background",
    "/lazies",
    "/races",
    "/lints",
];

#[tokio::test(start_paused = true)]
async fn every_answer_begins_with_its_schema_and_revision() {
    let (feed, request) = busy().await;
    for path in PAGES
        .map(str::to_owned)
        .into_iter()
        .chain([format!("/requests/{request}")])
    {
        let asked = ask(&feed, &path, Access::View).await;
        assert_eq!(
            (asked.status, &*asked.kind),
            (StatusCode::OK, "application/json"),
            "{path}"
        );
        assert_eq!(asked.json["schema"], 1, "{path}");
        assert_eq!(asked.json["rev"], feed.store.rev(), "{path}");
    }
}

#[tokio::test(start_paused = true)]
async fn error_texts_messages_and_uris_are_hidden_below_view_sensitive() {
    let (feed, request) = busy().await;
    let sensitive = [
        "/background".to_owned(),
        "/running".to_owned(),
        format!("/requests/{request}"),
    ];
    for path in sensitive {
        let text = |asked: Asked| asked.json.to_string();
        let seen = text(ask(&feed, &path, Access::View).await);
        assert!(
            !seen.contains("secret") && seen.contains("•••"),
            "{path}: {seen}"
        );
        for access in [Access::ViewSensitive, Access::Act] {
            let seen = text(ask(&feed, &path, access).await);
            assert!(
                seen.contains("secret") && !seen.contains("•••"),
                "{path}: {seen}"
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn without_access_there_is_a_problem_and_nothing_else() {
    let (feed, _) = busy().await;
    for path in PAGES {
        let asked = ask(&feed, path, Access::Forbidden).await;
        assert_eq!(
            (asked.status, &*asked.kind),
            (StatusCode::FORBIDDEN, "application/problem+json")
        );
        assert_eq!(asked.json["status"], 403);
    }
}

#[tokio::test(start_paused = true)]
async fn a_tag_holds_while_times_go_on_and_not_when_something_happens() {
    let (feed, request) = busy().await;
    for path in PAGES
        .map(str::to_owned)
        .into_iter()
        .chain([format!("/requests/{request}")])
    {
        let tag = ask(&feed, &path, Access::View).await.tag.expect("a tag");
        advance(Duration::from_millis(40)).await;
        let again = |access| {
            let request =
                Request::get(&path).header(header::IF_NONE_MATCH, format!("\"other\", {tag}"));
            ask_with(
                &feed,
                request.body(Body::empty()).expect("a request"),
                access,
            )
        };
        // What other tests of this process do is seen by the pages of what lives long.
        if !["/pools", "/lazies", "/lints", "/status"].contains(&&*path) {
            let known = again(Access::View).await;
            assert_eq!(
                (known.status, known.tag.as_deref()),
                (StatusCode::NOT_MODIFIED, Some(&*tag)),
                "{path}"
            );
        }
        if path == "/running" || path == "/background" {
            assert_eq!(
                again(Access::Act).await.status,
                StatusCode::OK,
                "another sees something else"
            );
            feed.started(WorkKind::Background, "new", None);
            assert_eq!(again(Access::View).await.status, StatusCode::OK, "{path}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_query_that_is_none_is_told_so() {
    let (feed, request) = busy().await;
    for path in [
        "/running?older=soon",
        "/running?page=0",
        "/running?page=x",
        "/requests?route=x&bucket=lt1ms",
        "/background?state=sleepy",
        "/background?before=x",
    ] {
        let asked = ask(&feed, path, Access::View).await;
        assert_eq!(
            (asked.status, &*asked.kind),
            (StatusCode::BAD_REQUEST, "application/problem+json"),
            "{path}"
        );
    }
    for path in ["/requests/9999", "/requests/x", "/requests/9999/trace.json"] {
        let asked = ask(&feed, path, Access::View).await;
        assert_eq!(
            (asked.status, &*asked.kind),
            (StatusCode::NOT_FOUND, "application/problem+json"),
            "{path}"
        );
    }
    let cell = ask(
        &feed,
        "/requests?route=GET%20/search&bucket=failed",
        Access::View,
    )
    .await;
    assert_eq!(cell.json["samples"][0]["id"], request.0);
    let filtered = ask(
        &feed,
        "/running?view=flat&name=upload&kind=pool_job&state=waiting&older=1s",
        Access::View,
    )
    .await;
    assert_eq!(filtered.json["total"], 1);
}

#[tokio::test(start_paused = true)]
async fn the_answers_are_as_they_were() {
    let (feed, request) = busy().await;
    let paths = [
        ("running", "/running".to_owned()),
        ("requests", "/requests".to_owned()),
        (
            "samples",
            "/requests?route=GET%20/search&bucket=cancelled".to_owned(),
        ),
        ("request", format!("/requests/{request}")),
        ("trace", format!("/requests/{request}/trace.json")),
        ("background", "/background".to_owned()),
        ("races", "/races".to_owned()),
    ];
    for (name, path) in paths {
        insta::assert_json_snapshot!(name, ask(&feed, &path, Access::ViewSensitive).await.json);
    }
}

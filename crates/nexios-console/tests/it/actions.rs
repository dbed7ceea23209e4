//! What somebody may do, and from where.

use std::{
    io::{self, Write},
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::http::request::Parts;
use base64::{Engine, engine::general_purpose::STANDARD};
use nexios::{AsyncLazyMap, Background, observe};
use nexios_console::{Access, Console, Who};
use nexios_jobs::{Jobs, Kind};
use sqlx::{Connection, Executor, SqliteConnection};

use crate::asking::{Answer, ask, nested, request, send};

const SAME: (&str, &str) = ("sec-fetch-site", "same-origin");
const JSON: (&str, &str) = ("accept", "application/json");

async fn cancel(console: &Console, headers: &[(&str, &str)]) -> Answer {
    ask(
        &nested(console),
        "POST",
        "/nexios/actions/cancel/18446744073709551615",
        headers,
    )
    .await
}

fn acting() -> Console {
    Console::builder().loopback().allow_actions().build()
}

#[tokio::test]
async fn a_page_of_another_site_may_not_act() {
    let console = acting();
    for headers in [
        &[("sec-fetch-site", "cross-site")][..],
        &[("sec-fetch-site", "same-site")],
        &[("origin", "https://evil.example")],
        &[("origin", "null")],
        &[("origin", "http://127.0.0.1:9999")],
        &[
            ("sec-fetch-site", "cross-site"),
            ("origin", "http://127.0.0.1:8080"),
        ],
        &[],
    ] {
        assert_eq!(cancel(&console, headers).await.status, 403, "{headers:?}");
    }
    for headers in [
        &[SAME][..],
        &[("sec-fetch-site", "none")],
        &[("origin", "http://127.0.0.1:8080")],
    ] {
        assert_eq!(cancel(&console, headers).await.status, 404, "{headers:?}");
    }
}

#[tokio::test]
async fn a_credential_that_the_page_must_know_needs_no_origin() {
    let console = Console::builder().bearer("t0ken").allow_actions().build();
    assert_eq!(
        cancel(&console, &[("authorization", "Bearer t0ken")])
            .await
            .status,
        404
    );
    let console = Console::builder()
        .basic_auth("ops", "s3cret")
        .allow_actions()
        .build();
    let basic = format!("Basic {}", STANDARD.encode("ops:s3cret"));
    assert_eq!(
        cancel(&console, &[("authorization", &basic)]).await.status,
        403,
        "browsers send it by themselves"
    );
    assert_eq!(
        cancel(&console, &[("authorization", &basic), SAME])
            .await
            .status,
        404
    );
    let rule = |parts: &Parts| {
        if parts.headers.contains_key("x-role") {
            Access::Act
        } else {
            Access::Forbidden
        }
    };
    let console = Console::builder().access(rule).allow_actions().build();
    assert_eq!(cancel(&console, &[("x-role", "admin")]).await.status, 404);
    assert_eq!(
        cancel(&console, &[("x-role", "admin"), ("cookie", "session=1")])
            .await
            .status,
        403
    );
}

#[tokio::test]
async fn acting_needs_the_app_and_the_access() {
    let looking = Console::builder().loopback().build();
    let refused = cancel(&looking, &[SAME, JSON]).await;
    assert_eq!(
        (refused.status.as_u16(), refused.header("content-type")),
        (403, "application/problem+json")
    );
    let rule = |_: &Parts| Access::ViewSensitive;
    let viewing = Console::builder().access(rule).allow_actions().build();
    assert_eq!(cancel(&viewing, &[SAME]).await.status, 403);
}

#[tokio::test]
async fn what_is_not_there_is_not_found() {
    let router = nested(&acting());
    for path in [
        "cancel/9999999",
        "reset/9999999",
        "refresh/9999999",
        "retry/9999999",
        "explode/1",
        "cancel/x",
    ] {
        let answer = ask(
            &router,
            "POST",
            &format!("/nexios/actions/{path}"),
            &[SAME, JSON],
        )
        .await;
        assert_eq!(answer.status, 404, "{path}");
    }
}

#[tokio::test]
async fn what_is_there_and_cannot_be_refreshed_is_not_missing() {
    let map = AsyncLazyMap::builder(8, async |key: u8| Ok::<_, ()>(key))
        .name("actions map")
        .build();
    assert!(map.get(&7).await.is_ok());
    let lazies = observe::snapshot().lazies;
    let map_id = lazies.iter().find(|lazy| lazy.name == "actions map");
    let path = format!("/nexios/actions/refresh/{}", map_id.unwrap().id);
    let answer = ask(&nested(&acting()), "POST", &path, &[SAME, JSON]).await;
    assert_eq!(answer.status, 409);
}

/// A plain future, which ends when it is cancelled.
async fn sleeping(background: &Background) -> u64 {
    let hour = tokio::time::sleep(Duration::from_secs(3600));
    let task = background.spawn_future("export", hour);
    tokio::task::yield_now().await;
    task.id().0
}

#[tokio::test]
async fn a_program_is_told_204_and_a_form_is_led_back() {
    let (console, background) = (acting(), Background::new());
    let router = nested(&console);
    let id = sleeping(&background).await;
    let path = format!("/nexios/actions/cancel/{id}");
    let done = ask(&router, "POST", &path, &[SAME, JSON]).await;
    assert_eq!(done.status, 204);
    let stopped = async {
        while background.stats().running > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), stopped)
        .await
        .expect("it was told to stop");
    let again = ask(&router, "POST", &path, &[SAME, JSON]).await;
    assert_eq!(
        (again.status.as_u16(), again.header("content-type")),
        (409, "application/problem+json")
    );

    for (referer, expected) in [
        (
            "http://127.0.0.1:8080/nexios/background?page=2",
            "/nexios/background?page=2",
        ),
        ("http://evil.example/nexios", "../../../nexios"),
        ("http://127.0.0.1:8080//evil.example/", "../../../nexios"),
        // A browser reads this as two slashes.
        ("http://127.0.0.1:8080/\\evil.example/", "../../../nexios"),
        ("", "../../../nexios"),
    ] {
        let id = sleeping(&background).await;
        let path = format!("/nexios/actions/cancel/{id}");
        let done = ask(&router, "POST", &path, &[SAME, ("referer", referer)]).await;
        assert_eq!(
            (done.status.as_u16(), done.header("location")),
            (303, expected),
            "{referer}"
        );
    }
}

/// Lines of a log.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn each_attempt_is_in_the_audit_log() {
    let lines = Lines::default();
    let writer = {
        let lines = lines.clone();
        move || lines.clone()
    };
    // For all threads: what a call of `tracing` does is decided for all of them together.
    let log = tracing_subscriber::fmt()
        .with_writer(writer)
        .with_ansi(false)
        .finish();
    tracing::subscriber::set_global_default(log).unwrap();
    let console = Console::builder()
        .basic_auth("ops", "s3cret")
        .allow_actions()
        .build();
    let router = nested(&console);
    let basic = format!("Basic {}", STANDARD.encode("ops:s3cret"));
    ask(
        &router,
        "POST",
        "/nexios/actions/reset/424242424242",
        &[("authorization", &basic), SAME],
    )
    .await;
    // What another site asks a visitor's browser for is an attempt too.
    ask(
        &router,
        "POST",
        "/nexios/actions/reset/434343434343",
        &[("authorization", &basic), ("sec-fetch-site", "cross-site")],
    )
    .await;
    // A rule does not say who it is; a layer of the app may.
    let ruled = Console::builder().access(|_| Access::Act).allow_actions();
    let ruled = nested(&ruled.build());
    let path = "/nexios/actions/reset/454545454545";
    let mut named = request("POST", path, &[SAME]);
    named.extensions_mut().insert(Who::new("ada"));
    send(&ruled, named).await;
    // Jobs have numbers of their own, and a store that may be away.
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("jobs.db").display());
    let patience = Duration::from_millis(100);
    let jobs = Jobs::builder().patience(patience).open(&url).await.unwrap();
    console.show_jobs(&jobs);
    let mail: Kind<u64, u64> = Kind::new("mail");
    let job = jobs.enqueue(mail, &1).await.unwrap().id();
    let as_ops = [("authorization", &*basic), SAME];
    let (cancel, retry) = (
        format!("/nexios/actions/cancel-job/{job}"),
        format!("/nexios/actions/retry/{job}"),
    );
    ask(&router, "POST", &cancel, &as_ops).await;
    ask(&router, "POST", &cancel, &as_ops).await;
    let mut locking = SqliteConnection::connect(&url).await.unwrap();
    locking.execute("BEGIN EXCLUSIVE").await.unwrap();
    ask(&router, "POST", &retry, &as_ops).await;
    let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    let by_ada = |line: &str| line.contains("target=454545454545") && line.contains("who=ada");
    assert!(text.lines().any(by_ada), "{text}");
    for (target, result) in [("424242424242", "unknown"), ("434343434343", "forbidden")] {
        let target = format!("target={target}");
        let line = text.lines().find(|line| line.contains(&target));
        let line = line.unwrap_or_else(|| panic!("{text}"));
        let result = format!("result=\"{result}\"");
        for part in ["nexios::audit", "who=ops", "action=reset", &result] {
            assert!(line.contains(part), "{part}: {line}");
        }
    }
    let of_job = |line: &&str| line.contains("who=ops") && !line.contains("action=reset");
    let of_jobs: Vec<&str> = text.lines().filter(of_job).collect();
    let target = format!("target={job} ");
    for (line, (action, result)) in of_jobs.iter().zip([
        ("action=cancel-job", "result=\"done\""),
        ("action=cancel-job", "result=\"ended\""),
        ("action=retry", "result=\"away\""),
    ]) {
        for part in ["who=ops", &target, action, result] {
            assert!(line.contains(part), "{part}: {line}");
        }
    }
    assert_eq!(of_jobs.len(), 3, "{text}");
    assert!(!text.contains("s3cret"));
}

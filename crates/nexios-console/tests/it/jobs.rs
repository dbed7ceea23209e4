//! Durable jobs on the page, and what somebody may do to them.

use std::time::Duration;

use axum::{Router, http::request::Parts};
use nexios::Drain;
use nexios_console::{Access, Console};
use nexios_jobs::{JobContext, JobError, JobHandle, JobState, Jobs, Kind, Policy, Workers};
use serde_json::Value;
use sqlx::{Connection, Executor, SqliteConnection};

use crate::asking::{Answer, ask, get, nested};

const SAME: (&str, &str) = ("sec-fetch-site", "same-origin");
const JSON: (&str, &str) = ("accept", "application/json");
const LIMIT: Duration = Duration::from_secs(60);

const NEWS: Kind<String, String> = Kind::new("send <img src=x onerror=alert(1)>");

fn acting(jobs: &Jobs) -> Router {
    let console = Console::builder().loopback().allow_actions().build();
    console.show_jobs(jobs);
    nested(&console)
}

/// "wait" goes on until it is cancelled, "fail" will never do, and all others come to their end.
async fn working(jobs: &Jobs) -> Workers {
    let send = |what: String, job: JobContext| async move {
        job.progress(1, 4);
        job.message("<img src=x onerror=alert(2)>");
        match &*what {
            "wait" => {
                job.cancelled().await;
                Err("stopped".into())
            }
            "fail" => Err(JobError::discard("<img src=x onerror=alert(3)>")),
            _ => Ok("<img src=x onerror=alert(4)>".to_owned()),
        }
    };
    let workers = jobs.workers().handle(NEWS, Policy::new(), send);
    workers.start().await.unwrap()
}

async fn end(workers: &Workers) {
    let now = Drain {
        wait: Duration::ZERO,
        cancel: Duration::from_secs(1),
    };
    workers.drain(now).await;
}

async fn later(jobs: &Jobs) -> JobHandle<String> {
    let job = jobs.task(NEWS).delay(LIMIT * 60);
    job.enqueue(&"send".to_owned()).await.unwrap()
}

async fn until(job: &JobHandle<String>, state: JobState) {
    let reached = async {
        while job.status().await.unwrap().unwrap().state != state {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(LIMIT, reached).await.unwrap();
}

async fn post(router: &Router, action: &str, id: impl ToString) -> Answer {
    let path = format!("/nexios/actions/{action}/{}", id.to_string());
    ask(router, "POST", &path, &[SAME, JSON]).await
}

#[tokio::test]
async fn the_page_has_jobs_as_soon_as_it_is_shown_a_store() {
    let console = Console::builder().loopback().build();
    let router = nested(&console);
    assert!(
        !get(&router, "/nexios/background")
            .await
            .body
            .contains("<h2>Jobs</h2>")
    );
    console.show_jobs(&Jobs::memory());
    let page = get(&router, "/nexios/background").await.body;
    assert!(page.contains("<h2>Jobs</h2>") && page.contains("There are no such jobs."));
}

#[tokio::test]
async fn what_users_typed_is_text_and_dots_for_who_may_only_view() {
    let rule = |parts: &Parts| match parts.headers.contains_key("x-trusted") {
        true => Access::ViewSensitive,
        false => Access::View,
    };
    let console = Console::builder().access(rule).build();
    let jobs = Jobs::memory();
    console.show_jobs(&jobs);
    let router = nested(&console);
    let workers = working(&jobs).await;
    for what in ["fail", "send"] {
        let job = jobs.task(NEWS).unique(format!("<img src={what}>"));
        let job = job.enqueue(&what.to_owned()).await.unwrap();
        let _ = job.wait().await;
    }
    let pages = ["/nexios/background", "/nexios/api/v1/background"];
    for path in pages {
        let hidden = get(&router, path).await.body;
        let shown = ask(&router, "GET", path, &[("x-trusted", "yes")])
            .await
            .body;
        for text in ["alert(2)", "alert(3)", "alert(4)", "src=fail"] {
            assert!(!hidden.contains(text), "{path}: {text}");
            assert!(shown.contains(text), "{path}: {text}");
        }
        assert!(
            hidden.contains("•••") && hidden.contains("alert(1)"),
            "a kind is a name"
        );
        assert!(!hidden.contains("method=\"post\""));
        if path == pages[0] {
            assert!(!shown.contains("<img"), "{shown}");
        }
    }
    end(&workers).await;
}

#[tokio::test]
async fn a_filter_is_a_form_and_a_wrong_one_is_told_so() {
    let jobs = Jobs::memory();
    let router = acting(&jobs);
    let waits = later(&jobs).await.id();
    let row = format!("data-job-id=\"{waits}\"");
    let name = NEWS.name().replace(' ', "%20").replace('<', "%3C");
    let name = name.replace('>', "%3E");
    for (query, expected) in [
        (String::new(), true),
        ("?state=waiting".to_owned(), true),
        ("?state=running".to_owned(), false),
        (format!("?kind={name}"), true),
        ("?kind=other&state=".to_owned(), false),
        (format!("?before={waits}"), false),
    ] {
        let page = get(&router, &format!("/nexios/background{query}")).await;
        assert_eq!(page.status, 200);
        assert_eq!(page.body.contains(&row), expected, "{query}");
    }
    let page = get(&router, "/nexios/background?kind=%22%3E%3Cb%3E&state=dead")
        .await
        .body;
    assert!(page.contains("value=\"&quot;&gt;&lt;b&gt;\""), "{page}");
    assert!(page.contains("<option value=\"dead\" selected>"));
    for wrong in ["state=sleepy", "before=x", "before=1&before=2"] {
        for path in ["/nexios/background", "/nexios/api/v1/background"] {
            let answer = get(&router, &format!("{path}?{wrong}")).await;
            assert_eq!(answer.status, 400, "{path}?{wrong}");
        }
    }
}

#[tokio::test]
async fn a_job_is_cancelled_and_retried_by_who_may_and_when_it_can_be() {
    let jobs = Jobs::memory();
    let router = acting(&jobs);
    let workers = working(&jobs).await;
    let waits = jobs.enqueue(NEWS, &"wait".to_owned()).await.unwrap();
    until(&waits, JobState::Running).await;
    assert_eq!(
        post(&router, "retry", waits.id()).await.status,
        409,
        "it runs"
    );
    assert_eq!(post(&router, "cancel-job", waits.id()).await.status, 204);
    until(&waits, JobState::Cancelled).await;
    let again = post(&router, "cancel-job", waits.id()).await;
    assert_eq!(
        (again.status.as_u16(), again.header("content-type")),
        (409, "application/problem+json")
    );

    let fails = jobs.enqueue(NEWS, &"fail".to_owned()).await.unwrap();
    until(&fails, JobState::Failed).await;
    let path = format!("/nexios/actions/retry/{}", fails.id());
    let led_back = ask(
        &router,
        "POST",
        &path,
        &[
            SAME,
            (
                "referer",
                "http://127.0.0.1:8080/nexios/background?state=failed",
            ),
        ],
    )
    .await;
    assert_eq!(
        (led_back.status.as_u16(), led_back.header("location")),
        (303, "/nexios/background?state=failed")
    );
    let ran_again = async {
        while fails.status().await.unwrap().unwrap().attempts.len() < 2 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(LIMIT, ran_again).await.unwrap();

    let sent = later(&jobs).await;
    assert_eq!(post(&router, "retry", sent.id()).await.status, 204, "now");
    until(&sent, JobState::Completed).await;
    assert_eq!(
        post(&router, "retry", sent.id()).await.status,
        409,
        "it went well"
    );
    assert!(jobs.delete(sent.id()).await.unwrap());
    for action in ["retry", "cancel-job"] {
        for id in [sent.id().to_string(), "x".to_owned(), "-1".to_owned()] {
            assert_eq!(post(&router, action, id).await.status, 404, "{action}");
        }
    }
    end(&workers).await;
}

#[tokio::test]
async fn who_may_look_at_jobs_may_not_act_on_them() {
    let jobs = Jobs::memory();
    let job = later(&jobs).await;
    let rule = |_: &Parts| Access::ViewSensitive;
    let consoles = [
        Console::builder().loopback().build(),
        Console::builder().access(rule).allow_actions().build(),
        Console::builder()
            .dangerously_public()
            .allow_actions()
            .build(),
    ];
    for console in consoles {
        console.show_jobs(&jobs);
        let router = nested(&console);
        let page = get(&router, "/nexios/background").await.body;
        assert!(
            page.contains("data-job-id") && !page.contains("actions/"),
            "{page}"
        );
        for action in ["retry", "cancel-job"] {
            assert_eq!(
                post(&router, action, job.id()).await.status,
                403,
                "{console:?}"
            );
        }
    }
    let router = acting(&jobs);
    for action in ["retry", "cancel-job"] {
        let path = format!("/nexios/actions/{action}/{}", job.id());
        for headers in [&[("sec-fetch-site", "cross-site")][..], &[]] {
            let answer = ask(&router, "POST", &path, headers).await;
            assert_eq!(answer.status, 403, "{action} {headers:?}");
        }
        assert_eq!(get(&router, &path).await.status, 405, "{action}");
    }
    let info = job.status().await.unwrap().unwrap();
    assert_eq!(info.state, JobState::Scheduled, "nothing was done to it");
}

#[tokio::test]
async fn cancelling_the_work_of_a_job_cancels_the_job() {
    let jobs = Jobs::memory();
    let router = acting(&jobs);
    let workers = working(&jobs).await;
    let kind: Kind<(), ()> = Kind::new("the work of a job");
    let wait = |(), job: JobContext| async move {
        job.cancelled().await;
        Err::<(), _>("stopped")
    };
    let one = jobs.workers().handle(kind, Policy::new(), wait);
    let one = one.start().await.unwrap();
    let job = jobs.enqueue(kind, &()).await.unwrap();
    let work = async {
        loop {
            let background = get(&router, "/nexios/api/v1/background").await.body;
            let background: Value = serde_json::from_str(&background).unwrap();
            let tasks = background["tasks"].as_array().unwrap();
            if let Some(task) = tasks.iter().find(|task| task["name"] == kind.name()) {
                assert_eq!(task["can_cancel"], true);
                break task["id"].clone();
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let work = tokio::time::timeout(LIMIT, work).await.unwrap();
    assert_eq!(post(&router, "cancel", &work).await.status, 204);
    let ended = tokio::time::timeout(LIMIT, job.wait()).await.unwrap();
    assert!(
        matches!(ended, Err(nexios_jobs::JobFailure::Cancelled)),
        "{ended:?}"
    );
    assert_eq!(post(&router, "cancel", &work).await.status, 409);
    end(&one).await;
    end(&workers).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_others_have_locked_is_shown_and_is_told_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("jobs.db").display());
    let patience = Duration::from_millis(300);
    let jobs = Jobs::builder().patience(patience).open(&url).await.unwrap();
    let router = acting(&jobs);
    let job = later(&jobs).await;
    let mut other = SqliteConnection::connect(&url).await.unwrap();
    other.execute("BEGIN EXCLUSIVE").await.unwrap();
    for action in ["retry", "cancel-job"] {
        let refused = post(&router, action, job.id()).await;
        assert_eq!(
            (refused.status.as_u16(), refused.header("content-type")),
            (503, "application/problem+json")
        );
        assert_eq!(refused.header("retry-after"), "5");
    }
    other.execute("ROLLBACK").await.unwrap();
    assert_eq!(post(&router, "cancel-job", job.id()).await.status, 204);

    let known = get(&router, "/nexios/background").await.body;
    assert!(known.contains("data-job-id"), "{known}");
    // Whoever brings back a file without the table.
    other
        .execute("ALTER TABLE nexios_jobs RENAME TO gone")
        .await
        .unwrap();
    let away = async {
        loop {
            let page = get(&router, "/nexios/background").await;
            assert_eq!(page.status, 200);
            if page.body.contains("The store of jobs has not answered for") {
                break page.body;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let page = tokio::time::timeout(LIMIT, away).await.unwrap();
    assert!(page.contains("The list is as it was before."), "{page}");
    let json = get(&router, "/nexios/api/v1/background").await.body;
    let json: Value = serde_json::from_str(&json).unwrap();
    assert!(json["jobs_away"]["since_unix_ms"].is_u64(), "{json}");
}

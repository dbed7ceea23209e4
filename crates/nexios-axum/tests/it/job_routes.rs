//! The routes of durable jobs.

use std::time::Duration;

use axum::{Router, body::Body, http::Request, response::Response};
use http_body_util::BodyExt;
use nexios_axum::{JobRoutes, job_routes};
use nexios_jobs::{JobContext, JobError, JobState, Jobs, Kind, Policy};
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};
use tower::ServiceExt;

use crate::{
    answer::{Answer, get, post},
    log,
};

const EXPORT: Kind<String, String> = Kind::new("export");
const CLEAN_UP: Kind<u64, u64> = Kind::new("clean up");

fn delete(uri: &str) -> Request<Body> {
    Request::delete(uri).body(Body::empty()).unwrap()
}

async fn page(app: &Router, uri: &str) -> Value {
    let answer = Answer::from(app, get(uri)).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.json()
}

fn ids(page: &Value) -> Vec<String> {
    let jobs = page["jobs"].as_array().unwrap().iter();
    jobs.map(|job| job["id"].as_str().unwrap().to_owned())
        .collect()
}

/// Runs jobs until they are told to end.
async fn endless(jobs: &Jobs) -> nexios_jobs::Workers {
    let handler = |_: String, job: JobContext| async move {
        job.progress(1, 2);
        job.cancelled().await;
        Err::<String, _>("stopped")
    };
    let workers = jobs.workers().handle(EXPORT, Policy::new(), handler);
    workers.start().await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn the_list_is_newest_first_page_by_page_and_filtered() {
    let jobs = Jobs::memory();
    let app: Router = job_routes(jobs.clone());
    assert_eq!(page(&app, "/jobs").await, json!({"jobs": [], "next": null}));
    let mut all = Vec::new();
    for number in 0..5 {
        all.push(jobs.enqueue(CLEAN_UP, &number).await.unwrap().id());
    }
    let export = jobs.enqueue(EXPORT, &"cities".to_owned()).await.unwrap();
    jobs.cancel(all[0]).await.unwrap();
    all.push(export.id());
    let mut all: Vec<_> = all.iter().map(ToString::to_string).collect();
    all.reverse();
    assert_eq!(ids(&page(&app, "/jobs").await), all);
    let first = page(&app, "/jobs?limit=4").await;
    assert_eq!(
        (ids(&first), &first["next"]),
        (all[..4].to_vec(), &json!(all[3]))
    );
    let next = first["next"].as_str().unwrap();
    let second = page(&app, &format!("/jobs?limit=4&before={next}")).await;
    assert_eq!(
        (ids(&second), &second["next"]),
        (all[4..].to_vec(), &Value::Null)
    );
    assert_eq!(ids(&page(&app, "/jobs?kind=clean%20up").await), all[1..]);
    assert_eq!(ids(&page(&app, "/jobs?state=cancelled").await), all[5..]);
    assert!(ids(&page(&app, "/jobs?kind=export&state=dead").await).is_empty());
    let job = &page(&app, "/jobs?limit=1").await["jobs"][0];
    assert_eq!(job["kind"], "export");
    assert!(job["created_unix_ms"].as_u64().unwrap() > 1_700_000_000_000);
    assert!(
        !job.to_string().contains("cities"),
        "no arguments are told: {job}"
    );
}

#[tokio::test]
async fn the_list_finds_jobs_by_their_key_alone_or_of_one_kind_also_those_that_have_ended() {
    let jobs = Jobs::memory();
    let app: Router = job_routes(jobs.clone());
    let report = async |key: &str| {
        let task = jobs.task(EXPORT).unique(key);
        task.enqueue(&"cities".to_owned()).await.unwrap().id()
    };
    let ended = report("2026 11").await;
    jobs.cancel(ended).await.unwrap();
    let again = report("2026 11").await;
    report("2026 12").await;
    let other = jobs.task(CLEAN_UP).unique("2026 11").enqueue(&1).await;
    let other = other.unwrap().id();
    jobs.enqueue(CLEAN_UP, &2).await.unwrap();
    let found = ids(&page(&app, "/jobs?key=2026%2011").await);
    assert_eq!(found, [other, again, ended].map(|id| id.to_string()));
    let found = ids(&page(&app, "/jobs?key=2026%2011&kind=export&limit=1").await);
    assert_eq!(found, [again.to_string()]);
    assert!(ids(&page(&app, "/jobs?key=2026").await).is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_job_has_an_error_while_it_is_tried_again_and_none_when_it_has_completed() {
    let jobs = Jobs::memory();
    let handler = |_: String, job: JobContext| async move {
        match job.attempt() {
            1 => Err("the disk is full"),
            _ => Ok(String::new()),
        }
    };
    let workers = jobs.workers().handle(EXPORT, Policy::new(), handler);
    let _workers = workers.start().await.unwrap();
    let job = jobs.enqueue(EXPORT, &"cities".to_owned()).await.unwrap();
    let app: Router = job_routes(jobs.clone());
    let uri = format!("/jobs/{}", job.id());
    let error = async || page(&app, &uri).await["error"].clone();
    timeout(Duration::from_secs(60), async {
        while error().await != "the disk is full" {
            sleep(Duration::from_millis(10)).await;
        }
    })
    .await
    .expect("while it waits for its next attempt, it says why");
    job.wait().await.unwrap();
    assert_eq!(error().await, Value::Null);
    assert_eq!(page(&app, "/jobs").await["jobs"][0]["error"], Value::Null);
    let attempts = &page(&app, &uri).await["attempts"];
    assert_eq!(attempts[0]["error"], "the disk is full");
}

#[tokio::test]
async fn what_is_asked_wrongly_is_a_problem() {
    let app: Router = job_routes(Jobs::memory());
    for query in [
        "state=lost",
        "limit=0",
        "limit=1001",
        "limit=many",
        "before=yesterday",
        "kid=export",
    ] {
        let answer = Answer::from(&app, get(&format!("/jobs?{query}"))).await;
        answer.problem(400);
    }
    Answer::from(&app, get("/jobs/first")).await.problem(400);
    for request in [
        get("/jobs/7"),
        post("/jobs/7/cancel"),
        post("/jobs/7/retry"),
        delete("/jobs/7"),
    ] {
        Answer::from(&app, request).await.problem(404);
    }
}

#[tokio::test(start_paused = true)]
async fn one_job_has_its_attempts_and_its_result_only_if_that_is_set() {
    let jobs = Jobs::memory();
    let handler = |table: String, job: JobContext| async move {
        job.progress(3, 4);
        match job.attempt() {
            1 => Err("the disk is full".to_owned()),
            _ => Ok(format!("https://signed.example/{table}")),
        }
    };
    let workers = jobs.workers().handle(EXPORT, Policy::new(), handler);
    let _workers = workers.start().await.unwrap();
    let job = jobs.enqueue(EXPORT, &"cities".to_owned()).await.unwrap();
    job.wait().await.unwrap();
    let uri = format!("/jobs/{}", job.id());
    let shown = page(&job_routes(jobs.clone()), &uri).await;
    assert_eq!(
        (&shown["state"], &shown["attempt"], &shown["done"]),
        (&json!("completed"), &json!(2), &json!(3))
    );
    let attempts = shown["attempts"].as_array().unwrap();
    assert_eq!(
        (&attempts[0]["error"], &attempts[1]["error"]),
        (&json!("the disk is full"), &Value::Null)
    );
    assert_eq!(
        (&attempts[0]["end"], &attempts[1]["end"]),
        (&json!("failed"), &json!("completed"))
    );
    assert_eq!(attempts[0]["pid"], std::process::id());
    assert!(attempts[0]["ended_unix_ms"].as_u64() >= attempts[0]["started_unix_ms"].as_u64());
    assert!(!shown.to_string().contains("signed.example"), "{shown}");
    let app: Router = JobRoutes::new(jobs).results().into_router();
    assert_eq!(
        page(&app, &uri).await["result"],
        "https://signed.example/cities"
    );
    assert!(
        page(&app, "/jobs").await["jobs"][0]["result"].is_null(),
        "one at a time"
    );
}

#[tokio::test(start_paused = true)]
async fn a_job_is_cancelled_tried_again_and_deleted() {
    let jobs = Jobs::memory();
    let app: Router = job_routes(jobs.clone());
    let workers = endless(&jobs).await;
    let job = jobs.enqueue(EXPORT, &"cities".to_owned()).await.unwrap();
    let uri = format!("/jobs/{}", job.id());
    let action = |name: &str| post(&format!("{uri}/{name}"));
    sleep(Duration::from_secs(1)).await;

    let problem = Answer::from(&app, delete(&uri)).await.problem(409);
    assert_eq!(problem["state"], "running");
    let problem = Answer::from(&app, action("retry")).await.problem(409);
    assert_eq!(problem["state"], "running");
    for _ in 0..2 {
        let answer = Answer::from(&app, action("cancel")).await;
        assert_eq!(
            (answer.status.as_u16(), &answer.json()["done"]),
            (202, &json!(1))
        );
    }
    assert!(job.wait().await.is_err());
    let problem = Answer::from(&app, action("cancel")).await.problem(409);
    assert_eq!(problem["state"], "cancelled");

    workers
        .drain(nexios::Drain {
            wait: Duration::ZERO,
            cancel: Duration::ZERO,
        })
        .await;
    let answer = Answer::from(&app, action("retry")).await;
    assert_eq!(
        (answer.status.as_u16(), &answer.json()["state"]),
        (202, &json!("ready"))
    );
    assert_eq!(Answer::from(&app, delete(&uri)).await.status, 204);
    Answer::from(&app, get(&uri)).await.problem(404);
}

#[tokio::test]
async fn a_key_that_another_job_has_is_why_one_is_not_tried_again() {
    let jobs = Jobs::memory();
    let app: Router = job_routes(jobs.clone());
    let unique = || jobs.task(CLEAN_UP).unique("daily");
    let first = unique().enqueue(&1).await.unwrap();
    first.cancel().await.unwrap();
    unique().enqueue(&2).await.unwrap();
    let retry = post(&format!("/jobs/{}/retry", first.id()));
    let problem = Answer::from(&app, retry).await.problem(409);
    assert_eq!(problem["detail"], "Another job with its key is under way.");
}

#[tokio::test]
async fn jobs_of_other_kinds_than_those_that_are_shown_are_not_there() {
    let jobs = Jobs::memory();
    let app: Router = JobRoutes::new(jobs.clone())
        .kind(CLEAN_UP)
        .kind("import")
        .into_router();
    let hidden = jobs.enqueue(EXPORT, &"cities".to_owned()).await.unwrap();
    let import: Kind<u64> = Kind::new("import");
    let mut shown = Vec::new();
    for number in 0..3 {
        shown.push(jobs.enqueue(CLEAN_UP, &number).await.unwrap().id());
        shown.push(jobs.enqueue(import, &number).await.unwrap().id());
    }
    let mut shown: Vec<_> = shown.iter().map(ToString::to_string).collect();
    shown.reverse();
    assert_eq!(ids(&page(&app, "/jobs").await), shown);
    assert!(ids(&page(&app, "/jobs?kind=export").await).is_empty());
    let (mut seen, mut uri) = (Vec::new(), "/jobs?limit=2".to_owned());
    loop {
        let page = page(&app, &uri).await;
        seen.extend(ids(&page));
        match page["next"].as_str() {
            Some(next) => uri = format!("/jobs?limit=2&before={next}"),
            None => break,
        }
    }
    assert_eq!(seen, shown, "page by page");
    let uri = format!("/jobs/{}", hidden.id());
    for request in [
        get(&uri),
        post(&format!("{uri}/cancel")),
        post(&format!("{uri}/retry")),
        delete(&uri),
    ] {
        Answer::from(&app, request).await.problem(404);
    }
    let info = hidden.status().await.unwrap().unwrap();
    assert_eq!(info.state, JobState::Ready, "nothing was done to it");
}

#[tokio::test]
async fn a_page_of_another_site_changes_no_job_and_frames_no_answer() {
    let jobs = Jobs::memory();
    let app: Router = job_routes(jobs.clone());
    let job = jobs.enqueue(CLEAN_UP, &1).await.unwrap();
    let uri = format!("/jobs/{}", job.id());
    for request in [
        post(&format!("{uri}/cancel")),
        post(&format!("{uri}/retry")),
        delete(&uri),
    ] {
        let mut request = request;
        let site = "cross-site".parse().unwrap();
        request.headers_mut().insert("sec-fetch-site", site);
        Answer::from(&app, request).await.problem(403);
    }
    let answer = Answer::from(&app, get(&uri)).await;
    assert_eq!(answer.json()["state"], "ready");
    assert_eq!(answer.header("x-frame-options"), Some("DENY"));
}

struct Events(Body, String);

async fn events(app: &Router) -> Events {
    let response: Response = app.clone().oneshot(get("/jobs/events")).await.unwrap();
    assert_eq!(response.status(), 200);
    Events(response.into_body(), String::new())
}

impl Events {
    /// The next event; none if none comes for a while.
    async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some((event, rest)) = self.1.split_once("\n\n") {
                let is_job = event.lines().any(|line| line == "event: job");
                let data = event.lines().find_map(|line| line.strip_prefix("data: "));
                let data = data.filter(|_| is_job).map(serde_json::from_str::<Value>);
                self.1 = rest.to_owned();
                match data {
                    Some(data) => return Some(data.unwrap()),
                    None => continue,
                }
            }
            let frame = timeout(Duration::from_secs(5), self.0.frame());
            let bytes = frame.await.ok()??.unwrap().into_data().unwrap();
            self.1.push_str(std::str::from_utf8(&bytes).unwrap());
        }
    }

    /// The states and steps of all that come until none does for a while.
    async fn all(&mut self) -> Vec<(String, u64)> {
        let mut all = Vec::new();
        while let Some(event) = self.next().await {
            let state = event["state"].as_str().unwrap().to_owned();
            all.push((state, event["done"].as_u64().unwrap()));
        }
        all
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_tells_jobs_that_live_then_changes_and_ends() {
    let jobs = Jobs::memory();
    let app: Router = job_routes(jobs.clone());
    let ended = jobs.enqueue(CLEAN_UP, &1).await.unwrap();
    ended.cancel().await.unwrap();
    jobs.enqueue(EXPORT, &"cities".to_owned()).await.unwrap();
    let mut events = events(&app).await;
    let state = |name: &str, done| (name.to_owned(), done);
    assert_eq!(
        events.all().await,
        [state("ready", 0)],
        "what had ended before is no news"
    );
    let handler = |_: String, job: JobContext| async move {
        for done in 1..=2 {
            sleep(Duration::from_secs(1)).await;
            job.progress(done, 2);
        }
        sleep(Duration::from_secs(1)).await;
        Err::<String, _>(JobError::discard("no room"))
    };
    let workers = jobs.workers().handle(EXPORT, Policy::new(), handler);
    let _workers = workers.start().await.unwrap();
    let expected = [
        state("running", 0),
        state("running", 1),
        state("running", 2),
        state("failed", 2),
    ];
    assert_eq!(events.all().await, expected);
}

#[tokio::test(start_paused = true)]
async fn a_stream_tells_that_a_job_is_gone() {
    let jobs = Jobs::memory();
    let app: Router = job_routes(jobs.clone());
    let job = jobs.enqueue(CLEAN_UP, &1).await.unwrap();
    let mut events = events(&app).await;
    assert_eq!(events.all().await, [("ready".to_owned(), 0)]);
    jobs.delete(job.id()).await.unwrap();
    assert_eq!(events.all().await, [("gone".to_owned(), 0)]);
}

#[tokio::test(start_paused = true)]
async fn one_that_newer_ones_have_pushed_out_is_told_again_when_it_runs() {
    let jobs = Jobs::memory();
    let app: Router = job_routes(jobs.clone());
    let old = jobs.enqueue(EXPORT, &"cities".to_owned()).await.unwrap();
    let mut events = events(&app).await;
    assert_eq!(events.all().await.len(), 1);
    jobs.enqueue_many(CLEAN_UP, &[0; 150]).await.unwrap();
    let told = events.all().await;
    assert_eq!(told.len(), 101, "the newest hundred, and its last word");
    let _workers = endless(&jobs).await;
    assert_eq!(events.all().await.last(), Some(&("running".to_owned(), 1)));
    old.cancel().await.unwrap();
    assert_eq!(events.all().await, [("cancelled".to_owned(), 1)]);
}

#[tokio::test(start_paused = true)]
async fn streams_beyond_the_limit_are_503_and_one_watcher_looks_for_all() {
    let jobs = Jobs::memory();
    let app: Router = JobRoutes::new(jobs).streams(50).into_router();
    let tasks = || {
        tokio::runtime::Handle::current()
            .metrics()
            .num_alive_tasks()
    };
    let before = tasks();
    let mut streams = Vec::new();
    for _ in 0..50 {
        streams.push(events(&app).await);
    }
    assert_eq!(tasks(), before + 1, "however many follow");
    let refused: Response = app.clone().oneshot(get("/jobs/events")).await.unwrap();
    assert_eq!(refused.status(), 503);
    let refused = Answer::of(refused).await;
    refused.problem(503);
    assert_eq!(refused.header("retry-after"), Some("10"));
    streams.clear();
    sleep(Duration::from_secs(1)).await;
    assert_eq!(tasks(), before, "and none if nobody does");
    let _again = events(&app).await;
}

#[tokio::test]
async fn a_cancel_a_retry_and_a_delete_are_a_line_of_the_log_each_and_refused_ones_are_none() {
    const LOGGED: Kind<u64> = Kind::new("a kind for the log");
    log::start();
    let jobs = Jobs::memory();
    let id = jobs.enqueue(LOGGED, &7).await.unwrap().id();
    let app: Router = job_routes(jobs);
    let [cancel, retry] = ["cancel", "retry"].map(|act| format!("/jobs/{id}/{act}"));
    for (request, status) in [
        (post(&cancel), 202),
        (post(&cancel), 409),
        (post(&retry), 202),
        (delete(&format!("/jobs/{id}")), 204),
        (post(&cancel), 404),
    ] {
        assert_eq!(Answer::from(&app, request).await.status, status);
    }
    let mut lines = log::lines_with("a kind for the log");
    lines.retain(|line| line["target"] == "nexios_axum::acts");
    let said: Vec<_> = lines.iter().map(|line| &line["message"]).collect();
    assert_eq!(
        said,
        ["cancelled", "retried", "deleted"]
            .map(|act| format!("job {act} over the routes"))
            .each_ref()
    );
    for line in &lines {
        assert_eq!(
            (&line["id"], &line["level"]),
            (&json!(id.to_string()), &json!("INFO"))
        );
        assert_eq!(line.get("client"), None, "nobody knows who asked");
    }
}

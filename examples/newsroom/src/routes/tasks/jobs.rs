//! Jobs beside the tasks of this process, on the same routes.
//!
//! The routes of the tasks are asked first: they turn away who may not ask, and do not know the number of a job.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    time::Duration,
};

use axum::{
    Json,
    body::{Body, Bytes, to_bytes},
    extract::{Request, State},
    http::{Method, StatusCode, header::CONTENT_LENGTH},
    middleware::Next,
    response::{IntoResponse, Response},
};
use futures_util::{StreamExt, stream};
use nexios_axum::Problem;
use nexios_jobs::JobId;
use serde_json::{Value, json};

use super::view::JobView;
use crate::newsletter::Newsletters;

/// How often the jobs are looked at for those who watch.
const LOOK: Duration = Duration::from_millis(250);

/// No status is longer: it is our own.
const LONGEST: usize = 64 << 20;

enum Asked {
    Status,
    Events,
    Job(JobId),
    Cancel(JobId),
}

impl Asked {
    fn by(request: &Request) -> Option<Self> {
        let path = request.uri().path().strip_prefix("/tasks/")?;
        match (request.method(), path.split_once('/')) {
            (&Method::GET, None) if path == "status" => Some(Asked::Status),
            (&Method::GET, None) if path == "events" => Some(Asked::Events),
            (&Method::GET, None) => path.parse().ok().map(Asked::Job),
            (&Method::POST, Some((id, "cancel"))) => id.parse().ok().map(Asked::Cancel),
            _ => None,
        }
    }
}

/// Adds the jobs to what the routes of tasks answer.
pub(super) async fn beside(
    State(newsletters): State<Newsletters>,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let asked = Asked::by(&request);
    let answer = next.run(request).await;
    match (asked, answer.status()) {
        (Some(Asked::Status), StatusCode::OK) => status(&newsletters, answer).await,
        (Some(Asked::Events), StatusCode::OK) => Ok(events(newsletters, answer)),
        (Some(Asked::Job(id)), StatusCode::NOT_FOUND) => Ok(match newsletters.job(id).await? {
            Some(job) => instead(answer, Json(JobView::from(job))),
            None => answer,
        }),
        (Some(Asked::Cancel(id)), StatusCode::NOT_FOUND) => cancel(&newsletters, id, answer).await,
        _ => Ok(answer),
    }
}

/// Keeps what the routes have said besides, such as that nothing may frame it.
fn instead(answer: Response, other: impl IntoResponse) -> Response {
    let mut other = other.into_response();
    let headers = answer.headers().iter();
    for (name, value) in headers.filter(|(name, _)| *name != CONTENT_LENGTH) {
        other
            .headers_mut()
            .entry(name)
            .or_insert_with(|| value.clone());
    }
    other
}

async fn status(newsletters: &Newsletters, answer: Response) -> Result<Response, Problem> {
    let (mut parts, body) = answer.into_parts();
    let body = to_bytes(body, LONGEST).await;
    let mut status: Value = body
        .map_err(|error| Problem::internal(&error))
        .and_then(|body| {
            serde_json::from_slice(&body).map_err(|error| Problem::internal(&error))
        })?;
    let jobs = newsletters.jobs().await?.into_iter().map(JobView::from);
    let jobs: Vec<JobView> = jobs.collect();
    let living = jobs.iter().filter(|job| !job.has_ended).count() as u64;
    status["active_tasks"] = json!(status["active_tasks"].as_u64().unwrap_or(0) + living);
    if let Some(tasks) = status["tasks"].as_array_mut() {
        tasks.extend(jobs.iter().map(|job| json!(job)));
    }
    parts.headers.remove(CONTENT_LENGTH);
    let status = Body::from(status.to_string());
    Ok(Response::from_parts(parts, status))
}

async fn cancel(
    newsletters: &Newsletters,
    id: JobId,
    answer: Response,
) -> Result<Response, Problem> {
    let cancelled = newsletters.cancel(id).await?;
    let Some(job) = newsletters.job(id).await?.map(JobView::from) else {
        return Ok(answer);
    };
    if !cancelled && job.has_ended {
        let ended = Problem::conflict("The task has already ended.").with("state", job.state);
        return Ok(instead(answer, ended));
    }
    Ok(instead(answer, (StatusCode::ACCEPTED, Json(job))))
}

/// One more event for each live job and for each change. It ends with the events of the tasks, which end with the service.
fn events(newsletters: Newsletters, answer: Response) -> Response {
    let jobs = stream::unfold(Watch::new(newsletters), async |mut watch| {
        let event = watch.next().await;
        Some((Some(Ok(event)), watch))
    });
    let (parts, body) = answer.into_parts();
    let tasks = body.into_data_stream().map(Some);
    let tasks = tasks.chain(stream::once(async { None }));
    let both = stream::select(tasks, jobs.boxed());
    let both = both.take_while(|event| std::future::ready(event.is_some()));
    let both = both.filter_map(async |event| event);
    Response::from_parts(parts, Body::from_stream(both))
}

/// One client's look at the jobs.
struct Watch {
    newsletters: Newsletters,
    /// What the client was told of each living job.
    told: HashMap<JobId, String>,
    news: VecDeque<Bytes>,
    has_looked: bool,
}

impl Watch {
    fn new(newsletters: Newsletters) -> Self {
        Watch {
            newsletters,
            told: HashMap::new(),
            news: VecDeque::new(),
            has_looked: false,
        }
    }

    async fn next(&mut self) -> Bytes {
        loop {
            if let Some(event) = self.news.pop_front() {
                return event;
            }
            if std::mem::replace(&mut self.has_looked, true) {
                tokio::time::sleep(LOOK).await;
            }
            self.look().await;
        }
    }

    async fn look(&mut self) {
        // While the database is away there is no news.
        let Ok(jobs) = self.newsletters.jobs().await else {
            return;
        };
        let mut seen = HashSet::new();
        for job in jobs.into_iter().map(JobView::from) {
            seen.insert(job.id);
            let told = self.told.get(&job.id);
            if job.has_ended && told.is_none() {
                continue;
            }
            let mut now = json!(job);
            // It always changes, and is no news.
            let elapsed = now["elapsed_ms"].take();
            let text = now.to_string();
            if told.is_none_or(|told| *told != text) {
                now["elapsed_ms"] = elapsed;
                let event = format!("event: task\ndata: {now}\n\n");
                self.news.push_back(event.into());
            }
            if job.has_ended {
                self.told.remove(&job.id);
            } else {
                self.told.insert(job.id, text);
            }
        }
        self.told.retain(|id, _| seen.contains(id));
    }
}

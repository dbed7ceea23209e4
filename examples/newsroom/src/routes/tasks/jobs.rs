//! Jobs beside the tasks of this process, on the same routes.
//!
//! The routes of the tasks are asked first: they turn away who may not ask, and do not know the number of a job.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use axum::{
    Json,
    body::{Body, Bytes, to_bytes},
    extract::{Path, Request, State},
    http::{Method, StatusCode, header::CONTENT_LENGTH},
    middleware::Next,
    response::{IntoResponse, Response},
};
use futures_util::{StreamExt, stream};
use nexios_axum::{OrProblem, Problem};
use nexios_jobs::JobId;
use serde_json::{Value, json};
use tokio::{sync::Mutex, time::Instant};

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
    State(watcher): State<Watcher>,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let newsletters = &watcher.0.newsletters;
    let asked = Asked::by(&request);
    let answer = next.run(request).await;
    match (asked, answer.status()) {
        (Some(Asked::Status), StatusCode::OK) => status(newsletters, answer).await,
        (Some(Asked::Events), StatusCode::OK) => Ok(events(watcher, answer)),
        (Some(Asked::Job(id)), StatusCode::NOT_FOUND) => Ok(match newsletters.job(id).await? {
            Some(job) => instead(answer, Json(JobView::from(job))),
            None => answer,
        }),
        (Some(Asked::Cancel(id)), StatusCode::NOT_FOUND) => cancel(newsletters, id, answer).await,
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
    let jobs = newsletters.jobs().await.unwrap_or_else(|error| {
        // The tasks of this process are told nevertheless.
        tracing::warn!(?error, "the status has no newsletters");
        status["jobs"] = json!("unavailable");
        Vec::new()
    });
    let jobs: Vec<JobView> = jobs.into_iter().map(JobView::from).collect();
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

/// Tries a newsletter again that was stopped or has failed.
pub(super) async fn retry(
    State(newsletters): State<Newsletters>,
    OrProblem(Path(id)): OrProblem<Path<JobId>>,
) -> Result<(StatusCode, Json<JobView>), Problem> {
    let goes_on = newsletters.retry(id).await?;
    let job = newsletters.job(id).await?.map(JobView::from);
    let job = job.ok_or_else(|| Problem::not_found("There is no such job."))?;
    if !goes_on {
        let detail = "The task is under way, or has been completed.";
        return Err(Problem::conflict(detail).with("state", job.state));
    }
    Ok((StatusCode::ACCEPTED, Json(job)))
}

/// One more event for each live job and for each change. It ends with the events of the tasks, which end with the service.
fn events(watcher: Watcher, answer: Response) -> Response {
    let jobs = stream::unfold(Watch::new(watcher), async |mut watch| {
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

/// Looks at the jobs for all who watch: however many they are, the database is asked as often as for one.
#[derive(Clone)]
pub(super) struct Watcher(Arc<Watched>);

struct Watched {
    newsletters: Newsletters,
    /// Whoever holds it looks, and the others see what it saw.
    look: Mutex<Look>,
}

#[derive(Default)]
struct Look {
    begun: Option<Instant>,
    jobs: Arc<[JobView]>,
}

impl Watcher {
    pub(super) fn new(newsletters: Newsletters) -> Self {
        Watcher(Arc::new(Watched {
            newsletters,
            look: Mutex::default(),
        }))
    }

    /// The jobs as they were a moment ago.
    async fn look(&self) -> Arc<[JobView]> {
        let mut look = self.0.look.lock().await;
        if look.begun.is_none_or(|begun| begun.elapsed() >= LOOK) {
            look.begun = Some(Instant::now());
            // While the database is away there is no news.
            if let Ok(jobs) = self.0.newsletters.jobs().await {
                look.jobs = jobs.into_iter().map(JobView::from).collect();
            }
        }
        look.jobs.clone()
    }
}

/// What one client has seen of the jobs.
struct Watch {
    watcher: Watcher,
    /// What the client was told of each living job.
    told: HashMap<JobId, String>,
    news: VecDeque<Bytes>,
    has_looked: bool,
}

impl Watch {
    fn new(watcher: Watcher) -> Self {
        Watch {
            watcher,
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
        let jobs = self.watcher.look().await;
        let mut seen = HashSet::new();
        for job in jobs.iter() {
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

#[cfg(test)]
mod tests {
    use clap::Parser;
    use futures_util::future::join_all;

    use super::*;
    use crate::{Config, Newsroom, Sizes, prepare};

    #[tokio::test]
    async fn however_many_watch_the_database_is_looked_at_as_often_as_for_one() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut config = Config::parse_from(["newsroom"]);
        config.data = folder.path().to_owned();
        config.sizes = Sizes {
            rows: 3_650,
            users: 1,
            articles: 1,
            subscribers: 1,
        };
        prepare(&config).expect("data");
        let watcher = Watcher::new(Newsroom::new(&config).newsletters);
        let begun = Instant::now();
        let mut looks = Vec::new();
        while begun.elapsed() < 4 * LOOK {
            let seen = join_all((0..50).map(|_| watcher.look())).await;
            looks.extend(seen);
            tokio::time::sleep(LOOK / 10).await;
        }
        looks.dedup_by(|one, other| Arc::ptr_eq(one, other));
        // And one of the first, as the end of the last pause is not ours.
        assert!((2..=6).contains(&looks.len()), "{}", looks.len());
    }
}

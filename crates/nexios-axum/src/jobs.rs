//! Routes that show durable jobs, cancel them and try them again.

mod feed;
mod shown;
mod view;

use std::{borrow::Cow, fmt, sync::Arc};

use axum::{
    Json, Router,
    extract::{Path, Query, State},
    http::StatusCode,
    routing::{get, post},
};
use nexios_jobs::{Filter, JobId, JobState, Jobs};
use serde::Deserialize;

use crate::{
    acts::acted,
    cross_site::{Guard, Trusted},
    extract::OrProblem,
    feed::{Feed, events},
    problem::Problem,
};
use shown::Shown;
use view::{JobView, Page, WholeJobView};

/// Makes the routes that show, cancel, retry and delete the jobs of one store, of all machines.
///
/// | route | answer |
/// |---|---|
/// | `GET /jobs` | `{"jobs":[{"id","kind","state","key","priority","created_unix_ms","run_at_unix_ms","ended_unix_ms","attempt","done","total","message","error"}],"next"}`, newest first; `?kind=`, `?state=`, `?key=` (what was given to `unique`, of jobs that have ended as well), `?before=` (the `next` of the page before) and `?limit=` (1 to 1,000, 100 by default); anything else is 400 |
/// | `GET /jobs/events` | server-sent events: one `job` with such a job for each that runs, for the newest 100 that wait, and for each change, looked for every 250 ms; 503 beyond [`streams`](JobRoutes::streams) |
/// | `GET /jobs/{id}` | one such job with its `attempts`: `[{"number","started_unix_ms","ended_unix_ms","host","pid","end","error"}]`; or 404 |
/// | `POST /jobs/{id}/cancel` | 202 and the job as it is now, as often as asked; 404 unknown, 409 already ended |
/// | `POST /jobs/{id}/retry` | 202 and the job, which waits with all its attempts; 404 unknown, 409 if it runs, is completed, or another one with its key lives |
/// | `DELETE /jobs/{id}` | 204; 404 unknown, 409 if it runs |
///
/// `error` is what the last attempt that failed has said, while the job is tried again or after it has failed; of a job that
/// has completed or was cancelled it is null, and what its attempts before have said is in `attempts`.
///
/// Numbers of jobs are text, times are milliseconds since 1970. A stream of events tells the end of every job that it showed
/// running: one that was deleted is `gone`. Of those that wait, one that a hundred newer ones have pushed out is told no further
/// until it runs. However many follow the events, the store is asked as often as for one, and not at all if nobody does.
///
/// Each cancel, retry and delete that was done is a line of the log at INFO, `job cancelled over the routes` and so on, as
/// [`task_routes`](crate::task_routes) have them: the number as `id`, the kind as `name`, and the `client`.
///
/// The arguments of a job are never told, its output only with [`results`](JobRoutes::results): what a job is given and what it
/// makes is its user's (addresses, a signed link), and whoever looks after jobs needs neither.
///
/// The routes need no state of yours: they join a router of any, before `with_state` or after it. Who can use them is as with
/// [`task_routes`](crate::task_routes): whoever can reach them, but no page of another site through a visitor's browser.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use axum::{Router, body::{Body, to_bytes}, http::Request};
/// use nexios_axum::job_routes;
/// use nexios_jobs::{Jobs, Kind};
/// use tower::ServiceExt;
///
/// const EXPORT: Kind<String> = Kind::new("export");
///
/// let jobs = Jobs::memory();
/// let job = jobs.enqueue(EXPORT, &"cities".to_owned()).await?;
/// let app: Router = Router::new().merge(job_routes(jobs));
/// let response = app.clone().oneshot(Request::get("/jobs?kind=export").body(Body::empty())?).await?;
/// let page: serde_json::Value = serde_json::from_slice(&to_bytes(response.into_body(), 4096).await?)?;
/// assert_eq!(page["jobs"][0]["state"], "ready");
///
/// let cancel = Request::post(format!("/jobs/{}/cancel", job.id())).body(Body::empty())?;
/// assert_eq!(app.oneshot(cancel).await?.status(), 202);
/// # Ok(())
/// # }
/// ```
#[cfg_attr(docsrs, doc(cfg(feature = "jobs")))]
pub fn job_routes<S: Clone + Send + Sync + 'static>(jobs: Jobs) -> Router<S> {
    JobRoutes::new(jobs).into_router()
}

/// Builds the job routes, for some kinds alone or with other limits than [`job_routes`] has.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use axum::{Router, body::{Body, to_bytes}, http::Request};
/// use nexios_axum::JobRoutes;
/// use nexios_jobs::{Jobs, Kind};
/// use tower::ServiceExt;
///
/// const EXPORT: Kind<String> = Kind::new("export");
///
/// let app: Router = JobRoutes::new(Jobs::memory()).kind(EXPORT).streams(16).into_router();
/// let response = app.oneshot(Request::get("/jobs").body(Body::empty())?).await?;
/// assert_eq!(&to_bytes(response.into_body(), 4096).await?[..], br#"{"jobs":[],"next":null}"#);
/// # Ok(())
/// # }
/// ```
#[must_use]
#[cfg_attr(docsrs, doc(cfg(feature = "jobs")))]
pub struct JobRoutes {
    shown: Shown,
    results: bool,
    streams: usize,
    trusted: Trusted,
}

/// What the handlers share.
struct Served {
    shown: Shown,
    results: bool,
}

impl JobRoutes {
    /// Starts with all kinds of jobs, no results, and at most 256 streams of events.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use axum::{Router, body::Body, http::Request};
    /// use nexios_axum::JobRoutes;
    /// use nexios_jobs::Jobs;
    /// use tower::ServiceExt;
    ///
    /// let app: Router = JobRoutes::new(Jobs::memory()).into_router();
    /// let response = app.oneshot(Request::get("/jobs/7").body(Body::empty())?).await?;
    /// assert_eq!(response.status(), 404); // no job has this number
    /// # Ok(())
    /// # }
    /// ```
    pub fn new(jobs: Jobs) -> Self {
        let kinds = Vec::new();
        JobRoutes {
            shown: Shown { jobs, kinds },
            results: false,
            streams: 256,
            trusted: Trusted::nothing(),
        }
    }

    /// Shows the jobs of this kind, and of others that are named so: those of the rest are 404. Default: all kinds.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use axum::{Router, body::Body, http::Request};
    /// use nexios_axum::JobRoutes;
    /// use nexios_jobs::{Jobs, Kind};
    /// use tower::ServiceExt;
    ///
    /// const EXPORT: Kind<String> = Kind::new("export");
    /// const CLEAN_UP: Kind<()> = Kind::new("clean up");
    ///
    /// let jobs = Jobs::memory();
    /// let job = jobs.enqueue(CLEAN_UP, &()).await?;
    /// let app: Router = JobRoutes::new(jobs).kind(EXPORT).into_router();
    /// let response = app.oneshot(Request::get(format!("/jobs/{}", job.id())).body(Body::empty())?).await?;
    /// assert_eq!(response.status(), 404);
    /// # Ok(())
    /// # }
    /// ```
    pub fn kind(mut self, kind: impl Into<Cow<'static, str>>) -> Self {
        self.shown.kinds.push(kind.into());
        self
    }

    /// Tells the output of a completed job as well, as `result` in `GET /jobs/{id}`. Default: not.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use axum::{Router, body::{Body, to_bytes}, http::Request};
    /// use nexios_axum::JobRoutes;
    /// use nexios_jobs::{Jobs, Kind, Policy};
    /// use tower::ServiceExt;
    ///
    /// const COUNT: Kind<String, usize> = Kind::new("count");
    ///
    /// let jobs = Jobs::memory();
    /// let count = |text: String, _job| async move { Ok::<_, String>(text.len()) };
    /// jobs.workers().handle(COUNT, Policy::new(), count).start().await?;
    /// let job = jobs.enqueue(COUNT, &"four".to_owned()).await?;
    /// job.wait().await?;
    /// let app: Router = JobRoutes::new(jobs).results().into_router();
    /// let response = app.oneshot(Request::get(format!("/jobs/{}", job.id())).body(Body::empty())?).await?;
    /// let job: serde_json::Value = serde_json::from_slice(&to_bytes(response.into_body(), 4096).await?)?;
    /// assert_eq!(job["result"], 4);
    /// # Ok(())
    /// # }
    /// ```
    pub fn results(mut self) -> Self {
        self.results = true;
        self
    }

    /// Lets at most `limit` clients follow the events at a time; the next one gets 503 with `Retry-After`. Default: 256.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use axum::{Router, body::Body, http::Request};
    /// use nexios_axum::JobRoutes;
    /// use nexios_jobs::Jobs;
    /// use tower::ServiceExt;
    ///
    /// let app: Router = JobRoutes::new(Jobs::memory()).streams(1).into_router();
    /// let follow = || Request::get("/jobs/events").body(Body::empty());
    /// let first = app.clone().oneshot(follow()?).await?;
    /// assert_eq!(app.clone().oneshot(follow()?).await?.status(), 503);
    /// drop(first);
    /// assert_eq!(app.oneshot(follow()?).await?.status(), 200);
    /// # Ok(())
    /// # }
    /// ```
    pub fn streams(mut self, limit: usize) -> Self {
        self.streams = limit;
        self
    }

    /// Names a host under which clients on the same machine, such as a proxy, ask for the service, as
    /// [`TaskRoutes::host`](crate::TaskRoutes::host) does. Default: none but addresses, names without a dot such as
    /// `localhost`, and names that end in `.localhost`.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use std::net::SocketAddr;
    /// use axum::{Extension, Router, body::Body, extract::ConnectInfo, http::Request};
    /// use nexios_axum::JobRoutes;
    /// use nexios_jobs::Jobs;
    /// use tower::ServiceExt;
    ///
    /// let proxy: SocketAddr = "127.0.0.1:4711".parse()?; // on the same machine
    /// let app: Router = JobRoutes::new(Jobs::memory()).host("console.example").into_router();
    /// let app = app.layer(Extension(ConnectInfo(proxy))); // as `NexiosApp` tells it
    /// let ask = |host| Request::get("/jobs").header("host", host).body(Body::empty());
    /// assert_eq!(app.clone().oneshot(ask("console.example")?).await?.status(), 200);
    /// assert_eq!(app.oneshot(ask("evil.example")?).await?.status(), 403);
    /// # Ok(())
    /// # }
    /// ```
    pub fn host(mut self, name: impl Into<String>) -> Self {
        self.trusted.host(&name.into());
        self
    }

    /// Lets the pages of another origin, such as `https://console.example`, cancel, retry and delete jobs. Default: none.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use axum::{Router, body::Body, http::Request};
    /// use nexios_axum::JobRoutes;
    /// use nexios_jobs::{Jobs, Kind};
    /// use tower::ServiceExt;
    ///
    /// const EXPORT: Kind<String> = Kind::new("export");
    ///
    /// let jobs = Jobs::memory();
    /// let job = jobs.enqueue(EXPORT, &"cities".to_owned()).await?;
    /// let app: Router = JobRoutes::new(jobs).trusted_origin("https://console.example").into_router();
    /// let cancel = Request::post(format!("/jobs/{}/cancel", job.id()))
    ///     .header("sec-fetch-site", "cross-site")
    ///     .header("origin", "https://console.example")
    ///     .body(Body::empty())?;
    /// assert_eq!(app.oneshot(cancel).await?.status(), 202);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// Panics if `origin` is not a scheme and a host, with a port if it is not the scheme's own, as browsers send it.
    #[track_caller]
    pub fn trusted_origin(mut self, origin: &str) -> Self {
        self.trusted = self.trusted.origin(origin);
        self
    }

    /// Makes the routes.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use axum::{Router, body::Body, http::Request};
    /// use nexios_axum::JobRoutes;
    /// use nexios_jobs::Jobs;
    /// use tower::ServiceExt;
    ///
    /// let routes: Router = JobRoutes::new(Jobs::memory()).into_router();
    /// let app: Router = Router::new().nest("/admin", routes);
    /// let response = app.oneshot(Request::get("/admin/jobs").body(Body::empty())?).await?;
    /// assert_eq!(response.status(), 200);
    /// # Ok(())
    /// # }
    /// ```
    pub fn into_router<S: Clone + Send + Sync + 'static>(self) -> Router<S> {
        let JobRoutes {
            shown,
            results,
            streams,
            trusted,
        } = self;
        let feed = Arc::new(Feed::new(shown.clone(), streams));
        let guard = Guard::new(trusted);
        let follow = get(events::<Shown>).with_state(feed);
        Router::new()
            .route("/jobs", guard.around(get(list)))
            .route("/jobs/events", guard.around(follow))
            .route("/jobs/{id}", guard.around(get(job).delete(delete)))
            .route("/jobs/{id}/cancel", guard.around(post(cancel)))
            .route("/jobs/{id}/retry", guard.around(post(retry)))
            .with_state(Arc::new(Served { shown, results }))
    }
}

impl fmt::Debug for JobRoutes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JobRoutes")
            .field("kinds", &self.shown.kinds)
            .field("results", &self.results)
            .field("streams", &self.streams)
            .field("hosts", &self.trusted.hosts)
            .finish_non_exhaustive()
    }
}

/// Which jobs are asked for. A name that is misspelt is refused: it would show all of them.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    kind: Option<String>,
    state: Option<JobState>,
    key: Option<String>,
    before: Option<JobId>,
    #[serde(default = "usual_limit")]
    limit: usize,
}

fn usual_limit() -> usize {
    100
}

async fn list(
    State(routes): State<Arc<Served>>,
    OrProblem(Query(asked)): OrProblem<Query<Asked>>,
) -> Result<Json<Page>, Problem> {
    if !(1..=1000).contains(&asked.limit) {
        let detail = "A page has 1 to 1,000 jobs.";
        return Err(Problem::bad_request(detail).with("limit", asked.limit));
    }
    let filter = asked.state.into_iter().fold(Filter::new(), Filter::state);
    let filter = asked.key.into_iter().fold(filter, Filter::key);
    let filter = asked.before.into_iter().fold(filter, Filter::before);
    let page = routes.shown.page(filter, asked.kind, asked.limit);
    let (jobs, next) = page.await?;
    let jobs = jobs.into_iter().map(JobView::from).collect();
    Ok(Json(Page { jobs, next }))
}

/// By its name: the routes may be nested under a path that has parameters too.
#[derive(Deserialize)]
struct Named {
    id: JobId,
}

async fn job(
    State(routes): State<Arc<Served>>,
    OrProblem(Path(Named { id })): OrProblem<Path<Named>>,
) -> Result<Json<WholeJobView>, Problem> {
    let job = routes.shown.find(id).await?;
    Ok(Json(WholeJobView::new(job, routes.results)))
}

async fn cancel(
    State(routes): State<Arc<Served>>,
    OrProblem(Path(Named { id })): OrProblem<Path<Named>>,
) -> Result<(StatusCode, Json<JobView>), Problem> {
    let shown = &routes.shown;
    shown.find(id).await?;
    let is_cancelled = shown.jobs.cancel(id).await?;
    let job = JobView::from(shown.find(id).await?);
    // One that was cancelled before and still cleans up is being cancelled, whoever asks.
    if !is_cancelled {
        return Err(Problem::conflict("The job has already ended.").with("state", job.state));
    }
    acted("job cancelled", id, &job.kind);
    Ok((StatusCode::ACCEPTED, Json(job)))
}

async fn retry(
    State(routes): State<Arc<Served>>,
    OrProblem(Path(Named { id })): OrProblem<Path<Named>>,
) -> Result<(StatusCode, Json<JobView>), Problem> {
    let shown = &routes.shown;
    shown.find(id).await?;
    let goes_on = shown.jobs.retry(id).await?;
    let job = shown.find(id).await?;
    if !goes_on {
        let detail = match job.state {
            JobState::Failed | JobState::Cancelled | JobState::Dead => {
                "Another job with its key is under way."
            }
            _ => "The job is under way, or has been completed.",
        };
        return Err(Problem::conflict(detail).with("state", job.state.as_str()));
    }
    acted("job retried", id, &job.kind);
    Ok((StatusCode::ACCEPTED, Json(job.into())))
}

async fn delete(
    State(routes): State<Arc<Served>>,
    OrProblem(Path(Named { id })): OrProblem<Path<Named>>,
) -> Result<StatusCode, Problem> {
    let shown = &routes.shown;
    let job = shown.find(id).await?;
    if shown.jobs.delete(id).await? {
        acted("job deleted", id, &job.kind);
        return Ok(StatusCode::NO_CONTENT);
    }
    // Gone meanwhile, or it runs.
    let job = JobView::from(shown.find(id).await?);
    Err(Problem::conflict("A job that runs cannot be deleted.").with("state", job.state))
}

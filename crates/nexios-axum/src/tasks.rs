//! Routes that show and cancel background tasks.

mod feed;
mod view;

use std::{collections::BTreeMap, fmt, sync::Arc};

use axum::{
    Json, Router,
    extract::{Path, State},
    http::StatusCode,
    routing::{MethodRouter, get, post},
};
use nexios::{Background, TaskId};
use serde::Deserialize;
use serde_json::Value;

use crate::{
    acts::acted,
    cross_site::{Guard, Trusted},
    extract::OrProblem,
    feed::{Feed, events},
    problem::Problem,
};
use view::{Status, TaskView};

/// Makes the routes that show and cancel the tasks of one registry.
///
/// Numbers of tasks are of the process, and begin anew when it restarts. A schedule is one
/// live task, and counts in `active_tasks`.
///
/// | route | answer |
/// |---|---|
/// | `GET /tasks/status` | `{"active_tasks":n,"tasks":[{"id","name","state","cancelling","done","total","message","attempt","elapsed_ms","error"}]}` |
/// | `GET /tasks/events` | server-sent events: one `task` with such a task for each live one and for each change, looked for every 250 ms; 503 beyond [`streams`](TaskRoutes::streams) |
/// | `GET /tasks/{id}` | one such task, or 404 |
/// | `POST /tasks/{id}/cancel` | 202 and the task as it is now, as often as asked; 404 unknown, 409 already ended |
///
/// `cancelling` is null, or why a task was asked to end that has not ended yet: `"requested"` after such a cancel, `"shutdown"`
/// in a drain, and the other [reasons](nexios::CancelReason::as_str). Its state is `"running"` as before until it ends.
///
/// A schedule is one live task, and the only one with a `next_run_unix_ms`: when its next run begins.
///
/// Each cancel that is answered with 202 is a line of the log at INFO, `task cancelled over the routes`, with the target `nexios_axum::acts`: `id`,
/// `name`, and the `client` if a [`RequestLayer`](crate::RequestLayer) is around and knows it, as it does in a [`NexiosApp`](crate::NexiosApp).
///
/// A stream of events tells the end of every task that it showed. An answer of your own names a task by `task.id()`.
///
/// The routes need no state of yours: they join a router of any, before `with_state` or after it.
///
/// # Who can use them
///
/// Whoever can reach them: there is no authentication in them, and they tell names, messages and errors of tasks. Put them
/// where only those come who may know, or a layer of your own around them.
///
/// A visitor's browser is no way in for the pages of other sites. Cancelling is refused with 403 to a request that a
/// page of another origin has made, known by `Sec-Fetch-Site` and `Origin` (Go's and tower-http's scheme; programs that
/// send neither are let in). A client on the same machine is refused with 403 if it asks for a host by a name of
/// the public DNS, as it does when a page has made its own name point there; addresses, `localhost` and other names
/// without a dot are let in, and a proxy on the same machine that passes the public name on needs [`host`](TaskRoutes::host). That check needs to know the
/// peer: [`NexiosApp`](crate::NexiosApp) tells it, `axum::serve` does with `into_make_service_with_connect_info`. No
/// answer can be framed.
///
/// [`TaskRoutes`] has the settings, and adds fields of your own.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use axum::{Router, body::{Body, to_bytes}, http::Request};
/// use nexios::Background;
/// use nexios_axum::task_routes;
/// use tower::ServiceExt;
///
/// let background = Background::new();
/// let _task = background.spawn("build the index", |_task| std::future::pending::<()>())?;
/// let app: Router = Router::new().merge(task_routes(background));
/// let response = app.oneshot(Request::get("/tasks/status").body(Body::empty())?).await?;
/// let status: serde_json::Value = serde_json::from_slice(&to_bytes(response.into_body(), 4096).await?)?;
/// assert_eq!(status["active_tasks"], 1);
/// assert_eq!(status["tasks"][0]["name"], "build the index");
/// # Ok(())
/// # }
/// ```
pub fn task_routes<S: Clone + Send + Sync + 'static>(background: Background) -> Router<S> {
    TaskRoutes::new(background).into_router()
}

/// Builds the task routes, with more fields in `GET /tasks/status` and other limits than [`task_routes`] has.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use axum::{Router, body::{Body, to_bytes}, http::Request};
/// use nexios::Background;
/// use nexios_axum::TaskRoutes;
/// use tower::ServiceExt;
///
/// let app: Router = TaskRoutes::new(Background::new()).field("workers", || 4).streams(16).into_router();
/// let response = app.oneshot(Request::get("/tasks/status").body(Body::empty())?).await?;
/// let status = to_bytes(response.into_body(), 4096).await?;
/// assert_eq!(&status[..], br#"{"active_tasks":0,"tasks":[],"workers":4}"#);
/// # Ok(())
/// # }
/// ```
#[must_use]
pub struct TaskRoutes {
    background: Background,
    fields: BTreeMap<String, Field>,
    /// Those of the user's own.
    routes: Vec<(String, MethodRouter)>,
    streams: usize,
    trusted: Trusted,
}

/// What the handlers share.
struct Served {
    background: Background,
    fields: BTreeMap<String, Field>,
}

type Field = Box<dyn Fn() -> Value + Send + Sync>;

impl TaskRoutes {
    /// Starts with the tasks of `background`, no more fields, and at most 256 streams of events.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use axum::{Router, body::Body, http::Request};
    /// use nexios::Background;
    /// use nexios_axum::TaskRoutes;
    /// use tower::ServiceExt;
    ///
    /// let app: Router = TaskRoutes::new(Background::new()).into_router();
    /// let response = app.oneshot(Request::get("/tasks/7").body(Body::empty())?).await?;
    /// assert_eq!(response.status(), 404); // no task has this number
    /// # Ok(())
    /// # }
    /// ```
    pub fn new(background: Background) -> Self {
        TaskRoutes {
            background,
            fields: BTreeMap::new(),
            routes: Vec::new(),
            streams: 256,
            trusted: Trusted::nothing(),
        }
    }

    /// Adds a field to the status, read anew for every answer; `active_tasks` and `tasks` cannot be replaced.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use std::sync::atomic::{AtomicU64, Ordering};
    /// use axum::{Router, body::{Body, to_bytes}, http::Request};
    /// use nexios::Background;
    /// use nexios_axum::TaskRoutes;
    /// use tower::ServiceExt;
    ///
    /// static SENT: AtomicU64 = AtomicU64::new(0);
    ///
    /// let routes = TaskRoutes::new(Background::new()).field("sent", || SENT.load(Ordering::Relaxed));
    /// let app: Router = routes.into_router();
    /// SENT.store(7, Ordering::Relaxed);
    /// let response = app.oneshot(Request::get("/tasks/status").body(Body::empty())?).await?;
    /// let status: serde_json::Value = serde_json::from_slice(&to_bytes(response.into_body(), 4096).await?)?;
    /// assert_eq!(status["sent"], 7);
    /// # Ok(())
    /// # }
    /// ```
    pub fn field<V: Into<Value>>(
        mut self,
        name: impl Into<String>,
        read: impl Fn() -> V + Send + Sync + 'static,
    ) -> Self {
        self.fields
            .insert(name.into(), Box::new(move || read().into()));
        self
    }

    /// Adds a route of your own behind what keeps other sites from using these, such as one that tries a job again.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use axum::{Router, body::Body, http::Request, routing::post};
    /// use nexios::Background;
    /// use nexios_axum::TaskRoutes;
    /// use tower::ServiceExt;
    ///
    /// let again = post(async || "tried again");
    /// let app: Router = TaskRoutes::new(Background::new()).route("/tasks/again", again).into_router();
    /// let call = |site| Request::post("/tasks/again").header("sec-fetch-site", site).body(Body::empty());
    /// assert_eq!(app.clone().oneshot(call("same-origin")?).await?.status(), 200);
    /// assert_eq!(app.oneshot(call("cross-site")?).await?.status(), 403);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// As [`Router::route`], in [`into_router`](Self::into_router).
    pub fn route(mut self, path: impl Into<String>, route: MethodRouter) -> Self {
        self.routes.push((path.into(), route));
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
    /// use nexios::Background;
    /// use nexios_axum::TaskRoutes;
    /// use tower::ServiceExt;
    ///
    /// let app: Router = TaskRoutes::new(Background::new()).streams(1).into_router();
    /// let follow = || Request::get("/tasks/events").body(Body::empty());
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

    /// Names a host under which clients on the same machine, such as a proxy, ask for the service. Default: none but
    /// addresses, names without a dot such as `localhost`, and names that end in `.localhost`.
    ///
    /// A port makes no difference, as in the header.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use std::net::SocketAddr;
    /// use axum::{Extension, Router, body::Body, extract::ConnectInfo, http::Request};
    /// use nexios::Background;
    /// use nexios_axum::TaskRoutes;
    /// use tower::ServiceExt;
    ///
    /// let proxy: SocketAddr = "127.0.0.1:4711".parse()?; // on the same machine
    /// let app: Router = TaskRoutes::new(Background::new()).host("console.example").into_router();
    /// let app = app.layer(Extension(ConnectInfo(proxy))); // as `NexiosApp` tells it
    /// let ask = |host| Request::get("/tasks/status").header("host", host).body(Body::empty());
    /// assert_eq!(app.clone().oneshot(ask("console.example")?).await?.status(), 200);
    /// assert_eq!(app.oneshot(ask("evil.example")?).await?.status(), 403);
    /// # Ok(())
    /// # }
    /// ```
    pub fn host(mut self, name: impl Into<String>) -> Self {
        self.trusted.host(&name.into());
        self
    }

    /// Lets the pages of another origin, such as `https://console.example`, cancel tasks. Default: none.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use axum::{Router, body::Body, http::Request};
    /// use nexios::Background;
    /// use nexios_axum::TaskRoutes;
    /// use tower::ServiceExt;
    ///
    /// let background = Background::new();
    /// let task = background.spawn("build the index", |_task| std::future::pending::<()>())?;
    /// let app: Router = TaskRoutes::new(background).trusted_origin("https://console.example").into_router();
    /// let cancel = Request::post(format!("/tasks/{}/cancel", task.id()))
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
    /// use nexios::Background;
    /// use nexios_axum::TaskRoutes;
    /// use tower::ServiceExt;
    ///
    /// let routes: Router = TaskRoutes::new(Background::new()).into_router();
    /// let app: Router = Router::new().nest("/admin", routes);
    /// let response = app.oneshot(Request::get("/admin/tasks/status").body(Body::empty())?).await?;
    /// assert_eq!(response.status(), 200);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// Panics if a path of [`route`](Self::route) is none, or is taken already.
    pub fn into_router<S: Clone + Send + Sync + 'static>(self) -> Router<S> {
        let TaskRoutes {
            background,
            fields,
            routes,
            streams,
            trusted,
        } = self;
        let feed = Arc::new(Feed::new(background.clone(), streams));
        let guard = Guard::new(trusted);
        // Own routes have their state already, as these have.
        let router: Router = Router::new()
            .route("/tasks/status", guard.around(get(status)))
            .route(
                "/tasks/events",
                guard.around(get(events::<Background>).with_state(feed)),
            )
            .route("/tasks/{id}", guard.around(get(task)))
            .route("/tasks/{id}/cancel", guard.around(post(cancel)))
            .with_state(Arc::new(Served { background, fields }));
        let own = |router: Router, (path, route): (String, MethodRouter)| {
            router.route(&path, guard.around(route))
        };
        routes.into_iter().fold(router, own).with_state(())
    }
}

impl fmt::Debug for TaskRoutes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskRoutes")
            .field("fields", &self.fields.keys())
            .field("streams", &self.streams)
            .field("hosts", &self.trusted.hosts)
            .finish_non_exhaustive()
    }
}

async fn status(State(routes): State<Arc<Served>>) -> Json<Status> {
    let fields = routes
        .fields
        .iter()
        .map(|(name, read)| (name.clone(), read()))
        .collect();
    Json(Status::new(routes.background.list(), fields))
}

/// By its name: the routes may be nested under a path that has parameters too.
#[derive(Deserialize)]
struct Named {
    id: u64,
}

async fn task(
    State(routes): State<Arc<Served>>,
    OrProblem(Path(Named { id })): OrProblem<Path<Named>>,
) -> Result<Json<TaskView>, Problem> {
    find(&routes.background, TaskId(id)).map(Json)
}

async fn cancel(
    State(routes): State<Arc<Served>>,
    OrProblem(Path(Named { id })): OrProblem<Path<Named>>,
) -> Result<(StatusCode, Json<TaskView>), Problem> {
    let id = TaskId(id);
    let cancelled = routes.background.cancel(id);
    let task = find(&routes.background, id)?;
    // One that was cancelled before and still cleans up is being cancelled, whoever asks.
    if !cancelled && task.has_ended {
        return Err(Problem::conflict("The task has already ended.").with("state", task.state));
    }
    acted("task cancelled", id, &task.name);
    Ok((StatusCode::ACCEPTED, Json(task)))
}

fn find(background: &Background, id: TaskId) -> Result<TaskView, Problem> {
    let task = background
        .get(id)
        .ok_or_else(|| Problem::not_found("There is no such task.").with("task", id.0))?;
    Ok(TaskView::from(task))
}

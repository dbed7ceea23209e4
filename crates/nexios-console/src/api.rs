//! The JSON of each page, for scripts: the same data as the page's, after the same rule of access.

mod answer;
mod schema;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use axum::{
    Router,
    extract::{FromRef, Query, State, rejection::QueryRejection},
    http::Uri,
    response::Response,
    routing::get,
};
use nexios_axum::Problem;

use self::answer::Answering;
use crate::{
    jobs_source::JobsSource,
    query::{CellQuery, JobsQuery, RunningQuery, part},
    store::Store,
};

/// Whose phase stands in the header: `phase()` of the service's life.
pub(crate) type Phase = Arc<dyn Fn() -> &'static str + Send + Sync>;

/// What the routes of the API need of a console.
#[derive(Clone)]
pub(crate) struct Api {
    pub(crate) store: Arc<Store>,
    pub(crate) jobs: Arc<JobsSource>,
    pub(crate) service: Arc<str>,
    pub(crate) phase: Phase,
}

impl FromRef<Api> for Arc<Store> {
    fn from_ref(api: &Api) -> Self {
        api.store.clone()
    }
}

/// `/status`, `/running` and so on, to nest at `/api/v1`. Finds the `Access` in the request's extensions, put there by the
/// rule of access around all routes; without one it is `Forbidden`.
pub(crate) fn router(api: Api) -> Router {
    Router::new()
        .route("/status", get(status))
        .route("/running", get(running))
        .route("/requests", get(requests))
        .route("/requests/{id}", get(request))
        .route("/requests/{id}/trace.json", get(trace))
        .route(
            "/pools",
            get(async |State(store): Data, to: Answering| to.show(store.pools())),
        )
        .route("/background", get(background))
        .route(
            "/lazies",
            get(async |State(store): Data, to: Answering| to.show(store.lazies())),
        )
        .route(
            "/races",
            get(async |State(store): Data, to: Answering| to.show(store.races())),
        )
        .route(
            "/lints",
            get(async |State(store): Data, to: Answering| to.show(store.lints())),
        )
        .route("/openapi.json", get(schema::answer))
        .with_state(api)
}

type Data = State<Arc<Store>>;

async fn status(State(api): State<Api>, to: Answering) -> Result<Response, Problem> {
    to.show(api.store.status(&api.service, (api.phase)()))
}

async fn running(
    query: Result<Query<RunningQuery>, QueryRejection>,
    State(store): Data,
    to: Answering,
) -> Result<Response, Problem> {
    let Query(query) = query.map_err(|error| Problem::bad_request(error.body_text()))?;
    if query.older_than().is_none() {
        return Err(Problem::bad_request(
            "`older` is a time span such as 500ms, 2s, 1.5m or 1h",
        ));
    }
    if query.page_number().is_none() {
        return Err(Problem::bad_request("`page` is a number from 1"));
    }
    to.show(store.running(&query))
}

async fn background(
    query: Result<Query<JobsQuery>, QueryRejection>,
    State(api): State<Api>,
    to: Answering,
) -> Result<Response, Problem> {
    let Query(query) = query.map_err(|error| Problem::bad_request(error.body_text()))?;
    if let Some(fault) = query.fault() {
        return Err(Problem::bad_request(fault));
    }
    api.jobs.look(&query).await;
    to.show(api.store.background(api.jobs.known(&query)))
}

async fn requests(
    query: Result<Query<CellQuery>, QueryRejection>,
    State(store): Data,
    to: Answering,
) -> Result<Response, Problem> {
    let Query(query) = query.map_err(|error| Problem::bad_request(error.body_text()))?;
    match query {
        CellQuery {
            route: Some(route),
            bucket: Some(bucket),
        } => to.show(store.samples(&route, bucket)),
        _ => to.show(store.requests()),
    }
}

async fn request(address: Uri, State(store): Data, to: Answering) -> Result<Response, Problem> {
    let request = part(&address, 1)
        .parse()
        .ok()
        .and_then(|id| store.request(id));
    to.show(request.ok_or_else(no_such_request)?)
}

async fn trace(address: Uri, State(store): Data, to: Answering) -> Result<Response, Problem> {
    let trace = part(&address, 1)
        .parse()
        .ok()
        .and_then(|id: u64| Some((id, store.trace(id)?)));
    let (id, trace) = trace.ok_or_else(no_such_request)?;
    to.download(&format!("request-{id}.json"), trace)
}

fn no_such_request() -> Problem {
    Problem::not_found("no request with this number runs or is kept")
}

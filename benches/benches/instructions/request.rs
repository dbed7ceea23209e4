//! A request through the router: three parts in a group, and the request layer.

use std::{convert::Infallible, time::Duration};

use axum::{
    Json, Router,
    body::Body,
    extract::Path,
    http::{Request, StatusCode},
    routing::{Route, get},
};
use http_body_util::BodyExt;
use nexios::{CancelToken, Interrupted, TaskGroup};
use nexios_axum::RequestLayer;
use tower::{ServiceExt, layer::layer_fn};

use crate::contest::Contest;

pub(crate) fn contests() -> Vec<Contest> {
    vec![dashboard(), layer(), empty()]
}

async fn part(value: u64) -> Result<u64, Interrupted> {
    tokio::task::yield_now().await;
    Ok(value)
}

type Answer = Result<Json<[u64; 3]>, StatusCode>;

async fn in_a_group(Path(id): Path<u64>) -> Answer {
    let group = TaskGroup::<Interrupted>::new();
    let page = group.run(async {
        let user = group.spawn(part(id));
        let posts = group.spawn(part(id));
        let stats = group.spawn(part(id));
        Ok([user.await?, posts.await?, stats.await?])
    });
    page.await.map(Json).map_err(|_| StatusCode::BAD_GATEWAY)
}

async fn by_hand(Path(id): Path<u64>) -> Answer {
    let (user, posts, stats) = tokio::join!(part(id), part(id), part(id));
    let page = || Ok::<_, Interrupted>([user?, posts?, stats?]);
    page().map(Json).map_err(|_| StatusCode::BAD_GATEWAY)
}

async fn ask(app: Router, path: &'static str) -> usize {
    let request = Request::get(path)
        .body(Body::empty())
        .expect("a path is a request");
    let response: Result<_, Infallible> = app.oneshot(request).await;
    let Ok(response) = response;
    response
        .into_body()
        .collect()
        .await
        .map_or(0, |body| body.to_bytes().len())
}

/// A request in memory, without the work of sockets, so the share of the group is larger than in a server.
fn dashboard() -> Contest {
    let ours = Router::new().route("/dashboard/{id}", get(in_a_group));
    let theirs = Router::new().route("/dashboard/{id}", get(by_hand));
    Contest::new("request/dashboard_in_memory", 1)
        .side("TaskGroup in the handler", move || {
            ask(ours.clone(), "/dashboard/7")
        })
        .side("tokio::join!", move || ask(theirs.clone(), "/dashboard/7"))
}

/// As a service has it: a deadline and a shutdown.
fn with_layer(app: Router) -> Router {
    app.layer(
        RequestLayer::new()
            .deadline(Duration::from_secs(30))
            .shutdown(CancelToken::new()),
    )
}

/// What axum itself needs for a layer: it boxes a route once more.
fn with_nothing(app: Router) -> Router {
    app.layer(layer_fn(|inner: Route| inner))
}

/// A handler that waits and has an answer to send.
fn layer() -> Contest {
    let bare = Router::new().route("/dashboard/{id}", get(by_hand));
    contest("request/layer", "/dashboard/7", bare)
}

/// A handler that neither waits nor has anything to say.
fn empty() -> Contest {
    contest(
        "request/layer_empty",
        "/empty",
        Router::new().route("/empty", get(async || ())),
    )
}

fn contest(name: &'static str, path: &'static str, bare: Router) -> Contest {
    let (ours, nothing) = (with_layer(bare.clone()), with_nothing(bare.clone()));
    Contest::new(name, 1)
        .side("RequestLayer", move || ask(ours.clone(), path))
        .side("a layer that does nothing", move || {
            ask(nothing.clone(), path)
        })
        .side("the bare router", move || ask(bare.clone(), path))
}

//! Files of a directory, served in seven ways, each on an address of its own.

use std::{path::Path, process::ExitCode};

use axum::{
    Router, extract::Request, handler::HandlerWithoutStateExt, http::StatusCode, routing::get,
};
use nexios::TaskGroup;
use nexios_axum::{NexiosApp, ShutdownReport, not_found, run};
use tower::ServiceExt;
use tower_http::{
    services::{ServeDir, ServeFile},
    set_status::SetStatus,
};

/// Under a path; what is missing is a problem.
pub(crate) fn under_a_path(assets: &Path) -> Router {
    let files = ServeDir::new(assets).not_found_service(not_found.into_service());
    Router::new()
        .nest_service("/assets", files)
        .fallback(not_found)
}

/// The page stands for all that is missing, so that its script can decide.
pub(crate) fn with_a_page_for_the_rest(assets: &Path) -> Router {
    let page = ServeFile::new(assets.join("index.html"));
    let page = SetStatus::new(page, StatusCode::NOT_FOUND);
    let files = ServeDir::new(assets).not_found_service(page.clone());
    Router::new()
        .route("/foo", get(async || "Hi from /foo"))
        .nest_service("/assets", files)
        .fallback_service(page)
}

/// From the root, beside routes.
pub(crate) fn from_the_root(assets: &Path) -> Router {
    let page = ServeFile::new(assets.join("index.html"));
    let files = ServeDir::new(assets).not_found_service(page);
    Router::new()
        .route("/foo", get(async || "Hi from /foo"))
        .fallback_service(files)
}

/// What is missing is a handler's.
pub(crate) fn with_a_handler_for_the_rest(assets: &Path) -> Router {
    let missing = async || (StatusCode::NOT_FOUND, "Not found");
    let files = ServeDir::new(assets).not_found_service(missing.into_service());
    Router::new()
        .route("/foo", get(async || "Hi from /foo"))
        .fallback_service(files)
}

/// Two directories under two paths.
pub(crate) fn two_directories(assets: &Path, dist: &Path) -> Router {
    Router::new()
        .nest_service("/assets", ServeDir::new(assets))
        .nest_service("/dist", ServeDir::new(dist))
        .fallback(not_found)
}

/// A handler that asks the directory itself.
pub(crate) fn from_a_handler(assets: &Path) -> Router {
    let files = ServeDir::new(assets);
    let ask = async move |request: Request| files.oneshot(request).await;
    Router::new().nest_service("/foo", get(ask))
}

/// One file at one path.
pub(crate) fn one_file(assets: &Path) -> Router {
    Router::new().route_service("/foo", ServeFile::new(assets.join("index.html")))
}

/// Serves until a signal comes, which all of them hear. What one of them could not start ends the others.
pub(crate) async fn serve(ways: [(u16, Router); 7]) -> anyhow::Result<ShutdownReport> {
    let group = TaskGroup::<anyhow::Error>::new();
    let served = group.run(async {
        let mut ends = Vec::new();
        for (port, way) in ways {
            let served = NexiosApp::new(way).serve(("127.0.0.1", port));
            ends.push(group.spawn(async { Ok(served.await?) }));
        }
        let mut reports = Vec::new();
        for end in ends {
            reports.push(end.await?);
        }
        Ok(reports)
    });
    let reports = served.await?;
    let worst = reports.into_iter().min_by_key(ShutdownReport::is_clean);
    worst.ok_or_else(|| anyhow::anyhow!("nothing was served"))
}

pub(crate) fn main() -> ExitCode {
    let (assets, dist) = (Path::new("assets"), Path::new("dist"));
    run(serve([
        (3001, under_a_path(assets)),
        (3002, with_a_page_for_the_rest(assets)),
        (3003, from_the_root(assets)),
        (3004, with_a_handler_for_the_rest(assets)),
        (3005, two_directories(assets, dist)),
        (3006, from_a_handler(assets)),
        (3007, one_file(assets)),
    ]))
}

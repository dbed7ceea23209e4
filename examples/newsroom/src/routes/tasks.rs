//! `GET /tasks/status`, `GET /tasks/events`, `GET /tasks/{id}` and `POST /tasks/{id}/cancel`: the tasks of this process, and
//! newsletters, which are jobs and outlive it; `POST /tasks/{id}/retry` for those.

mod jobs;
mod view;

use axum::{Router, middleware::from_fn_with_state, routing::post};
use nexios::Background;
use nexios_axum::TaskRoutes;

use crate::Newsroom;

pub(crate) fn tasks(newsroom: &Newsroom) -> Router<Newsroom> {
    let Newsroom {
        protected,
        darkroom,
        analytics,
        articles,
        newsletters,
        hosts,
        ..
    } = newsroom.clone();
    let routes = TaskRoutes::new(Background::global().clone());
    let routes = hosts.iter().fold(routes, TaskRoutes::host);
    let retry = post(jobs::retry).with_state(newsletters.clone());
    routes
        .route("/tasks/{id}/retry", retry)
        .field("protected_operation", move || protected.snapshot())
        .field("thumbnails", move || darkroom.snapshot())
        .field("analytics", move || analytics.snapshot())
        .field("search", move || articles.snapshot())
        .into_router()
        .route_layer(from_fn_with_state(
            jobs::Watcher::new(newsletters),
            jobs::beside,
        ))
        .with_state(())
}

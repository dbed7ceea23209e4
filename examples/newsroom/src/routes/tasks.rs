//! `GET /tasks/status`, `GET /tasks/events`, `GET /tasks/{id}` and `POST /tasks/{id}/cancel`.

use axum::Router;
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
    routes
        .field("protected_operation", move || protected.snapshot())
        .field("thumbnails", move || darkroom.snapshot())
        .field("analytics", move || analytics.snapshot())
        .field("search", move || articles.snapshot())
        .field("newsletters", move || newsletters.snapshot())
        .into_router()
        .with_state(())
}

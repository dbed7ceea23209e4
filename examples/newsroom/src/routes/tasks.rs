//! `GET /tasks/status`, `GET /tasks/{id}` and `POST /tasks/{id}/cancel`.

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
        ..
    } = newsroom.clone();
    TaskRoutes::new(Background::global().clone())
        .field("protected_operation", move || protected.snapshot())
        .field("thumbnails", move || darkroom.snapshot())
        .field("analytics", move || analytics.snapshot())
        .field("search", move || articles.snapshot())
        .field("newsletters", move || newsletters.snapshot())
        .into_router()
        .with_state(())
}

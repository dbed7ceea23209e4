//! `GET /tasks/status`, `GET /tasks/{id}` and `POST /tasks/{id}/cancel`.

use axum::Router;
use nexios::Background;
use nexios_axum::TaskRoutes;

use crate::Newsroom;

pub(crate) fn tasks(newsroom: &Newsroom) -> Router<Newsroom> {
    let protected = newsroom.protected.clone();
    let routes = TaskRoutes::new(Background::global().clone());
    let articles = newsroom.articles.clone();
    let routes = routes
        .field("protected_operation", move || protected.snapshot())
        .field("search", move || articles.snapshot());
    routes.into_router().with_state(())
}

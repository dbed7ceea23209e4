//! `GET /tasks/status`, `GET /tasks/{id}` and `POST /tasks/{id}/cancel`.

use axum::Router;
use nexios::Background;
use nexios_axum::TaskRoutes;

use crate::Newsroom;

pub(crate) fn tasks(newsroom: &Newsroom) -> Router<Newsroom> {
    let (protected, analytics) = (newsroom.protected.clone(), newsroom.analytics.clone());
    let routes = TaskRoutes::new(Background::global().clone());
    routes
        .field("protected_operation", move || protected.snapshot())
        .field("analytics", move || analytics.snapshot())
        .into_router()
        .with_state(())
}

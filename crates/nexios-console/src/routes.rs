//! Where everything is.

use std::sync::Arc;

use axum::{
    Extension, Router,
    http::StatusCode,
    middleware::{from_fn_with_state, map_response},
    response::Response,
    routing::get,
};
use tower_http::csrf::CsrfLayer;

use crate::{
    Console, actions,
    api::{self, Api},
    assets, events, guard, headers, pages,
    refusal::Form,
};

pub(crate) fn router(console: &Console) -> Router {
    let life = console.0.life.clone();
    let api = api::router(Api {
        store: console.0.store.clone(),
        service: console.0.service.clone(),
        phase: Arc::new(move || life.phase_name()),
    });
    let router = Router::new()
        .merge(pages::router())
        .merge(actions::router())
        .route("/assets/{name}", get(assets::answer))
        .route("/events", get(events::answer));
    #[cfg(feature = "prometheus")]
    let router = router.route("/metrics", get(metrics));
    router
        .with_state(console.clone())
        .nest("/api/v1", api)
        .fallback(unknown)
        .method_not_allowed_fallback(other_method)
        // From the inside out: where the request comes from, who sent it, and what the browser has to know of the answer.
        .layer(CsrfLayer::new())
        .layer(from_fn_with_state(console.clone(), guard::check))
        .layer(map_response(headers::guarded))
}

async fn unknown(Extension(form): Extension<Form>) -> Response {
    form.refuse(StatusCode::NOT_FOUND, "There is no such page.")
}

async fn other_method(Extension(form): Extension<Form>) -> Response {
    form.refuse(
        StatusCode::METHOD_NOT_ALLOWED,
        "This address answers to another method.",
    )
}

#[cfg(feature = "prometheus")]
async fn metrics(
    axum::extract::State(console): axum::extract::State<Console>,
    headers: axum::http::HeaderMap,
) -> Response {
    console.0.metrics.answer(&headers, console.0.life.phase())
}

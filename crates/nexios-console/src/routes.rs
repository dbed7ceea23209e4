//! Where everything is.

use std::sync::Arc;

#[cfg(feature = "prometheus")]
use axum::http::HeaderMap;
use axum::{
    Extension, Router,
    http::StatusCode,
    middleware::{from_fn_with_state, map_response},
    response::Response,
    routing::get,
};
use tower_http::csrf::CsrfLayer;

use crate::{
    actions::{self, Actor},
    api::{self, Api},
    assets,
    console::Console,
    events::{self, Following},
    guard::{self, Gate},
    headers, pages,
    refusal::Form,
};
#[cfg(feature = "prometheus")]
use crate::{life::Known, metrics::Metrics};

impl Console {
    /// The routes of the page, to nest anywhere: links hold under every prefix, also behind a proxy that takes a part of
    /// the address away.
    ///
    /// With `nest_service("/nexios", ..)` it answers at `/nexios`, and `/nexios/` redirects there (307). With `nest` it answers at the former alone:
    /// axum hands `/nexios/` on to nobody then.
    ///
    /// Its own requests are not among those that it shows.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use axum::{Router, body::Body, http::Request};
    /// use nexios_console::Console;
    /// use tower::ServiceExt;
    ///
    /// let console = Console::builder().dangerously_public().build();
    /// let admin: Router = Router::new().nest_service("/nexios", console.router());
    /// let app: Router = Router::new().nest("/admin", admin);
    /// let ask = |path| Request::get(path).body(Body::empty());
    /// assert_eq!(app.clone().oneshot(ask("/admin/nexios")?).await?.status(), 200);
    /// assert_eq!(app.oneshot(ask("/admin/nexios/pools")?).await?.status(), 200);
    /// # Ok(())
    /// # }
    /// ```
    pub fn router(&self) -> Router {
        let console = &self.0;
        let life = console.life.clone();
        let api = api::router(Api {
            store: console.store.clone(),
            jobs: console.source.jobs.clone(),
            service: console.service.clone(),
            phase: Arc::new(move || life.phase_name()),
        });
        let actions = actions::router(Actor {
            store: console.store.clone(),
            jobs: console.source.jobs.clone(),
            way: console.way.clone(),
        });
        let events = events::router(Following {
            feed: console.feed.clone(),
            life: console.life.clone(),
            way: console.way.clone(),
        });
        let router = Router::new()
            .merge(pages::router(console.source.clone()))
            .merge(actions)
            .merge(events)
            .route("/assets/{name}", get(assets::answer));
        #[cfg(feature = "prometheus")]
        let router = router.merge(metrics(console.metrics.clone(), console.life.clone()));
        let gate = Gate {
            way: console.way.clone(),
            actions: console.actions,
            store: console.store.clone(),
            life: console.life.clone(),
            #[cfg(feature = "prometheus")]
            metrics: console.metrics.clone(),
            _observing: console.observing.clone(),
        };
        router
            .nest("/api/v1", api)
            .fallback(unknown)
            .method_not_allowed_fallback(other_method)
            // From the inside out: where the request comes from, who sent it, and what the browser has to know of the answer.
            .layer(CsrfLayer::new())
            .layer(from_fn_with_state(gate, guard::check))
            .layer(map_response(headers::guarded))
    }
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
fn metrics(metrics: Metrics, life: Arc<Known>) -> Router {
    let answer = async move |headers: HeaderMap| metrics.answer(&headers, life.phase());
    Router::new().route("/metrics", get(answer))
}

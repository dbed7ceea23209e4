//! What stands before every route.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    http::{Method, StatusCode},
    middleware::Next,
    response::Response,
};
use nexios::observe::{self, Observing};
use tower_http::csrf::ProtectionError;

#[cfg(feature = "prometheus")]
use crate::metrics::Metrics;
use crate::{
    access::{Access, MayAct, Site, Verdict, Way, site},
    actions::Attempt,
    life::Known,
    refusal::Form,
    store::Store,
};

/// What it has to know.
#[derive(Clone)]
pub(crate) struct Gate {
    pub(crate) way: Arc<Way>,
    /// Whether anybody may act.
    pub(crate) actions: bool,
    pub(crate) store: Arc<Store>,
    pub(crate) life: Arc<Known>,
    #[cfg(feature = "prometheus")]
    pub(crate) metrics: Metrics,
    /// As long as there is somebody to ask, there is something to see.
    pub(crate) _observing: Arc<Observing>,
}

/// Lets in whom the way of access lets in, and tells the routes what they may: they find the [`Access`] and [`MayAct`] in the request.
pub(crate) async fn check(State(gate): State<Gate>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    if let Some(own) = observe::current() {
        gate.store.disregard(own);
        #[cfg(feature = "prometheus")]
        gate.metrics.disregard(own);
    }
    gate.life.see(&parts.extensions);
    let form = Form::of(&parts);
    let access = match gate.way.judge(&parts) {
        Verdict::Granted(access) => access,
        Verdict::Unauthorized(challenge) => return form.unauthorized(challenge),
        Verdict::Forbidden(why) => return form.refuse(StatusCode::FORBIDDEN, why),
    };
    let attempt = Attempt::of(&gate.way, &parts);
    let refuse = |why: &str| {
        if let Some(attempt) = &attempt {
            attempt.forbidden();
        }
        form.refuse(StatusCode::FORBIDDEN, why)
    };
    let is_safe = matches!(parts.method, Method::GET | Method::HEAD | Method::OPTIONS);
    if !is_safe && site(gate.way.trusts_the_browser(&parts), &parts.headers) == Site::Unknown {
        return refuse(
            "A request that changes something has to say where it comes from, by the header Origin or Sec-Fetch-Site.",
        );
    }
    parts.extensions.insert::<Access>(access);
    parts
        .extensions
        .insert(MayAct(gate.actions && access >= Access::Act));
    parts.extensions.insert(form.clone());
    let response = next.run(Request::from_parts(parts, body)).await;
    match response.extensions().get::<ProtectionError>() {
        Some(_) => refuse("Another site may not do this through a browser."),
        None => response,
    }
}

//! What stands before every route.

use axum::{
    extract::{Request, State},
    http::{Method, StatusCode},
    middleware::Next,
    response::Response,
};
use nexios::observe;
use tower_http::csrf::ProtectionError;

use crate::{
    Access, Console,
    access::{Site, Verdict, site},
    refusal::Form,
};

/// Lets in whom the way of access lets in, and tells the routes what they may: they find the [`Access`] in the request.
pub(crate) async fn check(
    State(console): State<Console>,
    request: Request,
    next: Next,
) -> Response {
    let (mut parts, body) = request.into_parts();
    let inner = &console.0;
    if let Some(own) = observe::current() {
        inner.store.disregard(own);
    }
    inner.life.see(&parts.extensions);
    let form = Form::of(&parts);
    let access = match inner.way.judge(&parts) {
        Verdict::Granted(access) => access,
        Verdict::Unauthorized(challenge) => return form.unauthorized(challenge),
        Verdict::Forbidden(why) => return form.refuse(StatusCode::FORBIDDEN, why),
    };
    let is_safe = matches!(parts.method, Method::GET | Method::HEAD | Method::OPTIONS);
    if !is_safe && site(inner.way.trusts_the_browser(&parts), &parts.headers) == Site::Unknown {
        return form.refuse(
            StatusCode::FORBIDDEN,
            "A request that changes something has to say where it comes from.",
        );
    }
    parts.extensions.insert::<Access>(access);
    parts.extensions.insert(form.clone());
    let response = next.run(Request::from_parts(parts, body)).await;
    match response.extensions().get::<ProtectionError>() {
        Some(_) => form.refuse(
            StatusCode::FORBIDDEN,
            "Another site may not do this through a browser.",
        ),
        None => response,
    }
}

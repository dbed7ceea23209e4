//! What somebody may do to what is shown: cancel, retry, reset, refresh.

use std::sync::Arc;

use axum::{
    Router,
    extract::State,
    http::{HeaderValue, StatusCode, Uri, header, request::Parts},
    response::{IntoResponse, Response},
    routing::post,
};
use nexios::observe::{self, WorkId};

use crate::{
    access::{MayAct, Way},
    mount::Mount,
    query::part,
    refusal::{Form, asks_for_json},
    store::Store,
};

/// What an action needs.
#[derive(Clone)]
pub(crate) struct Actor {
    pub(crate) store: Arc<Store>,
    /// Says who acts.
    pub(crate) way: Arc<Way>,
}

pub(crate) fn router(actor: Actor) -> Router {
    Router::new()
        .route("/actions/{action}/{id}", post(act))
        .with_state(actor)
}

/// What came of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Done {
    Yes,
    /// Actions are not allowed, or not to this one.
    Forbidden,
    /// There is no such thing.
    Unknown,
    /// It is there, and there is nothing to do any more.
    Ended,
}

impl Done {
    fn as_str(self) -> &'static str {
        match self {
            Self::Yes => "done",
            Self::Forbidden => "forbidden",
            Self::Unknown => "unknown",
            Self::Ended => "ended",
        }
    }
}

async fn act(State(actor): State<Actor>, parts: Parts) -> Response {
    let (action, id) = (part(&parts.uri, 1), part(&parts.uri, 2));
    let form = Form::of(&parts);
    let done = match (MayAct::of(&parts.extensions), id.parse()) {
        (false, _) => Done::Forbidden,
        (true, Ok(id)) => perform(&actor, action, WorkId(id)),
        (true, Err(_)) => Done::Unknown,
    };
    let who = actor.way.who(&parts);
    tracing::info!(target: "nexios::audit", %who, %action, target = %id, result = done.as_str(), "console action");
    match done {
        Done::Yes if asks_for_json(&parts) => StatusCode::NO_CONTENT.into_response(),
        Done::Yes => (StatusCode::SEE_OTHER, [(header::LOCATION, origin(&parts))]).into_response(),
        Done::Forbidden => form.refuse(StatusCode::FORBIDDEN, "You may look, and not act."),
        Done::Unknown => form.refuse(StatusCode::NOT_FOUND, "There is no such thing."),
        Done::Ended => form.refuse(
            StatusCode::CONFLICT,
            "It has ended already, or cannot be acted on any more.",
        ),
    }
}

fn perform(actor: &Actor, action: &str, id: WorkId) -> Done {
    let is_done = match action {
        "cancel" => observe::cancel(id),
        "reset" => observe::reset(id),
        "refresh" => observe::refresh(id),
        _ => false,
    };
    match is_done {
        true => Done::Yes,
        false if action == "cancel" && is_task(actor, id) => Done::Ended,
        false => Done::Unknown,
    }
}

/// Whether it is a background task that is known, live or not.
fn is_task(actor: &Actor, id: WorkId) -> bool {
    actor
        .store
        .background()
        .content
        .tasks
        .iter()
        .any(|task| task.work.id == id.0)
}

/// The page that the form was on, or the first one. An address that the browser tells is taken only if it is one of ours:
/// else whoever can set it could lead a visitor away.
fn origin(parts: &Parts) -> HeaderValue {
    let page = || {
        let page: Uri = parts
            .headers
            .get(header::REFERER)?
            .to_str()
            .ok()?
            .parse()
            .ok()?;
        let host = parts
            .headers
            .get(header::HOST)
            .and_then(|host| host.to_str().ok());
        let host = parts
            .uri
            .authority()
            .map(|authority| authority.as_str())
            .or(host)?;
        let path = page.path_and_query()?.as_str();
        // Two slashes would begin the name of another host.
        let is_ours =
            page.authority()?.as_str() == host && path.starts_with('/') && !path.starts_with("//");
        is_ours.then(|| HeaderValue::from_str(path).ok())?
    };
    let home = || HeaderValue::from_str(&Mount::of(parts).place(parts.uri.path()).home).ok();
    page()
        .or_else(home)
        .unwrap_or(HeaderValue::from_static("./"))
}

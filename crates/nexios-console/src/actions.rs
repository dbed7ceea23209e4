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
use tracing::Instrument;

use crate::{
    access::{MayAct, Way},
    jobs_source::JobsSource,
    model::{JobAnswer, JobList},
    mount::Mount,
    query::part,
    refusal::{Form, asks_for_json},
    store::Store,
};

/// What an action needs.
#[derive(Clone)]
pub(crate) struct Actor {
    pub(crate) store: Arc<Store>,
    pub(crate) jobs: Arc<JobsSource>,
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
    /// Who would have to do it does not answer.
    Away,
}

impl Done {
    fn as_str(self) -> &'static str {
        match self {
            Self::Yes => "done",
            Self::Forbidden => "forbidden",
            Self::Unknown => "unknown",
            Self::Ended => "ended",
            Self::Away => "away",
        }
    }
}

/// What somebody who was let in wants to do, for the audit log.
#[derive(Debug)]
pub(crate) struct Attempt {
    who: String,
    action: String,
    target: String,
}

impl Attempt {
    /// None if it is something else that is asked for.
    pub(crate) fn of(way: &Way, parts: &Parts) -> Option<Self> {
        (part(&parts.uri, 0) == "actions").then(|| Self {
            who: way.who(parts),
            action: part(&parts.uri, 1).to_owned(),
            target: part(&parts.uri, 2).to_owned(),
        })
    }

    pub(crate) fn forbidden(&self) {
        self.log(Done::Forbidden);
    }

    fn log(&self, done: Done) {
        let Self {
            who,
            action,
            target,
        } = self;
        tracing::info!(target: "nexios::audit", %who, %action, target = %target, result = done.as_str(), "console action");
    }
}

async fn act(State(actor): State<Actor>, parts: Parts) -> Response {
    let form = Form::of(&parts);
    let attempt = Attempt::of(&actor.way, &parts);
    let performing = perform(actor, MayAct::of(&parts.extensions), attempt);
    // In a task of its own: also what a client has not waited for was done, and stands in the log.
    let performing = tokio::spawn(performing.in_current_span());
    // It ends early with its runtime alone.
    match performing.await.unwrap_or(Done::Away) {
        Done::Yes if asks_for_json(&parts) => StatusCode::NO_CONTENT.into_response(),
        Done::Yes => (StatusCode::SEE_OTHER, [(header::LOCATION, origin(&parts))]).into_response(),
        Done::Forbidden => form.refuse(StatusCode::FORBIDDEN, "You may look, and not act."),
        Done::Unknown => form.refuse(StatusCode::NOT_FOUND, "There is no such thing."),
        Done::Ended => form.refuse(
            StatusCode::CONFLICT,
            "It has ended already, or cannot be acted on any more.",
        ),
        Done::Away => {
            let detail = "The store of jobs does not answer. It may have been done, or not.";
            let mut response = form.refuse(StatusCode::SERVICE_UNAVAILABLE, detail);
            let later = HeaderValue::from_static("5");
            response.headers_mut().insert(header::RETRY_AFTER, later);
            response
        }
    }
}

/// Does it, and logs what came of it.
async fn perform(actor: Actor, may_act: bool, attempt: Option<Attempt>) -> Done {
    let Some(attempt) = attempt else {
        return Done::Unknown;
    };
    let (action, target) = (&*attempt.action, &*attempt.target);
    let done = match (may_act, action) {
        (false, _) => Done::Forbidden,
        (true, "retry") => actor.jobs.retry(target).await.into(),
        (true, "cancel-job") => actor.jobs.cancel(target).await.into(),
        (true, _) => target.parse().map_or(Done::Unknown, |id| {
            tell_work(&actor.store, action, WorkId(id))
        }),
    };
    attempt.log(done);
    done
}

impl From<JobAnswer> for Done {
    fn from(answer: JobAnswer) -> Self {
        match answer {
            JobAnswer::Done => Self::Yes,
            JobAnswer::Unknown => Self::Unknown,
            JobAnswer::Ended => Self::Ended,
            JobAnswer::Away => Self::Away,
        }
    }
}

fn tell_work(store: &Store, action: &str, id: WorkId) -> Done {
    let is_done = match action {
        "cancel" => observe::cancel(id),
        "reset" => observe::reset(id),
        "refresh" => observe::refresh(id),
        _ => false,
    };
    match is_done {
        true => Done::Yes,
        false if action == "cancel" && is_task(store, id) => Done::Ended,
        // A map of lazy values, of which no single one can be refreshed.
        false if action == "refresh" && is_lazy(id) => Done::Ended,
        false => Done::Unknown,
    }
}

/// Whether it is a background task that is known, live or not.
fn is_task(store: &Store, id: WorkId) -> bool {
    store
        .background(JobList::default())
        .content
        .tasks
        .iter()
        .any(|task| task.work.id == id.0)
}

fn is_lazy(id: WorkId) -> bool {
    let lazies = observe::snapshot().lazies;
    lazies.iter().any(|lazy| lazy.id == id)
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
        // Two slashes would begin the name of another host, and browsers read a backslash as one.
        let is_path = path.starts_with('/') && !path[1..].starts_with(['/', '\\']);
        let is_ours = page.authority()?.as_str() == host && is_path;
        is_ours.then(|| HeaderValue::from_str(path).ok())?
    };
    let home = || HeaderValue::from_str(&Mount::of(parts).place(parts.uri.path()).home).ok();
    page()
        .or_else(home)
        .unwrap_or(HeaderValue::from_static("./"))
}

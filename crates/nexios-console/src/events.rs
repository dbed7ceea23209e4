//! What changes on the pages, as server-sent events.
//!
//! Invariants:
//! - Nothing is rendered while nobody is connected: there is a ticker while there is a client, and it ends, under the lock, when
//!   it finds none.
//! - Nothing is rendered, and nobody is woken, under the lock.
//! - What a client has not fetched is kept for all of them together, in a ring. Who falls out of it, or does not fetch, is
//!   dropped: nobody waits for a client.
//! - Nobody makes us look more than four times a second at a page, however often they come.
//! - An event tells how a part of a page looks now, not what changed. So a page that was fetched after it was told, or is told
//!   twice, is right.

mod change;
mod feed;
mod ring;
mod stream;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use axum::{
    Extension, Router,
    extract::{Query, Request, State, rejection::QueryRejection},
    http::{
        HeaderMap, HeaderValue, StatusCode,
        header::{CACHE_CONTROL, RETRY_AFTER},
    },
    response::{
        IntoResponse, Response,
        sse::{KeepAlive, Sse},
    },
    routing::get,
};
use serde::Deserialize;

pub(crate) use feed::Feed;
use feed::Onlooker;

use crate::{
    access::{Access, MayAct, Way},
    life::{Known, Life},
    model::Bucket,
    mount::Mount,
    pages::View,
    query::{JobsQuery, RunningQuery},
    refusal::Form,
};

/// Topics of one client.
const MOST_TOPICS: usize = 12;
/// How long a connection may be silent.
const ALIVE: Duration = Duration::from_secs(15);

/// Which pages, as they are asked for.
#[derive(Deserialize)]
pub(crate) struct EventsQuery {
    /// `head,running`
    topics: String,
    route: Option<String>,
    bucket: Option<Bucket>,
    /// The last event that was heard, where a script cannot send `Last-Event-ID`.
    last: Option<String>,
}

/// What the events need of a console.
#[derive(Clone)]
pub(crate) struct Following {
    pub(crate) feed: Arc<Feed>,
    pub(crate) life: Arc<Known>,
    /// Says again what a stream may.
    pub(crate) way: Arc<Way>,
}

pub(crate) fn router(following: Following) -> Router {
    Router::new()
        .route("/events", get(answer))
        .with_state(following)
}

async fn answer(
    State(following): State<Following>,
    query: Result<Query<EventsQuery>, QueryRejection>,
    filters: (
        Result<Query<RunningQuery>, QueryRejection>,
        Result<Query<JobsQuery>, QueryRejection>,
    ),
    Extension(access): Extension<Access>,
    Extension(form): Extension<Form>,
    mount: Mount,
    request: Request,
) -> Response {
    let unknown = || form.refuse(StatusCode::BAD_REQUEST, "There are no such topics.");
    let (Ok(Query(query)), (Ok(Query(running)), Ok(Query(jobs)))) = (query, filters) else {
        return unknown();
    };
    let Some(views) = views(&query, &running, &jobs) else {
        return unknown();
    };
    let acts = MayAct::of(request.extensions());
    let looks = views.into_iter().map(|view| Onlooker {
        place: mount.place(&view.path()),
        view,
        access,
        acts,
    });
    let last = last_heard(request.headers(), query.last.as_deref());
    let life = Life::of(request.extensions());
    let (way, parts) = (following.way.clone(), request.into_parts().0);
    let judge = Box::new(move || way.access(&parts));
    match Feed::subscribe(&following.feed, looks.collect(), last) {
        Some(subscription) => {
            let events = stream::events(subscription, following.life.clone(), life, judge, access);
            let mut response = Sse::new(events)
                .keep_alive(KeepAlive::new().interval(ALIVE))
                .into_response();
            let headers = response.headers_mut();
            headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
            // A proxy that collects an answer before it hands it on would tell everything late.
            headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
            response
        }
        None => {
            let detail = "As many clients follow the events as may at a time.";
            let mut response = form.refuse(StatusCode::SERVICE_UNAVAILABLE, detail);
            response
                .headers_mut()
                .insert(RETRY_AFTER, HeaderValue::from_static("5"));
            response
        }
    }
}

/// What a client has heard last; `Some(0)` for what cannot be read, which is no event of ours.
fn last_heard(headers: &HeaderMap, query: Option<&str>) -> Option<u64> {
    let header = headers
        .get("last-event-id")
        .map(|id| id.to_str().unwrap_or("0"));
    let last = header.or(query).filter(|last| !last.is_empty())?;
    Some(last.trim().parse().unwrap_or(0))
}

/// None if one is unknown, or if there are more than any page has.
fn views(query: &EventsQuery, running: &RunningQuery, jobs: &JobsQuery) -> Option<Vec<View>> {
    let topics: BTreeSet<&str> = query.topics.split(',').map(str::trim).collect();
    if topics.len() > MOST_TOPICS {
        return None;
    }
    let topics = topics.into_iter().map(|topic| {
        Some(match topic {
            "head" => View::Head,
            "running" => View::Running(running.clone()),
            "requests" => match (&query.route, query.bucket) {
                (Some(route), Some(bucket)) => View::Cell(route.clone(), bucket),
                _ => View::Requests,
            },
            "pools" => View::Pools,
            "background" if jobs.fault().is_some() => return None,
            "background" => View::Background(jobs.clone()),
            "lazies" => View::Lazies,
            "races" => View::Races,
            "lints" => View::Lints,
            topic => View::Request(topic.strip_prefix("requests/")?.parse().ok()?),
        })
    });
    topics.collect()
}

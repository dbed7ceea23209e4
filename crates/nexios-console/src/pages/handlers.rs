//! Which page, and for whom.

use std::convert::Infallible;

use axum::{
    Router,
    extract::{FromRequestParts, Query, rejection::QueryRejection},
    http::{StatusCode, Uri, header, request::Parts},
    response::{Html, IntoResponse, Response},
    routing::get,
};

use super::{Source, View, Viewer};
use crate::{
    access::{Access, MayAct},
    mount::Mount,
    query::{CellQuery, JobsQuery, RunningQuery, part},
    refusal::Form,
};

pub(crate) fn router(source: Source) -> Router {
    Router::new()
        .route("/", get(index))
        .route("/requests", get(requests))
        .route("/requests/{id}", get(request))
        .route("/pools", get(async |page: PageOf| page.show(&View::Pools)))
        .route("/background", get(background))
        .route(
            "/lazies",
            get(async |page: PageOf| page.show(&View::Lazies)),
        )
        .route("/races", get(async |page: PageOf| page.show(&View::Races)))
        .route("/lints", get(async |page: PageOf| page.show(&View::Lints)))
        .with_state(source)
}

/// What every page needs.
struct PageOf {
    source: Source,
    access: Access,
    acts: bool,
    mount: Mount,
    form: Form,
}

impl FromRequestParts<Source> for PageOf {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, source: &Source) -> Result<Self, Infallible> {
        // Put there by who has let it in.
        let access = parts.extensions.get().copied().unwrap_or(Access::Forbidden);
        Ok(Self {
            source: source.clone(),
            access,
            acts: MayAct::of(&parts.extensions),
            mount: Mount::of(parts),
            form: Form::of(parts),
        })
    }
}

impl PageOf {
    fn show(&self, view: &View) -> Response {
        let place = self.mount.place(&view.path());
        let viewer = Viewer {
            place: &place,
            access: self.access,
            acts: self.acts,
            scripted: false,
        };
        match self.source.page(view, viewer) {
            Some(page) => Html(page.into_string()).into_response(),
            None => self.refuse(StatusCode::NOT_FOUND, "There is no such request any more."),
        }
    }

    fn refuse(&self, status: StatusCode, detail: &str) -> Response {
        self.form.refuse(status, detail)
    }
}

/// Links lead on from the address that has no slash at its end, so there is one such address.
async fn index(
    query: Result<Query<RunningQuery>, QueryRejection>,
    page: PageOf,
    parts: Parts,
) -> Response {
    if let Some(address) = page.mount.without_slash(&parts) {
        return (
            StatusCode::TEMPORARY_REDIRECT,
            [(header::LOCATION, address)],
        )
            .into_response();
    }
    match query {
        Ok(Query(query)) => page.show(&View::Running(query)),
        Err(_) => page.refuse(StatusCode::BAD_REQUEST, "This filter is not one of ours."),
    }
}

async fn requests(query: Result<Query<CellQuery>, QueryRejection>, page: PageOf) -> Response {
    match query {
        Ok(Query(CellQuery {
            route: Some(route),
            bucket: Some(bucket),
        })) => page.show(&View::Cell(route, bucket)),
        Ok(_) => page.show(&View::Requests),
        Err(_) => page.refuse(StatusCode::BAD_REQUEST, "There is no such column."),
    }
}

async fn background(query: Result<Query<JobsQuery>, QueryRejection>, page: PageOf) -> Response {
    let query = query.ok().filter(|Query(query)| query.fault().is_none());
    let Some(Query(query)) = query else {
        return page.refuse(StatusCode::BAD_REQUEST, "This filter is not one of ours.");
    };
    let view = View::Background(query);
    page.source.look(&view).await;
    page.show(&view)
}

async fn request(address: Uri, page: PageOf) -> Response {
    match part(&address, 1).parse() {
        Ok(id) => page.show(&View::Request(id)),
        Err(_) => page.refuse(
            StatusCode::NOT_FOUND,
            "The number of a request is a number.",
        ),
    }
}

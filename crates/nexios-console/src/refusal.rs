//! Answers that say no, as a page or as a problem.

use axum::{
    http::{
        HeaderValue, StatusCode,
        header::{ACCEPT, WWW_AUTHENTICATE},
        request::Parts,
    },
    response::{Html, IntoResponse, Response},
};
use maud::{DOCTYPE, html};
use nexios_axum::Problem;

use crate::{
    assets,
    mount::{Mount, Place},
};

/// In which form a request wants its refusal, and where the console is from there.
#[derive(Debug, Clone)]
pub(crate) struct Form {
    is_problem: bool,
    place: Place,
}

impl Form {
    pub(crate) fn of(parts: &Parts) -> Self {
        let path = parts.uri.path();
        let is_problem =
            path.starts_with("/api/") || (path.starts_with("/actions/") && asks_for_json(parts));
        Self {
            is_problem,
            place: Mount::of(parts).place(path),
        }
    }

    pub(crate) fn refuse(&self, status: StatusCode, detail: &str) -> Response {
        if self.is_problem {
            return Problem::new(status)
                .detail(detail.to_owned())
                .into_response();
        }
        let title = status.canonical_reason().unwrap_or("Refused");
        let page = html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    title { (title) }
                    link rel="stylesheet" href={ (self.place.base) (assets::STYLE.address()) };
                    script src={ (self.place.base) (assets::SCRIPT.address()) } {}
                }
                body {
                    main.refusal {
                        h1 { (title) }
                        p { (detail) }
                        p { a href=(self.place.home) { "To the live work" } }
                    }
                }
            }
        };
        (status, Html(page.into_string())).into_response()
    }

    pub(crate) fn unauthorized(&self, challenge: &'static str) -> Response {
        let mut response = self.refuse(StatusCode::UNAUTHORIZED, "The console asks who you are.");
        response
            .headers_mut()
            .insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        response
    }
}

/// Whether a program asks, and not a form.
pub(crate) fn asks_for_json(parts: &Parts) -> bool {
    let accepted = parts
        .headers
        .get_all(ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok());
    let mut kinds = accepted
        .flat_map(|value| value.split(','))
        .map(|kind| kind.split(';').next().unwrap_or(kind).trim());
    kinds.any(|kind| {
        kind.eq_ignore_ascii_case("application/json")
            || kind.eq_ignore_ascii_case("application/problem+json")
    })
}

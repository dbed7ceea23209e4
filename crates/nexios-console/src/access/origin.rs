//! Whether a browser vouches for where a request comes from.

use axum::http::{
    HeaderMap,
    header::{AUTHORIZATION, COOKIE, ORIGIN},
};

use super::authorization::credential;

/// What is known about the page that sent a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Site {
    /// Nothing is needed, or it is known and was judged by [`CsrfLayer`](tower_http::csrf::CsrfLayer).
    Known,
    /// It is needed and is not there.
    Unknown,
}

/// `CsrfLayer` lets through what has neither of the headers, as programs have not. Where the browser's word is what opens the
/// door, one of them has to be there.
pub(crate) fn site(is_needed: bool, headers: &HeaderMap) -> Site {
    let told = |name: &str| headers.get(name).is_some_and(|value| !value.is_empty());
    match !is_needed || told("sec-fetch-site") || told(ORIGIN.as_str()) {
        true => Site::Known,
        false => Site::Unknown,
    }
}

/// Whether there is a credential that browsers send without being asked by the page.
pub(super) fn sent_by_itself(headers: &HeaderMap) -> bool {
    let token = credential(headers.get(AUTHORIZATION), "bearer");
    headers.contains_key(COOKIE) || (headers.contains_key(AUTHORIZATION) && token.is_none())
}

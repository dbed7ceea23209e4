//! Who may ask for what: programs and this service's own page, but no pages of other sites.
//!
//! A browser sends whatever a page asks for, to this machine as well, and with the rights of the person in front of
//! it. What it does not let a page do is to lie about where the page comes from.

use std::{convert::Infallible, net::IpAddr};

use axum::{
    extract::{FromRequestParts, Request, State},
    http::{
        HeaderMap, HeaderName, HeaderValue, StatusCode, Uri,
        header::{CONTENT_SECURITY_POLICY, HOST, ORIGIN, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS},
        request::Parts,
        uri::Authority,
    },
    middleware::Next,
    response::{IntoResponse, Response},
};
use nexios_axum::Problem;
use tower_http::{
    csrf::{CsrfLayer, ProtectionError},
    set_header::SetResponseHeaderLayer,
};

use crate::Newsroom;

/// The page needs nothing from elsewhere, and belongs into no frame, where its buttons could be clicked unseen.
const POLICY: &str = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; \
    img-src 'self' data:; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Refuses whatever changes something on behalf of a page of another site.
pub(crate) fn no_foreign_writes() -> CsrfLayer<fn(ProtectionError) -> Response> {
    CsrfLayer::new().with_rejection_response(|_| foreign().into_response())
}

type Policy = SetResponseHeaderLayer<HeaderValue>;

/// Tells browsers what may be done with the answers.
pub(crate) fn policies() -> (Policy, Policy, Policy) {
    [
        (CONTENT_SECURITY_POLICY, POLICY),
        // For browsers that do not know the policy.
        (X_FRAME_OPTIONS, "DENY"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ]
    .map(|(name, value)| {
        SetResponseHeaderLayer::if_not_present(name, HeaderValue::from_static(value))
    })
    .into()
}

/// Where a request that a browser sends comes from; a program can say what it likes, and need not.
pub(crate) struct Origin {
    foreign: bool,
}

impl Origin {
    /// Refuses a page of another site, for a GET that is not free.
    pub(crate) fn must_be_ours(&self) -> Result<(), Problem> {
        if self.foreign { Err(foreign()) } else { Ok(()) }
    }
}

impl<S: Sync> FromRequestParts<S> for Origin {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let foreign = match (parts.headers.get(SEC_FETCH_SITE), parts.headers.get(ORIGIN)) {
            // `none` is a person who typed the address.
            (Some(site), _) => site != "same-origin" && site != "none",
            (None, Some(origin)) => {
                let origin = origin
                    .to_str()
                    .ok()
                    .and_then(|origin| origin.parse::<Uri>().ok());
                let origin = origin.as_ref().and_then(Uri::authority).cloned();
                origin.is_none() || origin != host(&parts.uri, &parts.headers)
            }
            (None, None) => false,
        };
        Ok(Origin { foreign })
    }
}

fn foreign() -> Problem {
    Problem::new(StatusCode::FORBIDDEN).detail("Pages of other sites may not ask for this.")
}

/// Refuses names that are not ours, where the service is for this machine alone.
///
/// A page of another site may have its own name lead to this machine, and then reads answers as if they were its
/// own. So on a loopback address nobody is served by a name that somebody elsewhere can own: addresses, `localhost`,
/// names without a dot and those of `--host` remain.
///
/// The task routes of nexios-axum look at names as well, and take those of `--host` too. It is another question, so it
/// is asked twice: they ask whether the client is on this machine, wherever the service listens, since tasks are for
/// few. This asks where the service listens, as news are for all who can reach them by a name of theirs.
pub(crate) async fn known_host(
    State(newsroom): State<Newsroom>,
    request: Request,
    next: Next,
) -> Response {
    let asked = host(request.uri(), request.headers());
    match asked {
        Some(host) if newsroom.is_local && !is_known(host.host(), &newsroom.hosts) => {
            let detail = "This service is for its own machine: ask for localhost, have it listen elsewhere, or give it the name by --host.";
            Problem::new(StatusCode::MISDIRECTED_REQUEST)
                .detail(detail)
                .into_response()
        }
        _ => next.run(request).await,
    }
}

/// The name that was asked for; HTTP/2 has it in the address.
fn host(uri: &Uri, headers: &HeaderMap) -> Option<Authority> {
    uri.authority()
        .cloned()
        .or_else(|| headers.get(HOST)?.to_str().ok()?.parse().ok())
}

/// Whether only this machine can reach what listens on `listen`, a host and a port.
pub(crate) fn listens_for_this_machine(listen: &str) -> bool {
    let host = listen.rsplit_once(':').map_or(listen, |(host, _port)| host);
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let name = host.trim_end_matches('.').to_ascii_lowercase();
    // `::ffff:127.0.0.1` is IPv4 in the clothes of IPv6.
    bare.parse::<IpAddr>()
        .map_or(name == "localhost", |address| {
            address.to_canonical().is_loopback()
        })
}

fn is_known(host: &str, hosts: &[String]) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let name = host.trim_end_matches('.').to_ascii_lowercase();
    bare.parse::<IpAddr>().is_ok()
        || !name.contains('.')
        || name.ends_with(".localhost")
        || hosts.contains(&name)
}

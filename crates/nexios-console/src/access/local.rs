//! Requests from this machine to this machine, by a name that only this machine gives out.
//!
//! The address alone proves nothing: a page on the internet can make its own name point to 127.0.0.1 and have the visitor's
//! browser ask (DNS rebinding), which the name in `Host` shows; and a proxy on this machine speaks for the whole world, which
//! its headers show.

use std::net::SocketAddr;

use axum::{
    extract::ConnectInfo,
    http::{
        header::{FORWARDED, HOST},
        request::Parts,
        uri::Authority,
    },
};

/// Why the request is not let in; `None` if it is.
pub(super) fn refusal(parts: &Parts) -> Option<&'static str> {
    let forwarded = |name: &str| name == FORWARDED || name.starts_with("x-forwarded-");
    if parts.headers.keys().any(|name| forwarded(name.as_str())) {
        return Some(
            "The console is for this machine only, and this request came through a proxy.",
        );
    }
    // Where the service does not tell the peer, it has listened on an address of this machine, or the name is all there is.
    let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>();
    if peer.is_some_and(|ConnectInfo(peer)| !peer.ip().to_canonical().is_loopback()) {
        return Some("The console is for this machine only.");
    }
    let mut hosts = parts
        .headers
        .get_all(HOST)
        .iter()
        .map(|host| host.as_bytes());
    let asked = match (parts.uri.authority(), hosts.next(), hosts.next()) {
        (Some(authority), None, None) => is_local(authority.as_str().as_bytes()),
        (Some(authority), Some(host), None) => {
            is_local(authority.as_str().as_bytes()) && is_local(host)
        }
        (None, Some(host), None) => is_local(host),
        _ => false,
    };
    (!asked).then_some("The console answers to localhost, 127.0.0.1 and [::1] only.")
}

/// Any port: a router that is nested somewhere does not know its own.
fn is_local(host: &[u8]) -> bool {
    let Ok(authority) = Authority::try_from(host) else {
        return false;
    };
    let host = authority.host();
    let plain = !authority.as_str().contains('@');
    plain && (host.eq_ignore_ascii_case("localhost") || host == "127.0.0.1" || host == "[::1]")
}

//! The fields of the access log, as a pipeline reads them.

use std::{
    convert::Infallible,
    future::pending,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use axum::{Router, body::Body, extract::ConnectInfo, http::Request, routing::get as on_get};
use futures_util::stream;
use nexios_axum::{RequestLayer, TrustedProxies, WithoutAccessLog};
use serde_json::{Value, json};
use tower::{Layer, ServiceExt};

use crate::{answer::get, asking::ask, log};

/// Asks as `peer`, and returns the line of the log.
async fn line_of(layer: RequestLayer, path: &str, peer: Option<&str>, forwarded: &[&str]) -> Value {
    log::start();
    let app = Router::new()
        .route("/access/{kind}/{number}", on_get(async || "hello"))
        .fallback(async || "nothing")
        .layer(layer);
    let mut request = Request::get(format!("{path}?secret=7"));
    for list in forwarded {
        request = request.header("x-forwarded-for", *list);
    }
    if let Some(peer) = peer {
        request = request.extension(ConnectInfo::<SocketAddr>(peer.parse().unwrap()));
    }
    drop(
        app.oneshot(request.body(Body::empty()).unwrap())
            .await
            .unwrap(),
    );
    let mut lines = log::access_of_path(path);
    assert_eq!(lines.len(), 1, "{lines:?}");
    lines.remove(0)
}

#[tokio::test]
async fn a_line_has_method_path_route_status_time_and_client_in_fields_of_their_own() {
    let line = line_of(
        RequestLayer::new(),
        "/access/fields/1",
        Some("192.0.2.7:4711"),
        &[],
    )
    .await;
    for (field, value) in [
        ("method", json!("GET")),
        ("path", json!("/access/fields/1")),
        ("route", json!("/access/{kind}/{number}")),
        ("status", json!(200)),
        ("client", json!("192.0.2.7")),
    ] {
        assert_eq!(line[field], value, "{line}");
    }
    assert!(line["duration_ms"].is_u64(), "{line}");
    assert!(
        !line.to_string().contains("secret"),
        "a query is never written down: {line}"
    );
    for absent in ["aborted", "grpc_status", "elapsed_ms"] {
        assert_eq!(line.get(absent), None, "{line}");
    }
}

#[tokio::test]
async fn a_method_and_a_path_take_two_hundred_characters_of_a_line_at_most() {
    log::start();
    let app = Router::new().layer(RequestLayer::new());
    for (number, content_type) in ["text/plain", "application/grpc"].iter().enumerate() {
        let beginning = format!("/access/long-{number}/");
        let request = Request::post(format!("{beginning}{}", "p".repeat(10_000)))
            .header("content-type", *content_type);
        drop(
            app.clone()
                .oneshot(request.body(Body::empty()).unwrap())
                .await,
        );
        let request = Request::get(format!("{beginning}method")).method(&*"M".repeat(10_000));
        drop(
            app.clone()
                .oneshot(request.body(Body::empty()).unwrap())
                .await,
        );
        let lines = log::lines_with(&beginning);
        assert_eq!(lines.len(), 2, "{lines:?}");
        for line in lines {
            assert!(line.to_string().len() < 1_000, "{line}");
            assert!(line["path"].as_str().unwrap().len() <= 200, "{line}");
            assert!(line["method"].as_str().unwrap().len() <= 200, "{line}");
        }
    }
}

/// A 504 before it is of some part of the work.
#[tokio::test(start_paused = true)]
async fn a_line_says_how_much_time_the_request_had() {
    let layer = RequestLayer::new().deadline(Duration::from_secs(5));
    let line = line_of(layer, "/access/time/1", None, &[]).await;
    assert_eq!(line["deadline_ms"], 5_000, "{line}");
    let line = line_of(RequestLayer::new(), "/access/time/2", None, &[]).await;
    assert_eq!(line.get("deadline_ms"), None, "{line}");
}

#[tokio::test]
async fn only_a_route_that_matched_is_a_route() {
    let line = line_of(RequestLayer::new(), "/nowhere/access", None, &[]).await;
    assert_eq!(
        (line.get("route"), line.get("client")),
        (None, None),
        "{line}"
    );
    assert_eq!(line["path"], "/nowhere/access");
}

#[tokio::test]
async fn nobody_is_believed_who_names_a_client_unless_it_is_a_trusted_proxy() {
    let by_address = || TrustedProxies::matching(|address| address.to_string().starts_with("10."));
    // Who is trusted, the peer, what it forwards, the client.
    type Case<'a> = (
        TrustedProxies,
        Option<&'a str>,
        &'a [&'a str],
        Option<&'a str>,
    );
    let cases: &[Case<'_>] = &[
        (
            TrustedProxies::none(),
            Some("10.0.0.1:1"),
            &["192.0.2.1"],
            Some("10.0.0.1"),
        ),
        // The last one was added by the nearest proxy; what stands before it may be made up.
        (
            TrustedProxies::hops(1),
            Some("10.0.0.1:1"),
            &["6.6.6.6, 192.0.2.1"],
            Some("192.0.2.1"),
        ),
        (
            TrustedProxies::hops(1),
            Some("10.0.0.1:1"),
            &["6.6.6.6", "192.0.2.1"],
            Some("192.0.2.1"),
        ),
        (
            TrustedProxies::hops(2),
            Some("10.0.0.1:1"),
            &["6.6.6.6, 192.0.2.1, 10.0.0.2"],
            Some("192.0.2.1"),
        ),
        (
            TrustedProxies::hops(5),
            Some("10.0.0.1:1"),
            &["192.0.2.1, 10.0.0.2"],
            Some("192.0.2.1"),
        ),
        (
            TrustedProxies::hops(1),
            Some("10.0.0.1:1"),
            &[],
            Some("10.0.0.1"),
        ),
        (
            TrustedProxies::hops(1),
            None,
            &["192.0.2.1"],
            Some("192.0.2.1"),
        ),
        (
            by_address(),
            Some("10.0.0.1:1"),
            &["6.6.6.6, 192.0.2.1, 10.0.0.2"],
            Some("192.0.2.1"),
        ),
        (
            by_address(),
            Some("192.0.2.9:1"),
            &["192.0.2.1"],
            Some("192.0.2.9"),
        ),
        (by_address(), None, &["192.0.2.1"], None),
        // Who cannot be read is nobody, and the proxy that said so is what is known.
        (
            TrustedProxies::hops(2),
            Some("10.0.0.1:1"),
            &["192.0.2.1, unknown"],
            Some("10.0.0.1"),
        ),
        (
            TrustedProxies::hops(1),
            Some("10.0.0.1:1"),
            &["192.0.2.1:4711"],
            Some("192.0.2.1"),
        ),
        (
            TrustedProxies::hops(1),
            Some("10.0.0.1:1"),
            &["[2001:db8::1]:4711"],
            Some("2001:db8::1"),
        ),
        (
            TrustedProxies::hops(1),
            Some("10.0.0.1:1"),
            &["[2001:db8::1]"],
            Some("2001:db8::1"),
        ),
        (
            TrustedProxies::none(),
            Some("[::ffff:192.0.2.1]:1"),
            &[],
            Some("192.0.2.1"),
        ),
    ];
    for (number, (trusted, peer, forwarded, client)) in cases.iter().enumerate() {
        let layer = RequestLayer::new().trusted_proxies(trusted.clone());
        let line = line_of(
            layer,
            &format!("/access/proxies/{number}"),
            *peer,
            forwarded,
        )
        .await;
        let found = line
            .get("client")
            .map(|client| client.as_str().unwrap().parse::<IpAddr>().unwrap());
        assert_eq!(
            found,
            client.map(|client| client.parse().unwrap()),
            "{trusted:?} {peer:?} {forwarded:?}"
        );
    }
}

/// Below `/silent` and a name of its own: a route, one that hangs, one whose body never ends, and one that panics.
fn routes() -> Router {
    let endless = async || Body::from_stream(stream::pending::<Result<String, Infallible>>());
    Router::new()
        .route("/hello", on_get(async || "hello"))
        .route("/hang", on_get(pending::<()>))
        .route("/endless", on_get(endless))
        .route(
            "/panic",
            on_get(async || -> &'static str { panic!("a bug that is not silent") }),
        )
}

#[tokio::test(start_paused = true)]
async fn a_route_without_access_log_leaves_none_of_its_lines_and_others_have_theirs() {
    let layer = RequestLayer::new().grace(Duration::from_millis(10));
    let requests = layer.requests();
    let app = Router::new()
        .route(
            "/silent/route",
            on_get(async || "hello").layer(WithoutAccessLog),
        )
        .nest("/silent/router", routes().layer(WithoutAccessLog))
        .nest_service("/silent/service", WithoutAccessLog.layer(routes()))
        .nest("/silent/loud", routes())
        .layer(layer);
    log::start();
    drop(app.clone().oneshot(get("/silent/route")).await.unwrap());
    for (prefix, lines) in [
        ("/silent/router", 0),
        ("/silent/service", 0),
        ("/silent/loud", 1),
    ] {
        for path in ["/hello", "/endless", "/panic"] {
            drop(app.clone().oneshot(get(&format!("{prefix}{path}"))).await);
        }
        drop(ask(&app, get(&format!("{prefix}/hang"))).await); // the client goes away, the handler is rescued
        requests.idle().await;
        for (path, times) in [("/hello", 1), ("/endless", 1), ("/panic", 1), ("/hang", 2)] {
            let path = format!("{prefix}{path}");
            let found = log::access_of_path(&path);
            assert_eq!(found.len(), lines * times, "{path}: {found:?}");
        }
    }
    assert!(log::access_of_path("/silent/route").is_empty());
    assert_eq!(requests.stats().started, 13);
}

#[tokio::test(start_paused = true)]
async fn warnings_and_errors_of_a_route_without_access_log_stay() {
    let layer = RequestLayer::new().rescue_limit(0);
    let app = Router::new()
        .nest("/silent/still", routes().layer(WithoutAccessLog))
        .layer(layer);
    drop(ask(&app, get("/silent/still/hang")).await);
    let warned = log::lines_with("GET /silent/still/hang");
    assert_eq!(warned.len(), 1, "{warned:?}");
    assert_eq!(warned[0]["level"], "WARN");
    let panicked = app.oneshot(get("/silent/still/panic")).await.unwrap();
    assert_eq!(panicked.status(), 500);
    let said = log::lines_with("a bug that is not silent");
    assert!(said.iter().any(|line| line["level"] == "ERROR"), "{said:?}");
}

//! What is asked here is asked of another server, whose answer is passed on while it comes.

use std::{mem::take, process::ExitCode, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    http::{
        HeaderMap, Uri, Version,
        header::{
            CONNECTION, HeaderName, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRAILER,
            TRANSFER_ENCODING, UPGRADE,
        },
        uri::{Authority, Scheme},
    },
    response::{IntoResponse, Response},
    routing::get,
};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use nexios_axum::{Deadline, DeadlineHeader, NexiosApp, OnDisconnect, Problem, RequestLayer, run};

#[derive(Clone)]
struct Proxy {
    client: Client<HttpConnector, Body>,
    upstream: Authority,
}

/// What is said to the next hop only (RFC 9110, 7.6.1).
const HOP_BY_HOP: [HeaderName; 8] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
];

fn remove_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in HOP_BY_HOP.iter().chain(&named) {
        headers.remove(name);
    }
}

async fn forward(State(proxy): State<Proxy>, mut request: Request) -> Result<Response, Problem> {
    let mut uri = take(request.uri_mut()).into_parts();
    uri.scheme = Some(Scheme::HTTP);
    uri.authority = Some(proxy.upstream);
    *request.uri_mut() = Uri::from_parts(uri)
        .map_err(|error| Problem::bad_request(format!("The address is malformed: {error}")))?;
    // What the client speaks is not what the upstream speaks.
    *request.version_mut() = Version::HTTP_11;
    remove_hop_by_hop(request.headers_mut());
    if let Some(left) = Deadline::current().hand_on(DeadlineHeader::EnvoyExpectedTimeoutMs)? {
        request.headers_mut().insert(left.name, left.value);
    }
    let answer = proxy.client.request(request).await.map_err(|error| {
        tracing::warn!(%error, "the upstream cannot be asked");
        Problem::bad_gateway("The server behind this one cannot be asked.")
    })?;
    let mut answer = answer.into_response();
    remove_hop_by_hop(answer.headers_mut());
    Ok(answer)
}

/// `patience`: how long the upstream may take to the head of its answer.
pub(crate) fn app(upstream: Authority, patience: Duration) -> NexiosApp {
    let client = Client::builder(TokioExecutor::new()).build(HttpConnector::new());
    let router = Router::new()
        // A call that nobody waits for has nothing to clean up.
        .route("/", get(forward).layer(OnDisconnect::Immediate))
        .with_state(Proxy { client, upstream });
    NexiosApp::new(router).requests(RequestLayer::new().deadline(patience))
}

pub(crate) fn main() -> ExitCode {
    let upstream = Authority::from_static("127.0.0.1:3000");
    run(app(upstream, Duration::from_secs(30)).serve("127.0.0.1:4000"))
}

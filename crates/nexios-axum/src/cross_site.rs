//! What keeps pages of other sites from using the routes of tasks and of jobs through a visitor's browser.
//!
//! Three ways are closed: a page that posts a form or a request (its origin shows, see [`CsrfLayer`]), a page whose own name
//! was made to point to this machine so that it may read the answers as well (DNS rebinding: the name shows), and a
//! page that frames an answer and lets the visitor click on it.

use std::{net::SocketAddr, sync::Arc};

use axum::{
    extract::{ConnectInfo, Request},
    http::{HeaderValue, StatusCode, header, uri::Authority},
    middleware::{Next, from_fn, map_response},
    response::{IntoResponse, Response},
    routing::MethodRouter,
};
use tower_http::csrf::{CsrfLayer, ProtectionError};

use crate::{log::log, problem::Problem};

/// What is let in besides what always is.
#[derive(Debug, Clone)]
pub(crate) struct Trusted {
    pub(crate) hosts: Vec<String>,
    csrf: CsrfLayer,
}

impl Trusted {
    pub(crate) fn nothing() -> Self {
        let (hosts, csrf) = (Vec::new(), CsrfLayer::new());
        Self { hosts, csrf }
    }

    pub(crate) fn host(&mut self, name: &str) {
        self.hosts.push(name_of_host(name));
    }

    /// Panics if it is no origin.
    #[track_caller]
    pub(crate) fn origin(mut self, origin: &str) -> Self {
        self.csrf = match self.csrf.add_trusted_origin(origin) {
            Ok(csrf) => csrf,
            Err(error) => panic!("trusted_origin({origin:?}): {error}"),
        };
        self
    }
}

/// What a request has to pass. `hosts` are names that the service has on this machine besides `localhost`.
pub(crate) struct Guard {
    hosts: Arc<[String]>,
    csrf: CsrfLayer,
}

impl Guard {
    pub(crate) fn new(Trusted { hosts, csrf }: Trusted) -> Self {
        let hosts = hosts.into();
        Guard { hosts, csrf }
    }

    /// Guards one route. A layer of the whole router would be around its fallback too, and that becomes the fallback of
    /// whoever merges it.
    pub(crate) fn around<S: Clone + Send + Sync + 'static>(
        &self,
        route: MethodRouter<S>,
    ) -> MethodRouter<S> {
        let refused = |_: ProtectionError| {
            Problem::new(StatusCode::FORBIDDEN)
                .detail("Another site may not do this through a browser.")
                .into_response()
        };
        let hosts = self.hosts.clone();
        route
            .layer(self.csrf.clone().with_rejection_response(refused))
            .layer(from_fn(move |request: Request, next: Next| {
                let hosts = hosts.clone();
                async move {
                    match is_meant(&request, &hosts) {
                        true => next.run(request).await,
                        false => misnamed(&request),
                    }
                }
            }))
            .layer(map_response(unframed))
    }
}

fn misnamed(request: &Request) -> Response {
    let host = request.headers().get(header::HOST);
    log(|| {
        tracing::debug!(
            ?host,
            "refused: not a name of this service; see TaskRoutes::host and JobRoutes::host"
        );
    });
    let detail = "The service is not known under this name to clients on its own machine.";
    Problem::new(StatusCode::FORBIDDEN)
        .detail(detail)
        .into_response()
}

async fn unframed(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    let nobody = HeaderValue::from_static("frame-ancestors 'none'");
    headers.insert(header::CONTENT_SECURITY_POLICY, nobody);
    response
}

/// Whether a client on this machine asks for a name that only this machine gives out.
///
/// Others cannot be misled by a name that points to the loopback address, as it would lead them to their own machine.
fn is_meant(request: &Request, hosts: &[String]) -> bool {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
    let is_local = peer.is_some_and(|ConnectInfo(peer)| peer.ip().to_canonical().is_loopback());
    let asked = request.headers().get_all(header::HOST).iter();
    let asked = asked.map(|host| {
        host.to_str()
            .ok()
            .and_then(|host| host.parse::<Authority>().ok())
    });
    let asked = asked.chain(request.uri().authority().cloned().map(Some));
    !is_local
        || asked
            .into_iter()
            .all(|asked| asked.is_some_and(|asked| is_known(asked.host(), hosts)))
}

/// A host without its port, as names of hosts are compared.
fn name_of_host(host: &str) -> String {
    let authority = host.parse::<Authority>().ok();
    let host = authority.as_ref().map_or(host, Authority::host);
    host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase()
}

fn is_known(host: &str, hosts: &[String]) -> bool {
    let host = name_of_host(host);
    let bare = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .unwrap_or(&host);
    // An address is looked up nowhere, and a name without a dot not in the world's DNS: nobody else can have made them
    // point here.
    let is_address = bare.parse::<std::net::IpAddr>().is_ok();
    is_address || !host.contains('.') || host.ends_with(".localhost") || hosts.contains(&host)
}

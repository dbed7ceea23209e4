//! Whom the log names as the client of a request.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use axum::{
    extract::ConnectInfo,
    http::{Extensions, HeaderMap, HeaderName},
};

static FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The proxies whose word counts when they say, in `x-forwarded-for`, in whose name they ask.
///
/// Everybody can send that header, so nobody is believed by default, and the client is the peer of the
/// connection. A proxy that is trusted vouches for the address that it added last, and if that is a trusted
/// proxy too, it vouches for the one before, and so on: addresses that a client made up are never reached.
///
/// # Examples
///
/// ```
/// use nexios_axum::{RequestLayer, TrustedProxies};
///
/// // A load balancer in front, and nobody else can connect.
/// let behind_one = RequestLayer::new().trusted_proxies(TrustedProxies::hops(1));
/// // Whoever connects from the private network is a proxy of ours.
/// let by_address = TrustedProxies::matching(|address| match address {
///     std::net::IpAddr::V4(address) => address.is_private(),
///     std::net::IpAddr::V6(address) => address.is_unique_local(),
/// });
/// let behind_some = RequestLayer::new().trusted_proxies(by_address);
/// ```
#[derive(Clone)]
pub struct TrustedProxies(Trust);

#[derive(Clone)]
enum Trust {
    Hops(usize),
    Matching(Arc<dyn Fn(IpAddr) -> bool + Send + Sync>),
}

impl TrustedProxies {
    /// Trusts nobody: the client is the peer. This is the default.
    ///
    /// # Examples
    ///
    /// ```
    /// use nexios_axum::{RequestLayer, TrustedProxies};
    ///
    /// // Nobody is in front of this service, or only in production.
    /// let production = std::env::var_os("BEHIND_PROXY").is_some();
    /// let proxies = if production { TrustedProxies::hops(1) } else { TrustedProxies::none() };
    /// let layer = RequestLayer::new().trusted_proxies(proxies);
    /// # let _ = layer;
    /// ```
    #[must_use]
    pub fn none() -> Self {
        TrustedProxies::hops(0)
    }

    /// Trusts the peer and `count - 1` proxies before it, whoever they are.
    ///
    /// It is right only where every request comes through all of them: who can connect past a proxy can give
    /// itself any address. Over a Unix socket the peer has no address and counts as a proxy all the same.
    ///
    /// # Examples
    ///
    /// ```
    /// use nexios_axum::{RequestLayer, TrustedProxies};
    ///
    /// // A content network, and behind it a balancer; both add the address that they saw.
    /// let layer = RequestLayer::new().trusted_proxies(TrustedProxies::hops(2));
    /// # let _ = layer;
    /// ```
    #[must_use]
    pub fn hops(count: usize) -> Self {
        TrustedProxies(Trust::Hops(count))
    }

    /// Trusts the proxies whose addresses `trusted` knows.
    ///
    /// A peer without an address (a Unix socket, or `axum::serve` without `ConnectInfo`) is not trusted.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::net::IpAddr;
    /// use nexios_axum::{RequestLayer, TrustedProxies};
    ///
    /// let balancers: [IpAddr; 2] = [[10, 0, 0, 7].into(), [10, 0, 0, 8].into()];
    /// let proxies = TrustedProxies::matching(move |address| balancers.contains(&address));
    /// let layer = RequestLayer::new().trusted_proxies(proxies);
    /// # let _ = layer;
    /// ```
    #[must_use]
    pub fn matching(trusted: impl Fn(IpAddr) -> bool + Send + Sync + 'static) -> Self {
        TrustedProxies(Trust::Matching(Arc::new(trusted)))
    }

    /// Whether the proxy is trusted that is `hop` proxies away, at `address` if it has one.
    fn trusts(&self, hop: usize, address: Option<IpAddr>) -> bool {
        match &self.0 {
            Trust::Hops(count) => hop < *count,
            Trust::Matching(trusted) => address.is_some_and(|address| trusted(address)),
        }
    }

    /// Finds the farthest address that somebody trusted vouches for.
    pub(super) fn client(&self, extensions: &Extensions, headers: &HeaderMap) -> Option<IpAddr> {
        let peer = extensions.get::<ConnectInfo<SocketAddr>>();
        let mut client = peer.map(|ConnectInfo(peer)| peer.ip().to_canonical());
        if !self.trusts(0, client) {
            return client;
        }
        // The last header and the last address in it are the nearest proxy's.
        let lists = headers.get_all(&FORWARDED_FOR).iter().rev();
        let addresses = lists.flat_map(|list| list.to_str().unwrap_or_default().rsplit(','));
        for (hop, address) in addresses.enumerate() {
            let Some(address) = read(address.trim()) else {
                return client;
            };
            client = Some(address);
            if !self.trusts(hop + 1, client) {
                return client;
            }
        }
        client
    }
}

impl fmt::Debug for TrustedProxies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Trust::Hops(count) => f.debug_tuple("Hops").field(count).finish(),
            Trust::Matching(_) => f.debug_tuple("Matching").finish_non_exhaustive(),
        }
    }
}

/// Reads an address as proxies write it: bare, in brackets, or with a port.
fn read(text: &str) -> Option<IpAddr> {
    let bare = || text.parse().ok();
    let with_port = || text.parse().ok().map(|address: SocketAddr| address.ip());
    let in_brackets = || text.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    bare()
        .or_else(with_port)
        .or_else(in_brackets)
        .map(|address: IpAddr| address.to_canonical())
}

//! Where a service listens.

use std::{
    any::Any,
    fmt, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    panic::AssertUnwindSafe,
    path::PathBuf,
};

use axum::serve::Listener;
use futures_util::FutureExt;
use tokio::net::{TcpListener, ToSocketAddrs};
#[cfg(unix)]
use tokio::net::{UnixListener, unix};

use super::{downcast::try_downcast, error::ServeError};
use crate::panic::message;

/// What [`NexiosApp::serve`](crate::NexiosApp::serve) listens on: an address, or a listener that is bound already.
///
/// An address is a `SocketAddr`, a text such as `"127.0.0.1:8080"` or `"localhost:0"`, or a pair of host and
/// port; it is bound after the startup hooks. A listener is tokio's or the standard library's, for TCP or a
/// Unix socket, or any other that implements [`axum::serve::Listener`]: one with
/// [`tap_io`](axum::serve::ListenerExt::tap_io), one that speaks TLS, one of a type of your own. Clients of a bound
/// one wait in the system's queue until the startup hooks have ended.
///
/// `TCP_NODELAY` and what [`dead_peer_limit`](crate::NexiosApp::dead_peer_limit) sets are options of TCP: connections
/// that are a `TcpStream` have them, whatever listener they come from. A wrapper, such as a stream of TLS, sets them
/// itself before it wraps. Handlers find the peer in `ConnectInfo` of the listener's address type.
///
/// The type parameter only keeps these kinds apart, and is always inferred.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use axum::{Router, serve::ListenerExt};
/// use nexios_axum::NexiosApp;
/// use tokio::net::TcpListener;
///
/// let listener = TcpListener::bind("127.0.0.1:0").await?.tap_io(|stream| {
///     let _ = stream.set_nodelay(false);
/// });
/// let app = NexiosApp::new(Router::new()).background(nexios::Background::new());
/// # let app = app.accepting(std::time::Duration::ZERO);
/// let handle = app.handle();
/// let service = tokio::spawn(app.serve(listener));
/// handle.ready().await;
/// handle.stop();
/// service.await??;
/// # Ok(())
/// # }
/// ```
#[diagnostic::on_unimplemented(
    message = "`NexiosApp` cannot listen on `{Self}`",
    note = "it takes addresses such as \"127.0.0.1:8080\", bound listeners of tokio and std, and `axum::serve::Listener`s"
)]
pub trait Listen<Kind>: Send + private::Sealed<Kind> {
    #[doc(hidden)]
    type Listener: Listener<Addr: Clone + fmt::Debug + Send + Sync + 'static>;
    #[doc(hidden)]
    fn describe(&self) -> String;
    #[doc(hidden)]
    fn listen(self) -> impl Future<Output = io::Result<Self::Listener>> + Send;
}

mod private {
    pub trait Sealed<Kind> {}
}

/// Something to be bound, or of the standard library.
#[doc(hidden)]
#[derive(Debug)]
pub enum Binds {}

/// Something that accepts.
#[doc(hidden)]
#[derive(Debug)]
pub enum Accepts {}

impl<L> private::Sealed<Accepts> for L where
    L: Listener<Addr: Clone + fmt::Debug + Send + Sync + 'static>
{
}

impl<L> Listen<Accepts> for L
where
    L: Listener<Addr: Clone + fmt::Debug + Send + Sync + 'static>,
{
    type Listener = L;

    fn describe(&self) -> String {
        self.local_addr()
            .map(|address| format!("{address:?}"))
            .unwrap_or_default()
    }

    async fn listen(self) -> io::Result<L> {
        Ok(self)
    }
}

/// Opens a listener, and says where it is.
pub(crate) async fn open<Kind, L: Listen<Kind>>(
    listen: L,
) -> Result<(L::Listener, ListenAddress), ServeError> {
    let asked = listen.describe();
    let listening = async {
        let listener = listen.listen().await?;
        let address = ListenAddress::of(&listener.local_addr()?);
        Ok((listener, address))
    };
    listening.await.map_err(|cause| ServeError::Listen {
        address: asked,
        cause,
    })
}

/// Waits for the next client.
///
/// axum's own accept says nothing of an error and waits a second after it, so it is asked only of types that we do not
/// know. A panic of such a one is an error like others.
pub(crate) async fn accept<L>(listener: &mut L) -> io::Result<(L::Io, L::Addr)>
where
    L: Listener<Addr: 'static>,
{
    let impossible = || io::Error::other("the listener accepts another type than its own");
    if let Some(tcp) = (&*listener as &dyn Any).downcast_ref::<TcpListener>() {
        let accepted = tcp.accept().await?;
        return try_downcast(accepted).map_err(|_| impossible());
    }
    #[cfg(unix)]
    if let Some(unix) = (&*listener as &dyn Any).downcast_ref::<UnixListener>() {
        let accepted = unix.accept().await?;
        return try_downcast(accepted).map_err(|_| impossible());
    }
    let accepted = AssertUnwindSafe(listener.accept()).catch_unwind().await;
    accepted.map_err(|panic| io::Error::other(format!("the listener panicked: {}", message(panic))))
}

/// The address a service listens on, with the port the system chose.
///
/// # Examples
///
/// ```
/// use nexios_axum::ListenAddress;
///
/// let address = ListenAddress::Tcp(([127, 0, 0, 1], 8080).into());
/// assert_eq!(address.to_string(), "http://127.0.0.1:8080");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ListenAddress {
    /// TCP, with or without something around it.
    Tcp(SocketAddr),
    /// A Unix socket, with its path unless it has none.
    Unix(Option<PathBuf>),
    /// An address of another kind, as its type says it in `Debug`.
    Other(String),
}

impl ListenAddress {
    pub(crate) fn of<A: fmt::Debug + 'static>(address: &A) -> Self {
        let known = address as &dyn Any;
        if let Some(address) = known.downcast_ref::<SocketAddr>() {
            return ListenAddress::Tcp(*address);
        }
        #[cfg(unix)]
        if let Some(address) = known.downcast_ref::<unix::SocketAddr>() {
            return ListenAddress::Unix(address.as_pathname().map(PathBuf::from));
        }
        ListenAddress::Other(format!("{address:?}"))
    }

    /// The TCP address; none for all others.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use axum::Router;
    /// use nexios_axum::NexiosApp;
    ///
    /// let app = NexiosApp::new(Router::new());
    /// let handle = app.handle();
    /// tokio::spawn(app.serve("127.0.0.1:0")); // the system chooses a port
    /// let address = handle.ready().await.ok_or("it did not start")?;
    /// assert!(address.tcp().is_some_and(|address| address.port() != 0));
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn tcp(&self) -> Option<SocketAddr> {
        match self {
            ListenAddress::Tcp(address) => Some(*address),
            ListenAddress::Unix(_) | ListenAddress::Other(_) => None,
        }
    }
}

impl fmt::Display for ListenAddress {
    /// `http://127.0.0.1:8080` or `unix:/run/service.sock`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ListenAddress::Tcp(address) => write!(f, "http://{address}"),
            ListenAddress::Unix(Some(path)) => write!(f, "unix:{}", path.display()),
            ListenAddress::Unix(None) => f.write_str("unix:"),
            ListenAddress::Other(address) => f.write_str(address),
        }
    }
}

async fn bind(address: impl ToSocketAddrs) -> io::Result<TcpListener> {
    TcpListener::bind(address).await
}

macro_rules! listen_on_address {
    ($($address:ty, |$this:ident| $text:expr;)*) => {$(
        impl private::Sealed<Binds> for $address {}
        impl Listen<Binds> for $address {
            type Listener = TcpListener;
            fn describe(&self) -> String {
                let $this = self;
                $text
            }
            async fn listen(self) -> io::Result<TcpListener> {
                bind(self).await
            }
        }
    )*};
}

listen_on_address! {
    SocketAddr, |address| address.to_string();
    &str, |address| (*address).to_owned();
    (IpAddr, u16), |address| SocketAddr::from(*address).to_string();
    (Ipv4Addr, u16), |address| SocketAddr::from(*address).to_string();
    (Ipv6Addr, u16), |address| SocketAddr::from(*address).to_string();
    (&str, u16), |address| format!("{}:{}", address.0, address.1);
    (String, u16), |address| format!("{}:{}", address.0, address.1);
}

impl private::Sealed<Binds> for String {}
impl Listen<Binds> for String {
    type Listener = TcpListener;

    fn describe(&self) -> String {
        self.clone()
    }

    async fn listen(self) -> io::Result<TcpListener> {
        bind(self.as_str()).await
    }
}

macro_rules! listen_on_std {
    ($($(#[$meta:meta])* $listener:ty => $bound:ty;)*) => {$(
        $(#[$meta])*
        impl private::Sealed<Binds> for $listener {}
        $(#[$meta])*
        impl Listen<Binds> for $listener {
            type Listener = $bound;
            fn describe(&self) -> String {
                self.local_addr().map(|address| format!("{address:?}")).unwrap_or_default()
            }
            async fn listen(self) -> io::Result<$bound> {
                self.set_nonblocking(true)?;
                <$bound>::from_std(self)
            }
        }
    )*};
}

listen_on_std! {
    std::net::TcpListener => TcpListener;
    #[cfg(unix)]
    std::os::unix::net::UnixListener => UnixListener;
}

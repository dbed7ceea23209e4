//! Where a service listens.

use std::{
    fmt, io,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpStream, ToSocketAddrs};
#[cfg(unix)]
use tokio::net::{UnixListener, UnixStream, unix::UCred};

/// What [`NexiosApp::serve`](crate::NexiosApp::serve) listens on: an address, or a listener that is bound already.
///
/// An address is a `SocketAddr`, a text such as `"127.0.0.1:8080"` or `"localhost:0"`, or a pair of host and
/// port; it is bound after the startup hooks. A listener is tokio's or the standard library's, for TCP or a
/// Unix socket; clients of a bound one wait in the system's queue until the startup hooks have ended.
pub trait Listen: Send + private::Sealed {
    #[doc(hidden)]
    fn describe(&self) -> String;
    #[doc(hidden)]
    fn listen(self) -> impl Future<Output = io::Result<Bound>> + Send;
}

mod private {
    pub trait Sealed {}
}

/// A listener that can accept.
#[doc(hidden)]
#[derive(Debug)]
pub enum Bound {
    Tcp(TcpListener),
    #[cfg(unix)]
    Unix(UnixListener),
}

/// A connection and who is at its other end.
pub(crate) enum Accepted {
    Tcp(TcpStream, SocketAddr),
    #[cfg(unix)]
    Unix(UnixStream, Option<UCred>),
}

impl Bound {
    pub(crate) async fn accept(&self) -> io::Result<Accepted> {
        match self {
            Bound::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                Ok(Accepted::Tcp(stream, peer))
            }
            #[cfg(unix)]
            Bound::Unix(listener) => {
                let (stream, _) = listener.accept().await?;
                let peer = stream.peer_cred().ok();
                Ok(Accepted::Unix(stream, peer))
            }
        }
    }

    pub(crate) fn address(&self) -> io::Result<ListenAddress> {
        match self {
            Bound::Tcp(listener) => listener.local_addr().map(ListenAddress::Tcp),
            #[cfg(unix)]
            Bound::Unix(listener) => {
                let address = listener.local_addr()?;
                Ok(ListenAddress::Unix(address.as_pathname().map(PathBuf::from)))
            }
        }
    }
}

/// The address a service listens on, with the port the system chose.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ListenAddress {
    /// TCP.
    Tcp(SocketAddr),
    /// A Unix socket, with its path unless it has none.
    Unix(Option<PathBuf>),
}

impl ListenAddress {
    /// The TCP address; none for a Unix socket.
    #[must_use]
    pub fn tcp(&self) -> Option<SocketAddr> {
        match self {
            ListenAddress::Tcp(address) => Some(*address),
            ListenAddress::Unix(_) => None,
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
        }
    }
}

/// Makes the system notice a TCP peer that is gone without a word: one that acknowledges nothing for `limit`.
///
/// Keep-alive finds the one that was silent, the user timeout the one that we were sending to.
pub(crate) fn notice_dead_peers(stream: &TcpStream, limit: Duration) -> io::Result<()> {
    let socket = SockRef::from(stream);
    // Half of the time of silence, then three questions in the other half.
    let keepalive = TcpKeepalive::new().with_time(at_least_a_second(limit / 2));
    #[cfg(any(target_os = "linux", target_os = "android", target_os = "macos", target_os = "freebsd"))]
    let keepalive = keepalive.with_interval(at_least_a_second(limit / 6)).with_retries(3);
    socket.set_tcp_keepalive(&keepalive)?;
    #[cfg(any(target_os = "linux", target_os = "android"))]
    socket.set_tcp_user_timeout(Some(limit))?;
    Ok(())
}

/// The system counts keep-alive in whole seconds and refuses zero.
fn at_least_a_second(time: Duration) -> Duration {
    time.max(Duration::from_secs(1))
}

async fn bind(address: impl ToSocketAddrs) -> io::Result<Bound> {
    TcpListener::bind(address).await.map(Bound::Tcp)
}

macro_rules! listen_on_address {
    ($($address:ty, |$this:ident| $text:expr;)*) => {$(
        impl private::Sealed for $address {}
        impl Listen for $address {
            fn describe(&self) -> String {
                let $this = self;
                $text
            }
            async fn listen(self) -> io::Result<Bound> {
                bind(self).await
            }
        }
    )*};
}

listen_on_address! {
    SocketAddr, |address| address.to_string();
    &str, |address| (*address).to_owned();
    (IpAddr, u16), |address| SocketAddr::from(*address).to_string();
    (&str, u16), |address| format!("{}:{}", address.0, address.1);
}

impl private::Sealed for String {}
impl Listen for String {
    fn describe(&self) -> String {
        self.clone()
    }
    async fn listen(self) -> io::Result<Bound> {
        bind(self.as_str()).await
    }
}

macro_rules! listen_on_listener {
    ($($(#[$meta:meta])* $listener:ty, |$this:ident| $bound:expr;)*) => {$(
        $(#[$meta])*
        impl private::Sealed for $listener {}
        $(#[$meta])*
        impl Listen for $listener {
            fn describe(&self) -> String {
                self.local_addr().map(|address| format!("{address:?}")).unwrap_or_default()
            }
            async fn listen(self) -> io::Result<Bound> {
                let $this = self;
                $bound
            }
        }
    )*};
}

listen_on_listener! {
    TcpListener, |listener| Ok(Bound::Tcp(listener));
    std::net::TcpListener, |listener| {
        listener.set_nonblocking(true)?;
        TcpListener::from_std(listener).map(Bound::Tcp)
    };
    #[cfg(unix)]
    UnixListener, |listener| Ok(Bound::Unix(listener));
    #[cfg(unix)]
    std::os::unix::net::UnixListener, |listener| {
        listener.set_nonblocking(true)?;
        UnixListener::from_std(listener).map(Bound::Unix)
    };
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_dead_peer_is_noticed_within_the_limit_whether_silent_or_not() -> io::Result<()> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let stream = TcpStream::connect(listener.local_addr()?).await?;
        notice_dead_peers(&stream, Duration::from_secs(60))?;
        let socket = SockRef::from(&stream);
        assert!(socket.keepalive()?);
        let (time, interval) = (socket.tcp_keepalive_time()?, socket.tcp_keepalive_interval()?);
        assert_eq!((time, interval), (Duration::from_secs(30), Duration::from_secs(10)));
        assert_eq!(time + interval * socket.tcp_keepalive_retries()?, Duration::from_secs(60));
        assert_eq!(socket.tcp_user_timeout()?, Some(Duration::from_secs(60)));
        // The system counts in seconds, and takes no zero.
        notice_dead_peers(&stream, Duration::from_millis(100))?;
        assert_eq!(socket.tcp_keepalive_time()?, Duration::from_secs(1));
        Ok(())
    }
}

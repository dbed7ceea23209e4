//! The socket of a connection: its options, what it tells of its peer, and whether that keeps up.
//!
//! # Invariants
//!
//! 1. A write or flush that waits makes the connection blocked, the next one that does not ends that; in between
//!    the time runs by which a client that does not read is cut off.
//! 2. The connection is said to be reading while, and only while, the last read waits: then the server hears of the end of
//!    its peer by itself, and else somebody has to watch for it.

use std::{
    io,
    net::Shutdown,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use socket2::{SockRef, TcpKeepalive};
use tokio::{
    io::{AsyncRead, AsyncWrite, Interest, ReadBuf},
    net::TcpStream,
};

use super::{connection_control::Control, downcast::try_downcast};

/// The kernel's limit for the seconds of keep-alive: more is refused.
const LONGEST_SILENCE: Duration = Duration::from_secs(32_767);

/// The kernel counts the user timeout in milliseconds, in a signed number.
const LONGEST_USER_TIMEOUT: Duration = Duration::from_millis(i32::MAX as u64);

/// What a connection reads and writes.
#[derive(Debug)]
pub(crate) enum Socket<S> {
    /// Shared with whoever looks after its peer.
    Tcp(Arc<TcpStream>),
    /// All else, such as TLS or a Unix socket.
    Other(S),
}

impl<S: 'static> Socket<S> {
    /// Only Linux tells that a peer has gone while there are bytes of it to be read; elsewhere nobody would look.
    pub(crate) fn new(stream: S) -> Self {
        if !cfg!(any(target_os = "linux", target_os = "android")) {
            return Socket::Other(stream);
        }
        match try_downcast(stream) {
            Ok(tcp) => Socket::Tcp(Arc::new(tcp)),
            Err(stream) => Socket::Other(stream),
        }
    }

    /// The TCP stream, to be watched.
    pub(crate) fn tcp(&self) -> Option<Arc<TcpStream>> {
        match self {
            Socket::Tcp(tcp) => Some(tcp.clone()),
            Socket::Other(_) => None,
        }
    }
}

/// Waits until the peer of a connection is gone.
///
/// Needed while the server does not wait for bytes, as when it has a further request of the client's in its buffer: it
/// would not notice then. A reset is an end in any case; that the client will send no more is one, as it is for the
/// server when it reads that, if the request in flight is `complete`.
pub(crate) async fn gone(stream: Arc<TcpStream>, complete: bool) {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    // Urgent bytes are not asked for when the stream is registered; what is left of this interest is the end.
    let interest = if complete {
        Interest::ERROR | Interest::PRIORITY
    } else {
        Interest::ERROR
    };
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    let (interest, _) = (Interest::ERROR, complete);
    // An error says that the runtime ends, and the connection with it.
    let _ = stream.ready(interest).await;
}

/// Makes the system notice a TCP peer that is gone without a word: one that acknowledges nothing for `limit`.
///
/// Keep-alive finds the one that was silent, the user timeout the one that we were sending to. Each is set
/// whatever becomes of the other. The longest times are those of the system: 9 hours of silence before the first of
/// three questions, 25 days for bytes that were sent.
pub(crate) fn notice_dead_peers(stream: &TcpStream, limit: Duration) -> io::Result<()> {
    let socket = SockRef::from(stream);
    // Half of the time of silence, then three questions in the other half.
    let keepalive = TcpKeepalive::new().with_time(countable(limit / 2));
    #[cfg(any(
        target_os = "linux",
        target_os = "android",
        target_os = "macos",
        target_os = "freebsd"
    ))]
    let keepalive = keepalive
        .with_interval(countable(limit / 6))
        .with_retries(3);
    let silent = socket.set_tcp_keepalive(&keepalive);
    #[cfg(any(target_os = "linux", target_os = "android"))]
    {
        // Zero would mean the system's own limit, a quarter of an hour.
        let timeout = limit.clamp(Duration::from_millis(1), LONGEST_USER_TIMEOUT);
        let sending = socket.set_tcp_user_timeout(Some(timeout));
        silent.and(sending)
    }
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    silent
}

/// The system counts keep-alive in whole seconds, refuses zero and more than it can count.
fn countable(time: Duration) -> Duration {
    time.clamp(Duration::from_secs(1), LONGEST_SILENCE)
}

impl<S: AsyncRead + Unpin> AsyncRead for Socket<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut *self {
            Socket::Other(stream) => Pin::new(stream).poll_read(cx, buffer),
            Socket::Tcp(tcp) => {
                loop {
                    // Readiness before the read: it leaves the waker, so that bytes that come in between wake us.
                    ready!(tcp.poll_read_ready(cx))?;
                    let asked = buffer.remaining();
                    let mut read = None;
                    // A read that leaves room has emptied the socket. To say so here saves asking it once more, as tokio's
                    // own streams do.
                    let _ = tcp.try_io(Interest::READABLE, || {
                    let result = tcp.try_read_buf(buffer);
                    let emptied = matches!(result, Ok(read) if 0 < read && read < asked);
                    let would_block =
                        matches!(&result, Err(error) if error.kind() == io::ErrorKind::WouldBlock);
                    read = Some(result);
                    if emptied || would_block { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(()) }
                });
                    match read {
                        Some(Ok(_)) => return Poll::Ready(Ok(())),
                        Some(Err(error)) if error.kind() != io::ErrorKind::WouldBlock => {
                            return Poll::Ready(Err(error));
                        }
                        // Not ready after all, which `try_io` has taken note of: without that this would turn for ever.
                        Some(Err(_)) | None => {}
                    }
                }
            }
        }
    }
}

/// Tries to write when the socket is ready, and waits again if it was not.
fn poll_try(
    tcp: &TcpStream,
    cx: &mut Context<'_>,
    write: impl Fn(&TcpStream) -> io::Result<usize>,
) -> Poll<io::Result<usize>> {
    loop {
        ready!(tcp.poll_write_ready(cx))?;
        match write(tcp) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            written => return Poll::Ready(written),
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Socket<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut *self {
            Socket::Tcp(tcp) => poll_try(tcp, cx, |tcp| tcp.try_write(bytes)),
            Socket::Other(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut *self {
            Socket::Tcp(tcp) => poll_try(tcp, cx, |tcp| tcp.try_write_vectored(parts)),
            Socket::Other(stream) => Pin::new(stream).poll_write_vectored(cx, parts),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Socket::Tcp(_) => true,
            Socket::Other(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Socket::Tcp(_) => Poll::Ready(Ok(())),
            Socket::Other(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            // tokio's own shutdown wants the stream for itself, and this one is shared.
            Socket::Tcp(tcp) => {
                Poll::Ready(match SockRef::from(&**tcp).shutdown(Shutdown::Write) {
                    // The peer was faster.
                    Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(()),
                    end => end,
                })
            }
            Socket::Other(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

/// A stream that tells whether its peer reads what it is sent.
pub(crate) struct WatchedSocket<S> {
    stream: S,
    control: Arc<Control>,
    /// Whether bytes wait for the peer to read them, as far as `control` was told.
    blocked: bool,
}

impl<S> WatchedSocket<S> {
    pub(crate) fn new(stream: S, control: Arc<Control>) -> Self {
        WatchedSocket {
            stream,
            control,
            blocked: false,
        }
    }

    fn seen<T>(&mut self, written: Poll<T>) -> Poll<T> {
        let blocked = written.is_pending();
        // Every piece of every answer comes here: no lock and no clock unless something has changed.
        if std::mem::replace(&mut self.blocked, blocked) != blocked {
            self.control.set_blocked(blocked);
        }
        written
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for WatchedSocket<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        self.control.set_reading(read.is_pending());
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for WatchedSocket<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.seen(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, parts);
        self.seen(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // A stream with a buffer of its own, such as TLS, waits for its client here.
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        self.seen(flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    async fn connected() -> io::Result<(TcpStream, TcpStream)> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let client = TcpStream::connect(listener.local_addr()?).await?;
        Ok((listener.accept().await?.0, client))
    }

    #[tokio::test]
    async fn a_dead_peer_is_noticed_within_the_limit_whether_silent_or_not() -> io::Result<()> {
        let (stream, _client) = connected().await?;
        notice_dead_peers(&stream, Duration::from_secs(60))?;
        let socket = SockRef::from(&stream);
        assert!(socket.keepalive()?);
        let (time, interval) = (
            socket.tcp_keepalive_time()?,
            socket.tcp_keepalive_interval()?,
        );
        assert_eq!(
            (time, interval),
            (Duration::from_secs(30), Duration::from_secs(10))
        );
        assert_eq!(
            time + interval * socket.tcp_keepalive_retries()?,
            Duration::from_secs(60)
        );
        assert_eq!(socket.tcp_user_timeout()?, Some(Duration::from_secs(60)));
        // The system counts in seconds, and takes no zero.
        notice_dead_peers(&stream, Duration::from_millis(100))?;
        assert_eq!(socket.tcp_keepalive_time()?, Duration::from_secs(1));
        Ok(())
    }

    #[tokio::test]
    async fn a_limit_that_the_system_cannot_count_is_the_longest_it_can() -> io::Result<()> {
        let (stream, _client) = connected().await?;
        let socket = SockRef::from(&stream);
        notice_dead_peers(&stream, Duration::from_secs(70_000))?;
        assert_eq!(socket.tcp_keepalive_time()?, LONGEST_SILENCE);
        assert_eq!(
            socket.tcp_user_timeout()?,
            Some(Duration::from_secs(70_000))
        );
        for limit in [Duration::MAX, Duration::from_secs(365 * 86_400)] {
            notice_dead_peers(&stream, limit)?;
            assert_eq!(socket.tcp_keepalive_interval()?, LONGEST_SILENCE);
            assert_eq!(socket.tcp_user_timeout()?, Some(LONGEST_USER_TIMEOUT));
        }
        notice_dead_peers(&stream, Duration::ZERO)?;
        assert_eq!(
            socket.tcp_user_timeout()?,
            Some(Duration::from_millis(1)),
            "zero would be no limit of ours"
        );
        Ok(())
    }

    /// As small as a reset and a close can be told apart.
    #[tokio::test]
    async fn a_peer_is_gone_by_a_reset_and_after_a_whole_request_by_a_close_too() -> io::Result<()>
    {
        use tokio::{io::AsyncWriteExt, time::timeout};
        let patience = Duration::from_millis(100);
        let (server, mut client) = connected().await?;
        let server = Arc::new(server);
        client.write_all(b"nobody reads this").await?;
        assert!(
            timeout(patience, gone(server.clone(), true)).await.is_err(),
            "it is there"
        );
        client.shutdown().await?;
        assert!(
            timeout(patience, gone(server.clone(), false))
                .await
                .is_err(),
            "its body may be on the way"
        );
        timeout(patience * 50, gone(server.clone(), true)).await?;
        SockRef::from(&client).set_linger(Some(Duration::ZERO))?;
        drop(client);
        timeout(patience * 50, gone(server, false)).await?;
        Ok(())
    }
}

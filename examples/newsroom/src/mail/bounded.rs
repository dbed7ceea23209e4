//! A connection whose peer can neither fill our memory nor confuse us with its alphabet.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll, ready},
};

use lettre::transport::smtp::client::AsyncTokioStream;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

/// The most bytes of a reply; RFC 5321 has 512 for a line, and few replies have more than one.
const LONGEST_REPLY: usize = 16 * 1024;

/// A TCP connection that fails when its peer sends a reply without end: lettre keeps reading until there is a whole
/// line, and reads a reply from its beginning with each further line.
///
/// What comes is ASCII text, with `?` for everything else: a refusal in another encoding would be an answer that
/// cannot be read, and fail the newsletter for all instead of one mail.
#[derive(Debug)]
pub(super) struct BoundedReplies {
    stream: TcpStream,
    /// How much was read since something was last written.
    reply: usize,
}

impl BoundedReplies {
    pub(super) fn new(stream: TcpStream) -> Self {
        BoundedReplies { stream, reply: 0 }
    }
}

impl AsyncTokioStream for BoundedReplies {
    fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.stream.peer_addr()
    }
}

impl AsyncRead for BoundedReplies {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        for byte in &mut buffer.filled_mut()[before..] {
            if !matches!(byte, b'\r' | b'\n' | b'\t' | b' '..=b'~') {
                *byte = b'?';
            }
        }
        self.reply += buffer.filled().len() - before;
        if self.reply > LONGEST_REPLY {
            return Poll::Ready(Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "a reply without end",
            )));
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for BoundedReplies {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.reply = 0;
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

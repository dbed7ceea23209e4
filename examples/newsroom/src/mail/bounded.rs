//! A connection whose peer cannot fill our memory.

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

/// RFC 5321 has 512 bytes for a line of a reply.
const LONGEST_LINE: usize = 64 * 1024;

/// A TCP connection that fails when its peer sends a line without end: lettre bounds complete lines and replies,
/// and keeps reading until there is one.
#[derive(Debug)]
pub(super) struct BoundedLines {
    stream: TcpStream,
    /// How long the line is so far that is being read.
    line: usize,
}

impl BoundedLines {
    pub(super) fn new(stream: TcpStream) -> Self {
        BoundedLines { stream, line: 0 }
    }
}

impl AsyncTokioStream for BoundedLines {
    fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.stream.peer_addr()
    }
}

impl AsyncRead for BoundedLines {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        let read = &buffer.filled()[before..];
        self.line = match read.iter().rposition(|byte| *byte == b'\n') {
            Some(end) => read.len() - end - 1,
            None => self.line + read.len(),
        };
        if self.line > LONGEST_LINE {
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, "a line without end")));
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for BoundedLines {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

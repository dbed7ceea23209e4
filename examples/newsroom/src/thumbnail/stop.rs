//! When the work on a picture ends early.

use std::{
    fmt,
    io::{self, BufRead, Cursor, Read, Seek, SeekFrom},
    time::{Duration, Instant},
};

use nexios::CancelToken;

use super::PictureError;

/// A decoder gets so many bytes at a time.
const PIECE: usize = 16 * 1024;

/// Asked while a picture is decoded.
pub(crate) struct Stop {
    token: CancelToken,
    at: Instant,
}

impl Stop {
    /// Ends the work when the token fires, or when it has taken so long.
    pub(crate) fn new(token: &CancelToken, limit: Duration) -> Self {
        Stop {
            token: token.clone(),
            at: Instant::now() + limit,
        }
    }

    pub(super) fn check(&self) -> Result<(), PictureError> {
        if self.token.is_cancelled() {
            Err(PictureError::GivenUp)
        } else if Instant::now() >= self.at {
            Err(PictureError::TooSlow)
        } else {
            Ok(())
        }
    }

    /// Reads from memory for as long as the work goes on.
    pub(super) fn reader<'a>(&'a self, bytes: Cursor<&'a [u8]>) -> Reader<'a> {
        Reader { bytes, stop: self }
    }
}

/// Bytes in memory that run out when the work shall end.
pub(super) struct Reader<'a> {
    bytes: Cursor<&'a [u8]>,
    stop: &'a Stop,
}

impl BufRead for Reader<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.stop
            .check()
            .map_err(|reason| io::Error::other(Stopped(reason)))?;
        let rest = self.bytes.fill_buf()?;
        Ok(rest.get(..PIECE).unwrap_or(rest))
    }

    fn consume(&mut self, amount: usize) {
        self.bytes.consume(amount);
    }
}

impl Read for Reader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.fill_buf()?.read(buffer)?;
        self.consume(length);
        Ok(length)
    }
}

impl Seek for Reader<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.bytes.seek(to)
    }
}

#[derive(Debug)]
struct Stopped(PictureError);

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl std::error::Error for Stopped {}

/// Why reading failed: the work was stopped, or the file ends too early.
pub(super) fn reason(error: io::Error) -> PictureError {
    match error.downcast::<Stopped>() {
        Ok(Stopped(reason)) => reason,
        Err(error) => PictureError::Corrupt(error.into()),
    }
}

//! What a cell remembers of its last failure, and for how long that counts.

use std::time::Duration;

use tokio::time::Instant;

use super::{backoff::ErrorBackoff, error::LazyError};

/// The shortest time between a failure and the next refresh that nobody waits for.
const REFRESH_SPACING: Duration = Duration::from_secs(1);

pub(super) struct CellFailure<E> {
    at: Instant,
    /// So long no refresh begins that nobody waits for; with a backoff, so long the error stands.
    pause: Duration,
    /// How many failures there were in a row, this one included.
    pub(super) in_a_row: u32,
    /// Kept only if errors may be served again.
    pub(super) error: Option<LazyError<E>>,
}

impl<E> CellFailure<E> {
    /// What to remember of a failure that is the last of so many in a row.
    pub(super) fn new(
        error: &LazyError<E>,
        backoff: Option<ErrorBackoff>,
        in_a_row: u32,
        at: Instant,
    ) -> Self {
        let pause = backoff.map_or(REFRESH_SPACING, |backoff| backoff.pause(in_a_row));
        Self {
            at,
            pause,
            in_a_row,
            error: backoff.map(|_| error.clone()),
        }
    }

    pub(super) fn is_recent(&self, now: Instant) -> bool {
        now.duration_since(self.at) < self.pause
    }
}

//! What an engine is told when it is opened.

use std::time::Duration;

#[derive(Debug, Clone, Copy)]
#[cfg_attr(
    not(any(feature = "sqlite", feature = "postgres")),
    expect(
        dead_code,
        reason = "in memory no worker is lost and nothing is waited for"
    )
)]
pub(crate) struct Settings {
    /// How long a worker that is not heard of keeps its jobs.
    pub(crate) lease: Duration,
    /// How long a call waits for a database that is locked or away.
    pub(crate) patience: Duration,
}

//! What an engine is told when it is opened.

use std::time::Duration;

#[derive(Debug, Clone, Copy)]
pub(crate) struct Settings {
    /// How long a worker that is not heard of keeps its jobs.
    pub(crate) lease: Duration,
    /// How long a call waits for a database that is locked or away.
    pub(crate) patience: Duration,
}

//! What the errors of a store of durable jobs mean to a client.

use std::time::Duration;

use nexios_jobs::JobsError;

use super::Problem;
use crate::log::log;

/// How long a refused client is asked to wait: an outage of a database is over in seconds, or a matter for people.
const LATER: Duration = Duration::from_secs(5);

/// A database that is away, locked or full is 503 with `Retry-After`, and logged; arguments that are too large are 413. The
/// rest is the program's mistake: 500, logged.
impl From<JobsError> for Problem {
    fn from(error: JobsError) -> Self {
        match &error {
            JobsError::Unavailable(cause) => {
                log(|| tracing::warn!(%cause, "the store of jobs is not available"));
                Problem::unavailable("The job could not be enqueued now.", LATER)
            }
            JobsError::PayloadTooLarge { .. } => {
                Problem::new(axum::http::StatusCode::PAYLOAD_TOO_LARGE)
                    .detail("The job's arguments are too large.")
            }
            _ => Problem::internal(&error),
        }
    }
}

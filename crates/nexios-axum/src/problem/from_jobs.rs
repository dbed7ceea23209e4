//! What the errors of a store of durable jobs mean to a client.

use std::time::Duration;

use nexios_jobs::{JobFailure, JobsError};

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
                Problem::unavailable("The store of jobs is not available now.", LATER)
            }
            JobsError::PayloadTooLarge { .. } => {
                Problem::new(axum::http::StatusCode::PAYLOAD_TOO_LARGE)
                    .detail("The job's arguments are too large.")
            }
            _ => Problem::internal(&error),
        }
    }
}

/// What somebody who waits for a job is told: 404 of one that is gone, 409 of one that was cancelled, and of an error of the
/// store what that is. A job that failed, or whose output is not what its kind says, is 500, logged.
impl From<JobFailure> for Problem {
    fn from(failure: JobFailure) -> Self {
        match failure {
            JobFailure::Gone => Problem::not_found("There is no such job."),
            JobFailure::Cancelled => Problem::conflict("The job was cancelled."),
            JobFailure::Store(error) => error.into(),
            failed => Problem::internal(&failed),
        }
    }
}

//! What the errors of Postgres mean to those who use the store.

use graphile_worker::errors::GraphileWorkerError;

use crate::error::{DatabaseError, JobsError};

pub(super) fn fault(error: sqlx::Error) -> JobsError {
    let passes = match &error {
        sqlx::Error::Database(error) => error.code().is_some_and(|code| passes(&code)),
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed => true,
        _ => false,
    };
    let error = DatabaseError::new(error);
    if passes {
        JobsError::Unavailable(error)
    } else {
        JobsError::Database(error)
    }
}

/// The queue does not tell what the database said: what is asked of it has worked when the store was opened.
pub(super) fn queue_fault(error: GraphileWorkerError) -> JobsError {
    JobsError::Unavailable(DatabaseError::new(error))
}

/// By the classes of codes: connections, resources, shutdowns and starts, time that is over, lost rounds against others, full disks.
fn passes(code: &str) -> bool {
    ["08", "53", "57014", "57P", "40", "55P03", "58", "25006"]
        .iter()
        .any(|class| code.starts_with(class))
}

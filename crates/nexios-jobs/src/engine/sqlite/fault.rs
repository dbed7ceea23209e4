//! What the errors of SQLite mean to those who use the store.

use crate::error::{DatabaseError, JobsError};

/// The codes of what may be over later: busy, locked, out of memory, an error of the disk, full, not to be opened.
const PASSING: [i32; 6] = [5, 6, 7, 10, 13, 14];

pub(super) fn fault(error: sqlx::Error) -> JobsError {
    let passes = match &error {
        sqlx::Error::Database(error) => code(&**error).is_some_and(|code| PASSING.contains(&code)),
        sqlx::Error::Io(_) | sqlx::Error::WorkerCrashed => true,
        _ => false,
    };
    let error = DatabaseError::new(error);
    if passes {
        JobsError::Unavailable(error)
    } else {
        JobsError::Database(error)
    }
}

/// The primary code: the lowest byte of what SQLite says.
fn code(error: &dyn sqlx::error::DatabaseError) -> Option<i32> {
    let code: i32 = error.code()?.parse().ok()?;
    Some(code & 0xff)
}

//! How long a call waits for a database that is locked or away.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use crate::error::{DatabaseError, JobsError};

pub(super) async fn patiently<T>(
    patience: Duration,
    call: impl Future<Output = Result<T, JobsError>>,
) -> Result<T, JobsError> {
    // What tokio's clock cannot tell is no limit.
    let Some(limit) = Instant::now().checked_add(patience) else {
        return call.await;
    };
    timeout_at(limit, call).await.unwrap_or_else(|_| {
        let text = format!("no answer within {patience:?}");
        Err(JobsError::Unavailable(DatabaseError::new(text)))
    })
}

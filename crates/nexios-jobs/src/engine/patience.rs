//! How long a call waits for a database that is locked or away.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};

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

/// Calls again while the database is away, with a pause between, until shortly before the patience is over: what the database
/// said last tells more than that nothing came.
pub(super) async fn insistently<T, F>(
    patience: Duration,
    pause: Duration,
    call: impl Fn() -> F,
) -> Result<T, JobsError>
where
    F: Future<Output = Result<T, JobsError>>,
{
    let began = Instant::now();
    let limit = patience.mul_f64(0.9);
    loop {
        let called = call().await;
        let left = limit.saturating_sub(began.elapsed());
        if left.is_zero() || !matches!(called, Err(JobsError::Unavailable(_))) {
            return called;
        }
        sleep(pause.min(left)).await;
    }
}

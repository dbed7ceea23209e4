//! What each error of nexios means to a client.

use std::{fmt, time::Duration};

use axum::http::StatusCode;
use nexios::{
    BackgroundError, BackgroundFailure, CancelReason, Interrupted, LazyError, PoolError, RaceError,
};

use super::Problem;
use crate::{log::log, rationed_log::RationedLog, text::in_short};

/// How long a refused client is asked to wait: long enough for a queue to move, short enough not to be felt.
const SOON: Duration = Duration::from_secs(1);

/// Of the whole process, as an error does not tell whose race it was.
static LOST_RACES: RationedLog = RationedLog::every(Duration::from_secs(1));

/// The same for pools.
static SATURATED_POOLS: RationedLog = RationedLog::every(Duration::from_secs(1));

/// A deadline is 504, a shutdown 503; other cancellations are answers nobody should have to see. The status is that of
/// `StatusCode::from`.
impl From<Interrupted> for Problem {
    fn from(interrupted: Interrupted) -> Self {
        let status = StatusCode::from(interrupted);
        match (status.as_u16(), interrupted) {
            (504, _) => Problem::too_slow("The work did not end in its time."),
            (503, Interrupted::Cancelled(CancelReason::Shutdown)) => shutting_down(),
            (503, _) => Problem::unavailable("The work was cancelled.", SOON),
            (499, _) => Problem::new(status).detail("The client went away."),
            _ => Problem::internal(&interrupted),
        }
    }
}

/// A pool that takes no more is 503 with `Retry-After`. Of one that is saturated, or was too slow to begin, the log has a warning,
/// once a second at most, with how often it was meant.
impl From<PoolError> for Problem {
    fn from(error: PoolError) -> Self {
        match error {
            PoolError::Closed => shutting_down(),
            error => {
                SATURATED_POOLS.say(|count| {
                    let cause = error.to_string();
                    tracing::warn!(
                        cause,
                        count,
                        "requests are turned away: a thread pool is saturated"
                    );
                });
                Problem::unavailable("The service has more work than it can do.", SOON)
            }
        }
    }
}

/// All too slow is 504; all failed is 503. It is not 502, since candidates need not be other servers, and the next
/// try may find one of them well. The log has every candidate's failure at INFO, and of races that were lost
/// otherwise than by time a warning, once a second at most.
impl<E: fmt::Debug> From<RaceError<E>> for Problem {
    fn from(error: RaceError<E>) -> Self {
        if error.is_empty() {
            return Problem::internal(&"a race without candidates");
        }
        // Clients lose races as often as they like, and under load everybody does.
        let failures = || in_short(format!("{:?}", error.failures()));
        log(|| tracing::info!(failures = failures(), "every candidate failed"));
        if error.is_timeout() {
            return Problem::too_slow("No source answered in its time.");
        }
        LOST_RACES.say(|count| {
            tracing::warn!(
                failures = failures(),
                count,
                "races in which every candidate failed"
            );
        });
        Problem::unavailable("No source could answer.", SOON)
    }
}

/// A value that could not be computed is 500, and the cause is logged; what interrupted the caller is what it would be alone.
/// Whether a later try may succeed only the error inside [`LazyError::Failed`] could tell: match on it to answer 503.
impl<E: fmt::Debug> From<LazyError<E>> for Problem {
    fn from(error: LazyError<E>) -> Self {
        match error {
            LazyError::Interrupted(interrupted) => interrupted.into(),
            _ => Problem::internal(&error),
        }
    }
}

/// A full registry is 503 with `Retry-After`, a live task with the same key 409. A schedule that cannot be read is the
/// program's mistake: 500, logged.
impl<F> From<BackgroundError<F>> for Problem {
    fn from(error: BackgroundError<F>) -> Self {
        match &error {
            BackgroundError::Full(_) => {
                Problem::unavailable("The service has more work than it can do.", SOON)
            }
            BackgroundError::ShuttingDown(_) => shutting_down(),
            BackgroundError::Duplicate(_) => Problem::conflict("The same task is already running."),
            _ => Problem::internal(&error),
        }
    }
}

/// A task that was too slow is 504, one that was refused, cancelled or cut off 503, one that panicked 500.
impl From<BackgroundFailure> for Problem {
    fn from(failure: BackgroundFailure) -> Self {
        match failure {
            BackgroundFailure::TimedOut => Problem::too_slow("The task did not end in its time."),
            BackgroundFailure::Cancelled => Problem::unavailable("The task was cancelled.", SOON),
            BackgroundFailure::Refused => {
                Problem::unavailable("The service has more work than it can do.", SOON)
            }
            BackgroundFailure::Abandoned => shutting_down(),
            _ => Problem::internal(&failure),
        }
    }
}

fn shutting_down() -> Problem {
    Problem::unavailable("The service is shutting down.", SOON).close_connection()
}

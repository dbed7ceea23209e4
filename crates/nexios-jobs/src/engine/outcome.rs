//! What is written of an attempt's end, in either database.

use crate::{clock::millis, engine::End, progress::JobProgress};

/// How a run ended, as columns.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// The state that the job would have if nobody had cancelled it: 1 if it is to run again.
    pub(super) state: i16,
    /// In how many milliseconds it is to run again; without it its time stays as it is.
    pub(super) after: Option<i64>,
    /// What the history says of the attempt, if nobody had cancelled the job.
    pub(super) word: &'static str,
    /// Whether it was no attempt, on the same condition.
    pub(super) uncounted: bool,
    pub(super) result: Option<String>,
    pub(super) error: Option<String>,
}

impl Outcome {
    pub(super) fn of(end: End) -> Self {
        let attempt = end.of_attempt();
        let ended = |state, error| Self {
            state,
            word: attempt.as_str(),
            uncounted: !attempt.counts(),
            error,
            ..Self::default()
        };
        match end {
            End::Completed(result) => Self {
                result: Some(result),
                ..ended(4, None)
            },
            End::Failed(error) => ended(5, Some(error)),
            End::Cancelled => ended(6, None),
            End::Dead(error) => ended(7, Some(error)),
            End::Again { after, cause } => Self {
                after: Some(millis(after)),
                ..ended(1, cause.into_error())
            },
            End::HandedBack => ended(1, None),
        }
    }
}

/// Progress as columns; nothing where nothing was said.
#[derive(Debug, Default)]
pub(super) struct Said {
    pub(super) done: Option<i64>,
    pub(super) total: Option<i64>,
    pub(super) message: Option<String>,
}

impl Said {
    pub(super) fn of(progress: Option<JobProgress>) -> Self {
        progress.map_or_else(Self::default, |progress| Self {
            done: Some(progress.done.cast_signed()),
            total: Some(progress.total.cast_signed()),
            message: progress.message,
        })
    }
}

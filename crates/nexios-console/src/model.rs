//! What each page shows, as plain data: its JSON is these structs, its HTML is rendered from them.

mod background;
mod bucket;
#[cfg_attr(not(feature = "jobs"), expect(dead_code, reason = "nobody makes them"))]
mod jobs;
mod lazies;
mod lints;
mod now;
mod pools;
mod races;
mod request;
mod requests;
mod running;
mod sensitive;
mod state;
mod status;
mod trace;
mod work;

use std::time::Duration;

use serde::Serialize;

pub(crate) use background::{Background, BackgroundTask, Schedule};
pub(crate) use bucket::{Bucket, Counts};
pub(crate) use jobs::{Away, Job, JobAnswer, JobAttempt, JobList, LeftOut};
pub(crate) use lazies::{Lazies, Lazy, LazyError};
pub(crate) use lints::{Lint, LintKind, Lints};
pub(crate) use now::{CancelledRequests, LeftOver, Now, Stay};
pub(crate) use pools::{Pool, PoolJob, PoolState, Pools};
pub(crate) use races::{Hedges, OneHedge, Race, RaceKind, Races};
pub(crate) use request::{Request, Span};
pub(crate) use requests::{Requests, Route, Sample, Samples};
pub(crate) use running::Running;
pub(crate) use sensitive::{Redact, Sensitive};
pub(crate) use state::State;
pub(crate) use status::Status;
pub(crate) use trace::{Trace, TraceArguments, TraceEvent};
pub(crate) use work::{Progress, Work};

use crate::access::Access;

/// One page's content, with what stands before each.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Answer<T> {
    /// The version of these structs.
    pub(crate) schema: u32,
    /// Grows with whatever is observed.
    pub(crate) rev: u64,
    #[serde(flatten)]
    pub(crate) content: T,
}

impl<T: Redact> Answer<T> {
    pub(crate) fn new(rev: u64, content: T) -> Self {
        Self {
            schema: 1,
            rev,
            content,
        }
    }

    /// What somebody with this access may see of it.
    pub(crate) fn redacted(self, access: Access) -> Self {
        Self {
            content: self.content.redacted(access),
            ..self
        }
    }
}

/// A time span as it stands in the answers: to the microsecond.
pub(crate) fn milliseconds(span: Duration) -> f64 {
    // Exact below 2^53 microseconds, which are 285 years.
    span.as_micros() as f64 / 1000.0
}

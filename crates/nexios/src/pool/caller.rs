//! What a job takes along from the place it was submitted at: span, runtime, clock.

use tokio::{runtime::Handle, time::Instant};
use tracing::{Span, dispatcher};

use crate::log;

#[cfg(feature = "test-util")]
use super::paused_clock::Hold;

/// The surroundings of a caller.
pub(super) struct Caller {
    /// When the job was submitted, on the caller's clock.
    pub(super) submitted: Instant,
    /// When it is too late to begin, on the same clock.
    pub(super) limit: Option<Instant>,
    span: Option<Span>,
    runtime: Option<Handle>,
    /// Keeps a paused clock from running ahead until this is dropped.
    #[cfg(feature = "test-util")]
    _clock: Option<Hold>,
}

impl Caller {
    /// Looks around in the current thread and task.
    pub(super) fn here(limit: impl FnOnce(Instant) -> Option<Instant>) -> Self {
        let runtime = Handle::try_current().ok();
        let submitted = Instant::now();
        Self {
            submitted,
            limit: limit(submitted),
            span: log::current_span(),
            #[cfg(feature = "test-util")]
            _clock: runtime.as_ref().map(Hold::of),
            runtime,
        }
    }

    /// Calls `run` as if from there.
    pub(super) fn call<R>(&self, run: impl FnOnce() -> R) -> R {
        let _runtime = self.runtime.as_ref().map(Handle::enter);
        log::inside(self.span.as_ref(), || {
            // A span may belong to a subscriber that was set for the caller's thread only; without it here,
            // `Span::current()` and events would not find the span.
            let foreign = self
                .span
                .as_ref()
                .filter(|span| log::current_span().as_ref() != Some(span));
            match foreign
                .and_then(|span| span.with_subscriber(|(_, subscriber)| subscriber.clone()))
            {
                Some(subscriber) => dispatcher::with_default(&subscriber, run),
                None => run(),
            }
        })
    }
}

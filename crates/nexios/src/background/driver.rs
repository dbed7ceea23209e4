//! The future that tokio runs for each task: it waits for a slot, polls the work, obeys orders and records
//! the end.
//!
//! # Invariants
//!
//! 1. The work is dropped before the end is recorded, and the end is recorded before the handle resolves.
//! 2. No panic of the work leaves it, wherever it happens: in a poll, in a destructor, in a hook.
//! 3. Dropped early, as a runtime does when it ends, it still records an end.
//! 4. Before it returns `Pending` it has registered its waker and looked for orders once more.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::{Sleep, sleep};
use tracing::Span;

use crate::CancelReason;

use super::{
    info::TaskState,
    outcome::{BackgroundFailure, Outcome, contain},
    record::{Next, Record},
    registry::Registry,
    report,
};

/// How long a task may go on after it was asked to end before it is reported as stuck.
const STUCK_AFTER: Duration = Duration::from_secs(10);

/// The work of a task, ready to be polled.
pub(super) type Work<T> = Pin<Box<dyn Future<Output = Outcome<T>> + Send>>;

pub(super) struct Driver<T> {
    /// The work, until it has ended; before `end`, so that it is dropped first.
    work: Option<Work<T>>,
    /// Current while the work is polled and dropped.
    span: Span,
    /// Runs from the first poll after the task was asked to end.
    stuck: Option<Pin<Box<Sleep>>>,
    /// Records the end.
    end: End,
}

impl<T> Driver<T> {
    pub(super) fn new(end: End, span: Span, work: Work<T>) -> Self {
        Self { work: Some(work), span, stuck: None, end }
    }

    /// Drops the work; the text of the panic if its destructor panics.
    fn drop_work(&mut self) -> Option<String> {
        let work = self.work.take();
        self.span.in_scope(|| contain(move || drop(work))).err()
    }

    /// Records how the work ended, after dropping what is left of it.
    fn finish(&mut self, outcome: Outcome<T>) -> Result<T, BackgroundFailure> {
        let outcome = match self.drop_work() {
            Some(text) => Outcome::Panicked(text),
            None => outcome,
        };
        let cancelled = self.end.record.is_cancelled();
        let (state, error, value) = match outcome {
            Outcome::Completed(value) => (TaskState::Completed, None, Some(value)),
            // What the cancellation itself brought about is no failure.
            Outcome::Failed(..) if cancelled => (TaskState::Cancelled, None, None),
            Outcome::Failed(value, text) => (TaskState::Failed, Some(text), Some(value)),
            Outcome::Panicked(text) => (TaskState::Panicked, Some(text), None),
            Outcome::TimedOut => (TaskState::TimedOut, None, None),
            Outcome::Cancelled => (TaskState::Cancelled, None, None),
        };
        let settled = self.span.in_scope(|| self.end.settle(state, error));
        match value {
            Some(value) if settled == state => Ok(value),
            _ => Err(BackgroundFailure::of(settled)),
        }
    }

    /// Reports a task that was asked to end long ago, once.
    fn watch_stuck(&mut self, context: &mut Context<'_>) {
        if self.end.record.is_stuck() {
            return;
        }
        if self.stuck.is_none() {
            // A runtime without a clock panics here; such a task is reported by the drain only.
            self.stuck = contain(|| Box::pin(sleep(STUCK_AFTER))).ok();
        }
        if self.stuck.as_mut().is_some_and(|stuck| stuck.as_mut().poll(context).is_ready()) {
            self.stuck = None;
            report::stuck(&self.end.record);
        }
    }
}

impl<T> Future for Driver<T> {
    type Output = Result<T, BackgroundFailure>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        loop {
            let next = this.end.record.next();
            match next {
                Next::Wait => {}
                Next::Drop => return Poll::Ready(this.finish(Outcome::Cancelled)),
                Next::Poll | Next::PollAsked => {
                    let Driver { work: Some(work), span, .. } = this else {
                        return Poll::Ready(this.finish(Outcome::Cancelled));
                    };
                    match span.in_scope(|| contain(|| work.as_mut().poll(context))) {
                        Ok(Poll::Ready(outcome)) => return Poll::Ready(this.finish(outcome)),
                        Err(text) => return Poll::Ready(this.finish(Outcome::Panicked(text))),
                        Ok(Poll::Pending) => {}
                    }
                    if next == Next::PollAsked {
                        this.watch_stuck(context);
                    }
                }
            }
            this.end.record.watch(context.waker());
            // An order given before the waker was there has woken nobody.
            if this.end.record.next() == next {
                return Poll::Pending;
            }
        }
    }
}

impl<T> Drop for Driver<T> {
    fn drop(&mut self) {
        if let Some(text) = self.drop_work() {
            self.end.settle(TaskState::Panicked, Some(text));
        }
    }
}

/// Records the end of a task exactly once; dropping it is the end of a task that was cut off.
pub(super) struct End {
    registry: Arc<Registry>,
    record: Arc<Record>,
    /// Whether the end was recorded through this, and not by a drain.
    settled: bool,
}

impl End {
    pub(super) fn new(registry: Arc<Registry>, record: Arc<Record>) -> Self {
        Self { registry, record, settled: false }
    }

    /// Records `state`, and reports it if it is a failure; returns the state that counts.
    fn settle(&mut self, state: TaskState, error: Option<String>) -> TaskState {
        let failure = match self.registry.settle(&self.record, state, error) {
            Ok(failure) => failure,
            Err(earlier) => return earlier,
        };
        self.settled = true;
        self.record.fire_at_end(match state {
            TaskState::TimedOut => CancelReason::Deadline,
            TaskState::Cancelled | TaskState::Abandoned => CancelReason::OwnerDropped,
            _ => CancelReason::Finished,
        });
        if let Some(info) = failure {
            report::failure(&self.registry, &info);
            self.registry.reported();
        } else if self.record.is_stuck() {
            report::unstuck(&self.record);
        }
        state
    }
}

impl Drop for End {
    fn drop(&mut self) {
        if self.settled {
            return;
        }
        if self.record.state().is_final() {
            self.registry.unwound();
        } else if self.record.is_cancelled() || self.record.state() == TaskState::Queued {
            self.settle(TaskState::Cancelled, None);
        } else {
            report::cut_off(&self.record);
            self.settle(TaskState::Abandoned, None);
        }
    }
}

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

use pin_project_lite::pin_project;
use tokio::time::{Sleep, sleep};
use tracing::Span;

use crate::{CancelReason, CancelScope, log, punctual::poll_punctual};

use super::{
    current,
    info::TaskState,
    outcome::{BackgroundFailure, Outcome, contain},
    record::{Next, Record},
    registry::Registry,
    report::{self, Hook},
};

/// How long a task may go on after it was asked to end before it is reported as stuck.
const STUCK_AFTER: Duration = Duration::from_secs(10);

/// The work of a task, ready to be polled.
pub(super) type Work<T> = Pin<Box<dyn Future<Output = Outcome<T>> + Send>>;

pin_project! {
    pub(super) struct Driver<W> {
        // The work, until it has ended; before `end`, so that it is dropped first.
        #[pin]
        work: Option<W>,
        // Current while the work is polled and dropped, if somebody listens to it.
        span: Option<Box<Span>>,
        // Runs from the first poll after the task was asked to end.
        stuck: Option<Pin<Box<Sleep>>>,
        // Whether the record has a waker of ours.
        watches: bool,
        // Records the end.
        end: End,
    }

    impl<W> PinnedDrop for Driver<W> {
        fn drop(this: Pin<&mut Self>) {
            let this = this.project();
            if let Some(text) = drop_work(this.work, &this.end.record, this.span) {
                this.end.settle(TaskState::Panicked, Some(text));
            }
            if let Some(span) = this.span.take() {
                log::close(*span);
            }
        }
    }
}

impl<W> Driver<W> {
    pub(super) fn new(end: End, span: Span, work: W) -> Self {
        // Most are disabled, and then they only make the task larger.
        let span = (!span.is_disabled()).then(|| Box::new(span));
        Self { work: Some(work), span, stuck: None, watches: false, end }
    }
}

/// Calls `f` in the scope and the span of a task; a panic becomes its text.
fn inside<R>(record: &Arc<Record>, span: &Option<Box<Span>>, f: impl FnOnce() -> R) -> Result<R, String> {
    let call =
        || current::enter(record.id, || CancelScope::on_demand(record.clone(), None).enter(|| contain(f)));
    match span {
        Some(span) => log::inside(span, call),
        None => call(),
    }
}

/// Drops the work; the text of the panic if its destructor panics.
fn drop_work<W>(
    mut work: Pin<&mut Option<W>>,
    record: &Arc<Record>,
    span: &Option<Box<Span>>,
) -> Option<String> {
    if work.is_none() {
        return None;
    }
    inside(record, span, move || work.set(None)).err()
}

impl<T, W: Future<Output = Outcome<T>>> Driver<W> {
    /// Records how the work ended, after dropping what is left of it.
    fn finish(self: Pin<&mut Self>, outcome: Outcome<T>) -> Result<T, BackgroundFailure> {
        let this = self.project();
        let outcome = match drop_work(this.work, &this.end.record, this.span) {
            Some(text) => Outcome::Panicked(text),
            None => outcome,
        };
        if *this.watches {
            this.end.record.unwatch();
        }
        let cancelled = this.end.record.is_cancelled();
        let (state, error, value) = match outcome {
            Outcome::Completed(value) => (TaskState::Completed, None, Some(value)),
            // What the cancellation itself brought about is no failure.
            Outcome::Failed(..) if cancelled => (TaskState::Cancelled, None, None),
            Outcome::Failed(value, text) => (TaskState::Failed, Some(text), Some(value)),
            Outcome::Panicked(text) => (TaskState::Panicked, Some(text), None),
            Outcome::TimedOut => (TaskState::TimedOut, None, None),
            Outcome::Cancelled => (TaskState::Cancelled, None, None),
        };
        let settled = match this.span {
            Some(span) => log::inside(span, || this.end.settle(state, error)),
            None => this.end.settle(state, error),
        };
        match value {
            Some(value) if settled == state => Ok(value),
            _ => Err(BackgroundFailure::of(settled)),
        }
    }

    /// Reports a task that was asked to end long ago, once.
    fn watch_stuck(self: Pin<&mut Self>, context: &mut Context<'_>) {
        let this = self.project();
        // A model has no clock.
        if this.end.record.is_stuck() || cfg!(nexios_shuttle) {
            return;
        }
        if this.stuck.is_none() {
            // A runtime without a clock panics here; such a task is reported by the drain only.
            *this.stuck = contain(|| Box::pin(sleep(STUCK_AFTER))).ok();
        }
        if this.stuck.as_mut().is_some_and(|stuck| poll_punctual(stuck.as_mut(), context).is_ready()) {
            *this.stuck = None;
            report::stuck(&this.end.record);
        }
    }
}

impl<T, W: Future<Output = Outcome<T>>> Future for Driver<W> {
    type Output = Result<T, BackgroundFailure>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            let this = self.as_mut().project();
            let next = this.end.record.next();
            match next {
                Next::Wait => {}
                Next::Drop => return Poll::Ready(self.finish(Outcome::Cancelled)),
                Next::Poll | Next::PollAsked => {
                    let mut work = this.work;
                    let poll = || match work.as_mut().as_pin_mut()?.poll(context) {
                        Poll::Pending => Some(Poll::Pending),
                        Poll::Ready(outcome) => {
                            work.set(None);
                            Some(Poll::Ready(outcome))
                        }
                    };
                    match inside(&this.end.record, this.span, poll) {
                        Ok(Some(Poll::Pending)) => {}
                        Ok(Some(Poll::Ready(outcome))) => return Poll::Ready(self.finish(outcome)),
                        Err(text) => return Poll::Ready(self.finish(Outcome::Panicked(text))),
                        // Polled after its end, which tokio does not do.
                        Ok(None) => return Poll::Ready(self.finish(Outcome::Cancelled)),
                    }
                    if next == Next::PollAsked {
                        self.as_mut().watch_stuck(context);
                    }
                }
            }
            let this = self.as_mut().project();
            *this.watches = true;
            this.end.record.watch(context.waker());
            // An order given before the waker was there has woken nobody.
            if this.end.record.next() == next {
                return Poll::Pending;
            }
        }
    }
}

/// Records the end of a task exactly once; dropping it is the end of a task that was cut off.
pub(super) struct End {
    pub(super) registry: Arc<Registry>,
    /// Told if it is a failure.
    pub(super) hook: Arc<Hook>,
    pub(super) record: Arc<Record>,
    /// Whether the end was recorded through this, and not by a drain.
    settled: bool,
}

impl End {
    pub(super) fn new(registry: Arc<Registry>, hook: Arc<Hook>, record: Arc<Record>) -> Self {
        Self { registry, hook, record, settled: false }
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
            report::failure(&self.hook, &info);
            self.registry.gone();
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
        self.record.unwatch();
        if self.record.state().is_final() {
            self.registry.gone();
        } else if self.record.is_cancelled() || self.record.state() == TaskState::Queued {
            self.settle(TaskState::Cancelled, None);
        } else {
            report::cut_off(&self.record);
            self.settle(TaskState::Abandoned, None);
        }
    }
}

/// Here and not with the other tests, as tokio's wakers cannot be counted.
#[cfg(test)]
mod tests {
    use std::{
        sync::Arc,
        task::{Context, Poll, Wake, Waker},
    };

    use super::super::{Background, record::OnCancel};
    use super::*;

    struct Count;

    impl Wake for Count {
        fn wake(self: Arc<Self>) {}
    }

    /// A waker keeps a task of the runtime in memory; the history would keep a thousand of them.
    #[test]
    fn a_finished_task_keeps_no_waker() {
        let Background { registry, hook, .. } = Background::new();
        for dropped_early in [false, true] {
            let record = registry.admit("task".into(), None, OnCancel::Drop).expect("there is room");
            let end = End::new(registry.clone(), hook.clone(), record);
            let mut polls = 0;
            let work = std::future::poll_fn(move |_| {
                polls += 1;
                if polls == 1 { Poll::Pending } else { Poll::Ready(Outcome::Completed(())) }
            });
            let mut driver = Box::pin(Driver::new(end, Span::none(), work));
            let count = Arc::new(Count);
            let waker = Waker::from(count.clone());
            assert!(driver.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
            if dropped_early {
                drop(driver);
            } else {
                assert_eq!(driver.as_mut().poll(&mut Context::from_waker(&waker)), Poll::Ready(Ok(())));
            }
            drop(waker);
            assert_eq!(Arc::strong_count(&count), 1);
        }
    }
}

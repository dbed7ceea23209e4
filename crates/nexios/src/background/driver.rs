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

use crate::{
    cancel::{CancelReason, CancelScope},
    log,
    punctual::poll_punctual,
};

use super::{
    current,
    exit::{Exit, contain},
    failure::BackgroundFailure,
    info::TaskState,
    notices, observed,
    record::{Next, Record},
    registry::{Registry, Shown},
};

/// How long a task may go on after it was asked to end before it is reported as stuck.
const STUCK_AFTER: Duration = Duration::from_secs(10);

pin_project! {
    pub(super) struct TaskDriver<W> {
        // The work, until it has ended; before `end`, so that it is dropped first.
        #[pin]
        work: Option<W>,
        // Current while the work is polled and dropped, if somebody listens to it.
        span: Option<Box<Span>>,
        // Runs from the first poll after the task was asked to end.
        stuck: Option<Pin<Box<Sleep>>>,
        // Records the end.
        end: EndGuard,
    }

    impl<W> PinnedDrop for TaskDriver<W> {
        fn drop(this: Pin<&mut Self>) {
            let this = this.project();
            if let Err(text) = drop_work(this.work, &this.end.record, this.span) {
                this.end.settle(TaskState::Panicked, Some(text));
            }
            log::close(this.span.take().map(|span| *span));
        }
    }
}

impl<W> TaskDriver<W> {
    pub(super) fn new(end: EndGuard, span: Option<Span>, work: W) -> Self {
        // Most have none, and then it should not make the task larger.
        Self {
            work: Some(work),
            span: span.map(Box::new),
            stuck: None,
            end,
        }
    }
}

/// Calls `f` in the scope and the span of a task; a panic becomes its text.
fn inside<R>(
    record: &Arc<Record>,
    span: &Option<Box<Span>>,
    f: impl FnOnce() -> R,
) -> Result<R, String> {
    // The panic is caught innermost: neither the scope nor the number of the task may stay current on this thread.
    let call = || {
        let _part = record.work.enter();
        current::enter(record.id, || {
            CancelScope::on_demand(record.clone(), None).enter(|| contain(f))
        })
    };
    log::inside(span.as_deref(), call)
}

/// Drops the work, if it is still there; the text of the panic if its destructor panics.
fn drop_work<W>(
    mut work: Pin<&mut Option<W>>,
    record: &Arc<Record>,
    span: &Option<Box<Span>>,
) -> Result<(), String> {
    if work.is_none() {
        return Ok(());
    }
    // As its polls: a destructor may look for its scope, start a drain or write to the log.
    inside(record, span, move || work.set(None))
}

impl<T, W: Future<Output = Exit<T>>> TaskDriver<W> {
    /// Records how the work ended, after dropping what is left of it.
    fn finish(self: Pin<&mut Self>, exit: Exit<T>) -> Result<T, BackgroundFailure> {
        let this = self.project();
        // First: whoever sees the end may count on what the work held to be free.
        let dropped = drop_work(this.work, &this.end.record, this.span);
        let exit = dropped.map_or_else(Exit::Panicked, |()| exit);
        // The record may be kept for long, and a waker keeps the memory of this future.
        this.end.record.unwatch();
        let cancelled = this.end.record.is_cancelled();
        let (state, error, value) = match exit {
            Exit::Completed(value) => (TaskState::Completed, None, Some(value)),
            // What the cancellation itself brought about is no failure.
            Exit::Failed(..) if cancelled => (TaskState::Cancelled, None, None),
            Exit::Failed(value, text) => (TaskState::Failed, Some(text), Some(value)),
            Exit::Panicked(text) => (TaskState::Panicked, Some(text), None),
            Exit::TimedOut => (TaskState::TimedOut, None, None),
            Exit::Cancelled => (TaskState::Cancelled, None, None),
        };
        // In the span, as a failure writes to the log.
        let settled = log::inside(this.span.as_deref(), || this.end.settle(state, error));
        match value {
            Some(value) if settled == state => Ok(value),
            // A drain has given up on the task, and has reported that: the value comes too late.
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
        if this
            .stuck
            .as_mut()
            .is_some_and(|stuck| poll_punctual(stuck.as_mut(), context).is_ready())
        {
            *this.stuck = None;
            notices::stuck(&this.end.record);
        }
    }
}

impl<T, W: Future<Output = Exit<T>>> Future for TaskDriver<W> {
    type Output = Result<T, BackgroundFailure>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            let mut this = self.as_mut().project();
            let next = this.end.record.next();
            match next {
                Next::Wait => {}
                Next::Drop => return Poll::Ready(self.finish(Exit::Cancelled)),
                Next::Poll | Next::PollAsked => {
                    this.end.record.is_polled();
                    let poll = || match this.work.as_mut().as_pin_mut()?.poll(context) {
                        Poll::Pending => Some(Poll::Pending),
                        Poll::Ready(exit) => {
                            // Here, where its scope is current and a panic of its destructor is caught.
                            this.work.set(None);
                            Some(Poll::Ready(exit))
                        }
                    };
                    match inside(&this.end.record, this.span, poll) {
                        Ok(Some(Poll::Pending)) => {}
                        Ok(Some(Poll::Ready(exit))) => return Poll::Ready(self.finish(exit)),
                        Err(text) => return Poll::Ready(self.finish(Exit::Panicked(text))),
                        // Polled after its end, which tokio does not do.
                        Ok(None) => return Poll::Ready(self.finish(Exit::Cancelled)),
                    }
                    if next == Next::PollAsked {
                        self.as_mut().watch_stuck(context);
                    }
                }
            }
            let record = &self.end.record;
            record.watch(context.waker());
            // An order given before the waker was there has woken nobody. The same one is no news: the work has been
            // polled since, with this waker.
            if record.next() == next {
                return Poll::Pending;
            }
        }
    }
}

/// Records the end of a task exactly once; dropping it is the end of a task that was cut off.
pub(super) struct EndGuard {
    pub(super) registry: Arc<Registry>,
    pub(super) record: Arc<Record>,
    /// Whether the end was recorded through this, and not by a drain.
    settled: bool,
}

impl EndGuard {
    pub(super) fn new(registry: Arc<Registry>, record: Arc<Record>) -> Self {
        Self {
            registry,
            record,
            settled: false,
        }
    }

    /// Records `state`, and reports it if it is a failure; returns the state that counts.
    fn settle(&mut self, state: TaskState, error: Option<String>) -> TaskState {
        // Most are not, and then nothing is copied.
        let observed = self.record.work.is_observed();
        let text = if observed { error.clone() } else { None };
        if let Err(earlier) = self.registry.settle(&self.record, state, error) {
            return earlier;
        }
        // Before the hook, which may panic in a way that ends this: nothing is counted twice.
        self.settled = true;
        if observed {
            observed::ended(&self.record, state, text);
            if !state.is_failure() {
                self.registry.gone();
            }
        }
        self.record.fire(match state {
            TaskState::TimedOut => CancelReason::Deadline,
            TaskState::Cancelled | TaskState::Abandoned => CancelReason::OwnerDropped,
            _ => CancelReason::Finished,
        });
        if state.is_failure() {
            let info = self.registry.info(Shown::Live(self.record.clone()));
            notices::failure(&self.registry.hook, &info);
            self.registry.gone();
        } else if self.record.is_stuck() {
            notices::unstuck(&self.record);
        }
        state
    }
}

impl Drop for EndGuard {
    fn drop(&mut self) {
        if self.settled {
            return;
        }
        self.record.unwatch();
        if self.record.state().is_final() {
            // A drain has ended it, and has waited for this moment.
            observed::ended(&self.record, self.record.state(), None);
            self.registry.gone();
        } else if self.record.is_cancelled() || self.record.state() == TaskState::Queued {
            self.settle(TaskState::Cancelled, None);
        } else {
            notices::cut_off(&self.record);
            self.settle(TaskState::Abandoned, None);
        }
    }
}

/// Here and not with the other tests, as tokio's wakers cannot be counted.
#[cfg(test)]
mod tests {
    use std::{
        panic::Location,
        sync::Arc,
        task::{Context, Poll, Wake, Waker},
    };

    use super::super::{bounds::Bounds, notices::Hook, record::OnCancel};
    use super::*;

    struct Count;

    impl Wake for Count {
        fn wake(self: Arc<Self>) {}
    }

    /// A waker keeps a task of the runtime in memory; the history would keep a thousand of them.
    #[test]
    fn a_finished_task_keeps_no_waker() {
        let bounds = Bounds {
            limit: 1,
            queue: 0,
            live: 1,
            history: 1,
        };
        let registry = Arc::new(Registry::new("tasks".into(), bounds, Hook::default()));
        for dropped_early in [false, true] {
            let record = registry
                .admit("task".into(), None, OnCancel::Drop, Location::caller())
                .expect("there is room");
            let end = EndGuard::new(registry.clone(), record);
            let mut polls = 0;
            let work = std::future::poll_fn(move |_| {
                polls += 1;
                if polls == 1 {
                    Poll::Pending
                } else {
                    Poll::Ready(Exit::Completed(()))
                }
            });
            let mut driver = Box::pin(TaskDriver::new(end, None, work));
            let count = Arc::new(Count);
            let waker = Waker::from(count.clone());
            assert!(
                driver
                    .as_mut()
                    .poll(&mut Context::from_waker(&waker))
                    .is_pending()
            );
            if dropped_early {
                drop(driver);
            } else {
                assert_eq!(
                    driver.as_mut().poll(&mut Context::from_waker(&waker)),
                    Poll::Ready(Ok(()))
                );
            }
            drop(waker);
            assert_eq!(Arc::strong_count(&count), 1);
        }
    }
}

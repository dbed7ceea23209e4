//! The span that a request came in, entered and left without harm from a subscriber that panics.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use tracing::{Span, level_filters::LevelFilter, span::Entered};

use crate::log::log;

/// The span that was current when a request came; its lines and its rescue belong there.
///
/// Cloning, entering, leaving and dropping a span all call the subscriber, so each has a guard. Where there is no span
/// there is nobody to call, and no guard is paid for.
pub(super) struct RequestSpan(Span);

impl RequestSpan {
    pub(super) fn current() -> Self {
        let mut current = Span::none();
        // Where no level is on, nobody has made a span.
        if LevelFilter::current() != LevelFilter::OFF {
            log(|| current = Span::current());
        }
        RequestSpan(current)
    }

    /// Calls `inside` in the span.
    pub(super) fn within<T>(&self, inside: impl FnOnce() -> T) -> T {
        if self.0.is_none() {
            return inside();
        }
        let mut entered = Leave(None);
        log(|| entered.0 = Some(self.0.enter()));
        inside()
    }

    /// Polls `future` in the span.
    pub(super) fn instrument<F: Future>(&self, future: F) -> Instrumented<F> {
        let mut span = Span::none();
        log(|| span = self.0.clone());
        Instrumented {
            future: Box::pin(future),
            span: RequestSpan(span),
        }
    }
}

impl Drop for RequestSpan {
    fn drop(&mut self) {
        if !self.0.is_none() {
            let span = std::mem::replace(&mut self.0, Span::none());
            log(|| drop(span));
        }
    }
}

/// Leaves the span that it holds, also while a panic of what ran inside unwinds.
struct Leave<'a>(Option<Entered<'a>>);

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        let entered = self.0.take();
        log(|| drop(entered));
    }
}

/// A future and the span that it is polled in.
pub(super) struct Instrumented<F> {
    /// Dropped before the span.
    future: Pin<Box<F>>,
    span: RequestSpan,
}

impl<F: Future> Future for Instrumented<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let Instrumented { future, span } = &mut *self;
        span.within(|| future.as_mut().poll(cx))
    }
}

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::time::Instant;

use super::pace::Pace;

/// Which attempt of a call this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempt {
    /// From 1, the first.
    pub number: usize,
}

/// An attempt under way, which reports how long it took, whatever its end.
pub(super) struct Timed<'h, Fut> {
    future: Pin<Box<Fut>>,
    clock: Option<Clock<'h>>,
}

/// Reports an attempt's time once: as an answer, or when dropped as "at least so long".
struct Clock<'h> {
    pace: &'h Pace,
    started: Instant,
    answered: bool,
}

impl<'h, Fut> Timed<'h, Fut> {
    pub(super) fn new(future: Fut, pace: Option<&'h Pace>) -> Self {
        let clock = pace.map(|pace| Clock { pace, started: Instant::now(), answered: false });
        Self { future: Box::pin(future), clock }
    }
}

impl<T, E, Fut: Future<Output = Result<T, E>>> Future for Timed<'_, Fut> {
    type Output = Result<T, E>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let result = ready!(self.future.as_mut().poll(cx));
        if let Some(mut clock) = self.clock.take() {
            // A quick error says nothing about how long an answer takes.
            clock.answered = result.is_ok();
        }
        Poll::Ready(result)
    }
}

impl Drop for Clock<'_> {
    fn drop(&mut self) {
        let took = self.started.elapsed();
        if self.answered {
            self.pace.answered(took);
        } else {
            self.pace.unfinished(took);
        }
    }
}
